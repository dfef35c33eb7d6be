"""Rates and their differences where outcomes come in clusters: several probes of one document or person."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import metrics

FEWEST_CLUSTERS = 10
"""With a hit, and without: of fewer, a bootstrap draws from too few that differ. One hit among 60 documents
would give an upper end of .05, below the .06 of none."""


class _Pooled:
    """The pooled mean of outcomes in [0, 1] given as clusters, drawn anew with the percentile bootstrap."""

    def __init__(self, clusters: Sequence[Sequence[float]], rng: np.random.Generator, resamples: int) -> None:
        sums = np.array([float(np.sum(cluster)) for cluster in clusters])
        sizes = np.array([len(cluster) for cluster in clusters], dtype=float)
        self.value = float(sums.sum() / sizes.sum())
        draws = rng.integers(0, len(sums), size=(resamples, len(sums)))
        self.means: NDArray[np.float64] = sums[draws].sum(1) / sizes[draws].sum(1)
        self.few = min((sums > 0).sum(), (sums < sizes).sum()) < FEWEST_CLUSTERS
        # of equal clusters that weigh as much (Kish 1965)
        self._count = float(sizes.sum() ** 2 / (sizes**2).sum())

    def ends(self, alpha: float) -> tuple[float, float]:
        """By the bootstrap, and where few clusters differ by Clopper-Pearson on one outcome each as well."""
        low, high = (float(end) for end in np.quantile(self.means, [alpha / 2, 1 - alpha / 2]))
        if self.few:
            exact = metrics.clopper_pearson(min(self.value, 1.0) * self._count, self._count, alpha)
            low, high = min(low, exact[0]), max(high, exact[1])
        return min(low, self.value), max(high, self.value)


def mean(
    clusters: Sequence[Sequence[float]], rng: np.random.Generator, alpha: float = 0.05, resamples: int = 2000
) -> metrics.Interval:
    """Pooled mean of outcomes in [0, 1] given as clusters (documents), bootstrap over whole clusters.

    Where fewer than ten clusters hold a hit, or a miss, the interval is no narrower than Clopper-Pearson's on
    one outcome a cluster, which is what so few can support.
    """
    if not clusters:
        return metrics.Interval(math.nan, 0.0, 1.0, 1 - alpha)
    pooled = _Pooled(clusters, rng, resamples)
    return metrics.Interval(pooled.value, *pooled.ends(alpha), 1 - alpha)


def difference(
    treated: Sequence[Sequence[float]],
    control: Sequence[Sequence[float]],
    rng: np.random.Generator,
    alpha: float = 0.05,
    resamples: int = 2000,
) -> metrics.Interval:
    """Mean of ``treated`` minus mean of ``control``, both given as clusters (documents) of outcomes.

    Interval by the percentile bootstrap over whole clusters: probes of one document are not independent
    (Cameron, Gelbach and Miller 2008). Where fewer than ten clusters of a side hold a hit, or a miss, the
    bootstrap claims too much (all of three beside none of three would be certain), and the interval is no
    narrower than what the ends of both sides give together (Newcombe 1998, method 10).
    """
    if not any(map(len, treated)) or not any(map(len, control)):
        return metrics.Interval(math.nan, -1.0, 1.0, 1 - alpha)
    own, other = (_Pooled(clusters, rng, resamples) for clusters in (treated, control))
    value = own.value - other.value
    low, high = (float(end) for end in np.quantile(own.means - other.means, [alpha / 2, 1 - alpha / 2]))
    if own.few or other.few:
        (low1, high1), (low2, high2) = own.ends(alpha), other.ends(alpha)
        low = min(low, value - math.hypot(own.value - low1, high2 - other.value))
        high = max(high, value + math.hypot(high1 - own.value, other.value - low2))
    return metrics.Interval(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), 1 - alpha)
