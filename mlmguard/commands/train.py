"""Train a masked language model, with or without differential privacy.

CLEAN is the folder that `mlmguard scan` wrote, clean/ by default. An interrupted run goes on when the same
command is given again. A private checkpoint is not replaced unasked: its ε is spent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmguard import console
from mlmguard.commands import leading_on
from mlmguard.commands.options import FOLDER, Page, options, overwriting, place, shared, show
from mlmguard.commands.watching import watched
from mlmguard.settings import TrainSettings, check

if TYPE_CHECKING:
    from mlmguard.train import TrainResult


@click.command("train", cls=Page)
@click.argument("clean", type=FOLDER, default="clean")
@options(TrainSettings)
@click.option(
    "--track",
    metavar="NAME",
    multiple=True,
    help="Log every step to a tracker of accelerate: tensorboard, mlflow, wandb, trackio … Repeatable.",
)
@place("--ckpt", "ckpt", "Where the checkpoint goes.", "ckpt")
@place("--reports", "reports", "Where train.json goes.", "reports")
@overwriting
@shared
def command(
    clean: Path,
    ckpt: Path,
    reports: Path,
    track: tuple[str, ...],
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    chosen = TrainSettings(**settings)
    check(chosen)
    if not chosen.private:
        console.warn("no --dp-epsilon: this model is NOT private; treat its weights like the corpus")
    from mlmguard.train import train

    with watched(quiet or as_json) as watcher:
        result = train(clean, ckpt, reports, chosen, track=track, overwrite=overwrite, watcher=watcher)
    if int(os.environ.get("RANK", "0")) > 0:  # under torchrun the first process talks for all
        return
    show(result, as_json, lambda: tables(result))
    if found := useless(result.unprotected):
        console.warn(found)
    if result.trained:
        console.written([ckpt, reports / "train.json"], quiet)
    elsewhere = () if reports == Path("reports") else ("--reports", reports)
    leading_on.then("audit", ckpt, *elsewhere, quiet=quiet)


def tables(result: TrainResult) -> None:
    """Print the result of a run: model, plan, held-out numbers, the claim."""
    facts: dict[str, Any] = dict(result.facts)
    views = facts.get("augmentation_multiplicity", 1)
    windows = "window" if views == 1 else f"{views} windows of"
    rows = {
        "model": f"{facts['parameters']:,} parameters, {facts['init']}",
        "plan": f"{facts['steps']} steps of {facts['batch_units']} units, {windows} {facts['window']}, "
        f"masks {facts['mask_rate']:.0%}, rate {facts['learning_rate']:g}",
        "took": f"{facts['seconds']:.0f} s on {facts['device']}, {facts['precision']}, "
        f"{facts['memory_gib']:.1f} GiB, {facts['saves']} saves",
        "latency": f"{facts['latency_p50_ms']:.1f} ms a window, "
        f"{facts['latency_p95_ms']:.1f} ms at the 95th percentile",
        **_held_out(result),
    }
    if result.statement.plan is not None:
        plan = result.statement.plan
        rows["noise"] = (
            f"σ = {plan.noise_multiplier:.3f}, C = {plan.max_grad_norm:g}, sample rate {plan.sample_rate:.3g}"
        )
    if result.left_out:
        rows["left out"] = ", ".join(f"{one.shard} ({one.reason})" for one in result.left_out)
    console.train_summary(result.statement, rows)


def useless(numbers: Mapping[str, float]) -> str:
    """Say that a model has not been shown to have learnt anything, or ""; by the intervals of held-out text.

    Where nothing was measured, by choice or for want of held-out text, nothing is said.
    """
    names = {"start": "its start", "unigram": "word frequencies"}
    behind = [what for name, what in names.items() if numbers.get(f"gain_over_{name}_low", 1.0) <= 0]
    if not behind:
        return ""
    return (
        f"this model was not shown to predict held-out text better than {' or '.join(behind)}: more "
        "documents, a larger ε, or a start that knows the language (--init) would help; that nothing leaks "
        "from it says little"
    )


def _held_out(result: TrainResult) -> dict[str, str]:
    numbers = result.unprotected
    if "heldout_loss" not in numbers:
        return {}
    kinds = (("top5", "among the first five"), ("rare", "rare tokens"), ("personal", "findings"))
    parts = [
        f"{name} {numbers[f'heldout_{key}_accuracy']:.1%}"
        for key, name in kinds
        if f"heldout_{key}_accuracy" in numbers
    ]
    return {
        "held out": f"loss {numbers['heldout_loss']:.3f} against {numbers['start_loss']:.3f} of its start "
        f"and {numbers['unigram_loss']:.3f} of a unigram model, accuracy {numbers['heldout_accuracy']:.1%} "
        "(not covered by ε)",
        "accuracy at": ", ".join(parts),
        "vocabulary": f"{numbers['vocabulary_seen']:.0%} of its entries in the training text, "
        f"{numbers['vocabulary_seen_often']:.0%} ten times and more",
    }
