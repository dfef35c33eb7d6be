"""The first verb: what was in the corpus, what was removed, and what was not looked for.

    corpus/ ──scan──▶ clean/ + reports/scan.json + reports/findings.jsonl + the private run folder

One pass reads, finds, cleans and looks for copies; a second one splits and writes. Copies are looked for
in the raw text (two letters that differ only in the name are not copies), cleaning comes after. Nothing
of a document's text leaves ``clean/`` and the run folder, not even in an error.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from mlmguard import __version__, artifacts
from mlmguard.corpus import dedup, pii, readers, redact, split
from mlmguard.corpus.recognizers import severity
from mlmguard.corpus.spans import Span, resolve
from mlmguard.engine import LocalEngine
from mlmguard.errors import InputError, PartialRun
from mlmguard.types import (
    Document,
    DuplicateCounts,
    Finding,
    FindingCount,
    Location,
    Manifest,
    Progress,
    Shard,
    Skipped,
    silent,
)

_SHARD_ROWS = 10_000
_BATCH_CHARS = 200_000
_REPEATED = 100  # values listed in the report, the most frequent first
_HARMLESS_IN_A_NAME = frozenset({"DATE_TIME", "URL", "UUID"})  # "notes.md" looks like a Moldovan host


@dataclass(frozen=True)
class ScanSettings:
    """What a scan may be told. ``max_skipped``: below 1 a share of the records, from 1 on a count."""

    text_key: str = "text"
    id_key: str = "id"
    unit_key: str | None = None
    mail_headers: bool = True
    max_chars: int = readers.MAX_CHARS
    language: str = "en"
    entities: tuple[str, ...] | None = None
    threshold: float = pii.THRESHOLD
    mode: str = "replace"
    near_threshold: float = dedup.THRESHOLD
    permutations: int = dedup.PERMUTATIONS
    splits: Mapping[str, float] = field(default_factory=lambda: dict(split.FRACTIONS))
    max_skipped: float | None = None
    workers: int = 1

    def reading(self) -> readers.Settings:
        return readers.Settings(self.text_key, self.id_key, self.unit_key, self.mail_headers, self.max_chars)

    def shown(self) -> dict[str, str]:
        """The settings that decide what comes out; how many workers did it is none of them."""
        values = {
            name: value for name, value in asdict(self).items() if name not in ("workers", "max_skipped")
        }
        return {
            name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for name, value in values.items()
        }


def scan(
    corpus: Path,
    clean: Path,
    reports: Path,
    *,
    key: artifacts.Key,
    settings: ScanSettings | None = None,
    runs: Path | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Clean ``corpus`` into ``clean``, report to ``reports``, and keep what is private in the run folder."""
    settings = settings or ScanSettings()
    began = time.perf_counter()
    _check_places(corpus, clean)
    _check(settings)
    with _one_line_for_the_usual_failures():
        job = _Job.of(corpus, clean, reports, runs, key, settings, progress)
        with _Spool(job.run) as spool:
            books = _read(job, spool)
            seconds_reading = time.perf_counter() - began
            _refuse_too_many_skipped(books, settings)
            _divide(books, job)
            manifest = _write(job, books, spool)
        _write_timings(job, books, seconds_reading, time.perf_counter() - began)
    return manifest


@dataclass(frozen=True)
class _Job:
    """One scan: where from, where to, and under which name. Everything in it is fixed before it starts."""

    corpus: Path
    clean: Path
    reports: Path
    ours: tuple[Path, ...]  # what we write: no part of a corpus that happens to lie around it
    run: Path
    run_id: str
    inputs: Mapping[str, str]  # file -> SHA-256
    listing: str  # the inputs and settings as text: what the run's name, salt and commitment depend on
    key: artifacts.Key = field(repr=False)
    settings: ScanSettings
    progress: Progress

    @staticmethod
    def of(
        corpus: Path,
        clean: Path,
        reports: Path,
        runs: Path | None,
        key: artifacts.Key,
        settings: ScanSettings,
        progress: Progress,
    ) -> _Job:
        ours = (clean, reports, (runs or artifacts.RUNS).parent)
        inputs = readers.digests(corpus, ours)
        listing = json.dumps([inputs, settings.shown()], sort_keys=True)
        run_id = f"scan-{key.fingerprint('scan run', listing)}"
        run = artifacts.run_folder(run_id, runs)
        return _Job(corpus, clean, reports, ours, run, run_id, inputs, listing, key, settings, progress)

    def split_order(self, unit: str) -> str:
        """The keyed name that decides which side a unit goes to."""
        return self.key.fingerprint("split", unit)


