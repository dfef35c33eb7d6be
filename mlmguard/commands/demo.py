"""Run the whole job on an embedded corpus of invented notes, at ε = 8.

It takes two to three minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from mlmguard.commands.options import Page, place, quietly
from mlmguard.commands.review import Reviewed, review, show_review, show_verb
from mlmguard.commands.watching import watched
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError
from mlmguard.settings import ScanSettings, TrainSettings
from mlmguard.types import SILENT, Watcher

EPSILON = 8.0


def demo(
    folder: Path,
    *,
    show: Callable[[str, object], None] = lambda stage, result: None,
    watcher: Watcher = SILENT,
) -> Reviewed:
    """Write the invented notes below ``folder`` and review them at ε = 8.

    The gold spans lie beside the corpus, in ``gold.jsonl``: what a scan should have found.
    """
    corpus = folder / "corpus"
    if corpus.exists() and not (folder / "gold.jsonl").exists():
        raise InputError(
            str(corpus), "not the demo's corpus", "an empty or new folder", "name another with --into"
        )
    write_corpus(corpus, folder / "gold.jsonl")
    return review(
        corpus,
        folder,
        scanning=ScanSettings(unit_key=None),
        overwrite=True,  # the folder is the demo's own
        training=TrainSettings(dp_epsilon=EPSILON),
        show=show,
        watcher=watcher,
    )


# --- the command ----------------------------------------------------------------------------------------


@click.command("demo", cls=Page)
@place("--into", "folder", "Folder for everything the demo writes.", "demo")
@quietly
def command(folder: Path, quiet: bool) -> int:
    with watched(quiet) as watcher:
        done = demo(folder, show=show_verb, watcher=watcher)
    return show_review(done, quiet)
