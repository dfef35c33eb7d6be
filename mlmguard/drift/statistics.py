"""The statistics of drift: how far two sets of documents lie apart, and how far by chance alone.

A null deals whole documents anew: tokens of one document depend on each other, documents do not. Every
statistic takes rows of labels (C, n), 1 for a document of now and 0 for one of before, so that the deal that
was observed and those of the null go through the same lines. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage.metrics import Interval

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]
"""(C, n) labels -> (C,) how far the two sides of each row lie apart."""

LEVEL = 0.05
CHUNK = 64  # deals at a time: a row of each over the whole vocabulary is held in memory
BOOTSTRAPS = 400
_ROUNDING = 1e-9  # relative: equal deals may differ in their last bits


# --- tests --------------------------------------------------------------------------------------------


def permutation_p(statistic: Statistic, now: Flags, resamples: int, rng: np.random.Generator) -> float:
    """P-value of ``statistic`` where documents (n,) are dealt to before and ``now`` at random.

    Exact where documents are exchangeable, whatever the tokens of one have in common. The observed deal
    counts as one (Phipson and Smyth 2010), so that the least p is 1 / (``resamples`` + 1).
    """
    found = float(statistic(now[None].astype(float))[0])
    return _share(found, (statistic(labels) for labels in _deals(now, resamples, rng)), resamples)


def _deals(now: Flags, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    for start in range(0, resamples, CHUNK):
        rows = np.repeat(now[None].astype(float), min(CHUNK, resamples - start), axis=0)
        yield rng.permuted(rows, axis=1)


def sign_flip_p(gaps: Floats, resamples: int, rng: np.random.Generator) -> float:
    """One-sided p of a positive sum of ``gaps`` (n,), one of each document under two models.

    Where neither model is the worse, the two answers to a document could as well be exchanged: each gap has
    either sign by a coin of its own (Fisher 1935, section 21).
    """

    def sums() -> Iterator[Floats]:
        for start in range(0, resamples, CHUNK):
            yield rng.choice([-1.0, 1.0], (min(CHUNK, resamples - start), len(gaps))) @ gaps

    return _share(float(gaps.sum()), sums(), resamples)


def _share(found: float, null: Iterator[Floats], resamples: int) -> float:
    reached = found - _ROUNDING * max(1e-6, abs(found))
    return (1 + sum(int((values >= reached).sum()) for values in null)) / (1 + resamples)


# --- statistics ---------------------------------------------------------------------------------------


def divergence(before: Floats, now: Floats) -> Floats:
    """(C,) Jensen-Shannon divergence in bits of token counts (C, V): 0 of equal shares, 1 of disjoint ones.

    Lin 1991, equation 4.1, with equal weights.
    """
    p, q = (counts / np.maximum(counts.sum(1, keepdims=True), 1e-300) for counts in (before, now))
    return _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2


def _entropy(shares: Floats) -> Floats:
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    found: Floats = -(shares * logs).sum(1)
    return found


def of_tokens(counts: Any) -> Statistic:
    """Divergence of the summed token ``counts`` (n, V; sparse) of the two sides."""
    total = np.asarray(counts.sum(axis=0), float).reshape(1, -1)

    def statistic(labels: Floats) -> Floats:
        own = np.asarray((counts.T @ labels.T).T, float)
        return divergence(total - own, own)

    return statistic


def of_ratios(sums: Floats, sizes: Floats) -> Statistic:
    """How far the ratios Σ ``sums`` / Σ ``sizes`` (n,) of the two sides lie apart, either way."""

    def statistic(labels: Floats) -> Floats:
        own, of = labels @ sums, labels @ sizes
        found: Floats = np.abs(own / of - (sums.sum() - own) / (sizes.sum() - of))
        return found

    return statistic


def of_kernel(kernel: Floats, now: Flags) -> Statistic:
    """Squared maximum mean discrepancy of the two sides under ``kernel`` (n, n), whose diagonal is left out.

    Gretton et al. 2012, equation 3: unbiased, so that it is about 0 where nothing moved, and may be below.
    """
    many, few = len(now) - int(now.sum()), int(now.sum())
    apart = kernel.copy()
    np.fill_diagonal(apart, 0.0)

    def statistic(labels: Floats) -> Floats:
        own, other = labels, 1 - labels
        to_own = own @ apart
        within = (to_own * own).sum(1) / (few * (few - 1))
        between = (to_own * other).sum(1) / (few * many)
        found: Floats = within - 2 * between + ((other @ apart) * other).sum(1) / (many * (many - 1))
        return found

    return statistic


def whitened(vectors: Floats) -> Floats:
    """(n, k) the first principal components of ``vectors`` (n, H), one for ten documents, of equal variance.

    Mean embeddings of a text lie along a few directions, and a distance hears of no other. A component for
    fewer documents would be one of chance. Which side a document is of plays no part.
    """
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    count = min(max(1, len(vectors) // 10), int((sizes > 1e-9 * max(sizes[0], 1e-300)).sum()))
    found: Floats = left[:, :count] * math.sqrt(len(vectors))
    return found


def gaussian_kernel(vectors: Floats) -> Floats:
    """(n, n) exp(−‖x − y‖² / m), m the median of ‖x − y‖² over all pairs of ``vectors`` (n, H).

    The median does not know which side a document is of, so deals stay exchangeable under it.
    """
    centred = vectors - vectors.mean(0)
    squares = (centred**2).sum(1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * centred @ centred.T, 0)
    median = float(np.median(distances[np.triu_indices(len(vectors), 1)]))
    found: Floats = np.exp(-distances / (median or 1.0))
    return found


def cka(first: Floats, second: Floats) -> float:
    """Linear centred kernel alignment of two models' vectors (n, H) and (n, G) of the same n > 3 documents.

    Kornblith et al. 2019 with the unbiased estimate of HSIC (Song et al. 2012, equation 5): the biased one is
    near 1 for any two models where documents are few beside the width. 1: alike up to rotation and scale.
    """
    return _alignment(_gram(first), _gram(second))


def _alignment(k: Floats, l: Floats) -> float:  # noqa: E741 - K and L of the paper
    scale = math.sqrt(max(_hsic(k, k), 0.0) * max(_hsic(l, l), 0.0))
    return min(max(_hsic(k, l) / scale, -1.0), 1.0) if scale > 0 else math.nan


def _gram(vectors: Floats) -> Floats:
    centred = vectors - vectors.mean(0)
    found: Floats = centred @ centred.T
    np.fill_diagonal(found, 0.0)
    return found


def _hsic(k: Floats, l: Floats) -> float:  # noqa: E741
    n = len(k)
    rows, columns = k.sum(0), l.sum(0)
    crossed = rows.sum() * columns.sum() / ((n - 1) * (n - 2)) - 2 * rows @ columns / (n - 2)
    return float(((k * l).sum() + crossed) / (n * (n - 3)))


# --- intervals ----------------------------------------------------------------------------------------


def draws(count: int, rng: np.random.Generator, times: int = BOOTSTRAPS) -> Iterator[Floats]:
    """Yield (C, ``count``) how often each document stands in each of ``times`` bootstraps, some at a time."""
    for start in range(0, times, CHUNK):
        size = min(CHUNK, times - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size).astype(float)


def ratio_interval(sums: Floats, sizes: Floats, rng: np.random.Generator) -> Interval:
    """Σ ``sums`` / Σ ``sizes`` (n,) with the 95 % percentile bootstrap over documents."""
    return _percentiles(float(sums.sum() / sizes.sum()), _ratios(sums, sizes, rng))


def change_interval(
    before: tuple[Floats, Floats], now: tuple[Floats, Floats], rng: np.random.Generator
) -> Interval:
    """The ratio (sums, sizes) of ``now`` minus that of ``before``, both resampled over their documents."""
    value = float(now[0].sum() / now[1].sum() - before[0].sum() / before[1].sum())
    return _percentiles(value, _ratios(*now, rng) - _ratios(*before, rng))


def _ratios(sums: Floats, sizes: Floats, rng: np.random.Generator) -> Floats:
    found = [(drawn @ sums, drawn @ sizes) for drawn in draws(len(sums), rng)]
    return np.concatenate([own / np.maximum(of, 1e-300) for own, of in found])


def divergence_interval(before: Any, now: Any, rng: np.random.Generator) -> Interval:
    """Divergence of the token counts (n, V; sparse) of two sides, without what few documents alone make it.

    Counts of a sample lie apart even where nothing moved. A bootstrap adds as much once more: the value is
    twice the plain one minus the mean of the bootstraps, the ends are those of the basic bootstrap
    (Davison and Hinkley 1997, section 5.2).
    """
    pairs = zip(draws(before.shape[0], rng), draws(now.shape[0], rng))
    again = np.concatenate(
        [
            divergence(*(np.asarray((side.T @ own.T).T, float) for side, own in ((before, a), (now, b))))
            for a, b in pairs
        ]
    )
    plain = float(
        divergence(*(np.asarray(side.sum(axis=0), float).reshape(1, -1) for side in (before, now)))[0]
    )
    low, high = 2 * plain - np.quantile(again, [0.975, 0.025])
    return _ordered(max(0.0, 2 * plain - float(again.mean())), max(0.0, float(low)), max(0.0, float(high)))


def kernel_interval(kernel: Floats, now: Flags, rng: np.random.Generator) -> Interval:
    """Squared MMD of two sides with an interval by halves of the documents of each.

    A half without replacement lies about as far from the whole as the whole from the truth (the delete-half
    jackknife, Shao and Wu 1989); a bootstrap would hold documents twice, which are alike beyond measure.
    """
    value = float(of_kernel(kernel, now)(now[None].astype(float))[0])
    sides = [np.flatnonzero(~now), np.flatnonzero(now)]
    again = []
    for _ in range(HALVES):
        chosen = np.concatenate([rng.permutation(side)[: max(2, len(side) // 2)] for side in sides])
        own = now[chosen]
        again.append(of_kernel(kernel[np.ix_(chosen, chosen)], own)(own[None].astype(float))[0])
    return _percentiles(value, np.array(again))


def cka_interval(first: Floats, second: Floats, rng: np.random.Generator) -> Interval:
    """:func:`cka` with an interval by halves of the documents (see :func:`kernel_interval`)."""
    again = []
    for _ in range(HALVES):
        half = rng.permutation(len(first))[: max(4, len(first) // 2)]
        again.append(cka(first[half], second[half]))
    return _percentiles(cka(first, second), np.array(again))


HALVES = 100


def _percentiles(value: float, again: Floats) -> Interval:
    return _ordered(value, *(float(end) for end in np.quantile(again, [0.025, 0.975])))


def _ordered(value: float, low: float, high: float) -> Interval:
    return Interval(value, min(low, value), max(high, value), 0.95)


# --- earlier results ----------------------------------------------------------------------------------


def unusual_p(earlier: Floats, today: Floats, either: Flags) -> Floats:
    """(m,) p-value of each of ``today``'s m numbers among ``earlier`` (k, m), corrected for all m.

    All k + 1 results are put on one scale (median and median deviation of all of them); a result is as
    strange as its strangest number, and the p-value of a number is the share of results that are as strange
    as it or stranger. Exact where today's result could as well be any of the others, whatever its numbers
    have in common (the single-step maximum of Westfall and Young 1993, section 2.3). ``either`` (m,): a
    number that is strange if it is too small, too. The least p is 1 / (k + 1).
    """
    pool = np.vstack([earlier, today])
    far = pool - np.median(pool, axis=0)
    spread = np.median(np.abs(far), axis=0)
    spread = np.where(spread > 0, spread, far.std(axis=0))
    scaled = np.divide(far, spread, out=np.zeros_like(far), where=spread > 0)
    strange = np.where(either, np.abs(scaled), scaled)
    highest = strange.max(axis=1)
    found: Floats = (highest[:, None] >= strange[-1][None] - _ROUNDING).mean(axis=0)
    return found


FEWEST_EARLIER = math.ceil(1 / LEVEL) - 1
"""Earlier results below which today's could not be unusual at :data:`LEVEL` whatever it is."""
