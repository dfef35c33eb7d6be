"""Rows with columns to documents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
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
        if not isinstance(row, Mapping):
            raise Refused("not a JSON object")
        refuse_wide(len(row))
        text = row.get(self._settings.text_key)
        if not isinstance(text, str):
            raise Refused(
                f'"{self._settings.text_key}" is not text'
                if text is not None
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
        made = document(f"{self._name}#{name}", self._name, text, unit, self._settings, self._metadata(row))
        return replace(made, id_was_taken=True) if taken else made

    def _metadata(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The other columns, as text."""
        own = (self._settings.text_key, self._settings.id_key, self._settings.unit_key)
        return {
            str(column): value
            if isinstance(value, str)
            else json.dumps(value, ensure_ascii=False, default=str)
            for column, value in row.items()
            if column not in own and value is not None and value != ""
        }


def _mark(own_id: Any) -> int:
    return int.from_bytes(
        hashlib.blake2b(str(own_id).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    )
