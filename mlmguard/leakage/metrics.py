"""The statistics of the audit: intervals, exposure, lower bounds on ε, corrections. No torch here.

Scores follow one convention: higher means "more likely a member". Every function is tested against a
naive oracle, a published number and its own null (``tests/test_metrics.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value between ``low`` and ``high`` at ``confidence``."""

    value: float
    low: float
    high: float
    confidence: float


# --- rates --------------------------------------------------------------------------------------------


def clopper_pearson(hits: float, n: float, alpha: float = 0.05) -> tuple[float, float]:
    """Exact two-sided interval of a binomial rate (Clopper and Pearson 1934), by quantiles of the beta.

    SciPy's ``binomtest`` looks for the same ends by bisection, to 2e-12 and twenty times as slowly. Neither
    number need be whole: n may be what clusters weigh.

    >>> clopper_pearson(0, 299, alpha=0.10)[1] < 0.01 < clopper_pearson(0, 298, alpha=0.10)[1]
    True
    >>> clopper_pearson(0, 0)
    (0.0, 1.0)
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n}")
    low = 0.0 if hits == 0 else float(stats.beta.ppf(alpha / 2, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.ppf(1 - alpha / 2, hits + 1, n - hits))
    return low, high


def probes_for_zero(limit: float, alpha: float = 0.05) -> int:
    """Return the fewest probes whose interval, with no hit, ends at ``limit`` or below.

    >>> probes_for_zero(0.01, alpha=0.10), probes_for_zero(0.001, alpha=0.10)
    (299, 2995)
    """
    if not 0 < limit < 1:
        raise ValueError(f"limit {limit}")
    return math.ceil(math.log(alpha / 2) / math.log1p(-limit))


def rate(hits: int, n: int, alpha: float = 0.05) -> Interval:
    """``hits / n`` with its Clopper-Pearson interval; n = 0 gives [0, 1] around nan."""
    low, high = clopper_pearson(hits, n, alpha)
    return Interval(hits / n if n else math.nan, low, high, 1 - alpha)


def difference(hits: int, n: int, others: int, m: int, alpha: float = 0.05) -> Interval:
    """``hits / n − others / m`` of two independent samples, Newcombe's hybrid interval (1998, method 10).

    >>> found = difference(56, 70, 48, 80)
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.2, 0.0524, 0.3339)
    """
    if not n or not m:
        return Interval(math.nan, -1.0, 1.0, 1 - alpha)
    first, second = hits / n, others / m
    (low1, high1), (low2, high2) = (
        stats.binomtest(k, of).proportion_ci(1 - alpha, "wilson") for k, of in ((hits, n), (others, m))
    )
    value = first - second
    low = value - math.hypot(first - low1, high2 - second)
    high = value + math.hypot(high1 - first, second - low2)
    return Interval(value, low, high, 1 - alpha)


FEWEST_FOR_A_MEDIAN = 6


def median(values: ArrayLike) -> Interval:
    """Return the median with its order-statistic interval: distribution-free, 95 %.

    Of fewer than six the ends are nan: all of five lie on one side of the true median in 6 % of samples, so
    that nothing between them holds it at 95 %.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    if n < FEWEST_FOR_A_MEDIAN:
        return Interval(float(np.median(ordered)), math.nan, math.nan, 0.95)
    low = int(stats.binom.ppf(0.025, n, 0.5))
    high = min(n - 1, int(stats.binom.ppf(0.975, n, 0.5)))
    return Interval(float(np.median(ordered)), float(ordered[max(0, low - 1)]), float(ordered[high]), 0.95)


# --- ranking ------------------------------------------------------------------------------------------


