"""A membership score learnt from other units of the same audit, and never from the one that it judges.

Each document is described by a few numbers: how likely its tokens are and the hardest of them, their ranks,
and how both compare with the reference. A ridge discriminant, learnt on four fifths of the units, scores the
fifth that it has not seen. It begins with min-k++, the best single score where nothing is known, and believes
that as it would a thousand units: with a few hundred it leans on it, with thousands it goes its own way.

Scores that were learnt from each other are not independent: a rank-sum test of them raised 9 to 11 % false
alarms at a level of .05. So the test learns anew for each deal of the units, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlmguard.leakage import metrics
from mlmguard.leakage.answers import Answer, Floats

FOLDS = 5
FEWEST = 40
"""Units of both kinds together, below which nothing is learnt."""
BELIEVED = 1000.0
"""So many units' evidence does the first guess weigh."""
FIRST_GUESS = 0.05
"""Of min-k++, in deviations: the weight that a discriminant gives a score of AUC .56 or so."""
_MIN_K = 3  # its column
_AT_ONCE = 1000  # deals: 50 MB of ranks for 2,400 units


def described(own: Sequence[Answer], outside: Sequence[Answer] | None) -> list[float]:
    """What is to be learnt from of one document: of the model alone 8 numbers, beside a reference 19."""
    log_p, rank = joined(own), np.concatenate([answer.rank for answer in own])
    standard = standardised(own)
    usual = np.concatenate([answer.moments[:, 0] for answer in own if answer.moments is not None])
    alone = [
        log_p.mean(), lowest(log_p), standard.mean(), lowest(standard), (rank == 1).mean(),
        (rank <= 10).mean(), -np.log(rank).mean(), usual.mean(),
    ]  # fmt: skip
    if outside is None:
        return list(map(float, alone))
    expected = joined(outside)
    outside_rank = np.concatenate([answer.rank for answer in outside])
    more = log_p - expected
    by_mask = np.array([a.log_probability.mean() - b.log_probability.mean() for a, b in zip(own, outside)])
    beside = [
        *np.quantile(more, (0.1, 0.25, 0.5, 0.75, 0.9)), more.mean(), (more > 0).mean(),
        more[expected <= np.quantile(expected, 0.3)].mean(), (by_mask > 0).mean(), by_mask.min(),
        np.log(outside_rank / rank).mean(),
    ]  # fmt: skip
    return list(map(float, [*alone, *beside]))


def joined(rows: Sequence[Answer]) -> Floats:
    """The log-probabilities of all patterns of a document."""
    return np.concatenate([answer.log_probability for answer in rows])


def standardised(rows: Sequence[Answer]) -> Floats:
    """(log p − mean) / deviation under the model's own distribution (Zhang et al. 2025, Min-K%++)."""
    parts = []
    for answer in rows:
        assert answer.moments is not None
        mean, deviation = answer.moments.T
        parts.append((answer.log_probability - mean) / np.maximum(deviation, 1e-6))
    return np.concatenate(parts)


LEAST = 0.2
"""Share of a document's tokens that ``min-k`` looks at: what a model that never saw it finds hardest."""


def lowest(values: Floats) -> float:
    """The mean of the lowest fifth (Shi et al. 2024, section 3, for masked tokens)."""
    return float(np.sort(values)[: max(1, round(LEAST * len(values)))].mean())


class Learner:
    """Units described by numbers (U, F), in folds: what follows from the numbers alone, worked out once."""

    def __init__(self, units: Floats, rng: np.random.Generator) -> None:
        fold = rng.permutation(len(units)) % FOLDS
        guess = np.zeros(units.shape[1])
        guess[_MIN_K] = FIRST_GUESS
        self._parts: list[tuple[NDArray[np.bool_], Floats, Floats, Floats]] = []
        for k in range(FOLDS):
            learnt, judged = units[fold != k], fold == k
            centre, spread = learnt.mean(0), np.maximum(learnt.std(0), 1e-9)
            known, asked = (learnt - centre) / spread, (units[judged] - centre) / spread
            solve = np.linalg.solve(known.T @ known + BELIEVED * np.eye(len(guess)), known.T)
            # a weight is the guess and what the labels add to it: both are linear in the labels
            self._parts.append((judged, asked @ (guess - solve @ (known @ guess)), asked, solve))

    def ranks(self, labels: Floats) -> Floats:
        """(U, D) a score in (0, 1) for each unit under each of D labellings (U, D), 1 = trained on."""
        found = np.empty(labels.shape)
        for judged, first, asked, solve in self._parts:
            told = labels[~judged]
            score = first[:, None] + asked @ (solve @ (told - told.mean(0)))
            found[judged] = stats.rankdata(score, axis=0) / (len(score) + 1)
        return found


@dataclass(frozen=True)
class Learnt:
    """Cross-fitted scores of the units of both sides, what they separate, and an exact p of that."""

    trained: Floats
    held_out: Floats
    auc: metrics.Interval
    p: float


def learned(trained: Floats, held_out: Floats, rng: np.random.Generator) -> Learnt | None:
    """Learn which units were trained on, from the others each; None below :data:`FEWEST` units.

    ``trained`` (N, F) and ``held_out`` (M, F) describe them. The interval is as much wider than that of
    independent scores as the deals spread more widely than independent scores would; numbers that are not
    finite give nan, which no policy passes.
    """
    n, total = len(trained), len(trained) + len(held_out)
    if total < FEWEST or min(n, total - n) < FOLDS:
        return None
    units = np.concatenate([trained, held_out])
    if not np.isfinite(units).all():
        return Learnt(np.full(n, np.nan), np.full(total - n, np.nan), metrics.auc((), ()), 1.0)
    learner = Learner(units, rng)
    labels = (np.arange(total) < n).astype(float)[:, None]
    scores = learner.ranks(labels)[:, 0]
    found = float(((scores - 0.5) * labels[:, 0]).sum())
    p, dealt = _dealt_p(found, learner, labels, rng)
    auc = metrics.auc(scores[:n], scores[n:])
    independent = np.sqrt(n * (total - n) / total * scores.var(ddof=1))  # of a sum of n, without replacement
    wider = max(1.0, float(dealt.std()) / float(independent)) if independent > 0 else 1.0
    low, high = (max(0.0, min(1.0, auc.value + wider * (end - auc.value))) for end in (auc.low, auc.high))
    return Learnt(scores[:n], scores[n:], metrics.Interval(auc.value, low, high, auc.confidence), p)


ENOUGH = 50
"""Deals that score as high, after which no more are looked at: the p is then this over all deals so far."""


def _dealt_p(
    found: float, learner: Learner, labels: Floats, rng: np.random.Generator
) -> tuple[float, Floats]:
    """Return the p of what was ``found`` among deals of the labels, and the statistic of some thousand deals.

    Sequential (Besag and Clifford 1991): exact too, and where there is nothing to find it is soon over.
    """
    dealt, as_high = np.empty(0), np.empty(0, dtype=np.int64)
    while len(dealt) < metrics.DEALS:
        deal = rng.permuted(np.repeat(labels, _AT_ONCE, axis=1), axis=0)
        dealt = np.concatenate([dealt, ((learner.ranks(deal) - 0.5) * deal).sum(0)])
        as_high = np.flatnonzero(dealt >= found - 1e-9)
        if len(as_high) >= ENOUGH:
            return ENOUGH / (1 + float(as_high[ENOUGH - 1])), dealt
    return (1 + len(as_high)) / (1 + len(dealt)), dealt
