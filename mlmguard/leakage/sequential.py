"""Looking at a search before its end without losing the level of its test.

A search over many secrets may be looked at twice: after a quarter, and at the end. Each look tests at half
the level and gives intervals at half the error, so that by the union bound either may end the search: the
reported p-value, doubled, is valid whenever it stopped, and both intervals hold together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from mlmguard.leakage.results import PValue

T = TypeVar("T")

FIRST_LOOK = 0.25
FAMILY = 40
"""More tests than an audit has: what is below .05 over so many stays a finding whatever the others give."""


def looks(items: Sequence[T], group_of: Callable[[T], Hashable], early: bool) -> list[list[T]]:
    """Give all of ``items`` at once; or (``early``) first a quarter of each group, then the rest."""
    if not early:
        return [list(items)]
    groups: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        groups[group_of(item)].append(item)
    cut = {name: math.ceil(FIRST_LOOK * len(own)) for name, own in groups.items()}
    return [
        [item for name, own in groups.items() for item in own[: cut[name]]],
        [item for name, own in groups.items() for item in own[cut[name] :]],
    ]


def settled(tests: Sequence[PValue]) -> bool:
    """Is one of the tests a finding that no correction over the audit's family can take back?"""
    return any(test.p * FAMILY < 0.05 for test in tests)


def over_looks(p: float, count: int) -> float:
    """``p`` of one of ``count`` looks, valid whichever look it was."""
    return min(1.0, p * count)
