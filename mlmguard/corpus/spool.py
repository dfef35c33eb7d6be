"""Examined batches between the passes of a scan: appended in order, and found again after a kill.

A frame is a batch: its length, a digest, one JSON line a record, and the batch's signatures. What a kill has
torn off is cut away when the file is opened again, so at most the batches under way are lost. The file holds
raw text: it lies in the run folder, for its owner only, and goes when the scan is done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from mlmguard.errors import InputError

_NAME = "examined.part"
_FRAME = struct.Struct("<QQ16s")  # bytes of records, bytes of signatures, digest over both
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


class Spool:
    """The frames in the run folder ``run``. ``made_by`` says what made them: another value starts anew."""

    def __init__(self, run: Path, made_by: str) -> None:
        self._path = run / _NAME
        self._mark = hashlib.sha256(made_by.encode()).hexdigest().encode() + b"\n"
        self._places = array("Q")  # where the record of each document begins
        self._noted = 0  # frames whose documents are in it

    def __enter__(self) -> Spool:
        self._file: IO[bytes] = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        if not _locked(self._file):
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
        while self._whole_frame() is not None:
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

    def append(self, framed: bytes) -> tuple[list[dict[str, Any]], bytes]:
        """The next batch, handed to the operating system: it outlives this process. Gives its content."""
        at = self._file.seek(0, os.SEEK_END)
        self._file.write(framed)
        self._file.flush()
        self.frames += 1
        signatures = _FRAME.size + _FRAME.unpack_from(framed)[0]
        return self._records(framed[_FRAME.size : signatures], self.frames - 1, at), framed[signatures:]

    def _records(self, lines: bytes, number: int, at: int) -> list[dict[str, Any]]:
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

    def _whole_frame(self) -> tuple[bytes, bytes] | None:
        head = self._file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return None
        rows, signatures, digest = _FRAME.unpack(head)
        if rows + signatures > os.fstat(self._file.fileno()).st_size - self._file.tell():
            return None
        parts = self._file.read(rows), self._file.read(signatures)
        return parts if _digest(*parts) == digest else None

    def __iter__(self) -> Iterator[tuple[list[dict[str, Any]], bytes]]:
        """(records, signatures) of every batch that is there when it begins."""
        at = _MARK + 1
        for number in range(self.frames):
            self._file.seek(at)
            found = self._whole_frame()
            if found is None:
                raise OSError(5, "damaged while it was used", str(self._path))
            yield self._records(found[0], number, at), found[1]
            at += _FRAME.size + len(found[0]) + len(found[1])

    def record(self, document: int) -> dict[str, Any]:
        """Return the record of a document by its number, once its frame was appended or passed."""
        self._file.seek(self._places[document])
        return dict(json.loads(self._file.readline()))

    def text(self, document: int) -> str:
        """Return the raw text of a document, in the same way."""
        return str(self.record(document)["text"])


def _locked(file: IO[bytes]) -> bool:
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
