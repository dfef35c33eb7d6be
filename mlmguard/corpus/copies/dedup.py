"""Copies: exact ones by digest, near ones by MinHash, each candidate verified by its true Jaccard index.

Clusters are the connected components of *verified* pairs. A chain A~B~C is one cluster even where A and C
alone are too different; a pair that failed verification connects nothing. A cluster's root is its first
document in corpus order.

Texts are not kept. A document costs a byte while it is read, eight more for its cluster and about twenty
while one band is sorted; its digest, signature and band keys lie on disk as fixed-width records.
"""

from __future__ import annotations

import hashlib
import tempfile
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from mlmguard.corpus.copies import minhash
from mlmguard.corpus.copies.keyed import Keyed
from mlmguard.corpus.copies.minhash import PERMUTATIONS, Array
from mlmguard.corpus.records import Parts
from mlmguard.settings import ScanSettings

THRESHOLD = ScanSettings.near_threshold
_DIGEST = np.dtype([("low", "<u8"), ("high", "<u8"), ("document", "<u4")])
_PARTS = 16  # of the digests
_WHOLE = [(np.uint64(0), np.uint64((1 << 64) - 1))]
_QUARTERS = [(np.uint64(q << 62), np.uint64((q + 1 << 62) - 1)) for q in range(4)]
_SORTED = 1 << 18  # documents whose keys of a band are sorted at once: of more, a quarter at a time
_BLOCK = 8192  # documents whose keys are turned round and written together: 64 KiB a band
_TRIES = 16  # comparisons of one document in one band that may fail before the band is left
_REMEMBERED = 1 << 20  # failed comparisons that are not made again in another band
_KEPT_SHINGLES = 1 << 20  # 8 bytes each
_ARRAY = 32  # what an array itself takes, in the same unit
_PREPARED = 64  # documents whose shingles are made together
_BATCH_CHARS = 200_000  # larger batches fall out of the processor's cache

_WHITE = bytes([9, 10, 11, 12, 13, 28, 29, 30, 31, 32])  # of ASCII, as str.split() has it


def digest(text: str) -> bytes:
    """16 bytes, the same for texts that differ only in white space and in how accents are encoded."""
    normal = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass").translate(None, _WHITE)
    return hashlib.sha256(normal).digest()[:16]


@dataclass(frozen=True)
class Sketches:
    """What finding copies needs to know of a batch of texts."""

    digests: bytes  # 16 a text
    signatures: Array  # uint32[permutations, texts]
    wordless: Array  # bool[texts]: nothing to compare

    def __len__(self) -> int:
        return len(self.wordless)


def sketch(
    texts: Sequence[str], permutations: int = PERMUTATIONS, words: minhash.Words | None = None
) -> Sketches:
    """Digests and MinHash signatures of ``texts``; ``words`` are theirs, where somebody has them already."""
    fingerprints, bounds = minhash.shingles(words or minhash.words(texts))
    return Sketches(
        b"".join(digest(text) for text in texts),
        minhash.signatures(fingerprints, bounds, permutations),
        np.diff(bounds) == 0,
    )


class Clusters:
    """Which documents belong together; the smallest index is a cluster's root."""

    def __init__(self, size: int = 0) -> None:
        self._parent = array("I", range(size))

    def __len__(self) -> int:
        return len(self._parent)

    def root(self, index: int) -> int:
        """Return the first document of the cluster that ``index`` is in."""
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def roots(self) -> Array:
        """:meth:`root` of every document, uint32."""
        roots = np.array(self._parent, np.uint32)
        while not np.array_equal(roots, above := roots[roots]):
            roots = above
        return roots

    def join(self, a: int, b: int) -> None:
        """``a`` and ``b`` are copies of one another."""
        a, b = self.root(a), self.root(b)
        self._parent[max(a, b)] = min(a, b)


