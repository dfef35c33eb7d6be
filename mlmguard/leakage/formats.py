"""What an attacker knows of a secret's format: which kind of token stands where, not which token."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from mlmguard.leakage.answers import Ids

DIGIT, CONTINUATION, WORD, PUNCTUATION, SPECIAL = range(5)


def token_classes(tokens: Sequence[str], special: Collection[int]) -> Ids:
    """The class of each vocabulary entry, shape (V,): WordPiece (##), byte-level (Ġ), sentencepiece (▁).

    >>> token_classes(["[PAD]", "7", "##ing", "ward", "-"], {0}).tolist()
    [4, 0, 1, 2, 3]
    """
    return np.array(
        [SPECIAL if k in special else _class(token) for k, token in enumerate(tokens)], dtype=np.int64
    )


def alphabets(classes: Ids) -> list[Ids]:
    """For each class the tokens in it, ascending; an empty class gets every ordinary token."""
    ordinary = np.flatnonzero(classes != SPECIAL)
    found = [np.flatnonzero(classes == kind) for kind in range(SPECIAL)]
    return [tokens if len(tokens) else ordinary for tokens in found]


def _class(token: str) -> int:
    continued = token.startswith("##")
    core = token[2:] if continued else token.lstrip("Ġ▁")
    if core.isdigit():
        return DIGIT
    if not any(c.isalnum() for c in core):
        return PUNCTUATION
    return CONTINUATION if continued else WORD
