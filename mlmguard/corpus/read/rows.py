"""Rows with columns to documents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlmguard.corpus.read.document import Refused, Settings, document
from mlmguard.corpus.records import Numbers
from mlmguard.types import Document

_OWN_ID = re.compile(r"[A-Za-z]{1,16}[-_:]\d{1,10}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


MAX_COLUMNS = 1_000
"""Columns of one row. Each is searched on its own: a hundred thousand hold up the whole scan."""


def refuse_wide(columns: int) -> None:
    """Raise :class:`Refused` for more columns than a record of a person has."""
    if columns > MAX_COLUMNS:
        raise Refused(f"more than {MAX_COLUMNS:,} columns")


class Rows:
    """Rows of one file to documents; knows which ids the file has used."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings
        self._used = Numbers()

    def document(self, row: Any, number: int) -> Document:
        """Make the document of row ``number`` (a line, 1-based); raises :class:`Refused` if it is none."""
        if isinstance(row, str):  # of a list of texts
            row = {self._settings.text_key: row}
        if not isinstance(row, Mapping):
            raise Refused("neither a JSON object nor a text")
        refuse_wide(len(row))
        column, found, rest = _find_text(row, self._settings.text_key)
        try:
            text = _as_text(found)
        except RecursionError:
            raise Refused("JSON nested too deep") from None
        if text is None:
            raise Refused(
                f'"{self._settings.text_key}" is not text'
                if found is not None
                else f'no "{self._settings.text_key}"'
            )
        unit = ""
        if self._settings.unit_key is not None:
            value = row.get(self._settings.unit_key)
            unit = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
            if not unit:
                raise Refused(f'no "{self._settings.unit_key}"')
        own = row.get(self._settings.id_key)
        taken = own is not None and own != "" and not self._used.add(_mark(own))
        name = own if isinstance(own, str) and _OWN_ID.fullmatch(own) and not taken else f"L{number}"
        made = document(
            f"{self._name}#{name}", self._name, text, unit, self._settings,
            self._metadata({**row, column: rest}),
        )  # fmt: skip
        return replace(made, id_was_taken=True) if taken else made

    def _metadata(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The other columns, as text."""
        own = (self._settings.id_key, self._settings.unit_key)
        return {
            str(column): value
            if isinstance(value, str)
            else json.dumps(value, ensure_ascii=False, default=str)
            for column, value in row.items()
            if column not in own and value not in (None, "", [], {})
        }


TURNS = ("messages", "conversations", "conversation")  # of a chat, in the rows of most who publish one
_SAID = ("content", "value", "text")  # what a turn says


_SHOWN = 8  # columns that a reason names
# Words of which names of columns are made. A table without a header begins with a record: any other word may
# be somebody's name or illness.
_USUAL = frozenset(
    re.findall(r"\w+", """
abstract address age author body category class code col column comment comments content contents country
created data date day description diagnosis dob doc document email file filename first from gender group
id ids index key kind label labels lang language last letter line mail message messages model mrn name
names no note notes nr num number patient phone post question rating reply report response row score
section sender sex source split ssn status subject summary tag tags target text texts time timestamp
title to topic type uid unit updated url user username uuid value words year zip
""")
)  # fmt: skip


def no_column(key: str, columns: Iterable[str], delimiter: str = "") -> str:
    """Give the reason of a table without a text, with what of its columns can be shown."""
    names = list(map(str, columns))
    shown = [name for name in names if {*re.split("[_ ]", name.strip().casefold())} <= _USUAL][:_SHOWN]
    seen = f"{len(names)} column{'s' * (len(names) != 1)}"
    if not delimiter:
        return f'no column "{key}" in {seen}' + (f" ({', '.join(shown)})" if shown else "")
    seen += f' between "{delimiter}"' if delimiter.strip() else ""
    return f'no column "{key}" in the first row ({seen}' + (f": {', '.join(shown)})" if shown else ")")


def has_text(columns: Iterable[str], key: str) -> bool:
    """If a table with these columns has one that holds the text."""
    names = [str(column) for column in columns]
    folded = {name.strip().casefold() for name in names}
    return (
        key.casefold() in folded
        or ("." in key and key.partition(".")[0] in names)
        or bool(folded & set(TURNS))
    )


def _find_text(row: Mapping[str, Any], key: str) -> tuple[str, Any, Any]:
    """The column that holds the text, the text in it, and what else it holds: ``key``, what is written like
    it but for case and spaces, a path of keys with dots, or the turns of a chat."""
    if key in row:
        return key, row[key], None
    for column, value in row.items():
        if str(column).strip().casefold() == key.casefold():
            return column, value, None
    first, dot, path = key.partition(".")
    if dot and first in row:
        return first, _inner(row[first], path), _beside(row[first], path)
    for column in TURNS:
        if isinstance(row.get(column), list):
            return column, row[column], [_beside_said(turn) for turn in row[column]]
    return key, None, None


def _inner(value: Any, path: str) -> Any:
    """What stands under ``path`` in an object, or in each of a list of objects."""
    if isinstance(value, list):
        return [_inner(one, path) for one in value]
    if not isinstance(value, Mapping):
        return None
    first, dot, rest = path.partition(".")
    return _inner(value.get(first), rest) if dot else value.get(first)


def _beside(value: Any, path: str) -> Any:
    """What stands beside ``path`` in an object, or in each of a list of objects; None where nothing does."""
    if isinstance(value, list):
        left = [_beside(one, path) for one in value]
        return left if any(one is not None for one in left) else None
    if not isinstance(value, Mapping):
        return value
    first, dot, inner = path.partition(".")
    own = _beside(value[first], inner) if dot and first in value else None
    return {key: one for key, one in {**value, first: own}.items() if one is not None} or None


def _beside_said(turn: Any) -> Any:
    """What a turn of a chat holds beside what is said in it."""
    said = next(
        (key for key in _SAID if isinstance(turn, Mapping) and _as_text(turn.get(key)) is not None), None
    )
    return _beside(turn, said) if said else None


def _as_text(value: Any) -> str | None:
    """A text, texts in a list or the turns of a chat, one a line; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return next((t for said in _SAID if (t := _as_text(value.get(said))) is not None), None)
    if isinstance(value, list) and value:
        texts = [text for one in value if one is not None and (text := _as_text(one)) is not None]
        return "\n".join(texts) if len(texts) == sum(one is not None for one in value) and texts else None
    return None


def _mark(own_id: Any) -> int:
    return int.from_bytes(
        hashlib.blake2b(str(own_id).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    )
