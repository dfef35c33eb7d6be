"""What a recogniser is made of: patterns, and the texts that prove them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlmguard.corpus.detect.entities import Entity


@dataclass(frozen=True)
class Pattern:
    """One regular expression (of the ``regex`` package) and how sure a match makes us, 0 to 1.

    What stands before ``\\K`` must be there and is not part of the value: much faster than a look-behind.
    """

    name: str
    regex: str
    score: float


@dataclass(frozen=True)
class Recogniser:
    """One way to see one kind of personal value, and the proof that it does.

    ``entity`` is the name of a type that has a row in ``entities.py``, or the row of a new type. ``finds``
    are texts with the value between « and »; in ``leaves`` there is none. ``context`` words within five
    words before a match raise its score by 0.35, to at least 0.4. ``valid`` may refuse a match.
    """

    entity: str | Entity
    name: str
    patterns: tuple[Pattern, ...]
    finds: tuple[str, ...]
    leaves: tuple[str, ...]
    context: tuple[str, ...] = ()
    valid: Callable[[str], bool] | None = None
    version: str = "1"

    @property
    def type(self) -> str:
        """The name of its entity type."""
        return self.entity if isinstance(self.entity, str) else self.entity.name
