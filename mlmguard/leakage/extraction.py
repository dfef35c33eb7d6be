"""Getting a whole span back when all of it is hidden.

Decoding a fully masked span finds nothing even in a model that knows it by heart: with every neighbour
hidden there is no context to remember from (the extraction cliff). Coordinate search walks around the
cliff: fill the span with anything, then set each position in turn to its best token given the rest, from
many random starts, and keep the candidate with the best pseudo-log-likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import metrics
from mlmguard.leakage.answers import Answers, Floats, Ids, Probe
from mlmguard.types import Curve

Candidate = tuple[int, ...]


@dataclass(frozen=True)
class Target:
    """A span to get back. ``ids`` holds the truth at ``positions`` so that success can be checked;
    nothing of it reaches the model. ``alphabets`` names the tokens allowed at each position."""

    ids: Ids = field(repr=False)
    positions: tuple[int, ...]
    alphabets: tuple[int, ...]


@dataclass(frozen=True)
class Extraction:
    """Whether the best candidate was the truth, and what it took."""

    recovered: bool
    correct_tokens: int
    candidates: int
    score: float  # pseudo-log-likelihood of the best candidate


AT_ONCE = 256
"""Targets that are searched for in step: enough for full batches; what is told of them takes 100 MB or so."""


def search(
    model: Answers,
    targets: Sequence[Target],
    alphabets: Sequence[Ids],
    rng: np.random.Generator,
    restarts: int = 24,
    sweeps: int = 6,
) -> list[Extraction]:
    """Coordinate search for every target, many in step so that batches stay full.

    Starts are ``restarts`` random fills and the decodings that need no search: parallel, left to right, right
    to left, and surest position first with a beam. A candidate that no sweep changes is a local optimum;
    equal candidates are merged.
    """
    return [
        found
        for start in range(0, len(targets), AT_ONCE)
        for found in _searched(model, targets[start : start + AT_ONCE], alphabets, rng, restarts, sweeps)
    ]


def _searched(
    model: Answers,
    targets: Sequence[Target],
    alphabets: Sequence[Ids],
    rng: np.random.Generator,
    restarts: int,
    sweeps: int,
) -> list[Extraction]:
    pools: list[set[Candidate]] = [set() for _ in targets]
    for k, target in enumerate(targets):
        for _ in range(restarts):
            pools[k].add(tuple(int(rng.choice(alphabets[a])) for a in target.alphabets))
    for k, decoded in enumerate(_parallel(model, targets)):
        pools[k].add(decoded)
    for order in (1, -1):
        for k, decoded in enumerate(_sequential(model, targets, order)):
            pools[k].add(decoded)
    for k, beams in enumerate(_surest_first(model, targets)):
        pools[k].update(beams)
    settled: list[set[Candidate]] = [set() for _ in targets]
    told: Told = {}
    for _ in range(sweeps):
        active = [(k, c) for k, pool in enumerate(pools) for c in sorted(pool - settled[k])]
        if not active:
            break
        moved = _sweep(model, targets, active, told)
        for (k, before), after in zip(active, moved):
            pools[k].discard(before)
            pools[k].add(after)
            if before == after:
                settled[k].add(after)
    return _best(model, targets, [sorted(pool) for pool in pools], told)


def fill(target: Target, candidate: Candidate) -> Ids:
    """Return the target's window with ``candidate`` in place of the truth."""
    ids = target.ids.copy()
    ids[list(target.positions)] = candidate
    return ids


Told = dict[tuple[int, int, Candidate], tuple[int, float]]
"""Of a target, one of its places and the tokens at the others: the best token there and its log-probability.

A sweep that changes little asks again what an earlier one asked, and candidates meet on their way."""


def _sweep(
    model: Answers, targets: Sequence[Target], active: Sequence[tuple[int, Candidate]], told: Told
) -> list[Candidate]:
    """Each candidate after one pass of 'best token here given the rest' over its positions."""
    current = [list(candidate) for _, candidate in active]
    longest = max(len(candidate) for candidate in current)
    for place in range(longest):
        rows = [row for row, candidate in enumerate(current) if place < len(candidate)]
        asked = {row: (active[row][0], place, _others(current[row], place)) for row in rows}
        new = {key: row for row, key in asked.items() if key not in told}
        probes = [_one(targets[key[0]], tuple(current[row]), place) for key, row in new.items()]
        for key, answer in zip(new, model.answer(probes)):
            told[key] = int(answer.best[0]), float(answer.confidence[0, 0])
        for row, key in asked.items():
            current[row][place] = told[key][0]
    return [tuple(candidate) for candidate in current]


