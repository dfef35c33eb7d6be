"""The main job on the corpus that the package carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlmguard.commands.review import Reviewed, review
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings
from mlmguard.train import TrainSettings
from mlmguard.types import Progress, silent

EPSILON = 8.0


def demo(
    folder: Path,
    *,
    tell: Callable[[str, object], None] = lambda stage, result: None,
    progress: Progress = silent,
    stop: Callable[[], bool] = bool,
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
        tell=tell,
        progress=progress,
        stop=stop,
    )
