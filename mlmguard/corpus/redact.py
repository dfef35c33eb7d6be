"""Cleaning as a pure function of a text and its findings. Every character outside a finding stays."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlmguard.corpus.detect.spans import Span, resolve
from mlmguard.errors import InputError
from mlmguard.settings import Cleaning

MODES = tuple(map(str, Cleaning))

REPEATED_PASSAGE = "REPEATED_PASSAGE"
"""The rule of a passage that another document holds too: it goes without a trace, in every mode."""

Pseudonym = Callable[[str, str], str]
"""(rule, value) -> a keyed name, hexadecimal: the same value has the same name in the whole corpus."""


class Placed(NamedTuple):
    """One finding, where it was in the raw text and where its stand-in is in the clean one."""

    rule: str
    score: float
    raw_start: int
    raw_end: int
    clean_start: int
    clean_end: int


@dataclass(frozen=True)
class Clean:
    """A cleaned text and the map between it and the raw one."""

    text: str
    placed: tuple[Placed, ...]

    def __repr__(self) -> str:
        return f"Clean({len(self.text)} characters, {len(self.placed)} findings)"

    def form(self, raw: str) -> int:
        """A hash, 64 bits, of the words of ``raw`` with each finding's type in its place: whatever the mode,
        letters that differ only in their values have one."""
        pieces: list[str] = []
        at = 0
        for placed in self.placed:
            pieces += [raw[at : placed.raw_start], f" <{placed.rule}> "]
            at = placed.raw_end
        pieces.append(raw[at:])
        words = " ".join("".join(pieces).split()).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest())

    def to_raw(self, position: int) -> int:
        """Return where a character of the clean text was; within a stand-in, the start of its finding."""
        before = bisect_right(self.placed, position, key=lambda p: p.clean_start)
        if before == 0:
            return position
        last = self.placed[before - 1]
        return last.raw_start if position < last.clean_end else position - last.clean_end + last.raw_end

    def to_clean(self, position: int) -> int:
        """Return where a character of the raw text went; within a finding, the start of its stand-in."""
        before = bisect_right(self.placed, position, key=lambda p: p.raw_start)
        if before == 0:
            return position
        last = self.placed[before - 1]
        return last.clean_start if position < last.raw_end else position - last.raw_end + last.clean_end


def redact(
    text: str, spans: Sequence[Span], mode: str = "replace", pseudonym: Pseudonym | None = None
) -> Clean:
    """``text`` with each of ``spans`` (resolved: in order, none overlapping) replaced by a stand-in.

    ``drop-document`` redacts as ``replace`` does; who writes the corpus leaves such a document out.
    So does ``surrogate``: which values are free is known when the whole corpus was read (``Surrogates``).

    >>> redact("mail a@b.org now", [Span(5, 12, "EMAIL_ADDRESS", 1.0)]).text
    'mail <EMAIL_ADDRESS> now'
    """
    pieces: list[str] = []
    placed: list[Placed] = []
    alike: dict[str, str] = {}  # rule -> its stand-in, where that says nothing of the value
    at = length = 0
    for start, end, rule, score in spans:
        if start < at:
            raise ValueError("spans overlap or are out of order")
        stand_in = alike.get(rule)
        if stand_in is None:
            stand_in = _stand_in(mode, rule, text[start:end], pseudonym)
            if mode != Cleaning.PSEUDONYM:
                alike[rule] = stand_in
        pieces += [text[at:start], stand_in]
        clean_start = length + start - at
        length = clean_start + len(stand_in)
        placed.append(Placed(rule, score, start, end, clean_start, length))
        at = end
    pieces.append(text[at:])
    return Clean("".join(pieces), tuple(placed))


def _stand_in(mode: str, rule: str, value: str, pseudonym: Pseudonym | None) -> str:
    if rule == REPEATED_PASSAGE:
        return ""
    if mode in (Cleaning.REPLACE, Cleaning.SURROGATE, Cleaning.DROP_DOCUMENT):
        return f"<{rule}>"
    if mode == Cleaning.MASK:
        return "*" * 8  # not the value's length: a length can tell values apart
    if mode == Cleaning.PSEUDONYM:
        if pseudonym is None:
            raise ValueError("a pseudonym needs a key")
        return f"<{rule}_{_in_letters(pseudonym(rule, value))}>"
    raise InputError(f"mode {mode!r}", "not known", f"one of: {', '.join(MODES)}")


_LETTERS = str.maketrans("0123456789abcdef", "GHJKLMNPQRSTVWXZ")


def _in_letters(name: str) -> str:
    """A hexadecimal name without digits, so that no recogniser takes it for an account number."""
    return name.translate(_LETTERS)


def redact_fully(
    text: str,
    find: Callable[[str], Sequence[Span]],
    mode: str = "replace",
    pseudonym: Pseudonym | None = None,
    find_again: Callable[[str], Sequence[Span]] | None = None,
) -> Clean:
    """:func:`redact` until nothing is found any more.

    Taking one value out moves its neighbours together: a context word comes within reach of a number
    that was too weak before. What a second look at the clean text finds is redacted as well; ``find_again``
    is who takes it, where that is somebody else.
    """
    spans = resolve(find(text))
    clean = redact(text, spans, mode, pseudonym)
    while spans:
        again = [_in_raw(clean, span) for span in (find_again or find)(clean.text)]
        if not again:
            break
        new = resolve([*spans, *again])
        if [(s.start, s.end) for s in new] == [(s.start, s.end) for s in spans]:
            break  # only our own stand-ins were found, which does not happen with ours and may with a plug-in
        spans = new
        clean = redact(text, spans, mode, pseudonym)
    return clean


def _in_raw(clean: Clean, span: Span) -> Span:
    start, last = clean.to_raw(span.start), clean.to_raw(span.end - 1)
    before = bisect_left(clean.placed, span.end, key=lambda p: p.clean_start)
    inside = before > 0 and span.end <= clean.placed[before - 1].clean_end
    return Span(start, clean.placed[before - 1].raw_end if inside else last + 1, span.rule, span.score)
