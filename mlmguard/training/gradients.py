"""The gradient of one step: a noised mean of clipped per-unit gradients, or the gradient of a mean loss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mlmguard.errors import CannotGoOn
from mlmguard.training import mechanism, models
from mlmguard.training.clipping.clip import Engine, clipped_gradient_sum
from mlmguard.training.distributed import ALONE, Team
from mlmguard.training.examples import Batch, Examples, collate
from mlmguard.training.models import masked_logits
from mlmguard.training.numerics import autocast
from mlmguard.training.privacy.self_audit import SelfAudit
from mlmguard.training.text import packing
from mlmguard.training.text.masking import IGNORED
from mlmguard.types import DpPlan


def private_gradient(
    model: nn.Module,
    examples: Examples,
    pad_id: int,
    plan: DpPlan,
    noise: mechanism.NoiseSource,
    engine: Engine,
    micro_tokens: int,
    device: torch.device,
    team: Team = ALONE,
    precision: str = "fp32",
    audit: SelfAudit | None = None,
    views: int = 1,
) -> float:
    """Set every ``.grad`` to (Σ clipped + N(0, (σC)²)) / normaliser. An empty draw is noise only.

    ``examples`` are those of the whole team, ``views`` neighbours of each unit: each process clips its share,
    the first adds noise to the sum and tells the others. ``audit``, of the first process, releases its
    canaries beside them and measures.

    Returns the draw's mean loss, nan for an empty one: private, for the run folder, steering nothing.

    Raises :class:`CannotGoOn` where units were drawn and not one has a finite gradient. Each counts as zero,
    so that the ε would hold, but a model in this state learns from nobody, and what would be released as
    trained were noise. That this happened is no release that ε covers: it depends on the text too, if only
    through weights that overflow. So it ends the run, without a checkpoint and without saying whose units
    they were, and no more is drawn.
    """
    share, alike = team.share(examples, views), models.sees_padding(model)
    batches = collate(share, pad_id, micro_tokens, device, alike, views)
    total, losses = clipped_total(model, batches, plan.max_grad_norm, engine, autocast(device, precision))
    losses = losses.to(device)
    team.add_to_first(losses)
    total_loss, count, finite = losses.tolist()
    if team.agree(bool(count and not finite)):
        raise CannotGoOn(
            "no unit of this step has a finite gradient, so that only noise would be released: this is an "
            "error of the run, which releases nothing and cannot go on, and not a result that ε covers; what "
            "was charged stays charged. Lower --learning-rate, or start from other weights."
        )
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        summed = total.pop(name, None)
        if summed is None:  # an empty draw: noise alone
            summed = torch.zeros(parameter.shape, dtype=torch.float32, device=device)
        team.add_to_first(summed)
        if team.first:
            released = mechanism.noisy_mean(summed, plan, noise)
            if audit is not None and audit.looks():
                audit.saw_noise(name, summed, released, plan)
            summed = released
        parameter.grad = team.tell(summed).to(parameter.dtype)
    if audit is not None:
        audit.release(plan, noise)
    return total_loss / count if count else math.nan


def clipped_total(
    model: nn.Module,
    batches: Iterable[Batch],
    max_grad_norm: float,
    engine: Engine,
    precision: AbstractContextManager[Any],
) -> tuple[dict[str, Tensor], Tensor]:
    """Σ clipped over all ``batches`` of a draw, and the (3,) sum, number and finite number of its losses."""
    total: dict[str, Tensor] = {}
    losses = torch.zeros(3, dtype=torch.float64)
    for batch in batches:
        with precision:
            clipped = clipped_gradient_sum(model, batch, max_grad_norm, engine=engine)
        finite = clipped.losses.isfinite() & clipped.norms.isfinite()
        losses += torch.tensor(
            [float(clipped.losses.double().sum()), len(clipped.losses), int(finite.sum())],
            dtype=torch.float64,
        )
        for name, gradient in clipped.gradients.items():
            total[name] = total[name].add_(gradient) if name in total else gradient
    return total, losses


def plain_gradient(
    model: nn.Module,
    examples: Examples,
    pad_id: int,
    micro_tokens: int,
    device: torch.device,
    team: Team = ALONE,
    packed: int = 0,
    precision: str = "fp32",
    scaler: torch.amp.GradScaler | None = None,
) -> float:
    """Set every ``.grad`` to the gradient of the mean loss over all masked tokens; return that loss.

    ``packed`` is the length of the rows that examples are packed into, 0 for one row each. With a ``scaler``
    the gradient is multiplied by its factor.
    """
    masked = sum(int((labels != IGNORED).sum()) for _, labels in examples)
    total = torch.zeros(1, device=device)
    share = team.share(examples)
    batches = collate(share, pad_id, micro_tokens, device, models.sees_padding(model))
    if packed:
        batches = packing.collate(share, pad_id, micro_tokens, packed, models.first_position(model), device)
    for batch in batches:
        with autocast(device, precision):
            where = batch["labels"] != IGNORED
            logits = masked_logits(
                model, batch["input_ids"], batch["attention_mask"], where, batch.get("position_ids")
            )
        loss = nn.functional.cross_entropy(logits.float(), batch["labels"][where], reduction="sum") / max(
            masked, 1
        )
        torch.autograd.backward(scaler.scale(loss) if scaler else loss)
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


def gradient_norm(model: nn.Module, limit: float) -> float:
    """Scale all gradients together down to Euclidean norm ``limit``; return the norm they had."""
    return float(nn.utils.clip_grad_norm_(model.parameters(), limit))


def decayed_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only, as BERT was trained: not for biases and normalisation."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
