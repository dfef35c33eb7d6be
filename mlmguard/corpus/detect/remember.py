"""Answers about texts that turn up again, remembered within a bound."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

ANSWERS = 1 << 12  # of one check: what turns up again does so soon
_LONGEST = 256  # characters of a text whose answer is remembered, so that all of them have a bound in bytes
_Answer = TypeVar("_Answer")


def remembered(check: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Give ``check``, whose first argument is a text, with its last answers remembered."""
    remembering = lru_cache(maxsize=ANSWERS)(check)

    def answer(text: str, *more: Any) -> _Answer:
        return remembering(text, *more) if len(text) <= _LONGEST else check(text, *more)

    return answer