def auc(members: ArrayLike, others: ArrayLike, alpha: float = 0.05) -> Interval:
    """Area under the ROC curve with DeLong's interval on the logit scale (DeLong et al. 1988).

    >>> auc([3, 4, 5], [0, 1, 2]).value
    1.0
    """
    x, y = np.asarray(members, float), np.asarray(others, float)
    m, n = len(x), len(y)
    if not m or not n:
        return Interval(math.nan, 0.0, 1.0, 1 - alpha)
    ranks = stats.rankdata(np.concatenate([x, y]))
    # placements: for each member the share of others it beats, and the reverse (ties count a half)
    v10 = (ranks[:m] - stats.rankdata(x)) / n
    v01 = 1 - (ranks[m:] - stats.rankdata(y)) / m
    value = float(v10.mean())
    variance = (v10.var(ddof=1) / m if m > 1 else 0.25) + (v01.var(ddof=1) / n if n > 1 else 0.25)
    # perfect separation has no spread; the rule-of-three scale keeps the interval from closing
    variance = max(float(variance), (1 / min(m, n) / 3) ** 2 * 1.0)
    clipped = min(max(value, 1e-6), 1 - 1e-6)
    half = float(stats.norm.ppf(1 - alpha / 2)) * math.sqrt(variance) / (clipped * (1 - clipped))
    logit = math.log(clipped / (1 - clipped))
    if half > STRETCHED:
        spread = float(stats.norm.ppf(1 - alpha / 2)) * math.sqrt(variance)
        return Interval(value, max(0.0, value - spread), min(1.0, value + spread), 1 - alpha)
    low, high = (1 / (1 + math.exp(-(logit + sign * half))) for sign in (-1, 1))
    return Interval(value, min(low, value), max(high, value), 1 - alpha)


STRETCHED = 4.0
"""Beyond this half-width the logit scale stretches an area of .9995 to a lower end near 0: near the ends of
[0, 1] the plain scale is used, which covers 95 % there too (simulated, 20 to 400 of each
set, from .9 on)."""


def roc(members: ArrayLike, others: ArrayLike) -> tuple[Array, Array]:
    """False- and true-positive rates over all thresholds, from (0, 0) to (1, 1)."""
    x, y = np.sort(np.asarray(members, float)), np.sort(np.asarray(others, float))
    thresholds = np.unique(np.concatenate([x, y]))[::-1]
    tpr = 1 - np.searchsorted(x, thresholds, side="left") / len(x)
    fpr = 1 - np.searchsorted(y, thresholds, side="left") / len(y)
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])


FALSE_POSITIVE_RATES = {"tpr_at_0_1pct_fpr": 0.001, "tpr_at_1pct_fpr": 0.01, "tpr_at_10pct_fpr": 0.10}
EXPECTED_FALSE_POSITIVES = 10
"""Fewer than these at a rate, and the threshold itself would be noise."""


def tpr_at_fpr(members: ArrayLike, others: ArrayLike, fpr: float, alpha: float = 0.05) -> Interval | None:
    """True-positive rate at a false-positive rate of at most ``fpr``, Clopper-Pearson over members.

    None below ten expected false positives: the threshold itself would be noise.
    """
    x, y = np.asarray(members, float), np.sort(np.asarray(others, float))
    if len(y) * fpr < EXPECTED_FALSE_POSITIVES or not len(x):
        return None
    threshold = y[-(math.floor(len(y) * fpr) + 1)]  # strictly above it: at most fpr of the others
    return rate(int((x > threshold).sum()), len(x), alpha)


# --- exposure -----------------------------------------------------------------------------------------


def exposure(canary_score: float, reference_scores: ArrayLike) -> float:
    """log2(n + 1) − log2(rank) of a canary among n references (Carlini et al. 2019); higher = likelier.

    Ties count against the canary. Null mean 1.443 bits; 2^−exposure is a p-value.

    >>> exposure(5.0, [1, 2, 3]), exposure(0.0, [1, 2, 3])
    (2.0, 0.0)
    """
    scores = np.asarray(reference_scores, float)
    rank = 1 + int((scores >= canary_score).sum())
    return math.log2(len(scores) + 1) - math.log2(rank)


