"""From a model's shares for pieces of words to findings of whole words.

A word whose one piece is a name's is a name whole, and neighbouring words of one type are one finding: what a
model says of half a word, or of the second half of a name, leaves no half behind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# What is written without spaces is taken sign by sign: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(
    rf"[{_ALONE}]|(?:(?![{_ALONE}])[^\W_])+(?:['’.-](?:(?![{_ALONE}])[^\W_])+)*(?:(?<=[A-Z])\.(?=\s))?"
)
"""A word with the signs inside it: "O'Neill", "Smith-Jones", "J." before a space."""
_BETWEEN = re.compile(r"[ \t]*|[^\w\s]{1,3}", re.ASCII)
"""What may stand between two words of one finding: spaces, or a few signs without any ("03/12")."""

Found = tuple[int, int, str, float]
"""(start, end, type, score): characters of the text, end exclusive."""


def findings(
    text: str,
    places: Sequence[tuple[int, int]],
    shares: NDArray[np.float32],
    types: Sequence[str],
    least: float,
    start: int = 0,
    end: int | None = None,
) -> list[Found]:
    """Make findings of the words of ``text``, from ``start`` to ``end``, with a piece of at least ``least``.

    ``places`` are where the pieces stand, in order, ``shares`` the probability of each type: (pieces, types).
    A word has the type that is most probable over all its pieces, a finding the score of its surest word.
    """
    found: list[Found] = []
    piece = 0
    total = shares.sum(1)
    for match in WORD.finditer(text, start, len(text) if end is None else end):
        low, high = match.span()
        while piece < len(places) and places[piece][1] <= low:
            piece += 1
        last = piece
        while last < len(places) and places[last][0] < high:
            last += 1
        if last == piece:
            continue
        score = float(total[piece:last].max())
        if score < least:
            continue
        type_ = types[int(shares[piece:last].max(0).argmax())]
        if found and found[-1][2] == type_ and _BETWEEN.fullmatch(text, found[-1][1], low):
            found[-1] = (found[-1][0], high, type_, max(found[-1][3], score))
        else:
            found.append((low, high, type_, score))
    return [(*one[:3], round(one[3], 4)) for one in found]