@dataclass(frozen=True)
class Found:
    """All copies of a corpus."""

    clusters: Clusters
    pairs: Array  # uint32[pairs, 2]: (earlier, later), one for every join: verified copies of one another
    first: Array  # uint32[documents]: the first with the same digest: itself, if it is no exact copy


class Copies:
    """Shown every batch of a corpus in order, says which documents are copies of one another.

    ``text_of`` gives a text back by its index, for the few that have to be compared. With ``keyed`` the
    numbers that stand for texts are keyed ones, and stay as ``names``.
    """

    def __init__(
        self,
        text_of: Callable[[int], str],
        threshold: float = THRESHOLD,
        permutations: int = PERMUTATIONS,
        folder: Path | None = None,
        keyed: Keyed | None = None,
    ) -> None:
        self._threshold, self._keyed = threshold, keyed
        self._hopeless = permutations * (threshold - 4 * (threshold * (1 - threshold) / permutations) ** 0.5)
        self._digests = Parts(_DIGEST, _PARTS, folder)
        self._wordless = bytearray()
        self._signatures = _Rows(permutations, folder)
        self._keys = Table(minhash.bands(threshold, permutations)[0], folder)
        self.names = Names(Table(2 if keyed else 0, folder), self._keys)
        self._pairs = array("I")
        self._failed: set[int] = set()
        self._shingles = Shingles(text_of)

    def __enter__(self) -> Copies:
        return self

    def __exit__(self, *exception: object) -> None:
        self._digests.__exit__(*exception)
        self._signatures.close()
        self.names.close()

    def add(self, sketches: Sketches) -> None:
        """Add the next texts of the corpus."""
        digests = np.empty(len(sketches), _DIGEST)
        digests["low"], digests["high"] = np.frombuffer(sketches.digests, np.uint64).reshape(-1, 2).T
        digests["document"] = np.arange(len(self._wordless), len(self._wordless) + len(sketches))
        self._digests.append(digests, digests["low"])
        self._wordless += sketches.wordless.tobytes()
        self._signatures.append(sketches.signatures)
        keys = minhash.band_keys(sketches.signatures, self._threshold)
        if self._keyed:
            self.names.digests.append(self._keyed.digests(sketches.digests))
            keys = self._keyed.band_keys(keys)
        self._keys.append(keys)

    def signature(self, document: int) -> Array:
        """Return the MinHash signature of a text, uint32[permutations]."""
        return self._signatures[document]

    @property
    def wordless(self) -> Array:
        """bool[texts added]: those with nothing to compare."""
        return np.frombuffer(self._wordless, bool)

    def found(self) -> Found:
        """Return the copies among all texts added; they stay as ``known``."""
        clusters = Clusters(len(self._wordless))
        first = np.arange(len(clusters), dtype=np.uint32)
        # Of identical texts the first stands for all: a thousand copies cost no comparison.
        compared = ~self.wordless
        for members in self._same_digest():
            first[members] = members[0]
            compared[members[1:]] = False
            for copy in members[1:].tolist():
                self._join(clusters, int(members[0]), copy)
        for keys in self._keys:
            self._join_band(keys, compared, clusters)
        self.known = Found(clusters, np.array(self._pairs, np.uint32).reshape(-1, 2), first)
        return self.known

    def _same_digest(self) -> Iterator[Array]:
        for digests in self._digests.pieces("low"):
            digests = digests[
                np.lexsort((digests["high"], digests["low"]))
            ]  # of equals the first comes first
            yield from _runs(digests["document"], digests["low"], digests["high"])

    def _join_band(self, keys: Array, compared: Array, clusters: Clusters) -> None:
        for least, most in _WHOLE if len(keys) <= _SORTED else _QUARTERS:
            documents = np.flatnonzero(compared & (keys >= least) & (keys <= most))
            order = np.argsort(keys[documents], kind="stable")
            documents = documents[order]
            self._join_runs(_runs(documents, keys[documents]), clusters)

    def _join_runs(self, found: Iterable[Array], clusters: Clusters) -> None:
        runs = (
            run
            for run in (documents.tolist() for documents in found)
            if any(clusters.root(document) != clusters.root(run[0]) for document in run)
        )
        for some in _together(runs):
            self._shingles.prepare(d for members in some if len(members) <= _PREPARED for d in members)
            for members in some:
                self._join_candidates(members, clusters)

    def _join_candidates(self, members: list[int], clusters: Clusters) -> None:
        """Join what is alike among documents that share a band.

        One verified pair is enough to join two clusters, so a thousand copies of a form letter cost a
        thousand comparisons, not half a million; and a document that is like none of a thousand others
        which share only a letterhead with it gives up after a few.
        """
        before: dict[int, list[int]] = {}  # a cluster's root when it was met -> its members so far
        for document in members:
            left = _TRIES
            for root, others in before.items():
                if clusters.root(root) == clusters.root(document):
                    continue
                for other in others[:left]:
                    if self._alike(other, document):
                        self._join(clusters, other, document)
                        break
                    left -= 1
                if left <= 0:
                    break
            before.setdefault(clusters.root(document), []).append(document)

    def _alike(self, a: int, b: int) -> bool:
        pair = a << 32 | b
        if pair in self._failed:
            return False
        # The estimate is off by four standard deviations once in 30,000 pairs; most candidates end here.
        alike = (
            np.count_nonzero(self._signatures[a] == self._signatures[b]) >= self._hopeless
            and jaccard(self._shingles[a], self._shingles[b]) >= self._threshold
        )
        if not alike and len(self._failed) < _REMEMBERED:
            self._failed.add(pair)
        return alike

    def _join(self, clusters: Clusters, a: int, b: int) -> None:
        clusters.join(a, b)
        self._pairs.extend((min(a, b), max(a, b)))


