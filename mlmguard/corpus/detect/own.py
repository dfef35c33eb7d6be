"""The user's own words: values that are always personal, patterns of their own, and values that never are.

A list is a text file with a value a line, after the entity type and a tab where it has one, or a TOML file of
recognisers that prove themselves on their own texts as ours do. What stands in it may be personal: nothing
here shows it, and the records of a scan know it by a keyed fingerprint.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from mlmguard.artifacts import text_of
from mlmguard.corpus.detect.phrases import Phrases, words_of
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser
from mlmguard.corpus.detect.spans import Span
from mlmguard.errors import InputError

DENIED = "DENY_LIST"
"""The type of a value whose list names none."""
_MOST = 64_000_000  # bytes of a list
_SCORE = 0.9  # of a pattern: whoever wrote it means it
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{1,59}")
_KEYS = {"type", "values", "patterns", "context", "finds", "leaves"}


@dataclass(frozen=True)
class OwnWords:
    """What a user says is personal, and what is not. Two are the same if their lists are."""

    denied: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)  # value -> type
    recognisers: tuple[Recogniser, ...] = field(default=(), repr=False, compare=False)
    allowed: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    digest: str = ""

    @cached_property
    def _phrases(self) -> Phrases[str]:
        return Phrases((words_of(" ".join(value.split())), type_) for value, type_ in self.denied.items())

    def find(self, text: str) -> Iterator[Span]:
        """Yield the values of the list in ``text``: whole words, however they are written."""
        for start, end, type_ in self._phrases.find(text):
            yield Span(start, end, type_, 1.0)

    def allows(self, value: str) -> bool:
        """Say if somebody answers for it that ``value`` is nobody's."""
        return bool(self.allowed) and _written(value) in self.allowed

    def allowing_nothing(self) -> OwnWords:
        """The same without what is allowed."""
        return replace(self, allowed=frozenset(), digest=f"{self.digest} alone") if self.allowed else self

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types of its values."""
        return tuple(sorted(set(self.denied.values())))


NO_WORDS = OwnWords()


def read(deny: Path | None, allow: Path | None) -> OwnWords:
    """Read the lists; :class:`InputError` with the line for what is none, never with its content."""
    if deny is None and allow is None:
        return NO_WORDS
    lists = [
        (str(path), text_of(path, "a list of values", _MOST)) if path else ("", "") for path in (deny, allow)
    ]
    return _of(*lists)


@lru_cache(maxsize=4)
def _of(denying: tuple[str, str], allowing: tuple[str, str]) -> OwnWords:
    """What two lists say, each by its name ("" for none) and its text."""
    (deny, text), (allow, allowed_text) = denying, allowing
    whole = hashlib.sha256()
    denied: dict[str, str] = {}
    own: tuple[Recogniser, ...] = ()
    if deny:
        whole.update(f"deny {text}".encode())
        if Path(deny).suffix == ".toml":
            denied, own = _of_toml(text, deny)
        else:
            denied = dict(_of_lines(text, deny))
        if not denied and not own:
            raise InputError(f"--deny-list {deny}", "an empty list", "a value a line")
    allowed: frozenset[str] = frozenset()
    if allow:
        whole.update(f"allow {allowed_text}".encode())
        allowed = frozenset(_written(value) for value, _ in _of_lines(allowed_text, allow))
        if not allowed:
            raise InputError(f"--allow-list {allow}", "an empty list", "a value a line")
        if both := allowed & {_written(value) for value in denied}:
            raise InputError(
                f"--allow-list {allow}",
                f"{len(both)} of its values are in the deny-list, too",
                "one of the two",
            )
    return OwnWords(denied, own, allowed, whole.hexdigest()[:12])


def recognisers_of(path: Path) -> tuple[Recogniser, ...]:
    """Read the recognisers in a TOML file, unproved; :class:`InputError` where one is none."""
    return _of_toml(text_of(path, "recognisers in TOML", _MOST), str(path))[1]


def _of_lines(text: str, name: str) -> Iterator[tuple[str, str]]:
    """(value, type) of each line that is neither empty nor a remark."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \r\ufeff")
        if not line or line.startswith("#"):
            continue
        type_, tab, value = line.partition("\t")
        if not tab:
            type_, value = DENIED, line
        if not _TYPE.fullmatch(type_):
            raise InputError(
                f"{name}: line {number}",
                "no entity type before the tab",
                "TYPE in capitals, a tab, the value",
            )
        yield _worth_looking(value.strip(), f"{name}: line {number}"), type_


def _worth_looking(value: str, thing: str) -> str:
    if sum(map(str.isalnum, value)) < 2:
        raise InputError(thing, "a value of fewer than two letters or digits", "one that is found by itself")
    return value


def _written(value: str) -> str:
    """``value`` without case and with single spaces."""
    return " ".join(value.casefold().split())


def _of_toml(text: str, name: str) -> tuple[dict[str, str], tuple[Recogniser, ...]]:
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = re.search(r"line \d+", str(error))
        raise InputError(
            f"{name}{f': {line[0]}' if line else ''}", "not valid TOML", "tables [[recogniser]]"
        ) from None
    tables = data.get("recogniser")
    if set(data) != {"recogniser"} or not isinstance(tables, list) or not tables:
        raise InputError(name, "no tables [[recogniser]]", "one for each type, and nothing else")
    denied: dict[str, str] = {}
    found: list[Recogniser] = []
    for number, table in enumerate(tables, 1):
        thing = f"{name}: recogniser {number}"
        one = _checked(table, thing)
        denied.update((_worth_looking(value, thing), one["type"]) for value in one["values"])
        if one["patterns"]:
            found.append(
                Recogniser(
                    entity=one["type"],
                    name=f"{Path(name).stem}-{number}",
                    patterns=tuple(
                        Pattern(f"pattern {at}", f"(?i:{regex})", _SCORE)
                        for at, regex in enumerate(one["patterns"], 1)
                    ),
                    finds=tuple(one["finds"]),
                    leaves=tuple(one["leaves"]),
                    context=tuple(one["context"]),
                )
            )
    return denied, tuple(found)


def _checked(table: Any, thing: str) -> dict[str, Any]:
    if not isinstance(table, dict) or not _TYPE.fullmatch(str(table.get("type", ""))):
        raise InputError(thing, "no type", 'type = "EMPLOYEE_NUMBER", in capitals')
    if unknown := sorted(set(table) - _KEYS):
        raise InputError(thing, f"the key {unknown[0][:40]!r}", f"of: {', '.join(sorted(_KEYS))}")
    lists = {key: table.get(key, []) for key in _KEYS - {"type"}}
    for key, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise InputError(thing, f"{key} is no list of texts", f'{key} = ["…", "…"]')
    if not lists["values"] and not lists["patterns"]:
        raise InputError(thing, "neither values nor patterns", "at least one of them")
    return {"type": table["type"], **lists}
