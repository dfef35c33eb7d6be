"""Two sides compared: the numbers with their intervals, and the tests that they are a family of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlmguard.drift import statistics
from mlmguard.drift.sides import FEWEST, Opened, Side, counts_of
from mlmguard.errors import InputError
from mlmguard.leakage import metrics
from mlmguard.leakage.metrics import Interval
from mlmguard.leakage.results import measured
from mlmguard.training.embeddings import rows_moved
from mlmguard.training.evaluation import RARE
from mlmguard.types import Measurement

Floats = NDArray[np.float64]

KERNEL = 1000  # documents of each side whose vectors are compared pair by pair
SOURCES = 20  # tested apart: those with most documents
BEFORE, NOW = "before", "now"
BANDS = ((0, "never"), (1, "1 to 9"), (10, "10 to 99"), (100, "100 to 999"), (1000, "1,000 and more"))
"""Times that a token stands in the texts, by its least."""


@dataclass(frozen=True)
class Test:
    """The p-value of one number, not corrected yet; ``name`` is the number's, with its slice."""

    __test__ = False  # pytest looks for tests by this name
    name: str
    p: float
    examples: int


@dataclass(frozen=True)
class Found:
    """Numbers, and tests of some of them."""

    measurements: tuple[Measurement, ...]
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class Known:
    """How often each token stands in text that is known (``counts``, (V,)), apart from both sides."""

    counts: NDArray[np.int64]
    special: frozenset[int]
    unknown: int | None  # the token that stands for what the tokenizer cannot spell

    def flags(self) -> dict[str, NDArray[np.bool_]]:
        """(V,) by the name of the number: unknown to the tokenizer, never met, and rarely or never met."""
        ordinary = np.ones(len(self.counts), dtype=bool)
        ordinary[sorted(self.special)] = False
        spelt = np.zeros(len(self.counts), dtype=bool)
        if self.unknown is not None:
            spelt[self.unknown] = True
        return {
            "unknown_change": spelt,
            "unseen_change": ordinary & (self.counts == 0),
            "rare_change": ordinary & (self.counts < RARE),
        }


class Family:
    """Tests over one resampling: each has random numbers of its own, whatever the others are."""

    def __init__(self, resamples: int, seed: int) -> None:
        self.resamples, self._seed = resamples, seed

    def rng(self, what: str) -> np.random.Generator:
        """The generator of one number."""
        return np.random.default_rng([self._seed, *what.encode()])

    def refuse_too_few(self, tests: Sequence[Test]) -> None:
        """Raise :class:`InputError` where no p-value could be small enough, corrected for all tests."""
        least = len(tests) / (self.resamples + 1)
        if least > statistics.LEVEL:
            needed = int(np.ceil(len(tests) / statistics.LEVEL))
            found = f"{self.resamples} of {len(tests)} tests, none of which could reach {statistics.LEVEL:g}"
            raise InputError("--resamples", found, f"at least {needed:,}")


def corrected(tests: Sequence[Test], metric: str) -> tuple[Measurement, ...]:
    """The family with Holm's correction: any of them at or below .05 is a finding at .05 for all."""
    return tuple(
        Measurement(
            "drift", metric, p, None, None, 0.95, test.examples, slice=test.name,
            note=f"Holm over {len(tests)} tests of documents dealt anew; uncorrected {test.p:.3g}",
        )
        for test, p in zip(tests, metrics.holm([test.p for test in tests]))
    )  # fmt: skip


def number(metric: str, interval: Interval, examples: int, slice: str = "", note: str = "") -> Measurement:
    """A number of the family ``drift``."""
    return measured("drift", metric, interval, examples, slice, note=note)


# --- texts --------------------------------------------------------------------------------------------


def texts(before: Side, now: Side, known: Known, family: Family, *, head: bool = True) -> Found:
    """What moved between documents of before and of now: words, how well they are foretold, embeddings.

    ``head``: the model's own head foretells; where it is a random one that is left out.
    """
    words = _words(before, now, known, family)
    foretold = _foretold(before, now, family) if head else Found((), ())
    inside = _embeddings(before, now, family)
    parts = words, foretold, inside
    return Found(
        tuple(one for part in parts for one in part.measurements),
        tuple(test for part in parts for test in part.tests),
    )


