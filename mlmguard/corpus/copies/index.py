"""What scans have seen, kept on disk, so that a later corpus is held against it and no text is read again.

    INDEX/index.json        the scans in order, each with size and digest of its files: written last
    INDEX/scan-ID/digests   of each text its keyed digest, sorted
    INDEX/scan-ID/bands     band by band the keyed keys of the MinHash signatures, sorted
    INDEX/scan-ID/shingles  of each text its keyed shingles, sorted: what two texts share is counted on them
    INDEX/scan-ID/documents of each text where its shingles begin, and its cluster

No text, no id and no name of a file is in it, and no number by which who lacks the key could try a text; how
long texts are and how alike they are to one another can be read from it. Files
are read from beginning to end, some of it at a time, and shingles of those texts that share a band.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from mlmguard import artifacts
from mlmguard.corpus.copies.keyed import Keyed
from mlmguard.corpus.copies.minhash import Array
from mlmguard.errors import InputError
from mlmguard.types.noun import noun

RECORD = "index.json"
FILES = {"digests", "bands", "shingles", "documents"}
_RUN = re.compile(r"scan-[0-9a-f]+")
DIGEST = np.dtype([("key", "<u8"), ("rest", "<u8"), ("document", "<u4")])
BAND = np.dtype([("key", "<u8"), ("document", "<u4")])
PLACE = np.dtype([("begin", "<u8"), ("count", "<u4"), ("check", "<u4"), ("cluster", "<u8")])
_BLOCK = 1 << 16  # entries that are read together
_QUARTER = np.uint64(62)  # bits behind the two that say which quarter a key is in


@noun
class IndexedFile:
    """A file of a scan in the index."""

    bytes: int
    digest: str  # BLAKE2b, 16 bytes


@noun
class IndexedScan:
    """A scan that is in the index."""

    run_id: str
    corpus: str  # a keyed name of the files it read
    documents: int  # texts: of equal ones the first
    compared: int  # of these, texts with words
    files: Mapping[str, IndexedFile]


@noun
class IndexRecord:
    """All that is in an index, and how it was made."""

    key_id: str
    how: Mapping[str, str]
    scans: tuple[IndexedScan, ...] = ()
    schema: str = "mlmguard/index/v1"


@dataclass(frozen=True)
class Index:
    """An index that nobody else writes to meanwhile."""

    folder: Path
    key: artifacts.Key
    record: IndexRecord

    @property
    def keyed(self) -> Keyed:
        """Give what names digests and shingles in it."""
        return Keyed(self.key.derived("index v1"))

    def state(self, scans: int) -> str:
        """Name the first ``scans`` of it: what a later scan is a function of."""
        seen = [[one.run_id, one.files["shingles"].digest] for one in self.record.scans[:scans]]
        return self.key.fingerprint("index", json.dumps(seen))

    def before(self, corpus: str, run_of: Callable[[str], str], overwrite: bool) -> int:
        """Say how many of its scans one of ``corpus`` is held against: those before it, or all.

        ``run_of`` names that scan by the state it is held against. Raises :class:`InputError` where the files
        are in it under other settings, unless that scan is the last and ``overwrite`` is set.
        """
        scans = self.record.scans
        for place, scan in enumerate(scans):
            if scan.run_id == run_of(self.state(place)):
                return place
        same = [place for place, scan in enumerate(scans) if scan.corpus == corpus]
        last = len(scans) - 1
        if same and not (overwrite and same == [last]):
            do = "say --overwrite to scan them anew" if same == [last] else "name a new folder"
            raise InputError(
                str(self.folder),
                f"these files are in it, as {scans[same[0]].run_id} ({same[0] + 1} of {last + 1})",
                "files of which it has seen no scan, or the settings of that one",
                do,
            )
        return last if same else len(scans)

    def scans(self, count: int) -> tuple[Seen, ...]:
        """Give the first ``count`` scans. Raises :class:`InputError` where a file of one is gone or torn."""
        found = tuple(
            Seen(self.folder / one.run_id, one, place) for place, one in enumerate(self.record.scans)
        )
        for one in found[:count]:
            one.check()
        return found[:count]

    @contextmanager
    def adding(self) -> Iterator[Path]:
        """Give a folder for the files of a scan: :meth:`add` takes it, or it is gone afterwards."""
        if not (self.folder / RECORD).exists():  # from now on what is in the folder is the index's
            artifacts.write_json(self.folder / RECORD, self.record, mode=0o600)
        for left in self.folder.glob(".mlmguard-*"):  # of a scan that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".mlmguard-", dir=self.folder) as around:
            folder = Path(around) / "scan"
            folder.mkdir(mode=0o700)
            yield folder

    def add(self, scan: IndexedScan, written: Path, place: int) -> None:
        """Take the files that lie in ``written`` as those of scan number ``place``: all or nothing."""
        for left in self.folder.glob("scan-*"):  # of a scan that was killed here, or is replaced
            if left.name not in {one.run_id for one in self.record.scans}:
                _remove(left)
        _remove(self.folder / scan.run_id)
        written.rename(self.folder / scan.run_id)
        scans = (*self.record.scans[:place], scan)
        artifacts.write_json(self.folder / RECORD, replace(self.record, scans=scans), mode=0o600)
        for one in self.record.scans[place:]:
            if one.run_id != scan.run_id:
                _remove(self.folder / one.run_id)


@contextmanager
def opened(folder: Path, key: artifacts.Key, how: Mapping[str, str]) -> Iterator[Index]:
    """Give the index in ``folder``, an empty one where there is none, and keep others away from it.

    Raises :class:`InputError` where somebody else has it, for a folder with other things in it, and for an
    index of another key or made in another way than ``how``.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(str(folder), "not a folder", "the folder of an index, or a new one")
    new = not folder.exists()
    artifacts.made(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = artifacts.hold(folder)
    except InputError:
        do = "wait for it, or name another folder"
        raise InputError(str(folder), "another scan writes to this index", "one at a time", do) from None
    try:
        yield Index(folder, key, _record(folder, key, how))
    finally:
        if new:
            with suppress(OSError):  # something is in it now
                folder.rmdir()
        os.close(descriptor)


def _record(folder: Path, key: artifacts.Key, how: Mapping[str, str]) -> IndexRecord:
    if not (folder / RECORD).exists():
        if any(folder.iterdir()):
            do = f"name a new folder; if it was one, bring its {RECORD} back"
            raise InputError(str(folder), f"it holds files and no {RECORD}", "an index, or a new folder", do)
        return IndexRecord(key.id, dict(how))
    found = artifacts.read_noun(folder / RECORD, IndexRecord)
    for one in found.scans:  # names of folders, which are read, replaced and removed
        if not _RUN.fullmatch(one.run_id) or one.files.keys() != FILES:
            do = "bring it back from a copy, or begin a new index"
            raise InputError(str(folder / RECORD), "the name of a scan or a file that is none", "its own", do)
    if found.key_id != key.id:
        do = "name its key with MLMGUARD_KEY_FILE, or a new folder"
        other = f"an index under the key {found.key_id}, and the key at hand is {key.id}"
        raise InputError(str(folder), other, "the key it was made with", do)
    if found.how != how:
        names = sorted(n for n in found.how.keys() | how.keys() if found.how.get(n) != how.get(n))
        told = ", ".join(f"{n.replace('_', ' ')} {found.how.get(n)}, not {how.get(n)}" for n in names)
        raise InputError(
            str(folder), f"an index made with other settings ({told})", "the same", "a new folder"
        )
    return found


def _remove(folder: Path) -> None:
    """Remove a folder that is named and filled like that of a scan in an index; anything else stays."""
    named = _RUN.fullmatch(folder.name) is not None and folder.is_dir() and not folder.is_symlink()
    if named and {one.name for one in folder.iterdir()} <= FILES:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Seen:
    """The files of one scan in the index."""

    folder: Path
    scan: IndexedScan
    place: int  # among the scans

    def check(self) -> None:
        """Raise :class:`InputError` where a file is not as long as it was written."""
        for name, expected in self.scan.files.items():
            try:
                found = (self.folder / name).stat().st_size
            except FileNotFoundError:
                found = -1
            if found != expected.bytes:
                raise self._damaged(name)
        # the others are checked as they are read; of this one entries are read here and there
        with (self.folder / "documents").open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        if digest.hexdigest() != self.scan.files["documents"].digest:
            raise self._damaged("documents")

    def digests(self) -> Iterator[Array]:
        """All digests, sorted, some at a time: entries of :data:`DIGEST`."""
        for _, block in self._read("digests", DIGEST, self.scan.documents):
            yield block

    def bands(self) -> Iterator[Iterator[Array]]:
        """Each band, as its keys, sorted, some at a time: entries of :data:`BAND`."""
        blocks = self._read("bands", BAND, self.scan.compared)
        left = next(blocks, None)

        def one(number: int) -> Iterator[Array]:
            nonlocal left
            while left is not None and left[0] == number:
                yield left[1]
                left = next(blocks, None)

        number = 0
        while left is not None:
            yield one(number)
            number += 1

    def _read(self, name: str, entry: np.dtype, group: int) -> Iterator[tuple[int, Array]]:
        """A file from its beginning to its end in pieces of one group of entries each, and its digest."""
        total, group_bytes = hashlib.blake2b(digest_size=16), group * entry.itemsize
        with (self.folder / name).open("rb") as file:
            for number in range(self.scan.files[name].bytes // group_bytes if group else 0):
                for start in range(0, group, _BLOCK):
                    data = file.read(min(_BLOCK, group - start) * entry.itemsize)
                    total.update(data)
                    yield number, np.frombuffer(data, entry)
        if total.hexdigest() != self.scan.files[name].digest:
            raise self._damaged(name)

    @contextmanager
    def texts(self) -> Iterator[Texts]:
        """Give what it holds of each text."""
        with (self.folder / "documents").open("rb") as places, (self.folder / "shingles").open("rb") as sets:
            yield Texts(self, places, sets)

    def _damaged(self, name: str) -> InputError:
        do = "bring it back from a copy, or begin a new index"
        return InputError(str(self.folder / name), "torn or damaged", "the file as its scan wrote it", do)


@dataclass(frozen=True)
class Texts:
    """Clusters and shingles of the texts of one scan, read where they lie."""

    seen: Seen
    _places: IO[bytes]
    _sets: IO[bytes]

    def clusters(self, documents: Array) -> list[int]:
        """Name the clusters of these texts."""
        return [int(self._place(int(document))["cluster"]) for document in documents]

    def shingles(self, document: int) -> Array:
        """Give the keyed shingles of a text, uint32, sorted, each once.

        Raises :class:`InputError` where they are not those that were written.
        """
        place = self._place(document)
        self._sets.seek(int(place["begin"]))
        data = self._sets.read(4 * int(place["count"]))
        if zlib.crc32(data) != place["check"]:
            raise self.seen._damaged("shingles")
        return np.frombuffer(data, np.uint32)

    def _place(self, document: int) -> np.void:
        self._places.seek(document * PLACE.itemsize)
        data = self._places.read(PLACE.itemsize)
        if len(data) < PLACE.itemsize:
            raise self.seen._damaged("documents")
        found: np.void = np.frombuffer(data, PLACE)[0]
        return found


class Writer:
    """The files of one scan, written to a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IndexedFile] = {}

    @contextmanager
    def file(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Give what appends to one of the files; it is on the disk afterwards, and on record."""
        total, size = hashlib.blake2b(digest_size=16), 0
        path = self._folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:

            def put(data: bytes) -> None:
                nonlocal size
                size += stream.write(data)
                total.update(data)

            yield put
            stream.flush()
            os.fsync(stream.fileno())
        self._files[name] = IndexedFile(size, total.hexdigest())

    @staticmethod
    def sorted(entry: np.dtype, keys: Array, of: Array, number: Array, rest: Array | None) -> Iterator[bytes]:
        """Give entries of the documents ``of`` by their ``keys``, a quarter of them at a time.

        ``keys`` and ``rest`` are uint64 of all documents of the scan, ``number`` is that of each one's text.
        """
        for quarter in range(4):
            part = of[keys[of] >> _QUARTER == quarter]
            part = part[np.argsort(keys[part], kind="stable")]
            for start in range(0, len(part), _BLOCK):
                some = part[start : start + _BLOCK]
                block = np.empty(len(some), entry)
                block["key"], block["document"] = keys[some], number[some]
                if rest is not None:
                    block["rest"] = rest[some]
                yield block.tobytes()

    def done(self, run_id: str, corpus: str, documents: int, compared: int) -> IndexedScan:
        """Give the scan that the files are of."""
        return IndexedScan(run_id, corpus, documents, compared, dict(self._files))


def packed(sets: Sequence[Array], begin: int, clusters: Array) -> tuple[bytes, bytes]:
    """Return shingles and places of some texts, whose shingles begin at byte ``begin`` of the file."""
    places = np.empty(len(sets), PLACE)
    data = [found.astype("<u4").tobytes() for found in sets]
    lengths = np.array([len(one) for one in data], np.uint64)
    places["begin"] = begin + np.cumsum(lengths) - lengths
    places["count"], places["cluster"] = lengths // 4, clusters
    places["check"] = [zlib.crc32(one) for one in data]
    return b"".join(data), places.tobytes()
