"""Tables of text, a row after the other: JSON lines, JSON, CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import IO, Any

from mlmguard.corpus.read.document import Refused, Settings, lines_of, too_long
from mlmguard.corpus.read.rows import Rows
from mlmguard.types import Document, Skipped

_MAX_JSON = 256 << 20  # bytes of a .json file, which has to be parsed whole


def jsonl(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Read one object a line."""
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
    """Read an object, or a list of objects."""
    data = stream.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise Refused(f"a JSON file over {_MAX_JSON >> 20} MiB (use JSON lines)")
    content = _parsed(data.removeprefix(b"\xef\xbb\xbf"))
    rows = Rows(name, settings)
    if isinstance(content, dict):
        yield rows.document(content, 1)
        return
    if not isinstance(content, list):
        raise Refused("neither a JSON object nor a list of objects")
    for number, row in enumerate(content, 1):
        try:
            yield rows.document(row, number)
        except Refused as refused:
            yield Skipped(name, f"item {number}: {refused}")


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
    table = csv.reader(decoded(), delimiter=delimiter)
    rows = Rows(name, settings)
    try:
        header = next(table, [])
        if settings.text_key not in header:
            raise Refused(f'no column "{settings.text_key}"')
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
