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


class Shapes:
    """Tokens by shape: a digit for each digit, a small or capital letter for each of a kind, alike begun."""

    def __init__(self, tokens: Sequence[str], classes: Ids) -> None:
        self._shape = [_shape(token) for token in tokens]
        found: dict[str, list[int]] = {}
        for k, shape in enumerate(self._shape):
            if classes[k] not in (SPECIAL, PUNCTUATION):
                found.setdefault(shape, []).append(k)
        self._like = {shape: np.array(ids, dtype=np.int64) for shape, ids in found.items()}

    def like(self, token: int) -> Ids:
        """All tokens of the shape of ``token``, itself among them, ascending."""
        return self._like.get(self._shape[token], np.array([token], dtype=np.int64))


def _shape(token: str) -> str:
    """The shape of a token.

    >>> _shape("##f9"), _shape("ĠBra")
    ('##a0', 'ĠAaa')
    """
    begun = "##" if token.startswith("##") else ""
    return begun + "".join(_sort(letter) for letter in token[len(begun) :])


def _sort(letter: str) -> str:
    """The kind of an ASCII letter or digit; anything else is its own kind."""
    if not letter.isascii() or not letter.isalnum():
        return letter
    return "0" if letter.isdigit() else ("A" if letter.isupper() else "a")
