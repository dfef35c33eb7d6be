"""Many regular expressions over one text, each looking only where it can match.

:class:`Patterns` yields the matches that ``finditer`` of each expression would, but for empty ones. The
places come from the gates (``gates.py``) of all expressions, found in one pass over the text: by Hyperscan
where its wheel is installed, else by numpy, bit-parallel (each sequence of character classes is one bit, and
every pair of bytes says which bits can still be set). An expression with places nearly everywhere is tried
everywhere: that is cheaper.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial, reduce
from importlib.util import find_spec
from itertools import chain
from operator import or_
from typing import Any

import numpy as np
import regex

from mlmguard.corpus.detect.characters import DIGITS, EDGE, WILD, Class, skeleton
from mlmguard.corpus.detect.effort import is_small
from mlmguard.corpus.detect.expressions import longest
from mlmguard.corpus.detect.gates import LENGTH, Classes, Gate, gate

_TIMEOUT = 60.0
"""Seconds for one match, as Presidio has it; ``regex`` raises TimeoutError behind it."""

_DENSE = 16  # characters for each place below which trying an expression everywhere is cheaper

_MANY = 400  # characters for each place below which looking for the words behind all of them is cheaper

Places = dict[int, list[int]]
"""Expression -> where one of its sequences stands, in order, each place once."""

_NEAR = 20  # characters before an inner factor that are looked at together with it

_TOGETHER = 140  # sequences of one database of Hyperscan

_Key = tuple[Classes, bytes]
"""A sequence, and what has to lie before it as an expression over bytes (nothing: b"")."""


class Patterns:
    """Expressions with their flags, found together."""

    def __init__(self, expressions: Sequence[tuple[str, int]], *, hyperscan: bool | None = None) -> None:
        """``hyperscan`` None: if it is installed."""
        self._compiled = [regex.compile(expression, flags) for expression, flags in expressions]
        self._gates = [gate(expression, flags) for expression, flags in expressions]
        owners: dict[_Key, list[int]] = {}
        for number, its in enumerate(self._gates):
            for sequence in its.sequences if its else ():
                owners.setdefault((sequence, _lying_before(its) if its else b""), []).append(number)
        if hyperscan is None:
            hyperscan = find_spec("hyperscan") is not None
        scanner = _Hyperscan if hyperscan and owners else _Numpy
        self._scan: Callable[[bytes], Places] = scanner(owners)
        self._ungated = [number for number, its in enumerate(self._gates) if its is None]
        small = [is_small(expression, flags) for expression, flags in expressions]
        self._tries = [_timed(each.match, its) for each, its in zip(self._compiled, small)]
        short = [its and (longest(*one) or _FAR) < _FAR for one, its in zip(expressions, small)]
        self._everywhere = [_timed(each.finditer, its) for each, its in zip(self._compiled, short)]
        self._behind = [behind(expression, flags) for expression, flags in expressions]
        self._leads = [_Lead.of(its) if its and its.lead is not None else None for its in self._gates]

    def matches(
        self, text: str, for_nothing: Callable[[int, int], bool] = lambda number, places: False
    ) -> Iterator[tuple[int, Iterable[Any]]]:
        """(expression, its matches in order) for every expression that has a place in ``text``; not for those
        that are ``for_nothing``, by number and how many places they have."""
        edge = bytes([EDGE])
        seen = edge + skeleton(text) + edge * LENGTH
        places = self._scan(seen)
        for number in sorted({*self._ungated, *places}):
            lead, at = self._leads[number], places.get(number)
            if for_nothing(number, len(text) if at is None else len(at)):
                continue
            words = self._behind[number]
            if at is not None and words is not None and len(at) * _MANY > len(text):
                at = _before(words, text, at)
            if at is None or len(at) * _DENSE > len(text):
                everywhere = self._everywhere[number](text)
                yield number, (found for found in everywhere if found.end() > found.start())
            else:
                match = self._tries[number]
                yield number, lead.matches(match, text, seen, at) if lead else _matches_at(match, text, at)


_Try = Callable[[str, int], Any]
"""(text, place) -> the match that begins there, or None."""


def _timed(method: Callable[..., Any], fast: bool) -> Callable[..., Any]:
    """``match`` or ``finditer`` of an expression, without a clock where it cannot take long: a clock costs
    ten times as much as most tries, letting go of the interpreter (``concurrent``) half of that; there are no
    threads. Over a whole text only what matches some characters is fast: a long repeat is read from each."""
    return method if fast else partial(method, timeout=_TIMEOUT, concurrent=False)


_FAR = 160  # characters: what an expression matches, and what it looks at behind it, is shorter


def behind(expression: str, flags: int) -> Any | None:
    """The words that ``expression`` asks for right behind a match, as one that finds them; None for others.

    It ends with ``(?=...(words)\\b)`` there, and its matches are short. Numbers that stand close together are
    looked at only where such a word follows.
    """
    groups = _groups(expression) if expression.endswith(r")\b)") else {}
    looks, words = groups.get(len(expression)), groups.get(len(expression) - 3)
    if looks is None or words is None or not expression.startswith("(?=", looks):
        return None
    widths = [longest(part, flags) for part in (expression[:looks], expression[looks + len("(?=") : words])]
    known = [width for width in widths if width is not None]
    short = len(known) == len(widths) and sum(known) < _FAR
    return regex.compile(expression[words:-1], flags) if short else None


def _groups(expression: str) -> dict[int, int]:
    """End of each group -> its begin; nothing for an expression of several alternatives."""
    found: dict[int, int] = {}
    opened: list[int] = []
    inside = False
    at = 0
    while at < len(expression):
        letter = expression[at]
        if letter == "\\":
            at += 1
        elif inside:
            inside = letter != "]"
        elif letter == "[":
            inside = True
            at += 2 if expression.startswith(("[]", "[\\"), at) else expression.startswith("[^]", at) * 2
        elif letter == "(":
            opened.append(at)
        elif letter == ")":
            found[at + 1] = opened.pop()
        elif letter == "|" and not opened:
            return {}
        at += 1
    return found


def _before(words: Any, text: str, places: list[int]) -> list[int]:
    """Those of ``places`` behind which one of ``words`` stands soon."""
    kept: list[int] = []
    for found in words.finditer(text):
        low = bisect_left(places, max(found.start() - _FAR, kept[-1] + 1 if kept else 0))
        kept += places[low : bisect_right(places, found.start())]
    return kept


def _matches_at(match: _Try, text: str, starts: Iterable[int]) -> Iterator[Any]:
    """The matches that ``finditer`` gives, if none starts anywhere else than at ``starts``."""
    free = 0
    for start in starts:
        if start >= free:
            found = match(text, start)
            if found is not None and found.end() > found.start():
                yield found
                free = found.end()


@dataclass(frozen=True)
class _Lead:
    """From the places of an inner factor back to where a match that holds it can start."""

    other: Any  # finds, backwards, the nearest byte that cannot lie between
    start: Any  # finds the byte before a start
    reach: int

    @staticmethod
    def of(its: Gate) -> _Lead:
        assert its.lead is not None
        firsts: dict[Class, Class] = {}
        for before, first, *_ in its.starts:
            firsts[before] = firsts.get(before, 0) | first
        heads = b"|".join(
            _as_set(before) + b"(?=" + _as_set(first) + b")" for before, first in firsts.items()
        )
        return _Lead(regex.compile(b"(?r)" + _as_set(~its.lead)), regex.compile(heads), its.reach)

    def matches(self, match: _Try, text: str, seen: bytes, places: Iterable[int]) -> Iterator[Any]:
        """As :func:`_matches_at`; ``seen`` has one byte more at its start than the text."""
        free = 0
        other, start = self.other.search, self.start.search
        for place in places:
            if place < free:
                continue
            low = max(free, place - self.reach)
            stop = other(seen, low + 1, place + 1)
            at = stop.end() - 1 if stop else low
            while at <= place and (head := start(seen, at, place + 2)) is not None:
                at = head.start()
                found = match(text, at)
                if found is not None and found.end() > found.start():
                    yield found
                    at = free = found.end()
                else:
                    at += 1
            free = max(free, place + 1)


def _lying_before(its: Gate) -> bytes:
    """What lies before an inner factor, from the character before the match on, if that is said soon."""
    if its.lead is None or its.reach > _NEAR:
        return b""
    before = reduce(or_, (start[0] for start in its.starts))
    return _as_set(before) + _as_set(its.lead) + b"{0,%d}" % its.reach


# --- two scanners that give the same places -----------------------------------------------------------


class _Numpy:
    """Bit-parallel: bit i of ``tables[k][a, b]`` says that bytes a, b can be the k-th pair of sequence i."""

    def __init__(self, owners: dict[_Key, list[int]]) -> None:
        by_sequence: dict[Classes, list[int]] = {}
        for (sequence, _), numbers in owners.items():  # what lies before is looked at later
            by_sequence.setdefault(sequence, []).extend(numbers)
        sequences = list(by_sequence)
        self._words = []
        for first in range(0, len(sequences), 64):
            some = sequences[first : first + 64]
            self._words.append((_pair_tables(some), _Owners([by_sequence[s] for s in some])))

    def __call__(self, seen: bytes) -> Places:
        bytes_ = np.frombuffer(seen, np.uint8)
        pairs = bytes_[:-1].astype(np.uint16) << 8
        pairs |= bytes_[1:]
        size = len(seen) - LENGTH - 1
        found: list[tuple[np.ndarray, np.ndarray, _Owners]] = []
        for tables, owners_of in self._words:
            bits = tables[0].take(pairs[:size])
            bits &= tables[1].take(pairs[2 : size + 2])
            at = np.flatnonzero(bits)
            bits = bits[at]
            for later in range(2, len(tables)):
                bits &= tables[later].take(pairs[at + 2 * later])
            left = np.flatnonzero(bits)
            if len(left):
                found.append((at[left], bits[left], owners_of))
        places: dict[int, list[int]] = {}
        for at, bits, owners_of in found:
            if len(at) * _DENSE > size:
                for number, its in owners_of.spread(at, bits):
                    places.setdefault(number, []).extend(its)
                continue
            for place, mask in zip(at.tolist(), bits.tolist()):
                for number in owners_of.of(mask):
                    places.setdefault(number, []).append(place)
        if len(found) > 1:
            return {number: sorted(set(its)) for number, its in places.items()}
        return places


class _Owners:
    """A word of bits -> the expressions whose sequences these are."""

    def __init__(self, owners: list[list[int]]) -> None:
        self._owners = owners
        # not a property: the same few combinations of bits come up again and again
        self.of = lru_cache(maxsize=1 << 14)(self._of)

    def _of(self, mask: int) -> tuple[int, ...]:
        return tuple(
            sorted({number for bit, its in enumerate(self._owners) if mask >> bit & 1 for number in its})
        )

    def spread(self, at: np.ndarray, bits: np.ndarray) -> Iterator[tuple[int, list[int]]]:
        """(expression, those of the places ``at`` where its sequences are), in order."""
        by_number: dict[int, list[np.ndarray]] = {}
        some = int(np.bitwise_or.reduce(bits))
        for bit, owners in enumerate(self._owners):
            if some >> bit & 1:
                there = at[(bits & np.uint64(1 << bit)) != 0]
                for number in owners:
                    by_number.setdefault(number, []).append(there)
        for number, its in by_number.items():
            yield number, (its[0] if len(its) == 1 else np.unique(np.concatenate(its))).tolist()


def _pair_tables(sequences: list[Classes]) -> list[np.ndarray]:
    """For each pair of classes of a sequence (before and first, second and third, …) 2^16 words."""
    tables = []
    for pair in range((LENGTH + 1) // 2):
        table = np.zeros((256, 256), np.uint64)
        for bit, sequence in enumerate(sequences):
            one, other = _members(sequence[2 * pair]), _members(sequence[2 * pair + 1])
            table[one[:, None] & other[None, :]] |= np.uint64(1 << bit)
        tables.append(table.ravel())
    return tables


def _members(of: Class) -> np.ndarray:
    members = np.zeros(256, bool)
    members[: EDGE + 1] = [bool(of >> value & 1) for value in range(EDGE + 1)]
    return members


class _Hyperscan:
    """Each sequence is one expression over bytes, of a fixed length: its end says where it starts. Those that
    hold a digit are slow to look for: that is done near digits only."""

    def __init__(self, owners: dict[_Key, list[int]]) -> None:
        import hyperscan

        # alike ones together; several databases are made much faster than one, and run as fast
        keys = sorted(owners, key=lambda key: (_holds_a_digit(key), bool(key[1]), key))
        numbered = sum(map(_holds_a_digit, keys))
        self._owners = [owners[key] for key in keys]
        self._anywhere = _databases(keys[:-numbered] if numbered else keys, 0)
        self._near_digits = _databases(keys[len(keys) - numbered :], len(keys) - numbered)
        self._where_dense = cache(partial(_Numpy, owners))
        self._given_up = hyperscan.ScanTerminated

    def __call__(self, seen: bytes) -> Places:
        try:
            return self._places(seen)
        except self._given_up:  # each end costs a call: the other scanner is not slower for many
            return self._where_dense()(seen)

    def _places(self, seen: bytes) -> Places:
        most = max(_ENDS_FEW, len(seen) // _ENDS_CLOSE)
        ends: dict[int, list[int]] = defaultdict(list)  # of one sequence they come in order
        for database in self._anywhere:
            _scan(database, seen, ends, most)
        if len(seen) < _SHORT:
            for database in self._near_digits:
                _scan(database, seen, ends, most)
        elif self._near_digits:
            near = _NearDigits(seen)
            there: dict[int, list[int]] = defaultdict(list)
            for database in self._near_digits:
                _scan(database, near.text, there, most)
            ends.update(near.back(there))
        found: dict[int, list[list[int]]] = {}
        for id, its in ends.items():
            places = [end - LENGTH - 1 for end in dict.fromkeys(its)]
            for number in self._owners[id]:
                found.setdefault(number, []).append(places)
        return {
            number: several[0] if len(several) == 1 else sorted({place for its in several for place in its})
            for number, several in found.items()
        }


def _databases(keys: Sequence[_Key], first: int) -> list[Any]:
    """Databases of Hyperscan for ``keys``, which are numbered from ``first`` on."""
    import hyperscan

    made = []
    for at in range(0, len(keys), _TOGETHER):
        some = keys[at : at + _TOGETHER]
        database = hyperscan.Database()
        database.compile(
            expressions=[
                before + b"".join(map(_as_set, sequence[1:] if before else sequence))
                for sequence, before in some
            ],
            ids=list(range(first + at, first + at + len(some))),
            elements=len(some),
            flags=[hyperscan.HS_FLAG_DOTALL] * len(some),
        )
        made.append(database)
    return made


def _scan(database: Any, seen: bytes, ends: dict[int, list[int]], most: int) -> None:
    count = 0

    def found(id: int, start: int, end: int, flags: int, context: Any) -> bool:
        nonlocal count
        count += 1
        ends[id].append(end)
        return count > most

    database.scan(seen, match_event_handler=found)


_ENDS_FEW, _ENDS_CLOSE = 1000, 6  # a scan gives up at more ends than that, and one for so many characters


_DIGIT = DIGITS | 1 << WILD  # what a class that holds digits alone admits


def _holds_a_digit(key: _Key) -> bool:
    sequence, before = key
    return not before and any(not of & ~_DIGIT for of in sequence)


class _NearDigits:
    """The stretches of a text in which a sequence with a digit can lie, one after the other."""

    def __init__(self, seen: bytes) -> None:
        at = np.flatnonzero(_IS_DIGIT[np.frombuffer(seen, np.uint8)])
        far = np.flatnonzero(np.diff(at) > 2 * LENGTH + 1)
        starts = np.maximum(at[np.concatenate([[0], far + 1])[: len(at)]] - LENGTH, 0)
        stops = np.minimum(at[np.concatenate([far, [-1]])[: len(at)]] + LENGTH + 1, len(seen))
        self.text = _BETWEEN.join([seen[a:b] for a, b in zip(starts.tolist(), stops.tolist())])
        lengths = stops - starts + len(_BETWEEN)
        self._begins = np.cumsum(lengths) - lengths
        self._shifts = starts - self._begins

    def back(self, ends: dict[int, list[int]]) -> Iterator[tuple[int, list[int]]]:
        """``ends`` of matches in ``text`` by their places in the whole."""
        here = np.fromiter(chain.from_iterable(ends.values()), np.int64)
        there = (here + self._shifts[np.searchsorted(self._begins, here) - 1]).tolist()
        done = 0
        for id, its in ends.items():
            yield id, there[done : done + len(its)]
            done += len(its)


_BETWEEN = b"\xff"  # of no class
_SHORT = 1 << 11  # characters below which cutting out costs more than it saves
_IS_DIGIT = _members(_DIGIT)


def _as_set(of: Class) -> bytes:
    """The class as a set of bytes in an expression."""
    members = "".join(f"\\x{value:02x}" for value in range(EDGE + 1) if of >> value & 1)
    return f"[{members}]".encode()