# --- before anything starts ---------------------------------------------------------------------------


def _check(settings: ScanSettings) -> None:
    split.check_fractions(settings.splits)
    if settings.mode not in redact.MODES:
        raise InputError(f"mode {settings.mode!r}", "not known", f"one of: {', '.join(redact.MODES)}")
    for name, value in (("threshold", settings.threshold), ("near threshold", settings.near_threshold)):
        if not 0 < value <= 1:
            raise InputError(name, str(value), "more than 0, at most 1")
    if not 16 <= settings.permutations <= 4096:
        raise InputError("permutations", str(settings.permutations), "16 to 4096")
    pii.finder(settings.entities, settings.threshold, settings.language)  # refuses what it cannot look for


def _check_places(corpus: Path, clean: Path) -> None:
    if not corpus.exists():
        raise InputError(str(corpus), "no such folder", "a folder with text files", "check the path")
    if corpus.resolve().is_relative_to(clean.resolve()):
        raise InputError(str(clean), "it holds the corpus", "another folder for the cleaned corpus")
    if not clean.exists():
        return
    if not clean.is_dir():
        raise InputError(str(clean), "not a folder", "a new folder for the cleaned corpus")
    names = sorted(entry.name for entry in clean.iterdir())
    foreign = [name for name in names if not _OUR_FILE.fullmatch(name)]
    if names and (foreign or "manifest.json" not in names or not _is_our_manifest(clean / "manifest.json")):
        raise InputError(
            str(clean), "it holds files that mlmguard did not write", "a new folder", "name another"
        )


_OUR_FILE = re.compile(r"(?:train|validation|test)-\d{5}\.jsonl|manifest\.json")


def _is_our_manifest(path: Path) -> bool:
    try:
        found = artifacts.read_json(path)
    except InputError:
        return False
    return isinstance(found, dict) and str(found.get("schema", "")).startswith("mlmguard/manifest/")


@contextmanager
def _one_line_for_the_usual_failures() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise PartialRun("a worker process died, perhaps for lack of memory; try --workers 1.") from None
    except OSError as error:
        where = error.filename or "output"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PartialRun(
                f"{where}: the disk is full; nothing half-written is left, free space and run again."
            ) from None
        raise PartialRun(
            f"{where}: {os.strerror(error.errno or 0).lower()}; nothing half-written is left."
        ) from None


# --- reading: find, clean, look for copies ------------------------------------------------------------


@dataclass
class _Record:
    """What is remembered of a document: everything but its text."""

    id: str
    source: str
    unit: str
    status: str
    found: bool
    cluster: int = 0
    split: str = ""


@dataclass
class _Books:
    """What the first pass counted."""

    records: list[_Record] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    skipped_after_reading: list[int] = field(default_factory=list)  # ordinals among the documents read
    clusters: dedup.Clusters = field(default_factory=dedup.Clusters)
    copies: list[tuple[int, int]] = field(default_factory=list)
    found: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, source) -> findings
    affected: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, source) -> documents
    values: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, fingerprint) -> findings
    holders: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, fingerprint) -> documents
    characters: int = 0


@dataclass(frozen=True)
class _Examined:
    """A document after the detectors: what a worker sends back."""

    document: Document
    clean: redact.Clean
    digest: bytes
    sketch: Any


@dataclass(frozen=True)
class _Examine:
    """The work on one batch, picklable: find, clean, sketch, and make names safe to show."""

    settings: ScanSettings
    key: artifacts.Key

    def __call__(self, batch: list[Document | Skipped]) -> list[_Examined | Skipped]:
        return [self._skipped(item) if isinstance(item, Skipped) else self._examined(item) for item in batch]

    def _examined(self, document: Document) -> _Examined | Skipped:
        find = pii.finder(self.settings.entities, self.settings.threshold, self.settings.language).find
        name, _, row = document.id.partition("#")
        safe = _safe_name(name, self.key) + (f"#{_safe_name(row, self.key)}" if row else "")
        source = _safe_name(document.source, self.key)
        try:
            clean = redact.redact_fully(document.text, find, self.settings.mode, self.key.fingerprint)
            sketch = dedup.signature(document.text, self.settings.permutations)
        except Exception as error:  # a document that breaks a detector must not stop the rest, nor be quoted
            return Skipped(safe, f"a detector failed on it ({type(error).__name__})")
        shown = Document(safe, document.text, source, document.unit)
        return _Examined(shown, clean, dedup.digest(document.text), sketch)

    def _skipped(self, item: Skipped) -> Skipped:
        return Skipped(_safe_name(item.source, self.key), item.reason, item.line)


