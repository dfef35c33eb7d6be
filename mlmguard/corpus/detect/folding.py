"""A text as the detectors see it: one character for each way of writing it, with a map back to the text.

Dashes, spaces, quotes, digits and letters of other widths become those of ASCII, one for one. Characters that
nobody sees are left out, and an at sign or a dot in words becomes one, so places need a map; most texts need
none. Nothing else is touched: an accent stays an accent.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


def _folds() -> dict[str, str]:
    """Character -> what it is read as; "" for one that is not seen."""
    table = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-")
    table |= dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " ")
    table |= dict.fromkeys(
        "\u00ad\u180e\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064", ""
    )
    table |= dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "")
    table |= dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"') | dict.fromkeys(
        "\u2018\u2019\u201a\u2032", "'"
    )
    for code in range(0x80, sys.maxunicode + 1):
        c = chr(code)
        if c in table:
            continue
        if unicodedata.category(c) == "Nd":
            table[c] = str(unicodedata.decimal(c))
        elif 0xFF01 <= code <= 0xFF5E:
            table[c] = chr(code - 0xFEE0)
        elif 0x1D400 <= code <= 0x1D7CB:  # mathematical letters
            plain = unicodedata.normalize("NFKC", c)
            if len(plain) == 1 and plain.isascii():
                table[c] = plain
    return table


_TABLE = _folds()
_SEEN = str.maketrans(_TABLE)
# In words or in an escape, between what can be a user and a host; "@" with spaces only before a whole host.
_AT = (
    r"(?<=[\w+-])(?:%40|&#0{0,4}64;|&#x40;|&commat;|\\u0040|[ ]?[(\[{<][ ]?(?i:at)[ ]?[)\]}>][ ]?)(?=\w)"
    r"|(?<=[\w+-])(?:[ ]@[ ]?|@[ ]|[ ]AT[ ])(?=[\w-]{2,63}\.[\w.-]{2,63})"
)
_DOT = r"(?<=\w)[ ]?[(\[{<][ ]?(?i:dot)[ ]?[)\]}>][ ]?(?=\w)"
_WRITTEN = re.compile(rf"(?P<at>{_AT})|{_DOT}")
# What one of them begins with, or has at its second place: signs that are known are found fast.
_MARKS = ("%40", "&#", "&commat;", "\\u0040", " AT ", " @", "@ ")
_SIGN = re.compile(r"[%&\\@(\[{<]| AT ")  # without one of these nothing is written out, as in most values
_IN_WORDS = re.compile(r"[(\[{<] ?(?:[aA][tT]|[dD][oO][tT]) ?[)\]}>]")


@dataclass(frozen=True)
class Folded:
    """A folded text and where its characters were."""

    text: str = field(repr=False)
    _starts: tuple[int, ...] = ()  # where a stretch begins that lies elsewhere than the one before
    _raw: tuple[int, ...] = ()  # and where it lies in the text

    def to_raw(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters ``start`` to ``end`` of the folded text were, ``end`` exclusive."""
        if not self._starts:
            return start, end
        return self._place(start), self._place(end - 1) + 1 if end > start else self._place(end)

    def _place(self, at: int) -> int:
        number = bisect_right(self._starts, at) - 1
        return at if number < 0 else self._raw[number] + at - self._starts[number]


def without_accents(text: str) -> str:
    """Leave out the marks of letters: "Zoë" and "Zoe" are one name."""
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def fold(text: str) -> Folded:
    """``text`` as the detectors see it.

    >>> fold("512\u2011\u200b46 kim (at) example.org").text
    '512-46 kim@example.org'
    """
    folded = Folded(text)
    if not text.isascii() and (there := _TABLE.keys() & set(text)):
        folded = _one_by_one(text, there)
    written = _written(folded.text) if _SIGN.search(folded.text) else []
    return _replaced(folded, written) if written else folded


def _one_by_one(text: str, there: set[str]) -> Folded:
    """``text`` without its characters ``there``, all of which the table has."""
    pieces: list[str] = []
    starts: list[int] = []
    raw: list[int] = []
    at = length = 0
    for match in re.finditer(f"[{''.join(map(re.escape, sorted(there)))}]+", text):
        start, end = match.span()
        pieces.append(text[at:start])
        length += start - at
        seen = text[start:end].translate(_SEEN)
        if len(seen) == end - start:
            pieces.append(seen)
            length += len(seen)
            at = end
            continue
        for place in range(start, end):
            seen = _TABLE[text[place]]
            pieces.append(seen)
            length += len(seen)
            if not seen:
                if starts and starts[-1] == length:
                    raw[-1] = place + 1
                else:
                    starts.append(length)
                    raw.append(place + 1)
        at = end
    pieces.append(text[at:])
    return Folded("".join(pieces), tuple(starts), tuple(raw))


def _written(text: str) -> list[re.Match[str]]:
    """What is written for an at sign or a dot: matches of ``_WRITTEN``, tried only where one can begin."""
    starts = {start for mark in _MARKS if mark in text for start in _places(mark, text)}
    for found in _IN_WORDS.finditer(text):
        starts.update((found.start() - 1, found.start()))
    matches: list[re.Match[str]] = []
    free = 0
    for start in sorted(starts):
        if start >= free and (match := _WRITTEN.match(text, start)) is not None:
            matches.append(match)
            free = match.end()
    return matches


def _places(mark: str, text: str) -> Iterator[int]:
    at = text.find(mark)
    while at >= 0:
        yield at
        at = text.find(mark, at + 1)


def _replaced(folded: Folded, written: Iterable[re.Match[str]]) -> Folded:
    """An at sign or a dot for what is written for it."""
    text = folded.text
    pieces: list[str] = []
    starts: list[int] = []
    raw: list[int] = []
    at = length = 0

    def note(here: int, there: int) -> None:
        starts.append(here)
        raw.append(there)

    def stretch(start: int, end: int) -> None:
        """Copied from ``folded``, with the places at which it lies elsewhere itself."""
        nonlocal length
        note(length, folded._place(start))
        first, last = bisect_right(folded._starts, start), bisect_right(folded._starts, end)
        for inner in range(first, last):
            note(length + folded._starts[inner] - start, folded._raw[inner])
        pieces.append(text[start:end])
        length += end - start

    for match in written:
        stretch(at, match.start())
        note(length, folded._place(match.start()))
        pieces.append("@" if match["at"] else ".")
        length += 1
        at = match.end()
    stretch(at, len(text))
    return Folded("".join(pieces), tuple(starts), tuple(raw))
