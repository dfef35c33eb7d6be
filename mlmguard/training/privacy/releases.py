"""Private releases besides the gradients, each with its own line in the ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from scipy import stats

from mlmguard.training.privacy.randomness import private_rng
from mlmguard.types import LedgerEntry

COUNT_EPSILON = 0.05
"""Budget of the noisy number of units: ±20 of a few thousand is enough to set batch sizes by."""
COUNT_SPREAD = round(1 / COUNT_EPSILON)
"""Mean absolute error of that number, in units."""


def noisy_count(count: int, epsilon: float = COUNT_EPSILON) -> tuple[int, LedgerEntry]:
    """``count`` plus discrete Laplace noise (Ghosh, Roughgarden and Sundararajan 2012), at least 1.

    Integers in, integers out: no floating-point rounding that could give the count away (Mironov 2012).
    """
    rng = private_rng()
    up, down = rng.geometric(-math.expm1(-epsilon), 2)  # the difference of two geometrics
    entry = LedgerEntry("discrete-laplace", epsilon=epsilon, what="number of units")
    return max(1, count + int(up) - int(down)), entry


_GRID = 2.0**-24  # spacing of weights and noise, of a vector that one unit moves by 1
WORDS_A_UNIT = 200
"""Most distinct words that count for one unit; more would make every one of them count for less."""


def noisy_words(
    units: Iterable[Iterable[str]], noise_multiplier: float, delta: float
) -> tuple[dict[str, float], LedgerEntry]:
    """Words that many units use, with noised weights: private set union by the weighted Gaussian mechanism.

    A unit with t distinct words adds 1/√t to each, so that it moves the vector of weights by at most 1 in L2.
    A word is released where its noised weight exceeds :func:`word_threshold` (Gopi et al. 2020, algorithm 4,
    theorem 5.1); what one unit alone says is released with probability at most ``delta``. Weights and noise
    are whole numbers of a grid, as in a step of training, and the words come in alphabetical order: that of
    the corpus would tell who spoke first.
    """
    rng = private_rng()
    weights = word_weights(units, rng)
    threshold = word_threshold(noise_multiplier, delta)
    wider = noise_multiplier * (1 + _GRID * WORDS_A_UNIT**0.5)  # what rounding adds to one unit's vector
    noise = wider * rng.standard_normal(len(weights))
    noised = {
        word: (round(weights[word] / _GRID) + round(drawn / _GRID)) * _GRID
        for word, drawn in zip(sorted(weights), noise.tolist())
    }
    entry = LedgerEntry(
        "gaussian-threshold", noise_multiplier, steps=1, delta=delta, what="vocabulary from word counts"
    )
    return {word: weight for word, weight in noised.items() if weight > threshold}, entry


def word_weights(units: Iterable[Iterable[str]], rng: np.random.Generator) -> dict[str, float]:
    """Sum over units of 1/√t on each of a unit's t distinct words, at most ``WORDS_A_UNIT`` of them."""
    weights: dict[str, float] = {}
    for words in units:
        distinct = sorted(set(words))
        if len(distinct) > WORDS_A_UNIT:
            distinct = [distinct[k] for k in rng.choice(len(distinct), WORDS_A_UNIT, replace=False)]
        for word in distinct:
            weights[word] = weights.get(word, 0.0) + len(distinct) ** -0.5
    return weights


def word_threshold(noise_multiplier: float, delta: float) -> float:
    """The weight that no word of one unit alone exceeds, but with probability ``delta``."""
    distinct = np.arange(1, WORDS_A_UNIT + 1)
    quantiles = stats.norm.isf(-np.expm1(math.log1p(-delta) / distinct))
    return float(np.max(distinct**-0.5 + noise_multiplier * quantiles))
