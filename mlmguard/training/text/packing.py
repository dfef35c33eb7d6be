"""Several examples in one row, none attending to another: no padding, and the same loss.

Each example keeps its own positions and attends to itself alone, so that what a row holds beside it changes
nothing (``refuse_unpackable`` checks that on the model at hand). Only plain runs pack: a private one clips
by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlmguard.errors import InputError
from mlmguard.training import models
from mlmguard.training.text.masking import IGNORED, Ids
from mlmguard.training.text.units import micro_batches

TOLERANCE = 1e-3  # of a logit; an architecture that ignores the mask is off by whole units


def rows(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Indices of the examples in each row of at most ``room`` tokens: longest first, where it first fits."""
    packed: list[list[int]] = []
    left: list[int] = []
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        row = next((row for row, free in enumerate(left) if free >= lengths[k]), len(packed))
        if row == len(packed):
            packed.append([])
            left.append(room)
        packed[row].append(k)
        left[row] -= lengths[k]
    return packed


def collate(
    examples: Sequence[tuple[Ids, Ids]],
    pad_id: int,
    micro_tokens: int,
    room: int,
    first_position: int,
    device: torch.device,
) -> list[dict[str, Tensor]]:
    """Micro-batches of packed rows: input ids, labels and position ids (B, T), attention (B, 1, T, T).

    The attention mask is added to the scores: 0 within an example, the lowest number elsewhere.
    """
    packed = rows([len(ids) for ids, _ in examples], room)
    whole = [np.concatenate([examples[k][0] for k in row]) for row in packed]
    batches = []
    for members in micro_batches(whole, micro_tokens):
        length = max(len(whole[row]) for row in members)
        input_ids = torch.full((len(members), length), pad_id)
        labels = torch.full((len(members), length), IGNORED)
        positions = torch.full((len(members), length), first_position)
        owner = torch.full((len(members), length), -1)
        for place, row in enumerate(members):
            at = 0
            for k in packed[row]:
                ids, targets = examples[k]
                part = slice(at, at + len(ids))
                input_ids[place, part] = torch.from_numpy(ids)
                labels[place, part] = torch.from_numpy(targets)
                positions[place, part] = torch.arange(len(ids)) + first_position
                owner[place, part] = k
                at += len(ids)
        apart = owner[:, None, :, None] != owner[:, None, None, :]
        attention = torch.zeros(apart.shape).masked_fill(apart, torch.finfo(torch.float32).min)
        tensors = {
            "input_ids": input_ids, "labels": labels, "position_ids": positions, "attention_mask": attention,
        }  # fmt: skip
        batches.append({name: tensor.to(device) for name, tensor in tensors.items()})
    return batches


@torch.inference_mode()
def refuse_unpackable(model: nn.Module, vocabulary: int, window: int, pad_id: int) -> None:
    """Raise :class:`InputError` for a model in which a neighbour in the row changes an example's logits."""
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, vocabulary, length) for length in (window // 2, window // 4)]
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        (row,) = collate(
            [(one, one) for one in ids], pad_id, window, window, models.first_position(model), device
        )
        together = models.masked_logits(
            model, row["input_ids"], row["attention_mask"], row["labels"] != IGNORED, row["position_ids"]
        )
        alone = []
        for one in ids:
            tokens = torch.from_numpy(one).to(device)[None]
            alone.append(model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0])
        differs = float((together - torch.cat(alone)).abs().max())
    except (TypeError, ValueError, RuntimeError, IndexError):
        differs = float("inf")
    finally:
        model.train(training)
    if not differs < TOLERANCE:
        raise InputError(
            "--packing",
            f"{type(model).__name__} lets packed examples see each other, or takes no positions",
            "a model that takes a mask for every pair of tokens",
            "leave --packing out",
        )


__all__ = ["collate", "refuse_unpackable", "rows"]
