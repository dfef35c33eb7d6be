"""One document from a file: how to read, and why something is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from mlmguard.settings import ScanSettings
from mlmguard.types import Document, Skipped

MAX_CHARS = ScanSettings.max_chars
"""Characters of one document. Longer is no record of a person, and one regular expression would hold up
the whole scan: it is skipped and named."""


@dataclass(frozen=True)
class Settings:
    """How to read. ``unit_key`` names the column (or mail header) that says whose a record is."""

    text_key: str = ScanSettings.text_key
    id_key: str = ScanSettings.id_key
    unit_key: str | None = ScanSettings.unit_key
    mail_headers: bool = ScanSettings.mail_headers
    max_chars: int = MAX_CHARS


class Refused(Exception):
    """A file or a row that is left out; the text is the reason, made of our words only.

    ``records`` is how many rows go with it, where a whole table does.
    """

    def __init__(self, reason: str, line: int = 0, records: int = 1) -> None:
        self.line, self.records = line, max(1, records)
        super().__init__(reason)


def document(
    id: str,
    name: str,
    text: str,
    unit: str,
    settings: Settings,
    metadata: Mapping[str, str] | None = None,
) -> Document:
    """Make the document; raises :class:`Refused` with the reason if it is none."""
    metadata = metadata or {}
    if not text.strip():
        raise Refused("no text in it")
    if len(text) + sum(map(len, metadata.values())) > settings.max_chars:
        raise Refused(too_long(settings))
    for value in (text, unit, *metadata, *metadata.values()):
        if "\0" in value:
            raise Refused("holds NUL characters")
        if not _encodable(value):
            raise Refused("holds lone surrogates")
    return Document(id=id, text=text, source=name.split("/", 1)[0], unit=unit, metadata=metadata)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def too_long(settings: Settings) -> str:
    """Give the reason of what is longer than ``settings.max_chars``."""
    return f"longer than {settings.max_chars:,} characters"


def whole(decode: Callable[[bytes, Settings], tuple[str, str]]) -> Any:
    """Make a reader for a format where one file is one document; ``decode`` gives its text and its unit."""

    def reader(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
        limit = 8 * settings.max_chars
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise Refused(too_long(settings))
        text, unit = decode(data, settings)
        yield document(name, name, text, unit, settings)

    return reader


def decoded(data: bytes) -> str:
    """Decode UTF-8, without its byte order mark; raises :class:`Refused` for anything else."""
    if b"\0" in data:
        raise Refused("a binary file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None


def no_unit(settings: Settings) -> str:
    """Give "": whole files have no columns. Raises :class:`Refused` where a unit is required."""
    if settings.unit_key is not None:
        raise Refused(f'no "{settings.unit_key}"')
    return ""


def lines_of(stream: IO[bytes], settings: Settings) -> Iterator[tuple[int, bytes | None]]:
    """Yield (number, line) of a stream; None for a line too long to be a record. Memory stays bounded."""
    limit = 8 * settings.max_chars
    number = 0
    while line := stream.readline(limit):
        number += 1
        if len(line) < limit or line.endswith(b"\n"):
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(limit)
        yield number, None
