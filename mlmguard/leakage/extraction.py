"""Getting a whole span back when all of it is hidden.

Decoding a fully masked span finds nothing even in a model that knows it by heart: with every neighbour
hidden there is no context to remember from (the extraction cliff). Coordinate search walks around the
cliff: fill the span with anything, then set each position in turn to its best token given the rest, from
many random starts, and keep the candidate with the best pseudo-log-likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mlmguard.leakage.signals import Ids, Probe, Scorer

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


def search(
    scorer: Scorer,
    targets: Sequence[Target],
    alphabets: Sequence[Ids],
    rng: np.random.Generator,
    restarts: int = 24,
    sweeps: int = 6,
) -> list[Extraction]:
    """Coordinate search for every target, all targets in step so that batches stay full.

    Starts are ``restarts`` random fills, the parallel decoding, and left-to-right and right-to-left
    decodings. A candidate that no sweep changes is a local optimum; equal candidates are merged.
    """
    pools: list[set[Candidate]] = [set() for _ in targets]
    for k, target in enumerate(targets):
        for _ in range(restarts):
            pools[k].add(tuple(int(rng.choice(alphabets[a])) for a in target.alphabets))
    for k, decoded in enumerate(_parallel(scorer, targets)):
        pools[k].add(decoded)
    for order in (1, -1):
        for k, decoded in enumerate(_sequential(scorer, targets, order)):
            pools[k].add(decoded)
    settled: list[set[Candidate]] = [set() for _ in targets]
    for _ in range(sweeps):
        active = [(k, c) for k, pool in enumerate(pools) for c in sorted(pool - settled[k])]
        if not active:
            break
        moved = _sweep(scorer, targets, active)
        for (k, before), after in zip(active, moved):
            pools[k].discard(before)
            pools[k].add(after)
            if before == after:
                settled[k].add(after)
    return _best(scorer, targets, [sorted(pool) for pool in pools])


def fill(target: Target, candidate: Candidate) -> Ids:
    """The target's window with ``candidate`` in place of the truth."""
    ids = target.ids.copy()
    ids[list(target.positions)] = candidate
    return ids


def _sweep(
    scorer: Scorer, targets: Sequence[Target], active: Sequence[tuple[int, Candidate]]
) -> list[Candidate]:
    """Each candidate after one pass of 'best token here given the rest' over its positions."""
    current = [list(candidate) for _, candidate in active]
    longest = max(len(candidate) for candidate in current)
    for place in range(longest):
        rows = [row for row, candidate in enumerate(current) if place < len(candidate)]
        probes = [_one(targets[active[row][0]], tuple(current[row]), place) for row in rows]
        for row, answer in zip(rows, scorer.answer(probes)):
            current[row][place] = int(answer.best[0])
    return [tuple(candidate) for candidate in current]


def _one(target: Target, candidate: Candidate, place: int) -> Probe:
    return Probe(fill(target, candidate), (target.positions[place],), (target.alphabets[place],))


def _parallel(scorer: Scorer, targets: Sequence[Target]) -> list[Candidate]:
    """Every position hidden, every argmax taken at once."""
    answers = scorer.answer([Probe(t.ids, t.positions, t.alphabets) for t in targets])
    return [tuple(int(token) for token in answer.best) for answer in answers]


def _sequential(scorer: Scorer, targets: Sequence[Target], order: int) -> list[Candidate]:
    """One position at a time, left to right (1) or right to left (−1), the rest still hidden."""
    known: list[dict[int, int]] = [{} for _ in targets]
    for step in range(max((len(t.positions) for t in targets), default=0)):
        rows = [k for k, t in enumerate(targets) if step < len(t.positions)]
        probes = []
        for k in rows:
            target = targets[k]
            ids = target.ids.copy()
            for place, token in known[k].items():
                ids[target.positions[place]] = token
            hidden = [p for p in range(len(target.positions)) if p not in known[k]]
            probes.append(
                Probe(
                    ids,
                    tuple(target.positions[p] for p in hidden),
                    tuple(target.alphabets[p] for p in hidden),
                )
            )
        for k, answer in zip(rows, scorer.answer(probes)):
            hidden = [p for p in range(len(targets[k].positions)) if p not in known[k]]
            edge = 0 if order == 1 else len(hidden) - 1
            known[k][hidden[edge]] = int(answer.best[edge])
    return [tuple(found[p] for p in range(len(found))) for found in known]


def _best(
    scorer: Scorer, targets: Sequence[Target], pools: Sequence[Sequence[Candidate]]
) -> list[Extraction]:
    """The candidate of each pool with the highest pseudo-log-likelihood, checked against the truth."""
    probes = [
        Probe(fill(targets[k], candidate), (position,))
        for k, pool in enumerate(pools)
        for candidate in pool
        for position in targets[k].positions
    ]
    answers = iter(scorer.answer(probes))
    results = []
    for target, pool in zip(targets, pools):
        scores = [sum(float(next(answers).log_probability[0]) for _ in target.positions) for _ in pool]
        best = int(np.argmax(scores))
        truth = tuple(int(token) for token in target.ids[list(target.positions)])
        right = sum(a == b for a, b in zip(pool[best], truth))
        results.append(Extraction(right == len(truth), right, len(pool), scores[best]))
    return results