def _safe_name(name: str, key: artifacts.Key) -> str:
    """A path or id with what is personal in it replaced by type and fingerprint. Safe to show."""
    for span in reversed(_personal_in(name)):
        stand_in = f"<{span.rule}:{key.fingerprint(span.rule, name[span.start : span.end])}>"
        name = name[: span.start] + stand_in + name[span.end :]
    return name


@lru_cache(maxsize=4096)
def _personal_in(name: str) -> tuple[Span, ...]:
    """All detectors at their usual threshold, whatever the settings: a name is shown to everybody.

    An address with a file's extension behind it ("a@b.org.txt") has no valid domain, so anything around
    an at sign counts; an underscore would hide the edge of a number, so it is read as a space.
    """
    addresses = [
        Span(m.start(), m.end(), "EMAIL_ADDRESS", 1.0) for m in re.finditer(r"[^/#\s]+@[^/#\s]+", name)
    ]
    found = [s for s in pii.finder().find(re.sub("[_/]", " ", name)) if s.rule not in _HARMLESS_IN_A_NAME]
    return tuple(resolve(addresses + found))


def _read(job: _Job, spool: _Spool) -> _Books:
    """The first pass. Texts go to the spool; only what a :class:`_Record` holds stays in memory."""
    books, settings = _Books(), job.settings
    near = dedup.NearCopies(spool.text, settings.near_threshold, settings.permutations)
    first_with: dict[bytes, int] = {}
    ordinal = -1
    batches = _batched(readers.read(job.corpus, settings.reading(), job.ours))
    sent: list[list[bool]] = []  # for each batch under way: which of its items are documents

    def watched() -> Iterator[list[Document | Skipped]]:
        for batch in batches:
            sent.append([isinstance(item, Document) for item in batch])
            yield batch

    for results in LocalEngine(settings.workers).map(_Examine(settings, job.key), watched()):
        for was_document, item in zip(sent.pop(0), results, strict=True):
            ordinal += was_document
            if isinstance(item, Skipped):
                books.skipped.append(item)
                if was_document:
                    books.skipped_after_reading.append(ordinal)
                continue
            index = books.clusters.add()
            spool.append(item)
            original = first_with.setdefault(item.digest, index)
            if original != index:
                status, copies = "exact-duplicate", [original]
            else:
                copies = near.earlier(index, item.sketch, books.clusters)
                status = "near-duplicate" if copies else "kept"
            for copy in copies:
                books.clusters.join(index, copy)
                books.copies.append((copy, index))
            _count(books, item, status, job.key)
        job.progress("scan", len(books.records), None)
    return books


def _batched(items: Iterable[Document | Skipped]) -> Iterator[list[Document | Skipped]]:
    """Batches of about equal work, the same whatever the number of workers."""
    batch: list[Document | Skipped] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.text) if isinstance(item, Document) else 100
        if size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _count(books: _Books, item: _Examined, status: str, key: artifacts.Key) -> None:
    document = item.document
    unit = key.fingerprint("unit", document.unit) if document.unit else document.id
    books.records.append(_Record(document.id, document.source, unit, status, bool(item.clean.placed)))
    books.characters += len(document.text)
    rules = Counter(placed.rule for placed in item.clean.placed)
    for rule, found in rules.items():
        books.found[rule, document.source] += found
        books.affected[rule, document.source] += 1
    values = Counter(
        (placed.rule, key.fingerprint(placed.rule, document.text[placed.raw_start : placed.raw_end]))
        for placed in item.clean.placed
    )
    books.values.update(values)
    books.holders.update(values.keys())


def _refuse_too_many_skipped(books: _Books, settings: ScanSettings) -> None:
    limit, skipped = settings.max_skipped, len(books.skipped)
    if limit is None:
        return
    share = skipped / max(1, skipped + len(books.records))
    if (share if limit < 1 else skipped) > limit:
        reasons = Counter(item.reason for item in books.skipped).most_common(1)
        raise PartialRun(
            f"{skipped} records skipped, more than --max-skipped {limit:g} (most of them: {reasons[0][0]}); "
            "nothing was written."
        )


def _divide(books: _Books, job: _Job) -> None:
    """Status and split of every record, now that all copies are known."""
    records = books.records
    for index, record in enumerate(records):
        record.cluster = books.clusters.root(index)
        if job.settings.mode == "drop-document" and record.found and record.status == "kept":
            record.status = "dropped"
    kept = [record.status == "kept" for record in records]
    sides = split.assign(
        [record.unit for record in records],
        [record.cluster for record in records],
        kept,
        job.split_order,
        job.settings.splits,
    )
    for record, side, is_kept in zip(records, sides, kept, strict=True):
        record.split = side if is_kept else ""
    if not any(kept):
        raise PartialRun("no document is left to write: every one was dropped for what was found in it.")


