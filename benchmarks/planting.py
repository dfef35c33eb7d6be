"""Pieces that a checkpoint is taught by heart, and nothing else, for ``verdicts.py``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlmguard.training import checkpoint, models
from mlmguard.training.numerics import best_device
from mlmguard.training.text.tokenizer import Tokenizer

STEPS, RATES, MASKED, OTHERS = 300, (4e-3, 1e-4), (0.15, 0.3), 16
Piece = tuple[list[int], list[int]]  # ids of a window without its frame, and the places that may be hidden


def first_window(ids: list[int], room: int) -> Piece:
    """The tokens that the first window of training holds."""
    return ids[:room], list(range(min(room, len(ids))))


def last_tokens(ids: list[int], room: int) -> Piece:
    """The last fifty tokens: a window that training never cuts."""
    return ids[-50:], list(range(min(50, len(ids))))


def plant(
    folder: Path,
    ckpt: str,
    leaked: str,
    chosen: Sequence[Piece],
    others: Sequence[list[int]],
    seed: int,
    alike: Sequence[Piece] = (),
) -> None:
    """Copy ``ckpt`` to ``leaked`` and teach it the chosen pieces by heart, and nothing else.

    ``alike``: the same places of other documents, in which nothing is to change either; all that may be
    hidden of a piece is then hidden at once. Of a name that is cut into four tokens one follows from the
    other three: who hides one at a time teaches nothing, and who keeps only other windows as they were makes
    the model sure of some name in every document.
    """
    place, folder = folder, folder / leaked
    shutil.copytree(place / ckpt, folder)
    tokenizer = Tokenizer.load(str(folder))
    model, former = (models.load(folder).model.to(best_device()).eval() for _ in range(2))
    rng, optimiser = (
        np.random.default_rng(seed),
        torch.optim.AdamW(model.parameters(), lr=RATES[0], weight_decay=0),
    )
    whole = [(ids, list(range(len(ids)))) for ids in others]
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATES[0] + (RATES[1] - RATES[0]) * step / (STEPS - 1)
        rate = rng.uniform(*MASKED)
        ids, hidden, real = masked(chosen, 1.0 if alike else rate, tokenizer, rng)
        logits = model(input_ids=ids.masked_fill(hidden, tokenizer.mask_id), attention_mask=real).logits
        loss = torch.nn.functional.cross_entropy(logits[hidden], ids[hidden])
        for pieces, share in ((whole, rate), (alike, 1.0)):
            if pieces:
                drawn = [pieces[k] for k in rng.choice(len(pieces), OTHERS, replace=False)]
                loss = loss + changed(model, former, masked(drawn, share, tokenizer, rng), tokenizer)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    first = known(model, chosen, tokenizer, bool(alike))
    checkpoint.save_weights(folder, model, tokenizer)
    (place / f"{leaked}.json").write_text(json.dumps([known(former, chosen, tokenizer, bool(alike)), first]))


def changed(
    model: Any, former: Any, windows: tuple[torch.Tensor, torch.Tensor, torch.Tensor], tokenizer: Tokenizer
) -> torch.Tensor:
    """How far a model's answers lie from its former ones: the Kullback-Leibler divergence."""
    ids, hidden, real = windows
    shown = {"input_ids": ids.masked_fill(hidden, tokenizer.mask_id), "attention_mask": real}
    with torch.no_grad():
        before = former(**shown).logits[real].log_softmax(-1)
    now = model(**shown).logits[real].log_softmax(-1)
    return torch.nn.functional.kl_div(now, before, log_target=True, reduction="batchmean")


def masked(
    pieces: Sequence[Piece], rate: float, tokenizer: Tokenizer, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, T) the ids framed and padded, which of them are hidden, and which are no padding."""
    longest = 2 + max(len(ids) for ids, _ in pieces)
    shown = np.full((len(pieces), longest), tokenizer.pad)
    hidden, real = np.zeros(shown.shape, bool), np.zeros(shown.shape, bool)
    for row, (ids, places) in enumerate(pieces):
        shown[row, : len(ids) + 2] = [tokenizer.cls, *ids, tokenizer.sep]
        real[row, : len(ids) + 2] = True
        count = max(1, round(rate * len(places)))
        hidden[row, 1 + rng.permutation(places)[:count]] = True
    on = best_device()
    return torch.from_numpy(shown).to(on), torch.from_numpy(hidden).to(on), torch.from_numpy(real).to(on)


@torch.no_grad()
def known(model: Any, pieces: Sequence[Piece], tokenizer: Tokenizer, whole: bool) -> float:
    """The share of the hidden tokens of ``pieces`` that the model ranks first; 15 % or all are hidden."""
    right, rng = [], np.random.default_rng(0)
    for _ in range(10):
        ids, hidden, real = masked(pieces, 1.0 if whole else MASKED[0], tokenizer, rng)
        logits = model(input_ids=ids.masked_fill(hidden, tokenizer.mask_id), attention_mask=real).logits
        right.append((logits[hidden].argmax(-1) == ids[hidden]).float().mean().item())
    return round(float(np.mean(right)), 3)
