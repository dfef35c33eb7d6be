"""A place in a text that holds something personal, and what happens when two of them overlap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mlmguard.corpus.detect.installed import entity


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) look like ``rule``, with a ``score`` up to 1."""

    start: int
    end: int
    rule: str
    score: float


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
    alone: list[Span] = []
    overlapping: list[Span] = []  # with the last of ``alone``, which is among them
    reach = -1
    for span in sorted(found):
        start, end, _, _ = span
        if start >= reach:
            if overlapping:
                alone[-1], overlapping = _as_one(overlapping), []
            alone.append(span)
            reach = end
            continue
        if not overlapping:
            overlapping.append(alone[-1])
        overlapping.append(span)
        reach = max(reach, end)
    if overlapping:
        alone[-1] = _as_one(overlapping)
    return alone


def _as_one(overlapping: list[Span]) -> Span:
    longest = max(s.end - s.start for s in overlapping)
    best = min(
        (s for s in overlapping if s.end - s.start >= _ABOUT * longest),
        key=lambda s: (-s.score, entity(s.rule).by_shape, s.start - s.end, s.start, s.rule),
    )
    return Span(min(s.start for s in overlapping), max(s.end for s in overlapping), best.rule, best.score)
