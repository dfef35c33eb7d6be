"""What a detector is made of: patterns, and the texts that prove them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """One regular expression (of the ``regex`` package) and how sure a match makes us, 0 to 1.

    What stands before ``\\K`` must be there and is not part of the value: much faster than a look-behind.
    """

    name: str
    regex: str
    score: float


@dataclass(frozen=True)
class Rule:
    """One kind of personal value, how to see it, and the proof that we do.

    ``context`` words within five words before a match raise its score by 0.35, to at least 0.4.
    ``valid`` sees each match and may refuse it.
    """

    entity: str
    name: str
    patterns: tuple[Pattern, ...]
    finds: tuple[str, ...]
    leaves: tuple[str, ...]
    context: tuple[str, ...] = ()
    valid: Callable[[str], bool] | None = None
    version: str = "1"
