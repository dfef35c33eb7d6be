"""Fixed-width records on disk, and a set of numbers that is little more than the numbers: what a scan has to
remember of every document, finding and passage, without remembering it in memory."""

from __future__ import annotations

import itertools
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

Array = np.ndarray[Any, Any]

_PIECE = 1 << 16  # records that are sorted together
_BLOCK = 1 << 15  # bytes of one part that are written together
_SMALLEST = 1 << 10  # places of an empty table; a power of two


class Parts:
    """Records of one kind, in a given number of parts: what belongs together is in one of them."""

    def __init__(self, record: np.dtype, count: int, folder: Path | None) -> None:
        self._record = record
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by __exit__)
        self._waiting = [bytearray() for _ in range(count)]
        self._blocks: list[list[tuple[int, int]]] = [
            [] for _ in range(count)
        ]  # where each part lies: from, to

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def append(self, records: Array, by: Array) -> None:
        """``records``; those of one number ``by`` (unsigned, of the same length) go to one part."""
        parts = len(self._waiting)
        part = (by % np.asarray(parts, by.dtype)).astype(np.intp)
        order = np.argsort(part, kind="stable")
        edges = np.searchsorted(part[order], np.arange(parts + 1))
        for number, (start, end) in enumerate(itertools.pairwise(edges)):
            if end > start:
                self._waiting[number] += records[order[start:end]].tobytes()
                if len(self._waiting[number]) >= _BLOCK:
                    self._write(number)

    def _write(self, number: int) -> None:
        """All parts lie in one file, block by block: many files would be many descriptors."""
        begin = self._file.seek(0, 2)
        self._file.write(self._waiting[number])
        self._blocks[number].append((begin, self._file.tell()))
        self._waiting[number].clear()

    def _read(self, number: int) -> Array:
        data = bytearray()
        for begin, end in self._blocks[number]:
            self._file.seek(begin)
            data += self._file.read(end - begin)
        data += self._waiting[number]
        return np.frombuffer(data, self._record)

    def pieces(self, key: str) -> Iterator[Array]:
        """All records, some at a time and never many: equal ones of field ``key`` are in one piece, in the
        order in which they came."""
        parts = len(self._waiting)
        for number in range(parts):
            part = self._read(number)
            count = -(-len(part) // _PIECE)
            if count < 2:
                yield part
                continue
            of = part[key] // np.asarray(parts, part[key].dtype) % np.asarray(count, part[key].dtype)
            for piece in range(count):
                yield part[of == piece]


class Numbers:
    """A set of 64-bit numbers: between 11 and 22 bytes each, where Python's own takes a hundred."""

    def __init__(self) -> None:
        # 0: free; each number is at the first free place from its own
        self._table = array("Q", [0]) * _SMALLEST
        self._count = 0
        self._zero = False

    def __contains__(self, number: int) -> bool:
        return self._zero if number == 0 else self._table[self._place(number)] == number

    def add(self, number: int) -> bool:
        """Add ``number``; return whether it is new."""
        if number in self:
            return False
        if number == 0:
            self._zero = True
            return True
        self._table[self._place(number)] = number
        self._count += 1
        if 4 * self._count > 3 * len(self._table):
            before, self._table = self._table, array("Q", [0]) * (2 * len(self._table))
            for other in before:
                if other:
                    self._table[self._place(other)] = other
        return True

    def _place(self, number: int) -> int:
        """Where ``number`` is, or would be."""
        table, last = self._table, len(self._table) - 1
        place = number & last
        while table[place] not in (0, number):
            place = place + 1 & last
        return place
