"""Files to documents, one at a time, in the order of their paths. What cannot be read is named, not lost.

Ids are ``relative/path`` for a whole file and ``relative/path#L12`` for a row (``#<id>`` where the row's
own id is plainly an identifier and not used before in the file). They are not safe to show yet: a file
name can hold a person's address. ``scan`` replaces what it finds in them.
"""

from __future__ import annotations

import bz2
import csv
import email
import email.policy
import glob
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.message import EmailMessage
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any

from mlmguard.corpus.records import Marks
from mlmguard.errors import InputError
from mlmguard.types import Document, Skipped

MAX_CHARS = 1_000_000
"""Characters of one document. Longer is no record of a person, and one regular expression would hold up
the whole scan: it is skipped and named."""

_MAX_JSON = 256 << 20  # bytes of a .json file, which has to be parsed whole
_BOMB_BYTES = 16 << 20  # a packed file may expand to this ...
_BOMB_RATIO = 200  # ... and beyond it at most this many times its own size (text: 3 to 20)

_OWN_ID = re.compile(r"[A-Za-z]{1,16}[-_:]\d{1,10}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True)
class Settings:
    """How to read. ``unit_key`` names the column (or mail header) that says whose a record is."""

    text_key: str = "text"
    id_key: str = "id"
    unit_key: str | None = None
    mail_headers: bool = False
    max_chars: int = MAX_CHARS


class _Refused(Exception):
    """A file or a row that is left out; the text is the reason, made of our words only."""

    def __init__(self, reason: str, line: int = 0) -> None:
        self.line = line
        super().__init__(reason)


# --- the corpus ---------------------------------------------------------------------------------------


def read(
    corpus: Path,
    settings: Settings | None = None,
    ignore: Iterable[Path] = (),
    told: Callable[[int], None] = lambda passed: None,
) -> Iterator[Document | Skipped]:
    """Every document of ``corpus`` (a folder, a file or a pattern), and everything left out and why.

    ``ignore`` are folders that are ours (outputs lying inside the corpus). ``told`` hears how many bytes of
    the corpus's files have been passed.
    """
    settings = settings or Settings()
    seen_any, before = False, 0
    for name, path in files(corpus, ignore):
        if isinstance(path, Skipped):
            yield path
            continue
        for item in read_file(path, name, settings, lambda at, before=before: told(before + at)):  # type: ignore[misc]
            seen_any = seen_any or isinstance(item, Document)
            yield item
        before += path.stat().st_size
        told(before)
    if not seen_any:
        raise InputError(
            str(corpus),
            "no readable document",
            f"files ending in {' '.join(_FORMATS)}, also {' '.join(_PACKED)}",
            f'rows need a "{settings.text_key}" column, or set --text-key',
        )


def files(corpus: Path, ignore: Iterable[Path] = ()) -> Iterator[tuple[str, Path | Skipped]]:
    """(name, path) of the corpus's files, sorted by name; a :class:`Skipped` for what must not be followed.

    Hidden files and folders, and folders that mlmguard wrote, are not part of the corpus. A pattern
    (``notes/**/*.txt``) names its files from its first folder without a star on.
    """
    if corpus.is_file():
        yield _shown(corpus.name), corpus
        return
    if not corpus.exists() and glob.has_magic(str(corpus)):
        root = next(folder for folder in corpus.parents if not glob.has_magic(str(folder)))
        wanted = {path for path in root.glob(str(corpus.relative_to(root))) if not path.is_dir()}
        found = [item for item in _walk(root, ignore) if root / item[0] in wanted] if wanted else []
    elif not corpus.exists():
        raise InputError(str(corpus), "no such folder or file", "a folder with text files", "check the path")
    else:
        found = list(_walk(corpus, ignore))
    if not found:
        raise InputError(str(corpus), "no file there", "text files", "check the path")
    shown = sorted(((_shown(name), thing) for name, thing in found), key=lambda item: item[0])
    for name, thing in shown:
        yield name, thing if isinstance(thing, Path) else Skipped(name, thing)


def _walk(corpus: Path, ignore: Iterable[Path]) -> Iterator[tuple[str, Path | str]]:
    """(name, path) of every file in a folder, or (name, why it is not followed)."""
    root, ours = corpus.resolve(), {path.resolve() for path in ignore}
    for folder, subfolders, names in os.walk(corpus):
        here = Path(folder)
        linked = [name for name in subfolders if (here / name).is_symlink() and not name.startswith(".")]
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and name not in linked and not _is_ours(here / name, ours)
        ]
        for name in linked:
            yield (here / name).relative_to(corpus).as_posix(), "symbolic link to a folder"
        about_the_rest = _about_a_dataset(here, set(names))
        for name in names:
            if name.startswith(".") or name in about_the_rest:
                continue
            path = here / name
            shown = path.relative_to(corpus).as_posix()
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                yield shown, "symbolic link that leaves the corpus"
            elif not path.is_file():
                yield shown, "not a regular file"
            else:
                yield shown, path