def extrapolated_exposure(
    scores: ArrayLike, reference_scores: ArrayLike, rng: np.random.Generator
) -> Array | None:
    """(m,) exposures in bits beyond what a rank among the references can show; None where the fit fails.

    −log2 of the upper tail of a skew-normal distribution fitted to the references (Carlini et al. 2019,
    section 4.3). It is fitted on half of them and tried on the other (Kolmogorov and Smirnov): a test on
    what was fitted accepts too much. Below forty references, or rejected at .05, there is no extrapolation.
    """
    references = rng.permutation(np.asarray(reference_scores, float))
    half = len(references) // 2
    if half < FEWEST_TO_FIT:
        return None
    fitted = stats.skewnorm.fit(references[:half])
    if stats.kstest(references[half:], stats.skewnorm(*fitted).cdf).pvalue < 0.05:
        return None
    tail = stats.skewnorm(*stats.skewnorm.fit(references)).logsf(np.asarray(scores, float))
    bits: Array = np.minimum(-tail / math.log(2), MOST_BITS)
    return bits


FEWEST_TO_FIT = 20
MOST_BITS = 1000.0
"""Where the fitted tail underflows: far beyond any secret."""


def rank_sum_p(planted: ArrayLike, controls: ArrayLike) -> float:
    """One-sided Mann-Whitney p: are planted canaries scored above controls? 1.0 when either is empty.

    Combining per-canary exposures by Fisher's method would count the shared reference set again for each
    canary; the rank-sum over the two samples knows only which is which. Exact for eight or fewer without
    ties, else by the normal approximation: with samples of like size it keeps its level where nine scores of
    ten are equal, too, and beside a sample ten times as large it does not.
    """
    x, y = np.asarray(planted, float), np.asarray(controls, float)
    if not len(x) or not len(y):
        return 1.0
    return float(stats.mannwhitneyu(x, y, alternative="greater").pvalue)


# --- lower bounds on ε --------------------------------------------------------------------------------


def one_run_p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """Return how likely ``v`` or more of ``r`` guesses over ``m`` fair coins are right under (ε, δ)-DP.

    Steinke, Nasr and Jagielski 2023, theorem 5.2. ``r`` must be fixed before scores are seen.
    """
    if not 0 <= v <= r <= m:
        raise ValueError(f"need 0 <= v <= r <= m, got v={v}, r={r}, m={m}")
    q = 1 / (1 + math.exp(-epsilon))
    beta = float(stats.binom.sf(v - 1, r, q))
    if delta == 0 or v == 0:
        return min(1.0, beta)
    # P[v−i ≤ Bin ≤ v−1] = cdf(v−1) − cdf(v−i−1) for i = 1..v
    below = stats.binom.cdf(np.arange(-1, v), r, q)
    i = np.arange(1, v + 1)
    alpha = float(((below[v] - below[v - i]) / i).max())
    return min(1.0, beta + 2 * m * delta * alpha)


def one_run_epsilon_lower_bound(m: int, r: int, v: int, delta: float, alpha: float = 0.05) -> float:
    """Return the supremum of ε that ``v`` right guesses of ``r`` refute at level ``alpha``; 0.0 if none.

    >>> round(one_run_epsilon_lower_bound(1000, 100, 95, 1e-5), 4)
    2.1652
    >>> one_run_epsilon_lower_bound(1000, 4, 4, 0)
    0.0
    """
    if one_run_p_value(m, r, v, 0.0, delta) >= alpha:
        return 0.0
    low, high = 0.0, 1.0
    while one_run_p_value(m, r, v, high, delta) < alpha:
        low, high = high, high * 2
        if high > 64:
            return low
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if one_run_p_value(m, r, v, middle, delta) < alpha else (low, middle)
    return low


def one_run_ceiling(m: int, r: int, delta: float, alpha: float = 0.05) -> float:
    """Return the largest bound this design can give: every guess right."""
    return one_run_epsilon_lower_bound(m, r, r, delta, alpha)