def _words(before: Side, now: Side, known: Known, family: Family) -> Found:
    """Divergence of the tokens, and the shares of those that are unknown, never met and rare."""
    counts = counts_of([*before.ids, *now.ids], len(known.counts))
    dealt, total = _labels(before, now), len(before) + len(now)
    active = counts[:, np.asarray(counts.sum(axis=0)).ravel() > 0]
    name = "vocabulary_js"
    interval = statistics.divergence_interval(
        active[: len(before)], active[len(before) :], family.rng(f"{name} interval")
    )
    p = statistics.permutation_p(statistics.of_tokens(active), dealt, family.resamples, family.rng(name))
    found, tests = [number(name, interval, total)], [Test(name, p, total)]
    sizes = np.asarray(counts.sum(axis=1), float).ravel()
    for name, flags in known.flags().items():
        sums = np.asarray(counts @ flags.astype(float), float).ravel()
        if not sums.any():
            continue  # of either side: nothing could have moved, and no test is spent on it
        found.append(_changed(name, sums, sizes, dealt, family))
        p = statistics.permutation_p(
            statistics.of_ratios(sums, sizes), dealt, family.resamples, family.rng(name)
        )
        tests.append(Test(name, p, total))
    return Found(tuple(found), tuple(tests))


def _changed(
    metric: str, sums: Floats, sizes: Floats, now: NDArray[np.bool_], family: Family, slice: str = ""
) -> Measurement:
    interval = statistics.change_interval(
        (sums[~now], sizes[~now]), (sums[now], sizes[now]), family.rng(f"{metric} {slice} interval")
    )
    first, second = (float(sums[side].sum() / sizes[side].sum()) for side in (~now, now))
    return number(metric, interval, len(sums), slice, f"before {first:.4g}, now {second:.4g}")


def _foretold(before: Side, now: Side, family: Family) -> Found:
    """Pseudo-perplexity of each side and source, and how far it moved."""
    found = [
        one
        for name, side in ((BEFORE, before), (NOW, now))
        for source in ("", *_sources(side))
        for one in _perplexity(name, side, source, family)
    ]
    tests = []
    shared = [source for source in _sources(before) if source in _sources(now)]
    for source in ("", *shared):
        old, new = (_of(side, source) for side in (before, now))
        if source and len(old) + len(new) == len(before) + len(now):
            continue  # the only one there is
        nats, hidden = np.concatenate([old.nats, new.nats]), np.concatenate([old.hidden, new.hidden])
        dealt = _labels(old, new)
        name = f"loss_change, {source}" if source else "loss_change"
        found.append(_changed("loss_change", nats, hidden, dealt, family, source))
        p = statistics.permutation_p(
            statistics.of_ratios(nats, hidden), dealt, family.resamples, family.rng(name)
        )
        tests.append(Test(name, p, len(nats)))
    return Found(tuple(found), tuple(tests))


def _perplexity(name: str, side: Side, source: str, family: Family) -> list[Measurement]:
    """exp(mean loss) of a side's source; none where the sources of a side are one."""
    own = _of(side, source)
    if source and len(own) == len(side):
        return []
    slice = f"{name}, {source}" if source else name
    loss = statistics.ratio_interval(own.nats, own.hidden, family.rng(f"perplexity {slice}"))
    value, low, high = (float(np.exp(min(end, 700.0))) for end in (loss.value, loss.low, loss.high))
    return [number("pseudo_perplexity", Interval(value, low, high, loss.confidence), len(own), slice)]


def _sources(side: Side) -> list[str]:
    """The sources with enough documents of a side, those with most first."""
    counts = Counter(source for source in side.sources if source)
    return [source for source, count in counts.most_common(SOURCES) if count >= FEWEST]


def _of(side: Side, source: str) -> Side:
    return side.part([k for k, own in enumerate(side.sources) if own == source]) if source else side


def _labels(before: Side, now: Side) -> NDArray[np.bool_]:
    return np.arange(len(before) + len(now)) >= len(before)


def _embeddings(before: Side, now: Side, family: Family) -> Found:
    """How far the mean vectors of the documents lie apart, and how surely a line through them tells which."""
    old, new = (_some(side, family.rng("documents of the kernel")).vectors for side in (before, now))
    vectors = np.concatenate([old, new])
    dealt = np.arange(len(vectors)) >= len(old)
    name = "embedding_mmd"
    kernel = statistics.gaussian_kernel(statistics.whitened(vectors))
    interval = statistics.kernel_interval(kernel, dealt, family.rng(f"{name} interval"))
    p = statistics.permutation_p(
        statistics.of_kernel(kernel, dealt), dealt, family.resamples, family.rng(name)
    )
    told = number("embedding_auc", told_apart(old, new, family.rng("embedding_auc")), len(vectors))
    return Found((number(name, interval, len(vectors)), told), (Test(name, p, len(vectors)),))


def _some(side: Side, rng: np.random.Generator) -> Side:
    """At most :data:`KERNEL` of the documents, the same of two sides of as many."""
    return side.part(np.sort(rng.permutation(len(side))[:KERNEL]).tolist())


