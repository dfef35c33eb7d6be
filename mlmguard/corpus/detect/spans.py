"""A place in a text that holds something personal, and what happens when two of them overlap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from mlmguard.corpus.detect.installed import entity


@dataclass(frozen=True, order=True)
class Span:
    """Characters ``start`` to ``end`` (exclusive) look like ``rule``, with a ``score`` up to 1."""

    start: int
    end: int
    rule: str
    score: float


by_place = attrgetter("start", "end", "rule", "score")
"""The order of spans, as a key: many times faster than comparing one with the other."""

_ABOUT = 0.85
"""Share of the longest that counts as about as long."""


def resolve(found: Iterable[Span]) -> list[Span]:
    """Non-overlapping spans, in order of place, that cover every character that ``found`` covers.

    Spans that overlap become one over all their characters: a part of a value that stays is a leak. It
    takes rule and score from the surest of those that are about as long as the longest (a bracket more does
    not make a number a telephone number), then one that the words around it name, then the longest, then the
    earliest, then the first by name.

    >>> resolve([Span(0, 9, "URL", 0.5), Span(6, 20, "EMAIL_ADDRESS", 1.0), Span(30, 34, "US_SSN", 0.5)])
    [Span(start=0, end=20, rule='EMAIL_ADDRESS', score=1.0), Span(start=30, end=34, rule='US_SSN', score=0.5)]
    """
    merged: list[list[Span]] = []
    reach = -1
    for span in sorted(found, key=by_place):
        if span.start >= reach:
            merged.append([])
        merged[-1].append(span)
        reach = max(reach, span.end)
    return [_as_one(overlapping) for overlapping in merged]


def _as_one(overlapping: list[Span]) -> Span:
    if len(overlapping) == 1:
        return overlapping[0]
    longest = max(s.end - s.start for s in overlapping)
    best = min(
        (s for s in overlapping if s.end - s.start >= _ABOUT * longest),
        key=lambda s: (-s.score, entity(s.rule).by_shape, s.start - s.end, s.start, s.rule),
    )
    return Span(min(s.start for s in overlapping), max(s.end for s in overlapping), best.rule, best.score)