_MOST_CANARIES = 2**21
"""Beyond this no audit is planned, and a δ that is large against 1/m can make every m too few."""


def canaries_to_refute(epsilon: float, delta: float, alpha: float = 0.05) -> int | None:
    """Return the fewest canaries, all guessed right, that refute ``epsilon``; None where two million do not.

    >>> [canaries_to_refute(e, 1e-5) for e in (1, 2, 3, 4)]
    [10, 24, 62, 166]
    >>> canaries_to_refute(8, 1e-3) is None
    True
    """
    low, high = 1, 2
    while one_run_p_value(high, high, high, epsilon, delta) >= alpha:
        low, high = high, high * 2
        if high > _MOST_CANARIES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        refuted = one_run_p_value(middle, middle, middle, epsilon, delta) < alpha
        low, high = (low, middle) if refuted else (middle, high)
    return high


def two_sample_epsilon_lower_bound(
    tp: int, positives: int, fp: int, negatives: int, delta: float, alpha: float = 0.05
) -> float:
    """ln((TPR_low − δ) / FPR_high) from Clopper-Pearson ends, α split in two (Nasr et al. 2021).

    Proved for independent training runs. On one model the trials are not independent: a heuristic there.
    """
    low = clopper_pearson(tp, positives, alpha)[0]  # each end carries α/2
    high = clopper_pearson(fp, negatives, alpha)[1]
    return max(0.0, math.log((low - delta) / high)) if low > delta else 0.0