# --- writing ------------------------------------------------------------------------------------------


def _write(job: _Job, books: _Books, spool: _Spool) -> Manifest:
    """The second pass. ``clean`` appears whole and last; before it, nothing of an older run is touched."""
    clean, reports = job.clean, job.reports
    salt = "".join(job.key.fingerprint(f"scan salt {half}", job.listing) for half in (1, 2))
    redacted: Counter[tuple[str, str]] = Counter()
    clean.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=clean.parent, prefix=f".{clean.name}-"))
    try:
        with (
            artifacts.replacing(job.run / "spans.jsonl", mode=0o600) as spans,
            artifacts.replacing(reports / "findings.jsonl") as findings,
            _Shards(building) as shards,
        ):
            for index, record in enumerate(books.records):
                if record.status != "kept":
                    continue
                text, cleaned = spool.get(index)
                shards.write(record.split, {"id": record.id, "text": cleaned.text, "unit": record.unit})
                for placed in cleaned.placed:
                    redacted[placed.rule, record.source] += 1
                    spans.write(_line({"id": record.id, **asdict(placed), "redacted": True}))
                    findings.write(_line(asdict(_finding(record.id, placed, text, job.key))))
                job.progress("write", index + 1, len(books.records))
        outputs = {shard.path: artifacts.sha256_file(building / shard.path) for shard in shards.done}
        sealed = hashlib.sha256(f"{salt}\n{job.listing}\n{json.dumps(outputs, sort_keys=True)}".encode())
        manifest = _manifest(job, books, shards.done, redacted, sealed.hexdigest())
        artifacts.write_json(building / "manifest.json", manifest)
        _write_run(job, books, outputs, salt)
        artifacts.write_json(reports / "scan.json", _report(books, manifest))
        building.chmod(0o700)  # cleaned is not anonymous: what no detector looks for is still in it
        _take_the_place_of(building, clean)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


class _Shards:
    """Rows to ``train-00000.jsonl`` and so on; at most one file of a split is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: dict[str, IO[bytes]] = {}
        self._rows: Counter[str] = Counter()

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *exception: object) -> None:
        for stream in self._current.values():
            self._finish(stream)

    def write(self, side: str, row: Mapping[str, str]) -> None:
        number, begun = divmod(self._rows[side], _SHARD_ROWS)
        if not begun:
            if side in self._current:
                self._finish(self._current[side])
            self._current[side] = (self._folder / f"{side}-{number:05}.jsonl").open("wb")
        self._current[side].write(_line(row))
        self._rows[side] += 1

    @staticmethod
    def _finish(stream: IO[bytes]) -> None:
        with stream:
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def done(self) -> tuple[Shard, ...]:
        """The shards in the order of their splits and numbers."""
        return tuple(
            Shard(
                f"{side}-{number:05}.jsonl", side, min(_SHARD_ROWS, self._rows[side] - number * _SHARD_ROWS)
            )
            for side in split.SPLITS
            for number in range(-(-self._rows[side] // _SHARD_ROWS))
        )


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n"


def _finding(id: str, placed: redact.Placed, text: str, key: artifacts.Key) -> Finding:
    value = text[placed.raw_start : placed.raw_end]
    location = Location(id, placed.raw_start, placed.raw_end)
    return Finding(
        placed.rule, severity(placed.rule), placed.score, location, key.fingerprint(placed.rule, value)
    )


def _manifest(
    job: _Job,
    books: _Books,
    shards: tuple[Shard, ...],
    redacted: Mapping[tuple[str, str], int],
    commitment: str,
) -> Manifest:
    records, sizes = books.records, Counter(record.cluster for record in books.records)
    status = Counter(record.status for record in records)
    return Manifest(
        run_id=job.run_id,
        documents_read=len(records),
        documents_written=status["kept"],
        splits={
            side: sum(shard.documents for shard in shards if shard.split == side) for side in split.SPLITS
        },
        outputs=shards,
        skipped=tuple(books.skipped),
        findings=tuple(
            FindingCount(rule, source, found, redacted.get((rule, source), 0), books.affected[rule, source])
            for (rule, source), found in sorted(books.found.items())
        ),
        duplicates=DuplicateCounts(
            exact=status["exact-duplicate"],
            near=status["near-duplicate"],
            cross_split=_would_have_crossed(books, job),
            clusters=tuple(sorted((size for size in sizes.values() if size > 1), reverse=True)),
        ),
        coverage=pii.coverage(job.settings.entities),
        commitment=commitment,
        key_id=job.key.id,
        settings=job.settings.shown(),
        tool_version=__version__,
    )


def _would_have_crossed(books: _Books, job: _Job) -> int:
    """Pairs of copies that a split by unit alone would have put on two sides."""
    units = [record.unit for record in books.records]
    everyone = [True] * len(units)
    alone = split.assign(units, range(len(units)), everyone, job.split_order, job.settings.splits)
    return sum(alone[a] != alone[b] for a, b in books.copies)


def _write_run(job: _Job, books: _Books, outputs: Mapping[str, str], salt: str) -> None:
    """What the later verbs need and nobody outside should have."""
    sizes = Counter(record.cluster for record in books.records)
    with artifacts.replacing(job.run / "documents.jsonl", mode=0o600) as stream:
        for record in books.records:
            stream.write(
                _line(
                    {
                        "id": record.id,
                        "split": record.split,
                        "status": record.status,
                        "cluster": books.records[record.cluster].id,
                        "copies": sizes[record.cluster],
                    }
                )
            )
    private = {
        "corpus": str(job.corpus.resolve()),
        "clean": str(job.clean.resolve()),
        "ignored": sorted(str(path.resolve()) for path in job.ours),
        "settings": job.settings.shown(),
        "reading": asdict(job.settings.reading()),
        "salt": salt,
        "files": dict(job.inputs),
        "clean_files": dict(outputs),
        "skipped_after_reading": books.skipped_after_reading,
    }
    artifacts.write_json(job.run / "scan.json", private, mode=0o600)


def _report(books: _Books, manifest: Manifest) -> dict[str, Any]:
    """Counts for people: the manifest's, and the values that many documents hold, which models memorise."""
    often = sorted(books.holders.items(), key=lambda item: (-item[1], item[0]))
    return {
        "schema": "mlmguard/scan/v1",
        **{
            name: value
            for name, value in asdict(manifest).items()
            if name not in ("schema", "outputs", "skipped")
        },
        "documents_affected": sum(record.found for record in books.records),
        "skipped": dict(sorted(Counter(item.reason for item in books.skipped).items())),
        "repeated": [
            {"rule": rule, "fingerprint": mark, "findings": books.values[rule, mark], "documents": documents}
            for (rule, mark), documents in often[:_REPEATED]
            if documents > 1
        ],
    }


