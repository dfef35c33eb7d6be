"""Characters as a gate sees them: one byte each, and classes of them as bit masks.

ASCII is seen as itself, every other character as its kind, which is all that most classes of an expression
say of it (``LATIN``, ``LETTER``, ``DIGIT``, ``SPACE``, ``SIGN``); ``WILD`` are the few letters that are one
of ASCII in the other case, in every class; and ``EDGE`` stands before and behind the text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache, reduce
from operator import or_

import numpy as np
import regex

LATIN, LETTER, DIGIT, SPACE, SIGN = range(128, 133)
"""Kinds of characters that are not of ASCII: letters below U+0250 and the others (marks too), decimal digits,
white space, and the rest."""
WILD = 133
EDGE = 134

Class = int
"""A set of byte values as a bit mask: 0 to 127, the kinds, ``WILD`` and ``EDGE``."""


def class_of(values: Iterable[int]) -> Class:
    """Return the class of these byte values.

    >>> class_of(b"ab") == 1 << 97 | 1 << 98
    True
    """
    return reduce(or_, (1 << value for value in values), 0)


ASCII = class_of(range(128))
CHARACTER = ASCII | class_of((LATIN, LETTER, DIGIT, SPACE, SIGN, WILD))
ANYTHING = CHARACTER | 1 << EDGE
DIGITS = class_of(b"0123456789") | 1 << DIGIT
WORDS = class_of(c for c in range(128) if chr(c).isalnum() or c == ord("_")) | class_of(
    (LATIN, LETTER, DIGIT, WILD)
)
SPACES = class_of(b" \t\n\r\f\v") | 1 << SPACE
SPACES_OR_SEPARATORS = SPACES | class_of(range(0x1C, 0x20))  # white space to ``re``, not to ``regex``


def skeleton(text: str) -> bytes:
    """``text`` with one byte for each character."""
    if text.isascii():
        return text.encode("ascii")
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return kinds().take(codes).tobytes()


@lru_cache(maxsize=1)
def kinds() -> np.ndarray:
    """The byte of every character there is, as ``regex`` understands ``\\w``, ``\\d`` and ``\\s``."""
    everything = np.arange(sys.maxunicode + 1, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    found = np.full(len(everything), SIGN, np.uint8)
    for expression, kind in ((r"\w+", LETTER), (r"\d+", DIGIT), (r"\s+", SPACE)):
        for run in regex.finditer(expression, everything):
            found[run.start() : run.end()] = kind
    found[:_BEHIND_LATIN][found[:_BEHIND_LATIN] == LETTER] = LATIN
    found[[m.start() for m in regex.finditer("(?i)[a-zA-Z]", everything)]] = WILD
    found[:128] = range(128)
    return found


_BEHIND_LATIN = 0x250
