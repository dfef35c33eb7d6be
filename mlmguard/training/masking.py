"""Masking strategies, each a function on one example.

One example at a time is not only simple: a strategy that looks across examples would let one record change
another's gradient and void per-record clipping. That is why this list is closed to plug-ins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
IGNORED = -100  # the label torch's cross entropy leaves out


@dataclass(frozen=True)
class Vocabulary:
    """What masking must know of a tokenizer."""

    size: int
    mask_id: int
    special: frozenset[int]


def mask_tokens(
    ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator, rate: float = 0.15
) -> tuple[Ids, Ids]:
    """BERT's dynamic masking (Devlin et al. 2019, section 3.1) of one example, shape (T,).

    Each ordinary token is chosen with probability ``rate``; a chosen one becomes [MASK] in 80 % of cases, a
    uniformly drawn token in 10 %, and stays in 10 %. At least one token is chosen where there is one, so that
    no short record is without a loss. Returns (input ids, labels); labels are −100 where nothing was chosen.
    """
    ordinary = np.flatnonzero(~np.isin(ids, list(vocabulary.special)))
    labels = np.full_like(ids, IGNORED)
    if not len(ordinary):
        return ids.copy(), labels
    chosen = ordinary[rng.random(len(ordinary)) < rate]
    if not len(chosen):
        chosen = rng.choice(ordinary, 1)
    labels[chosen] = ids[chosen]
    masked = ids.copy()
    fate = rng.random(len(chosen))
    masked[chosen[fate < 0.8]] = vocabulary.mask_id
    swapped = chosen[(fate >= 0.8) & (fate < 0.9)]
    masked[swapped] = rng.integers(0, vocabulary.size, len(swapped))
    return masked, labels
