"""Which n-grams of tokens stand in a corpus, and in how many documents.

The index holds keyed 64-bit hashes, sorted, on disk and memory-mapped: without the key it is no copy of the
text, and with it only a guess can be checked, not read. Two n-grams may share a hash (one pair in 2^64), so
what is reported as found is compared with the tokens themselves.

A document's n-grams are hashed at once: h(i) = Σ_j B^(n−1−j) · v(token i+j) mod 2^64, with v a keyed random
number for each token and B a keyed odd one (Karp and Rabin 1987, over Z/2^64), so that an update of the
window costs one multiplication.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage.answers import Ids

NGRAM = 6
"""Tokens of a probed n-gram: enough for a curve of unknowns, short enough to fit any document."""

Hashes = NDArray[np.uint64]
RECORD = np.dtype([("hash", "<u8"), ("document", "<u4")])
PARTS = 64  # files that a build sorts one by one: its memory is a part, not the corpus
BUFFERED = 1 << 20  # n-grams held before they go to their parts: 12 MiB


@dataclass(frozen=True)
class NgramIndex:
    """Sorted hashes with the number of documents that hold each, and one of them to confirm a hit by."""

    n: int
    key: bytes = field(repr=False)
    hashes: Hashes = field(repr=False)  # (H,) ascending, memory-mapped
    documents: NDArray[np.uint32] = field(repr=False)  # (H,) in how many documents
    first: NDArray[np.uint32] = field(repr=False)  # (H,) the lowest number of a document that holds it

    def counts(self, ids: Ids) -> NDArray[np.uint32]:
        """(len(ids) − n + 1,) in how many documents each n-gram of ``ids`` stands; 0 where in none.

        By hash alone: :meth:`confirmed` compares tokens.
        """
        wanted = ngram_hashes(ids, self.n, self.key)
        place = np.searchsorted(self.hashes, wanted)
        found = np.zeros(len(wanted), dtype=np.uint32)
        inside = place < len(self.hashes)
        hit = np.flatnonzero(inside)[self.hashes[place[inside]] == wanted[inside]]
        found[hit] = self.documents[place[hit]]
        return found

    def holders(self, ids: Ids) -> NDArray[np.int64]:
        """(len(ids) − n + 1,) the number of one document that holds each n-gram, −1 where none does."""
        counted = self.counts(ids)
        place = np.searchsorted(self.hashes, ngram_hashes(ids, self.n, self.key))
        holders = np.full(len(counted), -1, dtype=np.int64)
        holders[counted > 0] = self.first[place[counted > 0]]
        return holders

    def confirmed(self, ids: Ids, tokens_of: Callable[[int], Ids]) -> NDArray[np.uint32]:
        """As :meth:`counts`, 0 where the document that should hold the n-gram does not.

        ``tokens_of`` gives the tokens of a document by its number in the order of the build.
        """
        counted, holders = self.counts(ids), self.holders(ids)
        for start in np.flatnonzero(counted):
            if not places_of(ids[start : start + self.n], tokens_of(int(holders[start]))):
                counted[start] = 0
        return counted


def ngram_hashes(ids: Ids, n: int, key: bytes) -> Hashes:
    """(len(ids) − n + 1,) the keyed hash of every n-gram of ``ids``; empty for a shorter text."""
    if len(ids) < n:
        return np.zeros(0, dtype=np.uint64)
    seed, base = np.frombuffer(hashlib.blake2b(key, digest_size=16).digest(), dtype="<u8")
    values = _mixed(ids.astype(np.uint64) + seed)
    base = base | np.uint64(1)
    count = len(ids) - n + 1
    total = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(n):
            total = total * base + values[offset : offset + count]
    return _mixed(total)


def _mixed(x: Hashes) -> Hashes:
    """A bijection of 64 bits in which every bit depends on every other (splitmix64; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def build(folder: Path, documents: Iterable[Ids], n: int, key: bytes) -> NgramIndex:
    """Write the index of ``documents`` (each (T,) token ids) into the new ``folder`` and open it.

    Documents stream through: memory holds ``BUFFERED`` n-grams, and then one part of 1/``PARTS`` of all.
    """
    folder.mkdir(parents=True)
    parts = [folder / f"part-{k:02d}" for k in range(PARTS)]
    for records in _buffered(documents, n, key):
        part = (records["hash"] >> np.uint64(58)).astype(np.int64)  # 64 parts: the six highest bits
        order = np.argsort(part, kind="stable")
        edges = np.searchsorted(part[order], np.arange(PARTS + 1))
        for k, path in enumerate(parts):
            if edges[k] < edges[k + 1]:
                with path.open("ab") as file:
                    records[order[edges[k] : edges[k + 1]]].tofile(file)
    columns = {"hashes": "<u8", "documents": "<u4", "first": "<u4"}
    files = {name: (folder / name).open("wb") for name in columns}
    for path in parts:
        if path.exists():
            records = np.sort(np.fromfile(path, dtype=RECORD), order=("hash", "document"))
            path.unlink()
            starts = np.flatnonzero(np.r_[True, records["hash"][1:] != records["hash"][:-1]])
            counts = np.diff(np.r_[starts, len(records)])
            records["hash"][starts].tofile(files["hashes"])
            counts.astype("<u4").tofile(files["documents"])
            records["document"][starts].tofile(files["first"])
    for file in files.values():
        file.close()
    opened = {name: _mapped(folder / name, dtype) for name, dtype in columns.items()}
    return NgramIndex(n, key, opened["hashes"], opened["documents"], opened["first"])


def _buffered(documents: Iterable[Ids], n: int, key: bytes) -> Iterator[NDArray[np.void]]:
    """Records of about ``BUFFERED`` n-grams, each n-gram of a document once."""
    waiting: list[NDArray[np.void]] = []
    size = 0
    for number, ids in enumerate(documents):
        hashes = np.unique(ngram_hashes(ids, n, key))
        records = np.empty(len(hashes), dtype=RECORD)
        records["hash"], records["document"] = hashes, number
        waiting.append(records)
        size += len(records)
        if size >= BUFFERED:
            yield np.concatenate(waiting)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _mapped(path: Path, dtype: str) -> NDArray[Any]:
    """The column on disk; an empty file cannot be mapped."""
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype=dtype)


def places_of(gram: Ids, text: Ids) -> list[int]:
    """Return where ``gram`` stands in ``text``, token for token."""
    starts = np.flatnonzero(text[: len(text) - len(gram) + 1] == gram[0])
    return [int(k) for k in starts if np.array_equal(text[k : k + len(gram)], gram)]