def _write_timings(job: _Job, books: _Books, read: float, total: float) -> None:
    """Apart from everything else, so that everything else is a function of the input."""
    megabytes = books.characters / 1e6
    artifacts.write_json(
        job.reports / "scan.run.json",
        {
            "schema": "mlmguard/scan-run/v1",
            "seconds": round(total, 3),
            "seconds_reading": round(read, 3),
            "million_characters": round(megabytes, 3),
            "million_characters_per_second": round(megabytes / max(read, 1e-9), 3),
            "workers": job.settings.workers,
        },
    )


def _take_the_place_of(new: Path, old: Path) -> None:
    """Rename ``new`` to ``old``; what ``old`` held goes away only after the new one is in place."""
    if not old.exists():
        new.rename(old)
        return
    aside = Path(tempfile.mkdtemp(dir=old.parent, prefix=f".{old.name}-"))
    old.rename(aside / old.name)
    try:
        new.rename(old)
    except OSError:
        (aside / old.name).rename(old)
        raise
    finally:
        if old.exists():
            shutil.rmtree(aside, ignore_errors=True)


# --- the spool ----------------------------------------------------------------------------------------


class _Spool:
    """Texts between the two passes: in the run folder, not in memory, and gone afterwards."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._places = array("Q")

    def __enter__(self) -> _Spool:
        handle, name = tempfile.mkstemp(dir=self._run, prefix=".spool-")
        self._stream, self._path = os.fdopen(handle, "w+b"), Path(name)
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._stream.close()
        finally:
            self._path.unlink(missing_ok=True)

    def append(self, item: _Examined) -> None:
        self._places.append(self._stream.seek(0, os.SEEK_END))
        placed = [list(asdict(p).values()) for p in item.clean.placed]
        self._stream.write(_line({"text": item.document.text, "clean": item.clean.text, "placed": placed}))

    def get(self, index: int) -> tuple[str, redact.Clean]:
        """(raw text, cleaned text with its map) of the document at ``index``."""
        self._stream.seek(self._places[index])
        row = json.loads(self._stream.readline())
        return row["text"], redact.Clean(
            row["clean"], tuple(redact.Placed(*values) for values in row["placed"])
        )

    def text(self, index: int) -> str:
        return self.get(index)[0]