def _others(candidate: Sequence[int], place: int) -> Candidate:
    return (*candidate[:place], *candidate[place + 1 :])


def _one(target: Target, candidate: Candidate, place: int) -> Probe:
    return Probe(fill(target, candidate), (target.positions[place],), (target.alphabets[place],))


def _parallel(model: Answers, targets: Sequence[Target]) -> list[Candidate]:
    """Every position hidden, every argmax taken at once."""
    answers = model.answer([Probe(t.ids, t.positions, t.alphabets) for t in targets])
    return [tuple(int(token) for token in answer.best) for answer in answers]


def _sequential(model: Answers, targets: Sequence[Target], order: int) -> list[Candidate]:
    """One position at a time, left to right (1) or right to left (−1), the rest still hidden."""
    known: list[dict[int, int]] = [{} for _ in targets]
    for step in range(max((len(t.positions) for t in targets), default=0)):
        rows = [k for k, t in enumerate(targets) if step < len(t.positions)]
        probes = [_rest(targets[k], _Partial(known[k], 0.0)) for k in rows]
        for k, answer in zip(rows, model.answer(probes)):
            hidden = [p for p in range(len(targets[k].positions)) if p not in known[k]]
            edge = 0 if order == 1 else len(hidden) - 1
            known[k][hidden[edge]] = int(answer.best[edge])
    return [tuple(found[p] for p in range(len(found))) for found in known]


BEAM = 4


@dataclass(frozen=True)
class _Partial:
    """A span decoded at some of its places, and the log-probability of that."""

    known: Mapping[int, int]
    score: float


def _surest_first(model: Answers, targets: Sequence[Target]) -> list[list[Candidate]]:
    """A beam that fills the place where the model is surest, step by step (cf. Ghazvininejad et al. 2019)."""
    beams = [[_Partial({}, 0.0)] for _ in targets]
    for step in range(max((len(t.positions) for t in targets), default=0)):
        candidates = [
            (k, partial)
            for k, target in enumerate(targets)
            if step < len(target.positions)
            for partial in beams[k]
        ]
        grown: dict[int, list[_Partial]] = {}
        answers = model.answer([_rest(targets[k], partial) for k, partial in candidates], top=BEAM)
        for (k, partial), answer in zip(candidates, answers):
            hidden = [p for p in range(len(targets[k].positions)) if p not in partial.known]
            surest = int(answer.confidence[:, 0].argmax())
            for token, value in zip(answer.choices[surest], answer.confidence[surest]):
                if np.isfinite(value):  # a small alphabet has fewer choices than the beam
                    known = {**partial.known, hidden[surest]: int(token)}
                    grown.setdefault(k, []).append(_Partial(known, partial.score + float(value)))
        for k, partials in grown.items():
            beams[k] = sorted(partials, key=lambda partial: -partial.score)[:BEAM]
    return [[tuple(p.known[place] for place in range(len(p.known))) for p in beam] for beam in beams]


def _rest(target: Target, partial: _Partial) -> Probe:
    """The target with what is known filled in and the rest hidden."""
    ids = target.ids.copy()
    for place, token in partial.known.items():
        ids[target.positions[place]] = token
    hidden = [p for p in range(len(target.positions)) if p not in partial.known]
    return Probe(ids, tuple(target.positions[p] for p in hidden), tuple(target.alphabets[p] for p in hidden))


