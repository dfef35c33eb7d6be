"""The training loop, private or plain, on one page.

A private step draws units by Poisson sampling, charges the ledger, clips and sums, adds noise, divides by a
public number and hands the result to the optimiser. A plain step draws a shuffled batch and averages. What
differs is the mode's (``modes``); the optimiser, the schedule and the order of a step are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from mlmguard.errors import MlmguardError
from mlmguard.training.clipping.clip import Engine
from mlmguard.training.device import DeviceLoad
from mlmguard.training.distributed import ALONE, Team
from mlmguard.training.gradients import decayed_groups, gradient_norm
from mlmguard.training.journal import Journal
from mlmguard.training.modes import Mode, Plain, Private
from mlmguard.training.recipes import Recipe, schedule
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit
from mlmguard.training.watch import within_memory
from mlmguard.types import SILENT, DpPlan, Watcher


class Interrupted(MlmguardError):
    """Stopped between two steps; the journal holds what is needed to go on."""

    exit_code = 130


def run_steps(
    mode: Mode,
    journal: Journal,
    *,
    validate: Callable[[], float] | None = None,
    watcher: Watcher = SILENT,
) -> nn.Module:
    """Train ``mode.model`` in place for the steps of its recipe; return it in evaluation mode.

    Resumes from ``journal``: steps that it shows charged are never run again, so the ledger never exceeds
    the plan. ``validate()`` is the held-out loss of the model, which a plain run may stop by. Raises
    :class:`Interrupted` after a whole step when the watcher asks to stop, and :class:`MlmguardError` when the
    loss of a plain run diverges a second time.
    """
    model, recipe, team = mode.model, mode.recipe, mode.team
    model.to(mode.device).train()
    optimizer = torch.optim.AdamW(
        decayed_groups(model, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.99)
    )
    least = recipe.window * recipe.views  # of one unit
    micro_tokens, load, started = recipe.micro_tokens, DeviceLoad(mode.device), time.monotonic()
    with mode.running(journal, optimizer) as step:
        while step < recipe.steps:
            began = time.monotonic()
            rate = recipe.learning_rate * schedule(step, recipe) * journal.eased
            for group in optimizer.param_groups:
                group["lr"] = rate
            examples = mode.draw(step)
            loading = time.monotonic() - began
            loss, micro_tokens = within_memory(mode.gradient(examples), micro_tokens, least)
            if mode.diverged(loss):
                step = mode.fall_back(step, loss, watcher)
                continue
            mode.scaler.unscale_(optimizer)
            norm = gradient_norm(model, mode.largest_norm)
            mode.scaler.step(optimizer)  # not where a scaled gradient overflowed: its factor is halved
            mode.scaler.update()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            numbers = {"rate": rate, "gradient_norm": norm, "tokens": float(sum(len(i) for i, _ in examples))}
            took = {"seconds": time.monotonic() - began, "loading_seconds": loading}
            journal.completed(step - 1, loss, **numbers, **took, **load.sample())
            watcher.progress("train", step, recipe.steps)
            if mode.finished(step, loss, validate, watcher):
                break
            if team.agree(watcher.stop()):
                journal.save(model, optimizer, step)
                raise Interrupted(
                    f"stopped after step {step} of {recipe.steps}; run the same command to go on"
                )
            if (
                journal.save_due() or step == recipe.steps
            ):  # what breaks after the last step goes on from here
                journal.save(model, optimizer, step)
    journal.seconds_running = time.monotonic() - started
    return model.eval()


def train(
    model: nn.Module,
    units: Sequence[Unit],
    tokenizer: Tokenizer,
    recipe: Recipe,
    journal: Journal,
    plan: DpPlan | None = None,
    *,
    engine: Engine = "one-pass",
    device: torch.device | None = None,
    team: Team = ALONE,
    validate: Callable[[], float] | None = None,
    watcher: Watcher = SILENT,
) -> nn.Module:
    """Make the mode of ``model``, private if there is a ``plan``, and :func:`run_steps`."""
    mode: Mode
    if plan is None:
        mode = Plain(model, tokenizer, units, recipe, team=team, device=device)
    else:
        mode = Private(model, tokenizer, units, recipe, plan, engine=engine, team=team, device=device)
    return run_steps(mode, journal, validate=validate, watcher=watcher)
