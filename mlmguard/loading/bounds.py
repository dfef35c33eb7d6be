"""What the files of a tokenizer may ask for: a text that grows a little, ids near the number of entries.

The library that reads them believes every number: an id of four billion is a table of four billion places,
and three replacements of one letter by a thousand make a gigabyte of a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlmguard.errors import InputError

_MOST_GROWTH = 1024.0  # of a text, by all steps together: ten that put a letter where nothing stood
_MOST_PADDING = 1 << 16  # tokens
_SPARE_IDS = 100_000  # beyond four times the entries: tokenizers leave gaps
_MOST_ENTRIES = 2_000_000  # of a vocabulary, or merges: the largest known have half as many
_MOST_ADDED = 50_000  # entries beside the vocabulary, each of which a library looks for by itself
_MOST_SPECIAL = 5_000  # of these by name: each is compared with all
_COUNTS = ("extra_ids", "num_madeup_words", "offset")  # of entries that a class makes up
_LISTS = ("vocab.json", "added_tokens.json")  # of entries and ids, and of nothing else
_PARTS: tuple[tuple[str, int, tuple[tuple[str, ...], ...]], ...] = (
    ("entries", _MOST_ENTRIES, (("model", "vocab"), ("model", "merges"))),
    ("added entries", _MOST_ADDED, (("added_tokens",), ("added_tokens_decoder",))),
    (
        "special tokens",
        _MOST_SPECIAL,
        (("additional_special_tokens",), ("extra_special_tokens",), ("model_specific_special_tokens",)),
    ),
)
"""What each part of a tokenizer's file holds, the most of it, and where it stands."""
_NO_TEXT = "a tokenizer of texts"


def refuse_unbounded(read: Mapping[str, Any], path: Path) -> None:
    """Raise :class:`InputError` where a tokenizer's file, read as JSON, asks for more than a text needs."""
    if _growth(read) > _MOST_GROWTH:
        raise InputError(str(path), "steps that make a text many times longer", _NO_TEXT)
    for what, most, parts in _PARTS:
        if any(isinstance(one := _part(read, keys), dict | list) and len(one) > most for keys in parts):
            raise InputError(str(path), f"more than {most:,} {what}", _NO_TEXT)
    ids = list(_ids({"model": {"vocab": read}} if path.name in _LISTS else read))
    if any(not 0 <= one <= 4 * len(ids) + _SPARE_IDS for one in ids):
        raise InputError(str(path), "an id far beyond the number of its entries", _NO_TEXT)
    for name in _COUNTS:
        if type(read.get(name)) is int and not 0 <= read[name] <= _SPARE_IDS:
            raise InputError(str(path), f"{name}, entries without end", _NO_TEXT)
    length = read.get("model_max_length", 1)
    if not (type(length) in (int, float) and length >= 1) and length is not None:
        raise InputError(str(path), "model_max_length is no length", "a number of tokens, at least 1")
    padding = read.get("padding")
    if isinstance(padding, dict):
        strategy = padding.get("strategy")
        asked = [
            padding.get("pad_to_multiple_of"),
            strategy.get("Fixed") if isinstance(strategy, dict) else 1,
        ]
        if any(type(one) is int and not 0 < one <= _MOST_PADDING for one in asked):
            raise InputError(str(path), "padding without end", _NO_TEXT)


def _part(read: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        read = read.get(key) if isinstance(read, dict) else None
    return read


def _growth(read: Mapping[str, Any]) -> float:
    growth, left = 1.0, [one for key in ("normalizer", "pre_tokenizer") if (one := read.get(key))]
    while left:
        one = left.pop()
        if not isinstance(one, dict):
            continue
        for key in ("normalizers", "pretokenizers"):
            left += inner if isinstance(inner := one.get(key), list) else []
        pattern = one.get("pattern")
        replaced = pattern.get("String") if isinstance(pattern, dict) else None
        added = max(len(str(one.get(key) or "")) for key in ("content", "prepend", "replacement"))
        # an expression may match nothing, between any two letters
        growth *= max(1.0, added / max(1, len(replaced)) if isinstance(replaced, str) else 1.0 + added)
    return growth


def _ids(read: Mapping[str, Any]) -> Iterator[int]:
    """Every id that is given to an entry."""
    model = read.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from (one for one in vocabulary.values() if type(one) is int)
    elif isinstance(vocabulary, list):
        yield from range(len(vocabulary))
    added = read.get("added_tokens")
    for one in added if isinstance(added, list) else []:
        if isinstance(one, dict) and type(one.get("id")) is int:
            yield one["id"]
    listed = read.get("added_tokens_decoder")
    if isinstance(listed, dict):
        yield from (int(name) for name in listed if name.isdecimal() and len(name) < 20)
