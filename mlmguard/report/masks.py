"""The page of `mlmguard mask`: one sentence under every strategy, with what a checkpoint predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlmguard.report.clearance import line
from mlmguard.report.html import template
from mlmguard.report.words import percent


def render(rows: Sequence[object], model: str) -> str:
    """Return the page; ``rows`` are what :func:`mlmguard.commands.mask.mask` gives.

    ``model`` is what the checkpoint was called; of a folder only its name is shown.
    """
    return template("masks.html").render(rows=rows, model=line(Path(model).name, 80), percent=percent)
