"""How many ways there are to read what an expression matches at one place: a bound on the work of one try.

A clock that stops a try costs ten times as much as most tries. An expression that has few ways to go on needs
none: repeats whose characters cannot begin what follows end at one place, whatever the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mlmguard.corpus.detect.characters import ANYTHING, WILD, Class
from mlmguard.corpus.detect.expressions import Node, one_character, parsed, sre

_MOST = 1 << 30  # ways from which on nobody counts
_LONG = 1 << 10  # times from which on a repeat may go on over the whole text
_FEW = 1 << 18  # ways that are tried in some hundredths of a second


@lru_cache(maxsize=1 << 10)
def is_small(expression: str, flags: int) -> bool:
    """If one try of ``expression`` needs no clock."""
    return ways(expression, flags) <= _FEW


def ways(expression: str, flags: int) -> int:
    """At least as many as there are, up to a great number; that for what cannot be read."""
    tree = parsed(expression, flags)
    if tree is None:
        return _MOST
    try:
        return _sequence(list(tree), ANYTHING, tree.state.flags)
    except RecursionError:
        return _MOST


def _sequence(nodes: list[Node], follow: Class, flags: int) -> int:
    """The ways of ``nodes`` where ``follow`` may come behind them."""
    found = 1
    for place in range(len(nodes) - 1, -1, -1):
        found = min(_MOST, found * _node(nodes[place], follow, flags))
        first, may_be_empty = _first([nodes[place]], flags)
        follow = first | follow if may_be_empty else first
    return found


def _node(node: Node, follow: Class, flags: int) -> int:
    kind, value = node
    match kind, value:
        case sre.LITERAL, _ if value == ord("{"):
            return _MOST  # to ``regex`` it may open a fuzzy match
        case sre.BRANCH, (_, ways):
            return min(_MOST, sum(_sequence(list(way), follow, flags) for way in ways))
        case sre.SUBPATTERN, (_, add, remove, tree):
            return _sequence(list(tree), follow, (flags | add) & ~remove)
        case sre.ATOMIC_GROUP, tree:
            return _sequence(list(tree), follow, flags)
        case ((sre.ASSERT | sre.ASSERT_NOT), (_, tree)):  # tried once at each way to it
            return 1 + _sequence(list(tree), ANYTHING, flags)
        case ((sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT), (low, high, tree)):
            return _repeat(int(low), int(high), list(tree), follow, flags, kind is sre.POSSESSIVE_REPEAT)
    return 1


def _repeat(low: int, high: int, nodes: list[Node], follow: Class, flags: int, possessive: bool) -> int:
    first, may_be_empty = _first(nodes, flags)
    once = _sequence(nodes, first | follow, flags)
    one_end = possessive or not first & follow & ~(1 << WILD)
    if high > _LONG:
        return 1 if one_end and once == 1 else _MOST
    ends = 1 if one_end else high - low + 1
    if once == 1:
        return ends
    return _MOST if may_be_empty else min(_MOST, ends * once**high)


def _first(nodes: Iterable[Node], flags: int) -> tuple[Class, bool]:
    """What a match of ``nodes`` can begin with, and if it can be empty."""
    found: Class = 0
    for kind, value in nodes:
        its, may_be_empty = _first_of(kind, value, flags)
        found |= its
        if not may_be_empty:
            return found, False
    return found, True


def _first_of(kind: Any, value: Any, flags: int) -> tuple[Class, bool]:
    match kind, value:
        case ((sre.LITERAL | sre.NOT_LITERAL | sre.ANY | sre.IN), _):
            return one_character((kind, value), flags), False
        case sre.BRANCH, (_, ways):
            its = [_first(way, flags) for way in ways]
            found: Class = 0
            for first, _ in its:
                found |= first
            return found, any(empty for _, empty in its)
        case sre.SUBPATTERN, (_, add, remove, tree):
            return _first(tree, (flags | add) & ~remove)
        case sre.ATOMIC_GROUP, tree:
            return _first(tree, flags)
        case ((sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT), (low, _, tree)):
            first, may_be_empty = _first(tree, flags)
            return first, may_be_empty or low == 0
        case ((sre.AT | sre.ASSERT | sre.ASSERT_NOT), _):
            return 0, True
    return ANYTHING, True  # a reference back, or what nobody knows
