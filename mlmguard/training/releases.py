"""Private releases besides the gradients, each with its own line in the ledger."""

from __future__ import annotations

import math
import secrets

import numpy as np

from mlmguard.types import LedgerEntry

COUNT_EPSILON = 0.05
"""Budget of the noisy number of units: ±20 of a few thousand is enough to set batch sizes by."""


def noisy_count(count: int, epsilon: float = COUNT_EPSILON) -> tuple[int, LedgerEntry]:
    """``count`` plus discrete Laplace noise (Ghosh, Roughgarden and Sundararajan 2012), at least 1.

    Integers in, integers out: no floating-point rounding that could give the count away (Mironov 2012).
    """
    rng = np.random.default_rng(secrets.randbits(256))
    up, down = rng.geometric(-math.expm1(-epsilon), 2)  # the difference of two geometrics
    entry = LedgerEntry("discrete-laplace", epsilon=epsilon, what="number of units")
    return max(1, count + int(up) - int(down)), entry
