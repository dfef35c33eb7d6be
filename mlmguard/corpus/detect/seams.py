"""Values that a line end cuts in two, or that are glued to a word: seen once more, joined or apart.

A seam is a place where the text is read in a second way. Around each, a short strip of the text is copied so
that the recognisers see the whole value (the line end and its quotation marks gone, a space between the word
and the number), all strips of a text in one go. Only what lies at its seam is taken from a strip: everything
else was found, or left, where it stands.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from mlmguard.corpus.detect.spans import Span

_BEFORE, _BEHIND = 72, 48  # characters of a strip on either side: five words of context, and the longest half
_APART = "\n\n.\n\n"  # between strips: words of one are no context of the next

# From the end of a line to the second half, with the marks of a quotation.
_LINE_END = re.compile(r"\n[ \t]*(?:[>|][>| \t]*)?(?=[\w(@.+-])")
# Those that can be in a number: its second half begins with digits, perhaps behind capitals.
_NUMBER_END = re.compile(_LINE_END.pattern + r"(?=[0-9]|[A-Z][A-Z()+ .-]{0,38}[0-9])")
# Those that can be in an address: at signs, and how far the word behind one reaches.
_ADDRESS = re.compile(r"@(?=([^ ]{0,40}[ \t\r]*\n?))")
_ADDRESS_END = re.compile(_LINE_END.pattern + r"(?=\S{0,39}@)")
_HALF = re.compile(r"[\w)@.+/-]")  # what the first half ends in, before the spaces of format=flowed
_GROUP = re.compile(r"[\dA-Z()+]{1,34}")  # of a value that is written in groups
_GROUPS = 8
_SEPARATOR = re.compile(r"[ .-]")
_AT_START, _AT_END = re.compile(r"\A\d+"), re.compile(r"\d+\Z")
_LEAST, _MOST = 9, 34  # digits of a value that may stand in two halves: a social security number, an IBAN
_JOINED = frozenset("-@._/")  # an end that goes on without a space

_RUN = re.compile(r"[0-9](?:[-.() /]{0,2}[0-9]){6,24}")  # folded: no other digits
_WORD_BEFORE = re.compile(r"(?<![^\W_])(?:[A-Za-z]{1,20}|[A-Za-z_]{0,30}_)\Z")
_WORD_BEHIND = re.compile(r"(?:_|[A-Za-z]{1,20})(?!\d)")
_GLUED = frozenset(("US_SSN", "CREDIT_CARD", "PHONE_NUMBER", "IP_ADDRESS", "US_ITIN", "IBAN_CODE"))
_SCORE = 0.5  # of what is glued to a word and has no check digit: a word beside it has to speak for it


@dataclass(frozen=True)
class _Strip:
    """Characters ``start`` to ``seam`` and ``behind`` to ``end``, with ``filler`` between."""

    start: int
    seam: int
    behind: int
    end: int
    filler: str
    glued: bool


def across_seams(text: str, find: Callable[[str], list[Span]]) -> list[Span]:
    """What ``find`` sees at the seams of ``text``, by its place in ``text``."""
    strips = [*_line_ends(text), *_edges(text)]
    if not strips:
        return []
    pieces: list[str] = []
    begins: list[int] = []
    length = 0
    for strip in strips:
        begins.append(length)
        piece = text[strip.start : strip.seam] + strip.filler + text[strip.behind : strip.end]
        pieces += [piece, _APART]
        length += len(piece) + len(_APART)
    found = []
    for span in find("".join(pieces)):
        number = bisect_right(begins, span.start) - 1
        placed = _placed(strips[number], span, begins[number])
        if placed is not None:
            found.append(placed)
    return found


def _placed(strip: _Strip, span: Span, begin: int) -> Span | None:
    """A finding of a strip in the text; None if it does not lie at the seam."""
    left = begin + strip.seam - strip.start  # where the first half ends
    right = left + len(strip.filler)
    if strip.glued:
        if span.rule not in _GLUED or (span.start != right and span.end != left) or span.score < _SCORE:
            return None
    elif not (span.start < left and span.end > right):
        return None
    shift = strip.start - begin
    start = span.start + shift if span.start < left else span.start - right + strip.behind
    end = span.end + shift if span.end <= left else span.end - right + strip.behind
    return Span(start, end, span.rule, span.score) if end <= strip.end else None


def _candidates(text: str) -> Iterator[tuple[int, int]]:
    """Of the line ends those, in order, around which there can be two halves of a number or of an address."""
    ends = {match.start(): match.end() for match in _NUMBER_END.finditer(text)}
    if "@" in text:
        ends.update(match.span() for match in _ADDRESS_END.finditer(text))
        free = 0
        for behind in _ADDRESS.finditer(text):
            end = behind.end(1)
            while (place := text.find("\n", max(free, behind.start(1)), end)) >= 0:
                free = place + 1
                if (match := _LINE_END.match(text, place)) is not None:
                    ends[place] = match.end()
    yield from sorted(ends.items())


def _line_ends(text: str) -> Iterator[_Strip]:
    addresses = "@" in text
    for start, end in _candidates(text):
        if start and text[start - 1] == "\r":
            start -= 1
        while start and text[start - 1] in " \t":
            start -= 1
        if not start or not _HALF.match(text, start - 1):
            continue
        left, right = text[max(0, start - 40) : start], text[end : end + 40]
        if _one_number(left, right) or (addresses and _one_address(left, right)):
            joined = left[-1] in _JOINED or right[0] in "@."
            yield _Strip(max(0, start - _BEFORE), start, end, end + _BEHIND, "" if joined else " ", False)


def _one_number(left: str, right: str) -> bool:
    """If digits on both sides are as many as one value has."""
    if not (right[0].isdigit() or right[0].isupper()):
        return False
    if not (left[-1].isdigit() or left[-1].isupper() or left[-1] in "-)."):
        return False
    before = _digits(reversed(_SEPARATOR.split(left)), _AT_END)
    if before < 2:
        return False
    behind = _digits(_SEPARATOR.split(right), _AT_START)
    return behind >= 2 and _LEAST <= before + behind <= _MOST


def _digits(groups: Iterable[str], part: re.Pattern[str]) -> int:
    """The digits of ``groups`` up to the first that is none of a number, of that one those in ``part``."""
    count = 0
    for place, group in enumerate(islice(groups, _GROUPS)):
        if not _GROUP.fullmatch(group) and (group or place):
            digits = part.search(group)
            return count + (len(digits.group()) if digits else 0)
        count += sum(c.isdigit() for c in group)
    return count


def _one_address(left: str, right: str) -> bool:
    """If an at sign stands in one of two words that belong together."""
    last, first = left.rpartition(" ")[2], right.split(maxsplit=1)[0]
    if "@" in last:
        return last[-1] in "-@." and first[0].isalnum()
    return "@" in first and (last[-1] in "-._" or first[0] in "@.") and len(last) > 1


def _edges(text: str) -> Iterator[_Strip]:
    for match in _RUN.finditer(text):
        start, end = match.span()
        if start and text[start - 1] in "+(":
            start -= 1
        before = start and (text[start - 1].isalpha() or text[start - 1] == "_")
        behind = end < len(text) and (text[end].isalpha() or text[end] == "_")
        if not before and not behind:
            continue
        if before and not _WORD_BEFORE.search(text, max(0, start - 32), start):
            continue
        if behind and not _WORD_BEHIND.match(text, end):
            continue
        if before:
            # the other edge is cut off: it is one number, whatever stands behind it
            yield _Strip(max(0, start - _BEFORE), start, start, end, " ", True)
        if behind:
            low = start if before else max(0, start - _BEFORE)
            yield _Strip(low, end, end, min(len(text), end + _BEHIND), " ", True)