def _best(
    model: Answers, targets: Sequence[Target], pools: Sequence[Sequence[Candidate]], told: Told
) -> list[Extraction]:
    """The candidate of each pool with the highest pseudo-log-likelihood, checked against the truth.

    Of what no sweep changed the last one has said all of it.
    """
    terms: dict[tuple[int, int, Candidate], float] = {}
    left: list[tuple[int, int, Candidate]] = []
    for k, pool in enumerate(pools):
        for candidate in pool:
            for place, token in enumerate(candidate):
                best, value = told.get((k, place, _others(candidate, place)), (-1, 0.0))
                if best == token:
                    terms[k, place, candidate] = value
                else:
                    left.append((k, place, candidate))
    asked = model.answer([_one(targets[k], candidate, place) for k, place, candidate in left])
    terms |= {key: float(answer.log_probability[0]) for key, answer in zip(left, asked)}
    results = []
    for k, (target, pool) in enumerate(zip(targets, pools)):
        scores = [sum(terms[k, p, candidate] for p in range(len(candidate))) for candidate in pool]
        best = int(np.argmax(scores))
        truth = tuple(int(token) for token in target.ids[list(target.positions)])
        right = sum(a == b for a, b in zip(pool[best], truth))
        results.append(Extraction(right == len(truth), right, len(pool), scores[best]))
    return results


# --- a curve of unknowns ---------------------------------------------------------------------------------


def unknowns(
    model: Answers,
    attack: str,
    targets: Sequence[Target],
    longest: int,
    series: str,
    rng: np.random.Generator,
) -> Curve:
    """Exact recovery by parallel decoding with k of the secret's tokens hidden, k = 1 … ``longest``."""
    rates = []
    for k in range(1, longest + 1):
        probes = []
        for target in targets:
            places = rng.permutation(len(target.positions))[:k]
            probes.append(
                Probe(
                    target.ids,
                    tuple(target.positions[p] for p in places),
                    tuple(target.alphabets[p] for p in places),
                )
            )
        right = 0
        for probe, answer in zip(probes, model.answer(probes)):
            right += bool((answer.best == probe.ids[list(probe.positions)]).all())
        rates.append(metrics.rate(right, len(targets)))
    return Curve(
        attack, "k-unknown", "tokens hidden", "exact recovery", series,
        tuple(float(k) for k in range(1, longest + 1)),
        tuple(r.value for r in rates), tuple(r.low for r in rates), tuple(r.high for r in rates),
    )  # fmt: skip


# --- exact ranks --------------------------------------------------------------------------------------

MOST_HALVES = 2_000_000
"""Candidates that half a span may have: the rank is then exact among the square of that."""


def exact_ranks(model: Answers, targets: Sequence[Target], alphabets: Sequence[Ids]) -> list[int | None]:
    """The rank of each truth among *all* fills of its span, by the additive span score; None: too many.

    The score of a candidate is Σ log p(its token | the whole span hidden), so that no candidate is tried:
    the sums of each half of the span are sorted, and pairs above the truth's are counted.
    """
    sizes = [[len(alphabets[kind]) for kind in target.alphabets] for target in targets]
    small = [k for k, counts in enumerate(sizes) if _halves_fit(counts)]
    longest = max((max(sizes[k]) for k in small), default=1)
    probes = [Probe(targets[k].ids, targets[k].positions, targets[k].alphabets) for k in small]
    ranks: list[int | None] = [None] * len(targets)
    for k, answer in zip(small, model.answer(probes, top=longest)):
        rows = [confidence[np.isfinite(confidence)] for confidence in answer.confidence]
        ranks[k] = additive_rank(rows, answer.log_probability)
    return ranks


def additive_rank(choices: Sequence[Floats], truth: Floats) -> int:
    """1 + the number of ways to take one value from each of ``choices`` (P arrays) with a sum above Σ truth.

    >>> additive_rank([np.array([0.0, 1.0]), np.array([0.0, 2.0])], np.array([0.0, 2.0]))
    2
    """
    half = (len(choices) + 1) // 2
    left, right = _sums(choices[:half]), np.sort(_sums(choices[half:]))
    above = np.searchsorted(right, truth.sum() + ROUNDING - left, side="right")
    return 1 + int((len(right) - above).sum())


ROUNDING = 1e-9  # what adding in another order changes: the truth does not stand above itself


def _halves_fit(sizes: Sequence[int]) -> bool:
    half = (len(sizes) + 1) // 2
    return all(math.prod(part) <= MOST_HALVES for part in (sizes[:half], sizes[half:]))


def _sums(choices: Sequence[Floats]) -> NDArray[np.float64]:
    total = np.zeros(1)
    for values in choices:
        total = (total[:, None] + values[None, :]).ravel()
    return total