def _about_a_dataset(here: Path, names: set[str]) -> frozenset[str]:
    """The files that describe a saved Hugging Face dataset; its rows are in the ``.arrow`` files beside."""
    if {"dataset_info.json", "state.json"} <= names:
        return frozenset({"dataset_info.json", "state.json"})
    if "dataset_dict.json" in names and any(here.glob("*/state.json")):
        return frozenset({"dataset_dict.json"})
    return frozenset()


def size(corpus: Path, ignore: Iterable[Path] = ()) -> int:
    """Bytes of all files that :func:`read` would open."""
    return sum(path.stat().st_size for _, path in files(corpus, ignore) if isinstance(path, Path))


def _is_ours(folder: Path, ours: set[Path]) -> bool:
    if folder.resolve() in ours:
        return True
    try:
        return '"mlmguard/manifest/' in (folder / "manifest.json").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _shown(name: str) -> str:
    """A path that can be written anywhere: bytes that are not UTF-8 and control characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def digests(corpus: Path, ignore: Iterable[Path] = ()) -> dict[str, str]:
    """name -> SHA-256 of every file that :func:`read` would open."""
    return {name: _sha256(path) for name, path in files(corpus, ignore) if isinstance(path, Path)}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "unreadable"


# --- one file -----------------------------------------------------------------------------------------


def read_file(
    path: Path, name: str, settings: Settings, told: Callable[[int], None]
) -> Iterator[Document | Skipped]:
    """The documents of one file, and what of it was left out. ``told`` hears how far it has been read."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    packing = suffixes.pop() if suffixes and suffixes[-1] in _PACKED else None
    suffix = suffixes[-1] if suffixes else ""
    reader = _FORMATS.get(suffix)
    if reader is None:
        yield Skipped(name, _unknown(suffix))
        return
    try:
        with path.open("rb") as raw:
            stream = raw
            if packing:
                stream = io.BufferedReader(_Unpacked(raw, packing, os.fstat(raw.fileno()).st_size), 1 << 16)
            for item in reader(stream, name, settings):
                told(raw.tell())
                yield item
    except _Refused as refused:
        yield Skipped(name, str(refused), refused.line)
    except OSError as error:
        yield Skipped(name, f"cannot be read ({os.strerror(error.errno or 0).lower()})")


def _unknown(suffix: str) -> str:
    return f"unknown extension {suffix}" if re.fullmatch(r"\.\w{1,8}", suffix) else "unknown extension"


def _zstd(raw: IO[bytes]) -> IO[bytes]:
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd")  # type: ignore[no-any-return]


_PACKED: dict[str, tuple[str, Callable[[IO[bytes]], Any]]] = {
    ".gz": ("gzip", lambda raw: gzip.GzipFile(fileobj=raw)),
    ".bz2": ("bzip2", bz2.BZ2File),
    ".xz": ("xz", lzma.LZMAFile),
    ".zst": ("zstd", _zstd),
}
"""Extension -> (name of the packing, how to open it)."""


class _Unpacked(io.RawIOBase):
    """What a packed file holds; it refuses to expand without bound."""

    def __init__(self, raw: IO[bytes], packing: str, size: int) -> None:
        self._name, open_packed = _PACKED[packing]
        self._stream = open_packed(raw)
        self._left = max(_BOMB_BYTES, size * _BOMB_RATIO)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the disk's fault
            raise _Refused(f"broken {self._name}") from None
        buffer[: len(data)] = data
        self._left -= len(data)
        if self._left < 0:
            raise _Refused(f"expands more than {_BOMB_RATIO}-fold")
        return len(data)


# --- whole files --------------------------------------------------------------------------------------