def jaccard(a: Array, b: Array) -> float:
    """Shared elements over all elements of two sorted sets; 0 if there are none.

    Of shingles as 64-bit fingerprints: two that differ look the same once in 10^19 pairs.
    """
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common) if common else 0.0


def shingle_sets(texts: Sequence[str], named: Callable[[Array], Array]) -> Iterator[Array]:
    """The shingles of each of some texts, sorted, each once; ``named``: what stands in their place."""
    found, bounds = minhash.shingles(minhash.words(texts))
    for of_text in np.split(named(found), bounds[1:-1]):
        of_text.sort()
        new = np.ones(len(of_text), bool)
        np.not_equal(of_text[1:], of_text[:-1], out=new[1:])
        yield of_text[new]


class Shingles:
    """The shingles of documents as sorted sets, made many at a time; the last ones used are kept."""

    def __init__(
        self, text_of: Callable[[int], str], named: Callable[[Array], Array] = lambda found: found
    ) -> None:
        """``named``: what stands in their place, as an array of the same length."""
        self._text_of, self._named = text_of, named
        self._kept: dict[int, Array] = {}
        self._size = 0

    def prepare(self, documents: Iterable[int]) -> None:
        """Make the sets of these at once: one by one takes several times as long."""
        missing = [document for document in documents if document not in self._kept]
        texts = [self._text_of(document) for document in missing]
        done = 0
        for batch in _batches(texts):
            for found in shingle_sets(batch, self._named):
                self._keep(missing[done], found)
                done += 1

    def __getitem__(self, document: int) -> Array:
        if document not in self._kept:
            self.prepare([document])
        return self._kept[document]

    def _keep(self, document: int, found: Array) -> None:
        self._kept[document] = found
        self._size += len(found) + _ARRAY
        while self._size > _KEPT_SHINGLES and len(self._kept) > 1:
            self._size -= len(self._kept.pop(next(iter(self._kept)))) + _ARRAY


