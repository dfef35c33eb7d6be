"""How the standard library reads a regular expression, and what can be told of it from that.

A class of characters (``characters``) is at least what the expression admits, in both cases where case is
ignored.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache, reduce
from operator import or_
from typing import Any

import numpy as np

from mlmguard.corpus.detect.characters import (
    ASCII,
    CHARACTER,
    DIGITS,
    SPACES,
    SPACES_OR_SEPARATORS,
    WILD,
    WORDS,
    Class,
    class_of,
    kinds,
)

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


@lru_cache(maxsize=1 << 10)
def parsed(expression: str, flags: int) -> Any:
    """The expression as ``re`` reads it; None where ``regex`` may read it in another way."""
    if sre_parser is None or flags & ~(re.IGNORECASE | re.MULTILINE | re.DOTALL | re.UNICODE):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "[[" is a nested set to ``regex`` and a warning to ``re``
            # what \K cuts off must still be there
            return sre_parser.parse(expression.replace(r"\K", "(?:)"), flags)
    except (re.error, Warning, RecursionError):
        return None


Node = tuple[Any, Any]
"""What an operation of ``re``'s parser is, and its arguments."""


def one_character(node: Node, flags: int) -> Class:
    """The class of a node that stands for one character: a literal, a set, or any."""
    match node:
        case sre.LITERAL, int(code):
            return _character(code, flags)
        case sre.NOT_LITERAL, int(code):
            return _without([(sre.LITERAL, code)], flags)
        case sre.IN, list(items):
            return _set(tuple(items), flags)
    return CHARACTER


@lru_cache(maxsize=1 << 12)
def _set(items: tuple[Node, ...], flags: int) -> Class:
    return _without(items[1:], flags) if items[0][0] is sre.NEGATE else among(items, flags)


@lru_cache(maxsize=1 << 12)
def _character(code: int, flags: int) -> Class:
    if code < 128:
        cases = {chr(code).lower(), chr(code).upper()} if flags & re.IGNORECASE else {chr(code)}
        return class_of(map(ord, cases)) | 1 << WILD
    kind = int(kinds()[code])  # the same in both cases, but for those that are WILD
    return CHARACTER if kind == WILD and flags & re.IGNORECASE else 1 << kind | 1 << WILD


@lru_cache(maxsize=1 << 12)
def _range(low: int, high: int, flags: int) -> Class:
    whole = reduce(or_, (_character(c, flags) for c in range(low, min(high, 127) + 1)), 0)
    foreign = map(int, np.unique(kinds()[max(low, 128) : high + 1]))
    return reduce(
        or_, (CHARACTER if kind == WILD and flags & re.IGNORECASE else 1 << kind for kind in foreign), whole
    )


def among(items: Iterable[Node], flags: int) -> Class:
    """At least every character that the set holds."""
    return reduce(or_, (_item(item, flags, most=True) for item in items), 1 << WILD)


def certain(items: Iterable[Node]) -> Class:
    """Characters that the set holds for certain, whatever the flags."""
    return reduce(or_, (_item(item, 0, most=False) for item in items), 0)


def _without(items: Iterable[Node], flags: int) -> Class:
    """Every character but those that the set holds for certain, in both cases."""
    held = certain(items)
    if flags & re.IGNORECASE:
        alone = class_of(
            c for c in range(128) if not all(held >> ord(x) & 1 for x in (chr(c).lower(), chr(c).upper()))
        )
        held &= ~alone
    return CHARACTER & ~held


def _item(item: Node, flags: int, *, most: bool) -> Class:
    """The characters of an item of a set: at least all of them, or only those that it holds for certain."""
    match item:
        case sre.LITERAL, int(code):
            return _character(code, flags) if most else 1 << code & ASCII
        case sre.RANGE, (int(low), int(high)):
            return _range(low, high, flags) if most else class_of(range(low, min(high, 127) + 1))
        case sre.CATEGORY, (sre.CATEGORY_DIGIT | sre.CATEGORY_UNI_DIGIT):
            return DIGITS
        case sre.CATEGORY, (sre.CATEGORY_WORD | sre.CATEGORY_UNI_WORD):
            return WORDS
        case sre.CATEGORY, (sre.CATEGORY_SPACE | sre.CATEGORY_UNI_SPACE):
            return SPACES_OR_SEPARATORS if most else SPACES
        case sre.CATEGORY, (sre.CATEGORY_NOT_DIGIT | sre.CATEGORY_UNI_NOT_DIGIT):
            return CHARACTER & ~DIGITS
        case sre.CATEGORY, (sre.CATEGORY_NOT_WORD | sre.CATEGORY_UNI_NOT_WORD):
            return CHARACTER & ~WORDS
        case sre.CATEGORY, (sre.CATEGORY_NOT_SPACE | sre.CATEGORY_UNI_NOT_SPACE):
            return CHARACTER & ~(SPACES if most else SPACES_OR_SEPARATORS)
    return CHARACTER if most else 0


__all__ = ["Node", "among", "certain", "longest", "one_character", "parsed", "sre"]