def _whole(decode: Callable[[bytes, Settings], tuple[str, str]]) -> Any:
    """A reader for formats where one file is one document; ``decode`` gives its text and its unit."""

    def reader(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
        limit = 8 * settings.max_chars
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise _Refused(_too_long(settings))
        text, unit = decode(data, settings)
        yield _document(name, name, text, unit, settings)

    return reader


def _decoded(data: bytes) -> str:
    if b"\0" in data:
        raise _Refused("a binary file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Refused("not UTF-8") from None


def _no_unit(settings: Settings) -> str:
    """Whole files have no columns: with a unit asked for, nobody knows whose they are."""
    if settings.unit_key is not None:
        raise _Refused(f'no "{settings.unit_key}"')
    return ""


def _plain(data: bytes, settings: Settings) -> tuple[str, str]:
    if _looks_like_mail(data):
        return _mail(data, settings)
    return _decoded(data), _no_unit(settings)


_MAIL_FIELD = re.compile(rb"(?:From \S.*|[!-9;-~]+:.*|[ \t].*)\r?\n")
_MAIL_FIELDS = frozenset((b"from", b"date", b"received", b"message-id", b"return-path", b"subject", b"to"))


def _looks_like_mail(data: bytes) -> bool:
    """Whether a plain file begins as a mail does: nothing but header fields up to an empty line, at least
    three of them being those that every mail has.
    """
    at, known = 0, set()
    while field := _MAIL_FIELD.match(data, at):
        known.add(data[at : field.end()].partition(b":")[0].lower())
        at = field.end()
    return data[at : at + 1] in (b"\r", b"\n") and len(known & _MAIL_FIELDS) >= 3


def _html(data: bytes, settings: Settings) -> tuple[str, str]:
    return html_text(_decoded(data)), _no_unit(settings)


def _mail(data: bytes, settings: Settings) -> tuple[str, str]:
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        unit = str(message[settings.unit_key] or "") if settings.unit_key else ""
        headers = [f"{key}: {message[key]}" for key in ("Subject", "From", "To") if message[key]]
        bodies = [_part_text(part) for part in _text_parts(message)]
    except _Refused:
        raise
    except Exception as error:  # the standard parser fails on hostile mail in many ways: all mean the same
        raise _Refused(f"malformed mail ({type(error).__name__})") from None
    if settings.unit_key and not unit:
        raise _Refused(f'no "{settings.unit_key}"')
    if settings.mail_headers and headers:
        return "\n".join([*headers, "", "\n".join(bodies)]), unit
    return "\n".join(bodies), unit


def _mbox(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Mails one after the other, each behind a line "From " that an empty line or nothing precedes."""
    for number, data in _mbox_messages(stream, settings):
        try:
            if data is None:
                raise _Refused(_too_long(settings))
            text, unit = _mail(data, settings)
            yield _document(f"{name}#L{number}", name, text, unit, settings)
        except _Refused as refused:
            yield Skipped(name, str(refused), number)


def _mbox_messages(stream: IO[bytes], settings: Settings) -> Iterator[tuple[int, bytes | None]]:
    """(line, bytes) of each message; None for one too long to be a record."""
    first, size, lines, blank = 0, 0, list[bytes](), True
    for number, line in _lines(stream, settings):
        if line is not None and blank and line.startswith(b"From "):
            if first:
                yield first, b"".join(lines) if size <= 8 * settings.max_chars else None
            first, size, lines, blank = number, 0, [], False
            continue
        if not first:
            raise _Refused("not a mailbox")
        size += 8 * settings.max_chars + 1 if line is None else len(line)
        if line is not None and size <= 8 * settings.max_chars:
            lines.append(line.removeprefix(b">") if re.match(rb">+From ", line) else line)
        else:
            lines = []
        blank = line in (b"\n", b"\r\n")
    if first:
        yield first, b"".join(lines) if size <= 8 * settings.max_chars else None


def _text_parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts a reader would see: of alternatives the plain one, no attachments."""
    if message.get_content_type() == "multipart/alternative":
        parts = [p for p in message.iter_parts() if isinstance(p, EmailMessage)]
        plain = [p for p in parts if p.get_content_type() == "text/plain"]
        for part in plain or parts:
            yield from _text_parts(part)
    elif message.is_multipart():
        for inner in message.iter_parts():
            if isinstance(inner, EmailMessage):
                yield from _text_parts(inner)
    elif message.get_content_maintype() == "text" and message.get_content_disposition() != "attachment":
        yield message


def _part_text(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    charset = part.get_content_charset() or "utf-8"
    try:
        text = payload.decode(charset) if isinstance(payload, bytes) else ""
    except LookupError:
        raise _Refused("a mail in an unknown character set") from None
    except UnicodeDecodeError:
        raise _Refused("not UTF-8" if charset == "utf-8" else "not in the character set it names") from None
    return html_text(text) if part.get_content_subtype() == "html" else text


_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article blockquote br dd div dl dt footer form h1 h2 h3 h4 h5 h6 header hr li main "
        "nav ol p pre section table title tr ul",
    )
)
_UNSEEN = frozenset(("script", "style", "template", "noscript"))


class _Page(HTMLParser):
    """Collects what a reader of the page sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        if tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append("\t")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(re.sub(r"\s+", " ", data))


def html_text(source: str) -> str:
    """The text of a page: tags gone, blocks on lines of their own, white space as a browser shows it."""
    page = _Page()
    page.feed(source)
    page.close()
    lines = (line.strip() for line in "".join(page.pieces).split("\n"))
    return "\n".join(line for line in lines if line)


# --- rows ---------------------------------------------------------------------------------------------


def _lines(stream: IO[bytes], settings: Settings) -> Iterator[tuple[int, bytes | None]]:
    """(number, line) of a stream; None for a line too long to be a record. Memory stays bounded."""
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


def _jsonl(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    rows = _Rows(name, settings)
    for number, line in _lines(stream, settings):
        if line is not None and not line.strip():
            continue
        try:
            if line is None:
                raise _Refused(_too_long(settings))
            yield rows.document(_parsed(line), number)
        except _Refused as refused:
            yield Skipped(name, str(refused), number)


def _json(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    data = stream.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise _Refused(f"a JSON file over {_MAX_JSON >> 20} MiB (use JSON lines)")
    content = _parsed(data.removeprefix(b"\xef\xbb\xbf"))
    rows = _Rows(name, settings)
    if isinstance(content, dict):
        yield rows.document(content, 1)
        return
    if not isinstance(content, list):
        raise _Refused("neither a JSON object nor a list of objects")
    for number, row in enumerate(content, 1):
        try:
            yield rows.document(row, number)
        except _Refused as refused:
            yield Skipped(name, f"item {number}: {refused}")


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise _Refused("not UTF-8") from None
    except RecursionError:
        raise _Refused("JSON nested too deep") from None
    except json.JSONDecodeError as error:
        raise _Refused("malformed JSON", error.lineno) from None
    except ValueError:  # a whole number of thousands of digits
        raise _Refused("malformed JSON") from None


def _csv(
    stream: IO[bytes], name: str, settings: Settings, delimiter: str = ","
) -> Iterator[Document | Skipped]:
    def decoded() -> Iterator[str]:
        for number, line in _lines(stream, settings):
            if line is None:
                raise _Refused(_too_long(settings), number)
            yield line.decode("utf-8", "surrogateescape")  # a bad byte costs its row, not the file

    csv.field_size_limit(8 * settings.max_chars)
    table = csv.reader(decoded(), delimiter=delimiter)
    rows = _Rows(name, settings)
    try:
        header = next(table, [])
        if settings.text_key not in header:
            raise _Refused(f'no column "{settings.text_key}"')
        for cells in table:
            if not cells:
                continue
            line = table.line_num
            try:
                if len(cells) != len(header):
                    raise _Refused(f"{len(cells)} columns where the header has {len(header)}")
                if any("\udc80" <= c <= "\udcff" for cell in cells for c in cell):
                    raise _Refused("not UTF-8")
                yield rows.document(dict(zip(header, cells)), line)
            except _Refused as refused:
                yield Skipped(name, str(refused), line)
    except csv.Error:
        raise _Refused("malformed CSV", table.line_num) from None


def _parquet(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    from pyarrow.parquet import ParquetFile

    def open_table(file: IO[bytes]) -> tuple[Any, Iterable[Any]]:
        table = ParquetFile(file)
        return table.schema_arrow, table.iter_batches(batch_size=_TABLE_ROWS)

    yield from _table(open_table, "Parquet", stream, name, settings)


def _arrow(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Both forms: the file, and the stream that Hugging Face datasets are saved as."""
    from pyarrow import ipc

    def open_table(file: IO[bytes]) -> tuple[Any, Iterable[Any]]:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if not is_file:
            table = ipc.open_stream(file)
            return table.schema, table
        table = ipc.open_file(file)
        return table.schema, map(table.get_batch, range(table.num_record_batches))

    yield from _table(open_table, "Arrow", stream, name, settings)


_TABLE_ROWS = 32  # of a Parquet file that are in memory at a time


def _table(
    open_table: Callable[[IO[bytes]], tuple[Any, Iterable[Any]]],
    kind: str,
    stream: IO[bytes],
    name: str,
    settings: Settings,
) -> Iterator[Document | Skipped]:
    from pyarrow import ArrowException

    rows, number = _Rows(name, settings), 0
    with tempfile.TemporaryFile() as copy:
        if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, _Unpacked):
            shutil.copyfileobj(stream, copy)  # these formats are read from their end
            stream = copy
        left = max(_BOMB_BYTES, _BOMB_RATIO * stream.seek(0, os.SEEK_END))
        stream.seek(0)
        try:
            schema, batches = open_table(stream)
            if settings.text_key not in schema.names:
                raise _Refused(f'no column "{settings.text_key}"')
            for batch in batches:
                left -= batch.nbytes
                if left < 0:
                    raise _Refused(f"expands more than {_BOMB_RATIO}-fold", number)
                for index in range(batch.num_rows):
                    number += 1
                    try:
                        yield rows.document(batch.slice(index, 1).to_pylist()[0], number)
                    except UnicodeDecodeError:
                        yield Skipped(name, "not UTF-8", number)
                    except _Refused as refused:
                        yield Skipped(name, str(refused), number)
        except (ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise _Refused(f"broken {kind}", number) from None


class _Rows:
    """Rows of one file to documents; knows which ids the file has used."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings
        self._used = Marks()

    def document(self, row: Any, number: int) -> Document:
        if not isinstance(row, Mapping):
            raise _Refused("not a JSON object")
        text = row.get(self._settings.text_key)
        if not isinstance(text, str):
            raise _Refused(
                f'"{self._settings.text_key}" is not text'
                if text is not None
                else f'no "{self._settings.text_key}"'
            )
        unit = ""
        if self._settings.unit_key is not None:
            value = row.get(self._settings.unit_key)
            unit = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
            if not unit:
                raise _Refused(f'no "{self._settings.unit_key}"')
        own = row.get(self._settings.id_key)
        taken = own is not None and own != "" and not self._used.add(_mark(own))
        name = own if isinstance(own, str) and _OWN_ID.fullmatch(own) and not taken else f"L{number}"
        document = _document(
            f"{self._name}#{name}", self._name, text, unit, self._settings, self._metadata(row)
        )
        return replace(document, id_was_taken=True) if taken else document

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


# --- one document -------------------------------------------------------------------------------------


def _document(
    id: str,
    name: str,
    text: str,
    unit: str,
    settings: Settings,
    metadata: Mapping[str, str] | None = None,
) -> Document:
    """The document, or the reason why it is none."""
    metadata = metadata or {}
    if not text.strip():
        raise _Refused("no text in it")
    if len(text) + sum(map(len, metadata.values())) > settings.max_chars:
        raise _Refused(_too_long(settings))
    for value in (text, unit, *metadata, *metadata.values()):
        if "\0" in value:
            raise _Refused("holds NUL characters")
        if not _encodable(value):
            raise _Refused("holds lone surrogates")
    return Document(id=id, text=text, source=name.split("/", 1)[0], unit=unit, metadata=metadata)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _too_long(settings: Settings) -> str:
    return f"longer than {settings.max_chars:,} characters"


_FORMATS: dict[str, Any] = {
    ".txt": _whole(_plain),
    ".md": _whole(_plain),
    ".rst": _whole(_plain),
    ".eml": _whole(_mail),
    ".mbox": _mbox,
    ".html": _whole(_html),
    ".htm": _whole(_html),
    ".csv": _csv,
    ".tsv": partial(_csv, delimiter="\t"),
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
"""Extension -> reader. A new format is one function and one line here."""
