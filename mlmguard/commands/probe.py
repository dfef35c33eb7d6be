"""Measure a checkpoint on a labelled task, before and after training.

A linear probe and a short fine-tuning, beside the weights that training started from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from mlmguard import console
from mlmguard.artifacts import read_noun
from mlmguard.commands.options import FILE, FOLDER, Page, shared, show
from mlmguard.commands.watching import interruptible
from mlmguard.errors import InputError
from mlmguard.training.privacy import seals
from mlmguard.types import SILENT, PrivacyStatement, Watcher

if TYPE_CHECKING:
    from mlmguard.training.downstream import Labelled, Scores


RESAMPLES = 400
WINDOW = 128


@dataclass(frozen=True)
class Probed:
    """One model by one method: macro AUC of a classification, or macro F1 over words, with 95 % intervals."""

    model: str  # "before" or "after"
    method: str  # "linear probe" or "fine-tuned"
    metric: str
    value: float
    low: float
    high: float
    examples: int


def probe(
    ckpt: Path, data: Path, task: str, before: str | None = None, *, watcher: Watcher = SILENT
) -> tuple[Probed, ...]:
    """Measure ``ckpt``, and ``before`` beside it: by default the weights its training started from.

    Raises :class:`InputError` for a file that is not labelled, or where no model to compare with is found.
    """
    from mlmguard.training.downstream import read_labelled

    labelled = read_labelled(data, task)
    found = []
    for name, place in (("before", before or _started_from(ckpt)), ("after", str(ckpt))):
        for method in METHODS:
            watcher.progress(f"{method}, {name}", 0, 1)
            found.append(_measured(name, place, method, labelled))
            watcher.progress(f"{method}, {name}", 1, 1)
    return tuple(found)


def linear_probe(ckpt: Path, data: Path) -> Probed:
    """The linear probe of ``ckpt`` alone, on a file labelled for classification."""
    from mlmguard.training.downstream import read_labelled

    return _measured("after", str(ckpt), "linear probe", read_labelled(data, "classification"))


METHODS = ("linear probe", "fine-tuned")


def _measured(name: str, place: str, method: str, labelled: Labelled) -> Probed:
    from mlmguard.training import downstream, models
    from mlmguard.training.numerics import best_device
    from mlmguard.training.text.tokenizer import Tokenizer

    learn = downstream.linear_probe if method == "linear probe" else downstream.fine_tune
    model, tokenizer = models.load(place).model, Tokenizer.load(place)
    models.refuse_too_few_rows(model, tokenizer, place)
    models.refuse_unusable(model, tokenizer, place)
    window = min(WINDOW, models.window_of(model))
    scores = learn(model, tokenizer, labelled, window, best_device())
    return _probed(name, method, scores, labelled)


def _started_from(ckpt: Path) -> str:
    ours = (ckpt / "privacy.json").is_file()
    folder = seals.run_of(ckpt, read_noun(ckpt / "privacy.json", PrivacyStatement)).folder if ours else None
    if folder is None or not (folder / "initial").is_dir():
        raise InputError(
            str(ckpt), "no run folder with the weights it started from", "a model to compare with", "--before"
        )
    return str(folder / "initial")


def _probed(model: str, method: str, scores: Scores, labelled: Labelled) -> Probed:
    from mlmguard.training.downstream import Scores, macro_f1

    metric: Callable[[Scores], float] = macro_auc
    name = "AUC"
    if labelled.task == "token-classification":
        name = "F1"

        def metric(scores: Scores) -> float:
            return macro_f1(scores, labelled.names)

    value = metric(scores)
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(scores.truth), len(scores.truth)) for _ in range(RESAMPLES)]
    again = [metric(Scores(scores.probabilities[draw], scores.truth[draw])) for draw in draws]
    low, high = np.nanpercentile(again, [2.5, 97.5])
    return Probed(model, method, name, value, float(low), float(high), len(scores.truth))


def macro_auc(scores: Scores) -> float:
    """The area under the ROC curve of each class against the rest, averaged over classes that occur."""
    from mlmguard.leakage import metrics

    areas = []
    for k in range(scores.probabilities.shape[1]):
        own, column = scores.truth == k, scores.probabilities[:, k]
        if own.any() and not own.all():
            areas.append(metrics.auc(column[own], column[~own]).value)
    return float(np.mean(areas)) if areas else float("nan")


# --- the command ----------------------------------------------------------------------------------------


@click.command("probe", cls=Page)
@click.argument("ckpt", type=FOLDER)
@click.option(
    "--task",
    type=click.Choice(["classification", "token-classification"]),
    required=True,
    help="What to learn.",
)
@click.option(
    "--data",
    type=FILE,
    required=True,
    help='JSON lines: {"text", "label"}, or {"tokens", "labels"} for token classification.',
)
@click.option("--before", help="A model to compare with.  [default: the weights that training started from]")
@shared
def command(ckpt: Path, task: str, data: Path, before: str | None, quiet: bool, as_json: bool) -> None:
    with interruptible(quiet or as_json) as watcher:
        found = probe(ckpt, data, task, before, watcher=watcher)
    rows = [
        (
            f"{one.method}, {one.model}",
            f"{one.metric} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}], n = {one.examples}",
        )
        for one in found
    ]
    show(found, as_json, lambda: console.explanation("Probe", rows))
