"""Files to documents, one at a time, in the order of their paths. What cannot be read is named, not lost.

Ids are ``relative/path`` for a whole file and ``relative/path#L12`` for a row (``#<id>`` where the row's
own id is plainly an identifier and not used before in the file). They are not safe to show yet: a file
name can hold a person's address. ``scan`` replaces what it finds in them.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO

from mlmguard.corpus.read import child
from mlmguard.corpus.read.columns import arrow, parquet
from mlmguard.corpus.read.document import Refused, Settings, whole
from mlmguard.corpus.read.encoding import as_utf8
from mlmguard.corpus.read.files import digests, files, size
from mlmguard.corpus.read.html import html
from mlmguard.corpus.read.lines import csv_file, json_file, jsonl
from mlmguard.corpus.read.mail import mail, mbox
from mlmguard.corpus.read.packed import PACKED, Unpacked
from mlmguard.corpus.read.text import plain
from mlmguard.errors import InputError
from mlmguard.types import Document, Skipped

__all__ = ["Settings", "digests", "files", "no_document", "read", "read_file", "read_files", "size"]

Reader = Callable[[IO[bytes], str, Settings], Iterator[Document | Skipped]]
"""(stream, name, settings) -> the documents of one file, and what of it was left out."""


def read(
    corpus: Path,
    settings: Settings | None = None,
    ignore: Iterable[Path] = (),
    advance: Callable[[int], None] = lambda passed: None,
) -> Iterator[Document | Skipped]:
    """Yield every document of ``corpus`` (a folder, a file or a pattern), and everything left out and why.

    ``ignore`` are folders that are ours (outputs lying inside the corpus). ``advance`` hears how many bytes
    of the corpus's files have been passed. Raises :class:`InputError` where there is no document.
    """
    settings = settings or Settings()
    seen_any = False
    for item in read_files(files(corpus, ignore), settings, advance):
        seen_any = seen_any or isinstance(item, Document)
        yield item
    if not seen_any:
        raise no_document(corpus, settings)


def no_document(corpus: Path, settings: Settings) -> InputError:
    """Make the error of a corpus without a document."""
    return InputError(
        str(corpus),
        "no readable document",
        f"files ending in {' '.join(FORMATS)}, also {' '.join(PACKED)}",
        f'rows need a "{settings.text_key}" column, or set --text-key',
    )


def read_files(
    some: Iterable[tuple[str, Path | Skipped]],
    settings: Settings,
    advance: Callable[[int], None] = lambda passed: None,
) -> Iterator[Document | Skipped]:
    """Yield the documents of these files, which :func:`files` gave, and everything left out and why."""
    before = 0
    for name, path in some:
        if isinstance(path, Skipped):
            yield path
            continue
        yield from child.read(path, name, settings, lambda at, before=before: advance(before + at))  # type: ignore[misc]
        before += path.stat().st_size
        advance(before)


def serve() -> None:
    """Be the child that reads files for :func:`read`."""
    child.serve(read_file)


def read_file(
    path: Path, name: str, settings: Settings, advance: Callable[[int], None]
) -> Iterator[Document | Skipped]:
    """Yield the documents of one file, and what of it was left out, as they are read in this process."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    packing = suffixes.pop() if suffixes and suffixes[-1] in PACKED else None
    suffix = suffixes[-1] if suffixes else ""
    reader = FORMATS.get(suffix)
    if reader is None:
        yield Skipped(name, _unknown(suffix))
        return
    try:
        with path.open("rb") as raw:
            stream: io.BufferedReader = raw
            if packing:
                stream = io.BufferedReader(Unpacked(raw, packing, os.fstat(raw.fileno()).st_size), 1 << 16)
            for item in reader(stream if suffix in _BINARY else as_utf8(stream), name, settings):
                advance(raw.tell())
                yield item
    except Refused as refused:
        yield Skipped(name, str(refused), refused.line, refused.records)
    except OSError as error:
        yield Skipped(name, f"cannot be read ({os.strerror(error.errno or 0).lower()})")


def _unknown(suffix: str) -> str:
    return f"unknown extension {suffix}" if re.fullmatch(r"\.\w{1,8}", suffix) else "unknown extension"


FORMATS: Mapping[str, Reader] = {
    ".txt": plain,
    ".md": plain,
    ".rst": plain,
    ".log": plain,
    ".xml": plain,  # with its tags: their names are labels of what they hold
    ".eml": whole(mail),
    ".mbox": mbox,
    ".html": whole(html),
    ".htm": whole(html),
    ".csv": csv_file,
    ".tsv": partial(csv_file, delimiter="\t"),
    ".json": json_file,
    ".jsonl": jsonl,
    ".ndjson": jsonl,
    ".parquet": parquet,
    ".arrow": arrow,
}
"""Extension -> reader. A new format is one function and one line here."""
_BINARY = (".parquet", ".arrow", ".eml", ".mbox")
"""Formats whose bytes are read as they are: mail names its own encodings."""
