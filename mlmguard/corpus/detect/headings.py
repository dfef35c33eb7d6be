"""Values below the heading of their column: each cell is looked at once more, with its heading before it.

A table stands in a text as Markdown, as rows of HTML, or as lines whose cells are parted by bars, tabs,
semicolons, commas or two spaces. Its heading is a first row without a digit. As at seams, all that is looked
at of a text is copied together and looked at in one go, and only what lies in a cell is taken.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from mlmguard.corpus.detect.spans import Span

_APART = "\n\n.\n\n"  # between cells: words of one are no context of the next
_LONGEST = 120  # characters of a cell, and of a heading
_ROWS = 100_000
# A line without a digit, then perhaps a rule, then a line with one; the marks that part cells stand in both.
_RULE = r"(?:(?=[^\n-]{0,20}--)[ \t|+:-]{2,300}\n)?"  # one class: a line of dashes is read once
_HEADS = {
    mark: re.compile(
        rf"^[^\n\d{sign}]*{sign}[^\n\d]*\n{_RULE}(?=[^\n{sign}]*{sign})(?=[^\n]*\d)",
        re.M,
    )
    for mark, sign in (("|", r"\|"), ("\t", r"\t"), (";", ";"))
}
_COMMA = re.compile(
    r"^(?:[^\n\d, ]{1,30}(?: [^\n\d, ]{1,30}){0,3},)+[^\n\d, ][^\n\d,]{0,60}\n(?=[^\n]*\d)", re.M
)
_WIDE = re.compile(
    r"^[ ]*[^\n\d ]+(?: [^\n\d ]+)*(?:[ ]{2,}[^\n\d ]+(?: [^\n\d ]+)*)+[ ]*\n" + _RULE + r"(?=[^\n]*\d)", re.M
)
# What a line of a heading holds; behind a comma of one there is no space.
_SIGNS = {
    "|": re.compile(r"\|"),
    "\t": re.compile(r"\t"),
    ";": re.compile(";"),
    ",": re.compile(r",[^\n\d, ]"),
}
_GAP = re.compile(r"[ ]{2,}|\Z")
_ROW = re.compile(r"<tr\b[^>]{0,200}>(.{0,20000}?)</tr>", re.I | re.S)
_CELL = re.compile(r"<t[hd]\b[^>]{0,200}>(?:\s|<[^>]{1,100}>)*([^<>]{1,120}?)\s*<", re.I)

_Cell = tuple[int, int]
"""Where a cell starts and ends."""


@dataclass(frozen=True)
class _Looked:
    """A cell below its heading, and where it begins in what is looked at."""

    begin: int
    lead: int
    start: int


def under_headings(text: str, find: Callable[[str], list[Span]]) -> list[Span]:
    """What ``find`` sees in the cells of tables in ``text``, by its place in ``text``."""
    pieces: list[str] = []
    looked: list[_Looked] = []
    length = 0
    for heading, (start, end) in _cells(text):
        lead = f"{heading}: "
        piece = lead + text[start:end] + _APART
        looked.append(_Looked(length, len(lead), start))
        pieces.append(piece)
        length += len(piece)
    if not looked:
        return []
    begins = [one.begin for one in looked]
    found = []
    for span in find("".join(pieces)):
        one = looked[bisect_right(begins, span.start) - 1]
        shift = one.start - one.begin - one.lead
        if span.start >= one.begin + one.lead:
            found.append(span._replace(start=span.start + shift, end=span.end + shift))
    return found


def _cells(text: str) -> Iterator[tuple[str, _Cell]]:
    """(heading, its cell) of every cell with a digit, each once."""
    for heading, rows in _tables(text):
        names = [text[start:end].strip(" \t*_`\"'") for start, end in heading]
        for row in rows:
            if len(row) != len(heading):
                break
            for name, (start, end) in zip(names, row):
                short = 0 < end - start <= _LONGEST and 1 < len(name) <= _LONGEST
                if short and any(map(str.isdigit, text[start:end])):
                    yield name, (start, end)


def _tables(text: str) -> Iterator[tuple[list[_Cell], Iterator[list[_Cell]]]]:
    for mark, head in _HEADS.items():
        if mark in text:
            yield from _lined(text, head, mark, _lines_with(_SIGNS[mark], text))
    if "," in text:
        yield from _lined(text, _COMMA, ",", _lines_with(_SIGNS[","], text))
    if "  " in text:
        yield from _lined(text, _WIDE, "", _lines_with_a_gap(text))
    if ("<tr" in text and "</tr" in text) or ("<TR" in text and "</TR" in text):
        yield from _tagged(text)


def _lined(
    text: str, head: re.Pattern[str], mark: str, starts: Iterator[int]
) -> Iterator[tuple[list[_Cell], Iterator[list[_Cell]]]]:
    """The tables whose heading stands in one of the lines that begin at ``starts``."""
    free = 0
    for start in starts:
        if start < free or (found := head.match(text, start)) is None:
            continue
        first = text.index("\n", start)
        heading = _parted(text, start, first, mark)
        rows: list[list[_Cell]] = []
        free = found.end()
        while free < len(text) and len(rows) < _ROWS:
            end = text.find("\n", free)
            end = len(text) if end < 0 else end
            row = _parted(text, free, end, mark)
            if len(row) != len(heading):
                break
            rows.append(row)
            free = end + 1
        if len(heading) > 1 and rows:
            yield heading, iter(rows)


def _lines_with(sign: re.Pattern[str], text: str) -> Iterator[int]:
    """Where the lines begin that hold ``sign``: an expression of a heading is tried at every character."""
    end = 0
    while (found := sign.search(text, end)) is not None:
        yield text.rfind("\n", end, found.start()) + 1 or end
        end = text.find("\n", found.end())
        if end < 0:
            return


def _lines_with_a_gap(text: str) -> Iterator[int]:
    """Where the lines begin that hold two spaces between words."""
    start = 0
    for line in text.split("\n"):
        if "  " in line.strip(" "):
            yield start
        start += len(line) + 1


def _parted(text: str, start: int, end: int, mark: str) -> list[_Cell]:
    """The cells of one line, without the bars at its ends."""
    if not mark:
        gaps = [m.span() for m in _GAP.finditer(text, start, end)]
        ends = [(at, to) for at, to in gaps if at > start and text[start:at].strip(" ")]
        cells = list(pairwise([start, *(to for _, to in ends)]))
        return [_stripped(text, a, b) for a, b in cells]
    line = text[start:end]
    low = start + len(line) - len(line.lstrip(" \t>|" if mark == "|" else " >"))
    high = start + len(line.rstrip(" \t\r|" if mark == "|" else " \r"))
    cells, at = [], low
    while at <= high:
        to = text.find(mark, at, high)
        to = high if to < 0 else to
        cells.append(_stripped(text, at, to))
        at = to + 1
    return cells


def _stripped(text: str, start: int, end: int) -> _Cell:
    cell = text[start:end]
    left = len(cell) - len(cell.lstrip(" \t\"'*`"))
    right = len(cell.rstrip(" \t\r\"'*`"))
    return start + left, max(start + left, start + right)


def _tagged(text: str) -> Iterator[tuple[list[_Cell], Iterator[list[_Cell]]]]:
    heading: list[_Cell] = []
    for row in _ROW.finditer(text):
        cells = [cell.span(1) for cell in _CELL.finditer(text, row.start(1), row.end(1) + 1)]
        digits = any(map(str.isdigit, "".join(text[start:end] for start, end in cells)))
        if not digits and len(cells) > 1:
            heading = cells
        elif len(cells) == len(heading):
            yield heading, iter([cells])