def _together(runs: Iterable[list[int]]) -> Iterator[list[list[int]]]:
    """Lists of candidates, as many at a time as make preparing them worthwhile."""
    some: list[list[int]] = []
    documents = 0
    for run in runs:
        if len(run) <= _PREPARED:  # a longer one is as good as never all there: its sets are made when needed
            documents += len(run)
        some.append(run)
        if documents >= _PREPARED:
            yield some
            some, documents = [], 0
    if some:
        yield some


def _runs(of: Array, *keys: Array) -> Iterator[Array]:
    """The pieces of ``of`` of two and more whose ``keys``, in order, are the same."""
    same = np.zeros(len(of) + 1, bool)
    if len(of):
        same[1:-1] = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    edges = np.flatnonzero(same[1:] != same[:-1])
    for start, end in edges.reshape(-1, 2):
        yield of[start : end + 1]


class _Rows:
    """A table of 32-bit numbers on disk, a row a document, read back row by row."""

    def __init__(self, width: int, folder: Path | None) -> None:
        self._bytes = 4 * width
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by close)

    def close(self) -> None:
        self._file.close()

    def append(self, block: Array) -> None:
        """``block`` is [numbers of a row, rows]."""
        self._file.write(np.ascontiguousarray(block.T, np.uint32).tobytes())

    def __getitem__(self, row: int) -> Array:
        self._file.seek(row * self._bytes)
        return np.frombuffer(self._file.read(self._bytes), np.uint32)


class Table:
    """A table of 64-bit numbers on disk, written by rows of documents, read back by columns."""

    def __init__(self, count: int, folder: Path | None) -> None:
        self._count = count
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by close)
        self._waiting: list[Array] = []
        self._rows = self._waiting_rows = 0

    def close(self) -> None:
        self._file.close()

    def append(self, block: Array) -> None:
        """``block`` is [columns, rows]."""
        self._waiting.append(block)
        self._rows += block.shape[1]
        self._waiting_rows += block.shape[1]
        if self._waiting_rows >= _BLOCK:
            waiting = np.concatenate(self._waiting, axis=1)
            whole = waiting.shape[1] // _BLOCK * _BLOCK
            for start in range(0, whole, _BLOCK):
                self._write(waiting[:, start : start + _BLOCK])
            self._waiting = [waiting[:, whole:]]
            self._waiting_rows -= whole

    def _write(self, block: Array) -> None:
        self._file.write(np.ascontiguousarray(block, np.uint64).tobytes())

    def __iter__(self) -> Iterator[Array]:
        """Each column whole, uint64[rows], in one and the same array."""
        rest = (
            np.concatenate(self._waiting, axis=1) if self._waiting else np.zeros((self._count, 0), np.uint64)
        )
        whole = self._rows - rest.shape[1]
        values = np.empty(self._rows, np.uint64)
        for column in range(self._count):
            for start in range(0, whole, _BLOCK):
                self._file.seek(8 * (start * self._count + column * _BLOCK))
                values[start : start + _BLOCK] = np.frombuffer(self._file.read(8 * _BLOCK), np.uint64)
            values[whole:] = rest[column]
            yield values


@dataclass(frozen=True)
class Names:
    """Numbers by which texts are known, of all of a scan: two for a digest, one for each band."""

    digests: Table
    bands: Table

    def close(self) -> None:
        """Remove them."""
        self.digests.close()
        self.bands.close()


def duplicates(texts: Iterable[str], threshold: float = THRESHOLD, permutations: int = PERMUTATIONS) -> Found:
    """All copies among ``texts``, exact and near: the whole of this file in one loop, for texts in memory."""
    known = list(texts)
    with Copies(known.__getitem__, threshold, permutations) as copies:
        for batch in _batches(known):
            copies.add(sketch(batch, permutations))
        return copies.found()


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = size = 0
    for index, text in enumerate(texts):
        size += len(text)
        if size >= _BATCH_CHARS:
            yield texts[start : index + 1]
            start, size = index + 1, 0
    if start < len(texts):
        yield texts[start:]
