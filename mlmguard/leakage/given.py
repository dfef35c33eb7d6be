"""Values that the user names: does the model give them back, or rank them before others of their shape?

Nothing is planted. A value's controls are its decoys: values with a digit for each digit, a letter for each
letter, cut into tokens as the value is. Were the model trained without it, and were nobody able to guess it,
the value would be one of them: ranked first of D of them once in D + 1, and given back whole by a search,
which never sees it, as rarely as one of all values of its shape is drawn. That is the test, and it needs no
documents to compare with. A name or a word is likelier than its decoys without any memory, and the more so
the better a model has learnt the language: it is found by search alone, where a reference does not know it as
well, and without one it is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlmguard.leakage import formats, metrics
from mlmguard.leakage.answers import Answers, Floats, Ids, Probe, pseudo_log_likelihood
from mlmguard.leakage.attack import Attack, Audited, Bench, fills_no_masks
from mlmguard.leakage.extraction import Target, fill, search
from mlmguard.leakage.results import IN_CONTEXT, WITHOUT, Exposed, Given, PValue, Result, measured
from mlmguard.measures import family
from mlmguard.types import Measurement

CONTEXTS = 3
"""Documents in which a value is tried, of those that hold it."""
FEWEST_DECOYS, MOST_DECOYS = 999, 9_999
FOUND_BY_CHANCE = 0.05
"""So many of all values named are ranked first by chance, together, where decoys are not at their most."""


@dataclass
class _Tried:
    """What became of one value."""

    given: Given
    recovered: bool = False
    first: bool = False  # ranked before all decoys
    judged: bool = False  # there are as many values of its shape as decoys are drawn
    p: float = 1.0

    @property
    def found(self) -> bool:
        return self.recovered or self.first


def attack_given(bench: Bench, values: Sequence[Given]) -> Result:
    """Probe, search and rank each of ``values``, in one context after the other until it is found."""
    rng = bench.rng("secrets")
    tried = [_Tried(one) for one in values]
    askable = [one for one in tried if bench.reference is not None or not one.given.words]
    contexts = sum(len(one.targets) for one in values if not one.words)
    count = min(MOST_DECOYS, max(FEWEST_DECOYS, math.ceil(contexts / FOUND_BY_CHANCE) - 1))
    shapes = formats.Shapes(bench.tokens, bench.classes)
    for number in range(CONTEXTS):
        left = [one for one in askable if not one.found and number < len(one.given.targets)]
        targets = [one.given.targets[number] for one in left]
        drawn = [Decoys(bench, shapes, target, rng) for target in targets]
        for one, decoys in zip(left, drawn):
            one.judged = one.judged or decoys.kinds >= count
        got = search(bench.model, targets, bench.alphabets, rng, restarts=bench.settings.restarts // 2)
        for one, target, decoys, extraction in zip(left, targets, drawn, got):
            if decoys.kinds < count:
                continue
            chance = 1.0 / decoys.kinds
            one.recovered = extraction.recovered and not _knows(bench, target, rng)
            if one.given.words:
                continue  # not exchangeable with its decoys: a rank among them, or their number, says nothing
            if one.recovered:
                p = chance
            else:
                before = better(bench.model, target, decoys.drawn(count))
                one.first = before is None and not _ranks_first(bench.reference, target, decoys, count)
                p = min(1.0, 1.0 / (before or count + 1) + chance)
                p = 1.0 if before is None and not one.first else p
            one.p = min(one.p, 2 * len(one.given.targets) * p)  # two ways, in so many contexts
    return _told(bench, tried, count)


def better(model: Answers, target: Target, decoys: Iterator[Ids]) -> int | None:
    """How many decoys there were up to the first that is as likely as the truth; None: none is.

    Stopped there, one over that number is a p-value (Besag and Clifford 1991, with one success): a value that
    is not known costs a few decoys, not all.
    """
    passed = 0
    own: float | None = None
    for batch in decoys:
        windows = [fill(target, tuple(map(int, row))) for row in batch]
        shown = windows if own is not None else [target.ids, *windows]
        scores: Floats = pseudo_log_likelihood(model, shown, [target.positions] * len(shown))
        if own is None:
            own, scores = float(scores[0]), scores[1:]
        as_likely = np.flatnonzero(scores >= own - 1e-9)
        if len(as_likely):
            return passed + 1 + int(as_likely[0])
        passed += len(batch)
    return None


FIRST, NEXT = 31, 256
"""Decoys of the first batch, after which most values that are not known are done, and of all others."""


class Decoys:
    """Values of the shape of a target's truth: token by token alike, as the tokenizer would cut them."""

    def __init__(
        self, bench: Bench, shapes: formats.Shapes, target: Target, rng: np.random.Generator
    ) -> None:
        self._bench, self._target, self._rng = bench, target, rng
        self._truth = target.ids[list(target.positions)]
        self._choices = [shapes.like(int(token)) for token in self._truth]
        trial = self._proposed(FIRST * 4)
        share = len(trial) / (FIRST * 4)
        every = math.prod(len(choice) for choice in self._choices)
        self.kinds = int(every * share)  # how many there are, by the share of proposals that were some

    def drawn(self, count: int) -> Iterator[Ids]:
        """Batches (N, P) of ``count`` decoys together, none of them the truth."""
        size = FIRST
        while count > 0:
            some = self._proposed(size)[:count]
            if len(some):
                yield some
            count -= len(some)
            size = NEXT

    def _proposed(self, count: int) -> Ids:
        rows: Ids = np.stack([self._rng.choice(choice, count) for choice in self._choices], axis=1)
        rows = rows[(rows != self._truth).any(axis=1)]
        return rows[self._bench.written_so(self._target, rows)] if len(rows) else rows


