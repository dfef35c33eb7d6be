"""Run the whole job on an embedded corpus of invented notes, at ε = 8.

It takes about two minutes on two cores. The notes are nobody's: the demo keeps a ledger of its own
beside them and starts anew each time, so that a second demo does not count as a second run on people's data.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from mlmguard.artifacts import RUNS
from mlmguard.commands.options import Page, place, quietly
from mlmguard.commands.review import Reviewed, review, show_review, show_verb
from mlmguard.commands.watching import watched
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.engine import default_workers
from mlmguard.errors import InputError
from mlmguard.settings import AuditSettings, ScanSettings, TrainSettings
from mlmguard.types import SILENT, Watcher

EPSILON = 8.0
NOTES = 2000  # enough that what is audited has intervals worth reading, names found by the strong detector
TRAINING = TrainSettings(
    # two thirds of the usual steps, at half the usual batch, see more masks: the loss is 0.6 nats below word
    # frequencies. No learning rate: one that was given would be a warning, for it may have been tuned
    dp_epsilon=EPSILON, steps=80, batch_units=256, mask_rate=0.4
)  # fmt: skip
RESTARTS, SAMPLES = 12, 200  # half of what an audit searches and draws: nobody's secrets are at stake


def demo(
    folder: Path,
    *,
    show: Callable[[str, object], None] = lambda stage, result: None,
    watcher: Watcher = SILENT,
) -> Reviewed:
    """Write the invented notes below ``folder`` and review them at ε = 8; an earlier demo there goes first.

    The gold spans lie beside the corpus, in ``gold.jsonl``: what a scan should have found. Raises
    :class:`InputError` where ``folder`` holds a corpus that is not the demo's.
    """
    corpus, gold = folder / "corpus", folder / "gold.jsonl"
    if corpus.exists() and not gold.exists():
        raise InputError(
            str(corpus), "not the demo's corpus", "an empty or new folder", "name another with --into"
        )
    if gold.exists():
        for earlier in ("corpus", "clean", "ckpt", "reports", RUNS.parts[0]):
            shutil.rmtree(folder / earlier, ignore_errors=True)
    write_corpus(corpus, gold, NOTES)
    with _ledger_in(folder / RUNS):
        return review(
            corpus,
            folder,
            scanning=ScanSettings(unit_key=None, workers=default_workers()),
            overwrite=True,  # the folder is the demo's own
            training=TRAINING,
            auditing=AuditSettings(
                workers=default_workers(AuditSettings.MOST_WORKERS), restarts=RESTARTS, samples=SAMPLES
            ),
            show=show,
            watcher=watcher,
        )


@contextmanager
def _ledger_in(runs: Path) -> Iterator[None]:
    """Enter runs beside their folders, where later commands look, unless ``MLMGUARD_STATE`` is set."""
    if "MLMGUARD_STATE" in os.environ:
        yield
        return
    os.environ["MLMGUARD_STATE"] = str(runs.resolve())
    try:
        yield
    finally:
        del os.environ["MLMGUARD_STATE"]


# --- the command ----------------------------------------------------------------------------------------


@click.command("demo", cls=Page)
@place("--into", "folder", "Folder for everything the demo writes.", "demo")
@quietly
def command(folder: Path, quiet: bool) -> int:
    with watched(quiet) as watcher:
        done = demo(folder, show=show_verb, watcher=watcher)
    return show_review(done, quiet)