def gaussian_mu_lower_bound(tp: int, positives: int, fp: int, negatives: int, alpha: float = 0.05) -> float:
    """Φ⁻¹(TPR_low) − Φ⁻¹(FPR_high): the μ of the μ-GDP test that these rates refute, 0 if none.

    Dong, Roth and Su 2022, definition 2.6, with Clopper-Pearson ends, α split in two.
    """
    low = clopper_pearson(tp, positives, alpha)[0]
    high = clopper_pearson(fp, negatives, alpha)[1]
    if not low > 0 or not high < 1:
        return 0.0
    return max(0.0, float(stats.norm.ppf(low) - stats.norm.ppf(high)))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the ε at which a μ-GDP mechanism is (ε, δ)-DP (Dong, Roth and Su 2022, corollary 2.13).

    >>> round(gaussian_epsilon(1.0, 1e-5), 3)
    4.377
    >>> gaussian_epsilon(0.0, 1e-5)
    0.0
    """

    def excess(epsilon: float) -> float:
        near, far = stats.norm.cdf(-epsilon / mu + mu / 2), stats.norm.logcdf(-epsilon / mu - mu / 2)
        return float(near - math.exp(epsilon + far)) - delta

    if mu <= 0 or excess(0.0) <= 0:
        return 0.0
    high = 1.0
    while excess(high) > 0:
        high *= 2
    return float(optimize.brentq(excess, 0.0, high))


# --- families of tests --------------------------------------------------------------------------------


def holm(p_values: Sequence[float], shares: Sequence[float] | None = None) -> list[float]:
    """Holm's step-down adjusted p-values: any of them below α is a finding at family level α.

    ``shares`` of the level, fixed beforehand and adding up to 1, favour some tests over others (Holm 1979,
    section 4); None: all alike.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03], [0.5, 0.25, 0.25])]
    [0.02, 0.06, 0.06]
    """
    n = len(p_values)
    weights = [1.0] * n if shares is None else list(shares)
    adjusted, running, left = [0.0] * n, 0.0, sum(weights)
    for k in sorted(range(n), key=lambda k: p_values[k] / weights[k]):
        running = max(running, min(1.0, p_values[k] * left / weights[k]))
        adjusted[k] = running
        left -= weights[k]
    return adjusted


FIRST_CUT = 0.5
"""The share of the level that counting above the very highest held-out score has in :func:`top_p`."""


def top_p(trained: ArrayLike, held_out: ArrayLike) -> float:
    """Exact p that the highest scores lie among ``trained`` by the deal; 1.0 when either is empty.

    For j = 1, 2, 4, 8 …: how many trained scores lie above the j-th highest held-out one. Of the N cards on
    top of a pack dealt at random, at most j − 1 are held-out ones with hypergeometric probability. The cuts
    share the level by halves, 1/2, 1/4, …, so that the first, which sees the fewest leaked units, pays least.
    Equal scores count as held-out first.

    >>> round(top_p(range(100, 112), range(12)), 6) == round(2 / 2704156, 6)
    True
    """
    x, y = np.sort(np.asarray(trained, float)), np.sort(np.asarray(held_out, float))[::-1]
    if not len(x) or not len(y):
        return 1.0
    p, cut, share = 1.0, 1, FIRST_CUT
    while cut <= len(y):
        above = len(x) - int(np.searchsorted(x, y[cut - 1], "right"))
        chance = (
            float(stats.hypergeom.cdf(cut - 1, len(x) + len(y), len(y), above + cut - 1)) if above else 1.0
        )
        p = min(p, chance / share)
        cut, share = 2 * cut, share / 2
    return p


def fewest_leaked(trained: int, held_out: int, level: float) -> int:
    """The fewest leaked units that any comparison with held-out ones could call a finding at ``level``.

    Which units were held out was dealt at random: k units that stand out for a reason of their own all lie
    among the ``trained`` ones with probability C(trained, k) / C(trained + held_out, k), about (1 − s)^k for
    a held-out share s. No test of exchangeability can give a smaller p, however clearly the k leak.

    >>> fewest_leaked(2160, 240, 0.005), fewest_leaked(1680, 720, 0.005)
    (50, 15)
    """
    if not held_out:
        return trained + 1
    k, chance = 0, 1.0
    while chance > level and k < trained:
        chance *= (trained - k) / (trained + held_out - k)
        k += 1
    return k if chance <= level else trained + 1


DEALS = 20_000


def redealt_p(
    treated: Sequence[Sequence[float]], control: Sequence[Sequence[float]], rng: np.random.Generator
) -> float:
    """One-sided permutation p that the pooled mean of ``treated`` is the larger, both given as clusters.

    Whole clusters are dealt to the two sides anew, ``DEALS`` times: exact where clusters are exchangeable,
    whatever the outcomes of one have in common. The observed deal counts as one (Phipson and Smyth 2010).
    Clusters with equal sums and sizes are told apart by nobody, so their numbers are drawn at once.
    1.0 when either side is empty.
    """
    if not treated or not control:
        return 1.0
    pairs = [(float(np.sum(cluster)), len(cluster)) for cluster in (*treated, *control)]
    kinds, which = np.unique(np.array(pairs), axis=0, return_inverse=True)
    counts = np.bincount(which.ravel(), minlength=len(kinds))
    own = np.bincount(which.ravel()[: len(treated)], minlength=len(kinds))

    def difference(dealt: Array) -> Array:
        sums, sizes = dealt @ kinds[:, 0], dealt @ kinds[:, 1]
        others, total = counts @ kinds[:, 0] - sums, counts @ kinds[:, 1] - sizes
        result: Array = sums / np.maximum(sizes, 1) - others / np.maximum(total, 1)
        return result

    found = float(difference(own[None, :].astype(float))[0])
    dealt = rng.multivariate_hypergeometric(counts, len(treated), size=DEALS, method="marginals")
    return float((1 + (difference(dealt.astype(float)) >= found - 1e-12).sum()) / (1 + DEALS))


def mcnemar(only_first: int, only_second: int) -> float:
    """One-sided exact McNemar p: do pairs favour the first more often than chance?

    >>> mcnemar(5, 0)
    0.03125
    """
    discordant = only_first + only_second
    return float(stats.binom.sf(only_first - 1, discordant, 0.5)) if discordant else 1.0
