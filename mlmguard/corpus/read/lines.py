"""Tables of text, a row after the other: JSON lines, JSON, CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from mlmguard.corpus.read.document import Refused, Settings, lines_of, too_long
from mlmguard.corpus.read.rows import TURNS, Rows, has_text, no_column
from mlmguard.types import Document, Skipped

_MAX_JSON = 256 << 20  # bytes of a .json file, which has to be parsed whole


def jsonl(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Read one object a line, or one text."""
    rows = Rows(name, settings)
    for number, line in lines_of(stream, settings):
        if line is not None and not line.strip():
            continue
        try:
            if line is None:
                raise Refused(too_long(settings))
            yield rows.document(_parsed(line), number)
        except Refused as refused:
            yield Skipped(name, str(refused), number)


def json_file(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Read an object, or a list of objects or texts, also under a single key."""
    data = stream.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise Refused(f"a JSON file over {_MAX_JSON >> 20} MiB (use JSON lines)")
    content = _parsed(data.removeprefix(b"\xef\xbb\xbf"))
    rows = Rows(name, settings)
    if isinstance(content, dict):
        (key, table), *others = content.items() or [("", None)]
        of_texts = isinstance(table, list) and isinstance(next(iter(table), None), str)
        parts = of_texts and has_text([key], settings.text_key)  # of one text
        if others or key in TURNS or parts or not _is_table(table):
            yield rows.document(content, 1)
            return
        content = table
    if not isinstance(content, list):
        raise Refused("neither a JSON object nor a list of objects or texts")
    for number, row in enumerate(content, 1):
        try:
            yield rows.document(row, number)
        except Refused as refused:
            yield Skipped(name, f"item {number}: {refused}")


def _delimiter(header: str, usual: str, key: str) -> str:
    """The sign between the columns of a table: the usual one, or another by which the text's column is seen,
    or that which makes most columns."""
    signs = (usual, *(other for other in ",;\t|" if other != usual))
    columns = {sign: next(csv.reader([header], delimiter=sign), []) for sign in signs}
    for sign in signs:
        if has_text(columns[sign], key):
            return sign
    return max(signs, key=lambda sign: len(columns[sign]))


def _is_table(value: Any) -> bool:
    """If this is a list of rows, or of texts, as exports put under one key ("data")."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(row, dict) for row in value) or all(isinstance(row, str) for row in value)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    except RecursionError:
        raise Refused("JSON nested too deep") from None
    except json.JSONDecodeError as error:
        raise Refused("malformed JSON", error.lineno) from None
    except ValueError:  # a whole number of thousands of digits
        raise Refused("malformed JSON") from None


def csv_file(
    stream: IO[bytes], name: str, settings: Settings, delimiter: str = ","
) -> Iterator[Document | Skipped]:
    """Read a table with a header."""

    def decoded() -> Iterator[str]:
        for number, line in lines_of(stream, settings):
            if line is None:
                raise Refused(too_long(settings), number)
            yield line.decode("utf-8", "surrogateescape")  # a bad byte costs its row, not the file

    csv.field_size_limit(8 * settings.max_chars)
    lines = decoded()
    first = next(lines, "")
    rows = Rows(name, settings)
    try:
        delimiter = _delimiter(first, delimiter, settings.text_key)
        table = csv.reader(chain([first], lines), delimiter=delimiter)
        header = next(table, [])
        if not has_text(header, settings.text_key):
            lost = sum(1 for cells in table if cells)
            raise Refused(no_column(settings.text_key, header, delimiter), records=lost)
        for cells in table:
            if not cells:
                continue
            line = table.line_num
            try:
                if len(cells) != len(header):
                    raise Refused(f"{len(cells)} columns where the header has {len(header)}")
                if any("\udc80" <= c <= "\udcff" for cell in cells for c in cell):
                    raise Refused("not UTF-8")
                yield rows.document(dict(zip(header, cells)), line)
            except Refused as refused:
                yield Skipped(name, str(refused), line)
    except csv.Error:
        raise Refused("malformed CSV", table.line_num) from None
