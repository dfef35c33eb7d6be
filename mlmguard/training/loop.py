"""The training loop, private or plain, on one page.

A private step draws units by Poisson sampling, charges the ledger, clips and sums, adds noise, divides by a
public number and hands the result to the optimiser. A plain step draws a shuffled batch and averages. The
optimiser, the schedule and the data path are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlmguard.errors import MlmguardError
from mlmguard.training import mechanism
from mlmguard.training.clipping import Engine, clipped_gradient_sum
from mlmguard.training.distributed import ALONE, Team
from mlmguard.training.journal import Journal
from mlmguard.training.masking import IGNORED, Ids, Vocabulary, mask_tokens
from mlmguard.training.models import masked_logits
from mlmguard.training.tokenizer import SpecialTokens
from mlmguard.training.units import Unit, micro_batches, shuffled_draws, window
from mlmguard.types import DpPlan, Progress, silent

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """What an optimiser needs to know; every number is public."""

    steps: int
    batch_units: int  # expected units a step
    learning_rate: float
    warmup_steps: int
    window: int
    mask_rate: float = 0.15
    weight_decay: float = 0.01
    micro_tokens: int = 8192  # padded tokens a forward pass; memory, not mathematics
    seed: int = 0


class Interrupted(MlmguardError):
    """Asked to stop between two steps; the journal holds what is needed to go on."""

    exit_code = 130


def train(
    model: nn.Module,
    units: Sequence[Unit],
    vocabulary: Vocabulary,
    tokens: SpecialTokens,
    recipe: Recipe,
    journal: Journal,
    plan: DpPlan | None = None,
    *,
    engine: Engine = "one-pass",
    device: torch.device | None = None,
    team: Team = ALONE,
    progress: Progress = silent,
    stop: Callable[[], bool] = bool,
) -> nn.Module:
    """Train ``model`` in place for ``recipe.steps`` steps, under ``plan`` if there is one.

    Resumes from ``journal``: steps that it shows charged are never run again, so the ledger never exceeds
    the plan. Raises :class:`Interrupted` after a whole step when ``stop()`` turns true, and
    :class:`MlmguardError` when a plain loss is not finite.
    """
    device = device or best_device()
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        decayed_groups(model, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.99)
    )
    first = journal.restore(model, optimizer)
    draws = shuffled_draws(len(units), recipe.batch_units, recipe.steps, recipe.seed)
    draw_rng = team.agree(mechanism.entropy_rng())  # one draw for all processes, and the same windows
    noise = mechanism.entropy_generator(device)
    for step, drawn in enumerate(draws):
        if step < first:
            continue
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step, recipe)
        if plan is None:
            rng = np.random.default_rng([recipe.seed, step, 1])
            torch.manual_seed(recipe.seed * 1_000_003 + step)  # dropout: a resumed run repeats it
        else:
            rng = draw_rng
            drawn = mechanism.draw(len(units), plan, step, journal, rng)
        examples = [example(units[k], vocabulary, tokens, recipe, rng) for k in drawn]
        if plan is None:
            loss = plain_gradient(model, examples, tokens.pad, recipe.micro_tokens, device, team)
            if not math.isfinite(loss):
                raise MlmguardError(f"step {step + 1}: the loss is not finite; lower --learning-rate")
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        else:
            loss = private_gradient(
                model, examples, tokens.pad, plan, noise, engine, recipe.micro_tokens, device, team
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        journal.completed(step, loss)
        progress("train", step + 1, recipe.steps)
        if team.agree(stop()):
            journal.save(model, optimizer, step + 1)
            raise Interrupted(
                f"stopped after step {step + 1} of {recipe.steps}; run the same command to go on"
            )
        if journal.save_due():
            journal.save(model, optimizer, step + 1)
    return model.eval()


def private_gradient(
    model: nn.Module,
    examples: Sequence[tuple[Ids, Ids]],
    pad_id: int,
    plan: DpPlan,
    noise: torch.Generator,
    engine: Engine,
    micro_tokens: int,
    device: torch.device,
    team: Team = ALONE,
) -> float:
    """Set every ``.grad`` to (Σ clipped + N(0, (σC)²)) / normaliser. An empty draw is noise only.

    ``examples`` are those of the whole team: each process clips its share, the first adds noise to the sum
    and tells the others.

    Returns the draw's mean loss, nan for an empty one: private, for the run folder, steering nothing.
    """
    batches = collate(team.share(examples), pad_id, micro_tokens, device)
    total, losses = clipped_total(model, batches, plan.max_grad_norm, engine, autocast(device))
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        summed = total.pop(name, None)
        if summed is None:  # an empty draw: noise alone
            summed = torch.zeros(parameter.shape, dtype=torch.float32, device=device)
        team.add_to_first(summed)
        if team.first:
            summed = mechanism.noisy_mean(summed, plan, noise)
        parameter.grad = team.tell(summed).to(parameter.dtype)
    losses = losses.to(device)
    team.add_to_first(losses)
    total_loss, count = losses.tolist()
    return total_loss / count if count else math.nan


def clipped_total(
    model: nn.Module,
    batches: Iterable[Batch],
    max_grad_norm: float,
    engine: Engine,
    precision: AbstractContextManager[Any],
) -> tuple[dict[str, Tensor], Tensor]:
    """Σ clipped over all ``batches`` of a draw, and the (2,) sum and number of their units' losses."""
    total: dict[str, Tensor] = {}
    losses = torch.zeros(2, dtype=torch.float64)
    for batch in batches:
        with precision:
            clipped = clipped_gradient_sum(model, batch, max_grad_norm, engine=engine)
        losses += torch.tensor([float(clipped.losses.double().sum()), len(clipped.losses)])
        for name, gradient in clipped.gradients.items():
            total[name] = total[name].add_(gradient) if name in total else gradient
    return total, losses