def _knows(bench: Bench, target: Target, rng: np.random.Generator) -> bool:
    """Whether a model that was not trained on it gives the truth back as well."""
    if bench.reference is None:
        return False
    restarts = bench.settings.restarts // 2
    return search(bench.reference, [target], bench.alphabets, rng, restarts=restarts)[0].recovered


def _ranks_first(reference: Answers | None, target: Target, decoys: Decoys, count: int) -> bool:
    return reference is not None and better(reference, target, decoys.drawn(count)) is None


# --- what is told -------------------------------------------------------------------------------------


def _told(bench: Bench, tried: Sequence[_Tried], count: int) -> Result:
    judged = [one for one in tried if one.judged]
    n = len(judged)
    words = sum(one.given.words for one in tried)
    unasked = words if bench.reference is None else 0
    few = len(tried) - n - unasked
    note = f"of each, {count:,} decoys of its shape"
    if few:
        note += f"; {few} of {len(tried)} have fewer values of their shape, or were not tried: not judged"
    if words:
        how = "not judged without --reference" if unasked else "searched for, and not ranked among decoys"
        note += f"; {words} of {len(tried)} are words or names, {how}"
    expected = sum(len(one.given.targets) for one in judged if not one.given.words) / (count + 1)
    if expected > FOUND_BY_CHANCE:
        note += f"; {expected:.1g} are ranked first by chance"
    numbers: list[Measurement] = []
    for kind, group in (("", judged), *((k, [o for o in judged if o.given.kind == k]) for k in _KINDS)):
        if kind and not group:
            continue
        for name, hits in (
            ("found", sum(one.found for one in group)),
            ("extraction_rate", sum(one.recovered for one in group)),
            ("ranked_first", sum(one.first for one in group)),
        ):
            interval = metrics.rate(hits, len(group))
            told = note if name == "found" and not kind else ""
            numbers.append(measured("secrets", name, interval, len(group), kind, note=told))
    numbers += _probed(bench, tried)
    tests = (PValue("secrets", simes([one.p for one in judged]), n, metric="found"),) if n else ()
    exposed = tuple(Exposed(one.given.id, "secrets", "SECRET", 1.0) for one in judged if one.found)
    return Result(tuple(numbers), (), tests, exposed)


_KINDS = (IN_CONTEXT, WITHOUT)


def _probed(bench: Bench, tried: Sequence[_Tried]) -> list[Measurement]:
    """One token of each hidden, the rest given."""
    rng = bench.rng("secrets probed")
    probes = []
    for one in tried:
        if one.given.targets:
            target = one.given.targets[0]
            place = int(rng.integers(len(target.positions)))
            probes.append(Probe(target.ids, (target.positions[place],)))
    ranks = np.array([int(answer.rank[0]) for answer in bench.model.answer(probes)])
    if not len(ranks):
        return []
    return [
        measured("secrets", "top1", metrics.rate(int((ranks == 1).sum()), len(ranks)), len(ranks)),
    ]


def simes(p_values: Sequence[float]) -> float:
    """One p-value of many (Simes 1986): a single small one counts, and so do many that are fairly small.

    >>> simes([0.5, 0.01]), simes([0.04, 0.04])
    (0.02, 0.04)
    """
    ordered = np.sort(np.asarray(p_values, dtype=float))
    return float(min(1.0, (ordered * len(ordered) / np.arange(1, len(ordered) + 1)).min()))


# --- the attack ---------------------------------------------------------------------------------------


def _run(bench: Bench) -> Result:
    return attack_given(bench, bench.given)


def _cannot(audited: Audited) -> str:
    return fills_no_masks(audited) or _unasked(audited)


def _unasked(audited: Audited) -> str:
    return "" if audited.named else "no values were named to ask after (--secrets)"


def _does(audited: Audited) -> str:
    alone = sum(not one.places for one in audited.named)
    told = f"masked probing, search, and rank among decoys of {len(audited.named)} values named; none planted"
    return told + (f"; {alone} stand in no member and were tried without context" if alone else "")


ATTACK = Attack(
    "secrets",
    _does,
    family("secrets"),
    _run,
    _cannot,
    how=(
        "values that the user names (`--secrets FILE`), in up to three members that hold them, or without "
        "context where none does: one token hidden; the whole value by coordinate search; and its rank by "
        "pseudo-log-likelihood among decoys of its shape. Nothing is planted"
    ),
    control=(
        "the decoys: 999 and more values with a digit for each digit and a letter for each letter, cut into "
        "tokens alike; with a reference, what it knows as well is not counted"
    ),
    unasked=_unasked,
    compares=False,
)
