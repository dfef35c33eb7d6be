"""Held-out masked loss beside the unigram baseline that any useful model must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mlmguard.training.loop import autocast, collate
from mlmguard.training.masking import IGNORED, Ids, Vocabulary
from mlmguard.training.models import masked_logits
from mlmguard.training.tokenizer import SpecialTokens
from mlmguard.training.units import micro_batches, windows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Per window, in order: summed masked loss, summed unigram loss, hits at rank 1, masked tokens."""

    loss: Floats
    unigram: Floats
    hits: Floats
    tokens: Floats

    @property
    def mean_loss(self) -> float:
        return float(self.loss.sum() / self.tokens.sum())

    @property
    def mean_unigram(self) -> float:
        return float(self.unigram.sum() / self.tokens.sum())

    @property
    def accuracy(self) -> float:
        return float(self.hits.sum() / self.tokens.sum())

    @property
    def perplexity(self) -> float:
        return float(np.exp(min(self.mean_loss, 700.0)))


def unigram_log_probabilities(sequences: Sequence[Ids], vocabulary: int) -> Floats:
    """Log of each token's share in ``sequences``, one added to every count, shape (V,)."""
    counts = np.ones(vocabulary)
    for ids in sequences:
        counts += np.bincount(ids, minlength=vocabulary)
    shares: Floats = np.log(counts / counts.sum())
    return shares


@torch.inference_mode()
def held_out(
    model: nn.Module,
    sequences: Sequence[Ids],
    unigram: Floats,
    vocabulary: Vocabulary,
    tokens: SpecialTokens,
    window: int,
    device: torch.device,
    rate: float = 0.15,
    micro_tokens: int = 8192,
) -> HeldOut:
    """Loss on one window a sequence, 15 % of its tokens hidden by [MASK], the same masks every time.

    All chosen tokens are hidden (no 10 % kept, no 10 % swapped): the figure is about prediction alone.
    """
    rng = np.random.default_rng(0)
    examples = []
    for ids in sequences:
        framed = windows(ids, window, tokens.cls, tokens.sep)[0]
        hidden, labels = framed.copy(), np.full_like(framed, IGNORED)
        ordinary = np.arange(1, len(framed) - 1)
        if len(ordinary):
            chosen = rng.permutation(ordinary)[: max(1, round(rate * len(ordinary)))]
            labels[chosen] = framed[chosen]
            hidden[chosen] = vocabulary.mask_id
        examples.append((hidden, labels))
    totals = np.zeros((4, len(examples)))
    order = [k for group in micro_batches([ids for ids, _ in examples], micro_tokens) for k in group]
    was_training = model.training
    model.eval()
    seen = 0
    for batch in collate(examples, tokens.pad, micro_tokens, device):
        where = batch["labels"] != IGNORED
        truth = batch["labels"][where]
        with autocast(device):
            logits = masked_logits(model, batch["input_ids"], batch["attention_mask"], where).float()
        loss = nn.functional.cross_entropy(logits, truth, reduction="none").double().cpu().numpy()
        rows = where.nonzero()[:, 0].cpu().numpy()
        truth_np = truth.cpu().numpy()
        right = (logits.argmax(-1) == truth).cpu().numpy()
        for offset, values in enumerate((loss, -unigram[truth_np], right, np.ones(len(truth_np)))):
            np.add.at(totals[offset], [order[seen + row] for row in rows], values)
        seen += len(batch["input_ids"])
    model.train(was_training)
    return HeldOut(*totals)
