"""What a regular expression cannot match without, read off the expression itself.

A :class:`Gate` holds sequences of character classes. Wherever the expression matches, one of them stands in
the text: at the start of the match, or, for expressions that begin with almost anything (an address, a host
name), at a factor inside it that every match must hold. So looking only there skips nothing that can match;
what cannot be said with certainty (a look-ahead, a back reference, a construct that ``re`` does not know)
widens the gate or leaves it away.

Texts are seen as bytes, one for each character (:mod:`mlmguard.corpus.detect.characters`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import combinations, product
from math import prod
from operator import or_
from typing import Any

from mlmguard.corpus.detect.characters import (
    ANYTHING,
    CHARACTER,
    EDGE,
    WILD,
    WORDS,
    Class,
    class_of,
)
from mlmguard.corpus.detect.expressions import Node, among, certain, one_character, parsed, sre

Classes = tuple[Class, ...]
"""Classes of characters that stand one after the other."""

LENGTH = 7
"""Characters of a sequence from its place on."""
_MOST = 32  # sequences followed while an expression is read
_KEPT = 32  # sequences kept for a gate
_LITTLE = 0.1  # by how much the union of two may admit more than they do
_RARE = 1e-5  # share of places at which a sequence costs nothing worth counting
_GOOD = 0.0002  # share of places left by a gate from which on another one is not worth its making


@dataclass(frozen=True)
class Gate:
    """Where an expression can match.

    Each of ``sequences`` holds the class of the character before and ``LENGTH`` classes. One of them stands
    at the start of every match if ``lead`` is None; else at most ``reach`` characters behind it, and only
    characters of ``lead`` lie between; then one of ``starts`` stands at the start.
    """

    sequences: tuple[Classes, ...]
    lead: Class | None = None
    reach: int = 0
    starts: tuple[Classes, ...] = ()

    def skips(self) -> float:
        """About how many places of English text it leaves, as a share; the smaller, the better."""
        return sum(map(_rate, self.sequences))


@lru_cache(maxsize=1 << 10)
def gate(expression: str, flags: int) -> Gate | None:
    """The gate of ``expression`` (of the ``regex`` package), or None if nothing certain can be said."""
    parts = _read(expression, flags)
    if parts is None:
        return None
    start = Gate(_kept(_with_before(parts)))
    best = start
    for place in range(1, len(parts)):
        if best.skips() <= _GOOD:
            break
        lead = _alphabet(parts[:place])
        reach = _width(parts[:place])
        if lead is None or lead == CHARACTER:
            continue
        part = parts[place]
        factor = part.ahead if isinstance(part, _Point) else parts[place:]
        if not factor or not any(map(_is_solid, factor[: None if isinstance(part, _Point) else 1])):
            continue
        before = lead if any(map(_is_solid, parts[:place])) else ANYTHING
        inner = Gate(_kept({(before, *s) for s in _heads(factor, LENGTH)}), lead, reach, start.sequences)
        if inner.skips() < 0.3 * best.skips():
            best = inner
    return best if best.skips() < 0.5 else None


# --- reading an expression ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _One:
    """One character of a class."""

    of: Class


@dataclass(frozen=True)
class _Either:
    """One of several sequences of parts."""

    ways: tuple[tuple[_Part, ...], ...]


@dataclass(frozen=True)
class _Repeat:
    """A sequence of parts, ``low`` to ``high`` times."""

    low: int
    high: int
    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Unknown:
    """Any text of any length."""


@dataclass(frozen=True)
class _Point:
    """No character, but one of these pairs of classes around the place, and what is looked ahead for."""

    around: frozenset[tuple[Class, Class]]
    ahead: tuple[_Part, ...] = ()


_Part = _One | _Either | _Repeat | _Unknown | _Point
_BOUNDARY = _Point(frozenset([(ANYTHING & ~WORDS, WORDS), (WORDS, ANYTHING & ~WORDS)]))
_UNBOUNDED = 1 << 30


class _Unreadable(Exception):
    """``re`` reads the expression in another way than ``regex`` may."""


def _read(expression: str, flags: int) -> list[_Part] | None:
    tree = parsed(expression, flags)
    if tree is None:
        return None
    try:
        return list(_parts(tree, tree.state.flags))
    except (_Unreadable, RecursionError):
        return None


def _parts(tree: Iterable[Node], flags: int) -> Iterator[_Part]:
    for node in tree:
        yield from _part(node, flags)


def _part(node: Node, flags: int) -> Iterator[_Part]:
    kind, value = node
    match kind, value:
        case ((sre.LITERAL | sre.NOT_LITERAL | sre.ANY | sre.IN), _):
            if (kind, value) == (sre.LITERAL, ord("{")):
                raise _Unreadable  # to ``regex`` it may open a fuzzy match
            yield _One(one_character(node, flags))
        case sre.BRANCH, (_, ways):
            yield _Either(tuple(tuple(_parts(way, flags)) for way in ways))
        case sre.SUBPATTERN, (_, add, remove, tree):
            yield from _parts(tree, (flags | add) & ~remove)
        case sre.ATOMIC_GROUP, tree:
            yield from _parts(tree, flags)
        case ((sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT), (low, high, tree)):
            yield _Repeat(int(low), min(int(high), _UNBOUNDED), tuple(_parts(tree, flags)))
        case sre.AT, (sre.AT_BOUNDARY | sre.AT_UNI_BOUNDARY):
            yield _BOUNDARY
        case sre.ASSERT_NOT, (-1, tree):
            yield from _not_behind(tree, flags)
        case sre.ASSERT, (-1, tree):
            inside = list(_parts(tree, flags))
            if len(inside) == 1 and isinstance(inside[0], _One):
                yield _Point(frozenset([(inside[0].of, ANYTHING)]))
        case sre.ASSERT, (1, tree):
            ahead = tuple(_parts(tree, flags))
            yield _Point(frozenset((ANYTHING, first) for (first,) in _heads(ahead, 1)), ahead)
        case ((sre.AT | sre.ASSERT_NOT), _):
            return  # narrows what can match; leaving it away widens the gate
        case _:
            yield _Unknown()


def _not_behind(tree: Any, flags: int) -> Iterator[_Part]:
    """What a negative look-behind of one character says for certain."""
    if len(tree) != 1:
        return
    kind, value = tree[0]
    if kind is sre.LITERAL and value < 128:
        yield _Point(frozenset([(ANYTHING & ~(1 << value), ANYTHING)]))
    elif kind is sre.IN and value[0][0] is not sre.NEGATE:
        held = certain(value)
        yield _Point(frozenset([(ANYTHING & ~held, ANYTHING)]))
    elif kind is sre.IN:
        yield _Point(frozenset([(among(value[1:], flags) | 1 << EDGE, ANYTHING)]))


# --- what is certain about a sequence of parts --------------------------------------------------------


def _heads(parts: Sequence[_Part], length: int) -> set[Classes]:
    """The classes of the first ``length`` characters of every match; ``ANYTHING`` behind a shorter one."""
    return {s + (ANYTHING,) * (length - len(s)) for s in _expanded(parts, length)}


def _expanded(parts: Sequence[_Part], length: int) -> set[Classes]:
    """The same without filling up: what is shorter than ``length`` is a whole match."""
    done: set[Classes] = {()}
    for part in parts:
        if all(len(s) == length for s in done):
            break
        done = _joined(done, _ways(part, length), length)
    return done


def _ways(part: _Part, length: int) -> set[Classes]:
    match part:
        case _One(of):
            return {(of,)}
        case _Either(ways):
            return _few(set().union(*(_expanded(way, length) for way in ways)), length)
        case _Repeat(low, high, parts):
            once = _expanded(parts, length)
            low = 0 if () in once else low
            so_far: set[Classes] = {()}
            every: set[Classes] = set()
            for times in range(min(high, low + length) + 1):
                if times >= low:
                    every |= so_far
                if all(len(s) == length for s in so_far):
                    return _few(every | so_far, length)
                so_far = _joined(so_far, once, length)
            return _few(every, length)
        case _Unknown():
            return {(ANYTHING,) * length}
        case _Point():
            return {()}


def _joined(heads: set[Classes], tails: set[Classes], length: int) -> set[Classes]:
    whole = {s for s in heads if len(s) == length}
    return _few(whole | {(h + t)[:length] for h, t in product(heads - whole, tails)}, length)


def _few(sequences: set[Classes], length: int) -> set[Classes]:
    """At most ``_MOST`` sequences that together admit what all of these admit.

    Sequences of one length that begin alike become one: of their later classes only the union is kept. If
    that leaves too many, those of any length that begin alike do, with anything behind the shortest.
    """
    if len(sequences) <= _MOST:
        return sequences
    for common in range(max(map(len, sequences)) - 1, 0, -1):
        sequences = _merged(sequences, lambda s, n=common: (len(s), s[:n]))  # type: ignore[misc]
        if len(sequences) <= _MOST:
            return sequences
    by_first = _merged(sequences, lambda s: s[:1])
    if len(by_first) <= _MOST and () not in by_first:
        return {s + (ANYTHING,) * (length - len(s)) for s in by_first}
    return _merged(sequences, len)


def _merged(sequences: set[Classes], alike: Callable[[Classes], object]) -> set[Classes]:
    merged: dict[object, Classes] = {}
    for s in sequences:
        name = alike(s)
        merged[name] = _union(merged[name], s) if name in merged else s
    return set(merged.values())


def _union(one: Classes, other: Classes) -> Classes:
    """Of sequences of different lengths the union of what both have."""
    return tuple(map(or_, one, other))


def _with_before(parts: list[_Part]) -> set[Classes]:
    """The heads of the expression, each with the class of the character before."""
    around = {(ANYTHING, ANYTHING)}
    for part in parts:
        its = _around(part)
        if its is None:
            break
        around = {(b & before, f & first) for b, f in around for before, first in its}
    heads = _heads(parts, LENGTH)
    return {
        (before, s[0] & first, *s[1:]) for before, first in around for s in heads if before and s[0] & first
    }


def _around(part: _Part) -> frozenset[tuple[Class, Class]] | None:
    """The pairs of classes between which a part without characters can stand; None for any other part."""
    match part:
        case _Point(around):
            return around
        case _Either(ways) if all(isinstance(inside, _Point) for way in ways for inside in way):
            joined: set[tuple[Class, Class]] = set()
            for way in ways:
                of_way = {(ANYTHING, ANYTHING)}
                for inside in way:
                    assert isinstance(inside, _Point)
                    of_way = {(b & x, f & y) for b, f in of_way for x, y in inside.around}
                joined |= of_way
            return frozenset(joined)
    return None


def _alphabet(parts: Iterable[_Part]) -> Class | None:
    """Every character that a match of these parts can hold; None if that is not known."""
    whole = 1 << WILD
    for part in parts:
        match part:
            case _One(of):
                whole |= of
            case _Either(ways):
                for way in ways:
                    of_way = _alphabet(way)
                    if of_way is None:
                        return None
                    whole |= of_way
            case _Repeat(_, _, inside):
                of_inside = _alphabet(inside)
                if of_inside is None:
                    return None
                whole |= of_inside
            case _Unknown():
                return None
    return whole


def _width(parts: Iterable[_Part]) -> int:
    """The most characters that a match of these parts can hold."""
    whole = 0
    for part in parts:
        match part:
            case _One():
                whole += 1
            case _Either(ways):
                whole += max(map(_width, ways))
            case _Repeat(_, high, inside):
                whole += high * _width(inside)
            case _Unknown():
                return _UNBOUNDED
    return min(whole, _UNBOUNDED)


def _is_solid(part: _Part) -> bool:
    """If every match holds at least one character for it."""
    match part:
        case _One():
            return True
        case _Either(ways):
            return all(any(map(_is_solid, way)) for way in ways)
        case _Repeat(low, _, inside):
            return low > 0 and any(map(_is_solid, inside))
    return False


# --- keeping few --------------------------------------------------------------------------------------

_SHARES = tuple(  # of English text with some numbers and addresses in it; decides speed, never what is found
    (class_of(group), share / len(group))
    for group, share in (
        (b" ", 0.16),
        (b"\n", 0.02),
        (b"etaoinshrdlu", 0.58),
        (b"bcfgjkmpqvwxyz", 0.16),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 0.03),
        (b"0123456789", 0.02),
        (b".,", 0.02),
        (b"-'\"()", 0.008),
        (b":;/=_", 0.004),
    )
)


@lru_cache(maxsize=1 << 14)
def _share(of: Class) -> float:
    if of == ANYTHING:
        return 1.0
    known = sum(share * (of & group).bit_count() for group, share in _SHARES)
    return min(1.0, known + 0.00003 * of.bit_count())


@lru_cache(maxsize=1 << 16)
def _rate(sequence: Classes) -> float:
    return prod(map(_share, sequence))


def _loss(one: Classes, other: Classes) -> float:
    """How much more the union of two sequences admits than the two."""
    return _rate(_union(one, other)) - _rate(one) - _rate(other)


def _kept(sequences: set[Classes]) -> tuple[Classes, ...]:
    """At most ``_KEPT`` sequences, fewer where that admits hardly more: those whose union admits least more
    are merged first."""
    kept = set(sequences)
    pairs = [(_loss(one, other), one, other) for one, other in combinations(sorted(kept), 2)]
    heapify(pairs)
    while pairs:
        loss, one, other = heappop(pairs)
        if one not in kept or other not in kept:
            continue
        if len(kept) <= _KEPT and loss > _LITTLE * max(_rate(one) + _rate(other), _RARE):
            break
        kept -= {one, other}
        merged = _union(one, other)
        if merged not in kept:
            for another in kept:
                heappush(pairs, (_loss(merged, another), min(merged, another), max(merged, another)))
            kept.add(merged)
    return tuple(sorted(kept))
