"""Examined batches between the passes of a scan: appended in order, and found again after a kill.

A frame is a batch: its length, a digest, one JSON line a record, and the batch's signatures. What a kill has
torn off is cut away when the file is opened again, so at most the batches under way are lost. The file holds
raw text: it lies in the run folder, for its owner only, and goes when the scan is done. A scan on many
machines has one a shard, and reads them where they lie, as if they were one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mlmguard.errors import InputError

_NAME = "examined.part"
_FRAME = struct.Struct("<QQ16s")  # bytes of records, bytes of signatures, digest over both
_OPEN = 64  # files of shards that are open at once
_MARK = 64  # hexadecimal digits on the first line: who may go on with this file


def frame(records: Sequence[dict[str, Any]], signatures: bytes) -> bytes:
    """Return a batch as it stands in the file."""
    lines = b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n" for row in records)
    return _FRAME.pack(len(lines), len(signatures), _digest(lines, signatures)) + lines + signatures


def _digest(*parts: bytes) -> bytes:
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        total.update(part)
    return total.digest()


def _whole_frame(file: IO[bytes]) -> tuple[bytes, bytes, bytes] | None:
    """Head, records and signatures of the frame that begins here; None where it is torn or damaged."""
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    rows, signatures, digest = _FRAME.unpack(head)
    if rows + signatures > os.fstat(file.fileno()).st_size - file.tell():
        return None
    parts = file.read(rows), file.read(signatures)
    return (head, *parts) if _digest(*parts) == digest else None


class _Places:
    """Where in a file the record of each document begins, known once its frame was passed."""

    def __init__(self) -> None:
        self._places = array("Q")
        self._noted = 0  # frames whose documents are in it

    def __len__(self) -> int:
        return len(self._places)

    def records(self, lines: bytes, number: int, at: int) -> list[dict[str, Any]]:
        """The records of frame ``number``, which begins at ``at``; the first time, places are noted."""
        new = number == self._noted
        self._noted += new
        place, records = at + _FRAME.size, []
        for line in lines.split(b"\n")[:-1]:
            record = json.loads(line)
            if new and "text" in record:
                self._places.append(place)
            place += len(line) + 1
            records.append(record)
        return records

    def record(self, file: IO[bytes], document: int) -> dict[str, Any]:
        """The record of the document with this number in the file."""
        file.seek(self._places[document])
        return dict(json.loads(file.readline()))


class Spool:
    """The frames in the run folder ``run``. ``made_by`` says what made them: another value starts anew."""

    def __init__(self, run: Path, made_by: str) -> None:
        self._path = run / _NAME
        self._mark = hashlib.sha256(made_by.encode()).hexdigest().encode() + b"\n"
        self._places = _Places()
        self._total = hashlib.blake2b(self._mark, digest_size=16)  # over the heads of all frames

    def __enter__(self) -> Spool:
        self._file: IO[bytes] = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        if _taken(self._file):
            self._file.close()
            raise InputError(
                str(self._path.parent),
                "another scan of this corpus is under way",
                "one at a time",
                "wait for it",
            )
        if self._file.read(_MARK + 1) != self._mark:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(self._mark)
        self.frames = 0
        end = self._file.tell()
        while (found := _whole_frame(self._file)) is not None:
            self._total.update(found[0])
            self.frames += 1
            end = self._file.tell()
        self._file.seek(end)
        self._file.truncate()
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def remove(self) -> None:
        """The scan is done, or will never be."""
        self._path.unlink(missing_ok=True)

    def put(self, framed: bytes) -> int:
        """The next batch, handed to the operating system: it outlives this process. Gives its place."""
        at = self._file.seek(0, os.SEEK_END)
        self._file.write(framed)
        self._file.flush()
        self._total.update(framed[: _FRAME.size])
        self.frames += 1
        return at

    def append(self, framed: bytes) -> tuple[list[dict[str, Any]], bytes]:
        """Put the next batch, and give its content."""
        at = self.put(framed)
        signatures = _FRAME.size + _FRAME.unpack_from(framed)[0]
        records = self._places.records(framed[_FRAME.size : signatures], self.frames - 1, at)
        return records, framed[signatures:]

    def finished(self) -> str:
        """Bring all of it to the disk, and give a digest of it."""
        os.fsync(self._file.fileno())
        return self._total.hexdigest()

    def __iter__(self) -> Iterator[tuple[list[dict[str, Any]], bytes]]:
        """(records, signatures) of every batch that is there when it begins."""
        at = _MARK + 1
        expected, total = self._total.digest(), hashlib.blake2b(self._mark, digest_size=16)
        for number in range(self.frames):
            self._file.seek(at)
            found = _whole_frame(self._file)
            if found is None:
                raise OSError(5, "damaged while it was used", str(self._path))
            total.update(found[0])
            yield self._places.records(found[1], number, at), found[2]
            at += sum(map(len, found))
        if total.digest() != expected:
            raise OSError(5, "somebody else wrote to it", str(self._path))

    def record(self, document: int) -> dict[str, Any]:
        """Return the record of a document by its number, once its frame was appended or passed."""
        return self._places.record(self._file, document)

    def text(self, document: int) -> str:
        """Return the raw text of a document, in the same way."""
        return str(self.record(document)["text"])


@dataclass(frozen=True)
class Finished:
    """A spool that is whole: its folder, what :meth:`Spool.finished` gave, and what it is called."""

    folder: Path
    frames: int
    digest: str
    name: str


class Spools:
    """Finished spools read one after the other as if they were one; each is checked whenever it is passed."""

    def __init__(self, finished: Sequence[Finished]) -> None:
        self._finished = finished
        self._places = [_Places() for _ in finished]
        self._begins: list[int] = []  # the number of the first document of each spool, once it was come to
        self._open: dict[int, IO[bytes]] = {}  # the one used last comes last

    def __enter__(self) -> Spools:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; what is read after that is opened again."""
        while self._open:
            self._open.popitem()[1].close()

    def remove(self) -> None:
        """The scan is done."""
        self.close()
        for one in self._finished:
            (one.folder / _NAME).unlink(missing_ok=True)

    def _file(self, number: int) -> IO[bytes]:
        """A spool's file. A process may have a thousand open, and there may be more shards."""
        file = self._open.pop(number, None)
        if file is None:
            if len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open))).close()
            file = (self._finished[number].folder / _NAME).open("rb")
        self._open[number] = file
        return file

    def __iter__(self) -> Iterator[tuple[list[dict[str, Any]], bytes]]:
        """(records, signatures) of every batch of every spool."""
        begin = 0
        for number, places in enumerate(self._places):
            if number == len(self._begins):
                self._begins.append(begin)
            yield from self._batches(number, places)
            begin += len(places)

    def _batches(self, number: int, places: _Places) -> Iterator[tuple[list[dict[str, Any]], bytes]]:
        one = self._finished[number]
        try:
            file = self._file(number)
        except FileNotFoundError:
            raise _damaged(one) from None
        file.seek(0)
        total = hashlib.blake2b(file.read(_MARK + 1), digest_size=16)
        at = _MARK + 1
        for frame_number in range(one.frames):
            file = self._file(number)
            file.seek(at)
            found = _whole_frame(file)
            if found is None:
                raise _damaged(one)
            total.update(found[0])
            yield places.records(found[1], frame_number, at), found[2]
            at += sum(map(len, found))
        if total.hexdigest() != one.digest:
            raise _damaged(one)

    def record(self, document: int) -> dict[str, Any]:
        """Return the record of a document by its number, once its frame was passed."""
        number = bisect_right(self._begins, document) - 1
        return self._places[number].record(self._file(number), document - self._begins[number])

    def text(self, document: int) -> str:
        """Return the raw text of a document, in the same way."""
        return str(self.record(document)["text"])


def _damaged(one: Finished) -> InputError:
    do = "run that job again with --overwrite"
    return InputError(one.name, "what it left is damaged or gone", "the file as its job wrote it", do)


def _taken(file: IO[bytes]) -> bool:
    """Whether somebody else writes it. Where a file system has no locks nobody can tell: then it is ours, and
    two writers are found by the digest over all frames."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _locked(file: IO[bytes]) -> bool:
    """Whether it is certain that nobody else writes it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def forget_abandoned(run: Path) -> None:
    """Remove the spools of other scans beside ``run`` that nobody is writing: they hold raw text."""
    for path in run.parent.glob(f"scan-*/{_NAME}"):
        if path.parent != run:
            with path.open("rb") as file:
                if _locked(file):
                    path.unlink()
