"""Units of privacy and how a step draws them.

The unit is what one row of the sampler is. By default that is one document. A drawn document contributes one
random window of its tokens, or the mean of as many as every other, so that a long document moves the sum no
more than a short one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlmguard.training.text.masking import Ids, Notes


@dataclass(frozen=True)
class Unit:
    """All token sequences of one unit of privacy. ``id`` may be a fingerprint; tokens are never shown."""

    id: str
    sequences: tuple[Ids, ...] = field(repr=False)
    notes: tuple[Notes, ...] = field(default=(), repr=False)  # one a sequence, or none for all of them


class Row(NamedTuple):
    """One sequence, whose it is, and what masking may know of its tokens."""

    unit: str
    ids: Ids
    notes: Notes | None = None


def group(rows: Iterable[tuple[Any, ...]]) -> list[Unit]:
    """:class:`Row` s gathered into units, in order of first appearance; empty rows left out."""
    gathered: dict[str, list[Row]] = {}
    for row in map(_whole, rows):
        if len(row.ids):
            gathered.setdefault(row.unit, []).append(row)
    return [
        Unit(name, tuple(row.ids for row in own), tuple(row.notes for row in own if row.notes is not None))
        for name, own in gathered.items()
    ]


def cut(rows: Iterable[tuple[Any, ...]], length: int, stride: int | None = None) -> Iterator[Row]:
    """Rows cut into pieces of one window each, every piece a unit of its own: the unit "sequence".

    A document of k pieces is then k units, and its own guarantee is that of a group of k. Pieces begin
    ``stride`` tokens apart, by default so that they do not overlap; the last one ends with the row.
    """
    room = length - 2
    for unit, ids, notes in map(_whole, rows):
        for number, start in enumerate(starts(len(ids), room, stride or room)):
            part = slice(start, start + room)
            yield Row(f"{unit}#{number}", ids[part], notes.part(part) if notes else None)


def starts(count: int, room: int, stride: int) -> Iterator[int]:
    """Return where windows of ``room`` tokens begin so that they cover ``count`` tokens."""
    yield from range(0, max(1, count - room + stride), stride)


def _whole(row: tuple[Any, ...]) -> Row:
    return Row(*row)


def passage(unit: Unit, room: int, rng: np.random.Generator) -> tuple[Ids, Notes | None]:
    """At most ``room`` neighbouring tokens of one random sequence of ``unit``, and their notes."""
    which = int(rng.integers(len(unit.sequences))) if len(unit.sequences) > 1 else 0
    ids = unit.sequences[which]
    start = int(rng.integers(len(ids) - room + 1)) if len(ids) > room else 0
    part = slice(start, start + room)
    return ids[part].astype(np.int64), unit.notes[which].part(part) if unit.notes else None


def window(unit: Unit, length: int, cls_id: int, sep_id: int, rng: np.random.Generator) -> Ids:
    """One random window of one random sequence of ``unit``: [CLS] at most ``length`` − 2 tokens [SEP]."""
    return np.concatenate([[cls_id], passage(unit, length - 2, rng)[0], [sep_id]])


def windows(ids: Ids, length: int, cls_id: int, sep_id: int) -> list[Ids]:
    """Consecutive windows that cover ``ids`` once, for evaluation."""
    room = length - 2
    return [
        np.concatenate([[cls_id], ids[start : start + room], [sep_id]])
        for start in range(0, max(len(ids), 1), room)
    ]


def poisson_draw(count: int, rate: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw each of ``count`` units independently with probability ``rate``; an empty draw is one, too."""
    return np.flatnonzero(rng.random(count) < rate)


def shuffled_draw(count: int, size: int, step: int, seed: int) -> NDArray[np.int64]:
    """The batch of ``step`` of plain training: epochs in random order, the same again in a resumed run."""
    size = min(size, count)
    epoch, place = divmod(step, max(1, count // size))
    return _shuffled(count, epoch * max(1, count // size), seed)[place * size : (place + 1) * size]


@lru_cache(maxsize=2)
def _shuffled(count: int, first_step: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, first_step]).permutation(count)


def micro_batches(sequences: Sequence[Ids], tokens: int, alike: bool = False) -> Iterator[list[int]]:
    """Indices of ``sequences`` in groups of similar length, each at most ``tokens`` padded tokens.

    ``alike``: of one length each.
    """
    order = sorted(range(len(sequences)), key=lambda k: len(sequences[k]))
    group: list[int] = []
    for k in order:
        other = alike and group and len(sequences[k]) != len(sequences[group[0]])
        if group and (other or (len(group) + 1) * len(sequences[k]) > tokens):
            yield group
            group = []
        group.append(k)
    if group:
        yield group