def plain_gradient(
    model: nn.Module,
    examples: Sequence[tuple[Ids, Ids]],
    pad_id: int,
    micro_tokens: int,
    device: torch.device,
    team: Team = ALONE,
) -> float:
    """Set every ``.grad`` to the gradient of the mean loss over all masked tokens; return that loss."""
    masked = sum(int((labels != IGNORED).sum()) for _, labels in examples)
    total = torch.zeros(1, device=device)
    for batch in collate(team.share(examples), pad_id, micro_tokens, device):
        with autocast(device):
            where = batch["labels"] != IGNORED
            logits = masked_logits(model, batch["input_ids"], batch["attention_mask"], where)
        loss = nn.functional.cross_entropy(logits.float(), batch["labels"][where], reduction="sum") / max(
            masked, 1
        )
        torch.autograd.backward(loss)
        total += loss.detach()
    if team.size > 1:
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:  # no work here, or none that reaches it
                    parameter.grad = torch.zeros_like(parameter)
                team.add_to_first(parameter.grad)
                team.tell(parameter.grad)
        team.add_to_first(total)
    return float(team.tell(total))


# --- data ---------------------------------------------------------------------------------------------


def example(
    unit: Unit, vocabulary: Vocabulary, tokens: SpecialTokens, recipe: Recipe, rng: np.random.Generator
) -> tuple[Ids, Ids]:
    """One random window of ``unit``, masked afresh: (input ids, labels)."""
    return mask_tokens(
        window(unit, recipe.window, tokens.cls, tokens.sep, rng), vocabulary, rng, recipe.mask_rate
    )


def collate(
    examples: Sequence[tuple[Ids, Ids]], pad_id: int, micro_tokens: int, device: torch.device
) -> list[Batch]:
    """Micro-batches of similar length; the attention mask keeps padding out of every other record."""
    batches = []
    for members in micro_batches([ids for ids, _ in examples], micro_tokens):
        length = max(len(examples[k][0]) for k in members)
        input_ids = torch.full((len(members), length), pad_id)
        labels = torch.full((len(members), length), IGNORED)
        attention = torch.zeros((len(members), length), dtype=torch.long)
        for row, k in enumerate(members):
            ids, targets = examples[k]
            input_ids[row, : len(ids)] = torch.from_numpy(ids)
            labels[row, : len(ids)] = torch.from_numpy(targets)
            attention[row, : len(ids)] = 1
        batches.append(
            {
                "input_ids": input_ids.to(device),
                "attention_mask": attention.to(device),
                "labels": labels.to(device),
            }
        )
    return batches


# --- numerics -----------------------------------------------------------------------------------------


def schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then linear decay to a tenth: the factor on the learning rate at ``step``."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    left = (recipe.steps - step) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.1 + 0.9 * left


def decayed_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only, as BERT was trained: not for biases and normalisation."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def best_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_precision(device: torch.device) -> bool:
    """Do forward and backward passes run in bf16 there?"""
    return device.type == "cuda"


def autocast(device: torch.device) -> torch.autocast:
    """bf16 on a GPU, nothing on a CPU: parameters, norms, sums and noise stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half_precision(device))
