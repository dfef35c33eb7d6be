"""Invented values in the place of personal ones: of the same kind and shape, nobody's, always the same one.

How a value of each entity type is invented stands in its row (``detect/entities.py``).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache

from mlmguard.corpus.detect.installed import entity
from mlmguard.corpus.redact import REPEATED_PASSAGE, Clean, Placed, Pseudonym

_TRIES = 64
"""Draws before a value whose surrogates are all values of the corpus gets a tag."""

Taken = Callable[[str], bool]
"""If a text is one of the corpus's own values."""


def surrogate(rule: str, value: str, name: str) -> str:
    """Return the invented value for ``value``; ``name`` is its keyed pseudonym and all the chance there is.

    >>> surrogate("IP_ADDRESS", "10.1.2.3", "ab") == surrogate("IP_ADDRESS", "10.1.2.3", "ab")
    True
    """
    return entity(rule).surrogate(value, random.Random(name))


class Surrogates:
    """The surrogates of one corpus: never a value that the corpus holds."""

    def __init__(self, pseudonym: Pseudonym, taken: Taken) -> None:
        self._pseudonym, self._taken = pseudonym, taken
        self._of = lru_cache(maxsize=1 << 14)(self._drawn)

    def __call__(self, clean: Clean, text: str) -> Clean:
        """``clean``, made of ``text``, with a surrogate in the place of every stand-in."""
        pieces: list[str] = []
        placed: list[Placed] = []
        at = length = 0
        for one in clean.placed:
            stand_in = (
                "" if one.rule == REPEATED_PASSAGE else self._of(one.rule, text[one.raw_start : one.raw_end])
            )
            pieces += [clean.text[at : one.clean_start], stand_in]
            start = length + one.clean_start - at
            length = start + len(stand_in)
            placed.append(Placed(one.rule, one.score, one.raw_start, one.raw_end, start, length))
            at = one.clean_end
        pieces.append(clean.text[at:])
        return Clean("".join(pieces), tuple(placed))

    def _drawn(self, rule: str, value: str) -> str:
        """Drawn again while it is a value of the corpus; in the end the tag of the rule."""
        name = self._pseudonym(rule, value)
        draws = (surrogate(rule, value, f"{name} {attempt}") for attempt in range(_TRIES))
        return next((drawn for drawn in draws if drawn != value and not self._taken(drawn)), f"<{rule}>")