def told_apart(before: Floats, now: Floats, rng: np.random.Generator) -> Interval:
    """Area under the ROC of a linear classifier that learnt which side is which from half of the documents.

    Measured on the other half, so that it is .5 where nothing moved. Ridge regression on the labels after
    scaling; the classifier two-sample test of Lopez-Paz and Oquab 2017, here a size and no test.
    """
    halves = [np.array_split(rng.permutation(len(side)), 2) for side in (before, now)]
    learnt = np.concatenate([before[halves[0][0]], now[halves[1][0]]])
    labels = np.concatenate([np.full(len(halves[0][0]), -1.0), np.full(len(halves[1][0]), 1.0)])
    centre, scale = learnt.mean(0), np.maximum(learnt.std(0), 1e-9)
    x = (learnt - centre) / scale
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (labels - labels.mean()))
    scores = [((side[half[1]] - centre) / scale) @ weights for side, half in zip((before, now), halves)]
    return metrics.auc(scores[1], scores[0])


RIDGE = 0.1  # on squared weights, a document


# --- checkpoints --------------------------------------------------------------------------------------


def checkpoints(old: Side, new: Side, pair: tuple[Opened, Opened], family: Family) -> Found:
    """What moved between two checkpoints that were shown the same windows: loss, representations, rows.

    The tests ask whether the new one foretells worse; weights that were trained on always move, so there is
    no deal that alignment and rows could be compared with, and they have intervals alone.
    """
    found, tests = [], []
    if all(one.head for one in pair):
        for source in ("", *(_sources(old))):
            was, became = (_of(side, source) for side in (old, new))
            if source and len(was) == len(old):
                continue
            gaps = became.nats - was.nats
            interval = statistics.ratio_interval(gaps, was.hidden, family.rng(f"loss {source} interval"))
            losses = [float(side.nats.sum() / side.hidden.sum()) for side in (was, became)]
            note = f"before {losses[0]:.4g}, now {losses[1]:.4g}"
            found.append(number("loss_change", interval, len(gaps), source, note))
            for name, side in ((BEFORE, old), (NOW, new)):
                found += _perplexity(name, side, source, family)
            name = f"loss_change, {source}" if source else "loss_change"
            p = statistics.sign_flip_p(gaps, family.resamples, family.rng(name))
            tests.append(Test(name, p, len(gaps)))
    first, second = (_some(side, family.rng("documents of the kernel")).vectors for side in (old, new))
    found.append(number("cka", statistics.cka_interval(first, second, family.rng("cka")), len(first)))
    moved = rows_moved(pair[0].model, pair[1].model)
    if moved is not None:
        found += _rows(old, moved, pair[1].tokenizer.special_ids, family.rng("rows"))
    return Found(tuple(found), tuple(tests))


def _rows(side: Side, moved: Floats, special: frozenset[int], rng: np.random.Generator) -> list[Measurement]:
    """Mean movement of the rows of tokens in each band of frequency, the bands resampled with documents."""
    counts = counts_of(side.ids, len(moved))
    ordinary = np.setdiff1d(np.arange(len(moved)), sorted(special))
    counts, moved = counts[:, ordinary], moved[ordinary]
    own = _by_band(np.asarray(counts.sum(axis=0), float).reshape(1, -1), moved)[0]
    again = np.concatenate(
        [
            _by_band(np.asarray((counts.T @ drawn.T).T, float), moved)
            for drawn in statistics.draws(len(side), rng)
        ]
    )
    sizes = _members(np.asarray(counts.sum(axis=0), float).reshape(1, -1)).sum(2)[:, 0]
    found = []
    for band, (_, name) in enumerate(BANDS):
        drawn_again = again[:, band][np.isfinite(again[:, band])]
        if sizes[band] and len(drawn_again):
            low, high = np.quantile(drawn_again, [0.025, 0.975])
            value = float(own[band])
            interval = Interval(value, min(float(low), value), max(float(high), value), 0.95)
            found.append(number("row_movement", interval, int(sizes[band]), f"{name} times"))
    return found


def _members(counts: Floats) -> NDArray[np.bool_]:
    """(bands, C, V) which tokens are in which band of frequency."""
    band = np.searchsorted([least for least, _ in BANDS], counts, side="right") - 1
    return np.stack([band == k for k in range(len(BANDS))])


def _by_band(counts: Floats, moved: Floats) -> Floats:
    """(C, bands) mean of ``moved`` (V,) in each band; NaN for an empty one."""
    members = _members(counts)
    sizes = members.sum(2)
    sums = np.stack([inside.astype(float) @ moved for inside in members])
    found: Floats = np.divide(sums, sizes, out=np.full(sums.shape, np.nan), where=sizes > 0).T
    return found
