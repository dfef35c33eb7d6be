"""How the standard library reads a regular expression, and what can be told of a match from that."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

try:  # names that the standard library keeps to itself; no public one reads an expression
    from re import _constants as sre  # type: ignore[attr-defined]
    from re import _parser as sre_parser  # type: ignore[attr-defined]
except ImportError:
    sre = sre_parser = None
    warnings.warn(
        "this Python reads regular expressions in another way: every pattern is tried everywhere, "
        "which is right and many times slower",
        RuntimeWarning,
        stacklevel=2,
    )


@lru_cache(maxsize=1 << 10)
def longest(expression: str, flags: int) -> int | None:
    """How many characters a match has at most; None where that cannot be told."""
    if sre_parser is None:
        return None
    try:
        return int(sre_parser.parse(expression, flags & re.IGNORECASE).getwidth()[1])
    except re.error:
        return None


__all__ = ["longest", "sre", "sre_parser"]
