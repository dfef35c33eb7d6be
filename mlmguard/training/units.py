"""Units of privacy and how a step draws them.

The unit is what one row of the sampler is. By default that is one document, and a drawn document
contributes one random window of its tokens, so that a long document moves the sum no more than a short one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Unit:
    """All token sequences of one unit of privacy. ``id`` may be a fingerprint; tokens are never shown."""

    id: str
    sequences: tuple[Ids, ...] = field(repr=False)


def group(rows: Iterable[tuple[str, Ids]]) -> list[Unit]:
    """Rows of (unit id, token ids) gathered into units, in order of first appearance; empty rows left out."""
    gathered: dict[str, list[Ids]] = {}
    for unit, ids in rows:
        if len(ids):
            gathered.setdefault(unit, []).append(ids)
    return [Unit(name, tuple(sequences)) for name, sequences in gathered.items()]


def cut(rows: Iterable[tuple[str, Ids]], length: int) -> Iterator[tuple[str, Ids]]:
    """Rows cut into pieces of one window each, every piece a unit of its own: the unit "sequence".

    A document of k pieces is then k units, and its own guarantee is that of a group of k.
    """
    room = length - 2
    for unit, ids in rows:
        for number, start in enumerate(range(0, len(ids), room)):
            yield f"{unit}#{number}", ids[start : start + room]


def window(unit: Unit, length: int, cls_id: int, sep_id: int, rng: np.random.Generator) -> Ids:
    """One random window of one random sequence of ``unit``: [CLS] at most ``length`` − 2 tokens [SEP]."""
    ids = unit.sequences[rng.integers(len(unit.sequences))] if len(unit.sequences) > 1 else unit.sequences[0]
    room = length - 2
    start = int(rng.integers(len(ids) - room + 1)) if len(ids) > room else 0
    return np.concatenate([[cls_id], ids[start : start + room], [sep_id]])


def windows(ids: Ids, length: int, cls_id: int, sep_id: int) -> list[Ids]:
    """Consecutive windows that cover ``ids`` once, for evaluation."""
    room = length - 2
    return [
        np.concatenate([[cls_id], ids[start : start + room], [sep_id]])
        for start in range(0, max(len(ids), 1), room)
    ]


def poisson_draw(count: int, rate: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Each of ``count`` units independently with probability ``rate``; an empty draw is one, too."""
    return np.flatnonzero(rng.random(count) < rate)


def shuffled_draws(count: int, size: int, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Batches of plain training: epochs in random order, the same again in a resumed run."""
    size = min(size, count)
    per_epoch = max(1, count // size)
    order = np.arange(count)
    for step in range(steps):
        if step % per_epoch == 0:
            order = np.random.default_rng([seed, step]).permutation(count)
        place = (step % per_epoch) * size
        yield order[place : place + size]


def micro_batches(sequences: Sequence[Ids], tokens: int) -> Iterator[list[int]]:
    """Indices of ``sequences`` in groups of similar length, each at most ``tokens`` padded tokens."""
    order = sorted(range(len(sequences)), key=lambda k: len(sequences[k]))
    group: list[int] = []
    for k in order:
        if group and (len(group) + 1) * len(sequences[k]) > tokens:
            yield group
            group = []
        group.append(k)
    if group:
        yield group
