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
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from mlmguard import __version__, artifacts
from mlmguard.corpus import redact, split
from mlmguard.corpus.copies import dedup, minhash
from mlmguard.corpus.copies.minhash import PERMUTATIONS, Array
from mlmguard.corpus.copies.passages import Passages
from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.builtin import severity
from mlmguard.corpus.examine import Batch, Examine, Examined, skipped_of, unpacked
from mlmguard.corpus.read import documents as readers
from mlmguard.corpus.records import Marks
from mlmguard.corpus.spool import Spool, forget_abandoned
from mlmguard.corpus.surrogate import Surrogates
from mlmguard.corpus.values import Repeated, Values
from mlmguard.engine import LocalEngine
from mlmguard.errors import InputError, PartialRun
from mlmguard.types import (
    ColumnCount,
    Document,
    DuplicateCounts,
    Finding,
    FindingCount,
    Location,
    Manifest,
    Progress,
    RepeatedIds,
    Repetition,
    Shard,
    Skipped,
    silent,
)

_SHARD_ROWS = 10_000
_BATCH_CHARS = 200_000
_REPEATED = 100  # values listed in the report, the most frequent first
_STATUSES = (
    "kept",
    "exact-duplicate",
    "near-duplicate",
    "dropped",
    "evaluation-copy",
    "passages-only",
    "left-out",
)
_KEPT, _EXACT, _NEAR, _DROPPED, _EVALUATION, _PASSAGES_ONLY, _LEFT_OUT = range(len(_STATUSES))
CUT = ("between-splits", "everywhere", "nowhere")
KEEP = ("first", "longest", "fewest-findings", "all")  # "all": copies stay, in one split with their cluster


@dataclass(frozen=True)
class ScanSettings:
    """What a scan may be told. ``max_skipped``: below 1 a share of the records, from 1 on a count."""

    text_key: str = "text"
    id_key: str = "id"
    unit_key: str | None = None
    mail_headers: bool = False
    max_chars: int = readers.MAX_CHARS
    language: str = "en"
    entities: tuple[str, ...] | None = None
    threshold: float = pii.THRESHOLD
    names: pii.Names = pii.NOBODY
    countries: tuple[str, ...] = ()  # codes of those whose identifiers are looked for beside the usual ones
    mode: str = "replace"
    kept: tuple[tuple[str, str], ...] = ()  # (rule, fingerprint) of values that stay, see commands.baseline
    near_threshold: float = dedup.THRESHOLD
    permutations: int = PERMUTATIONS
    keep: str = "first"
    cut_passages: str = "between-splits"
    against: tuple[Path, ...] = ()
    left_out: frozenset[str] = frozenset()  # ids of documents that somebody asked to leave out
    splits: Mapping[str, float] = field(default_factory=lambda: dict(split.FRACTIONS))
    max_skipped: float | None = None
    workers: int = 1

    def reading(self) -> readers.Settings:
        return readers.Settings(self.text_key, self.id_key, self.unit_key, self.mail_headers, self.max_chars)

    def examining(self, key: artifacts.Key) -> Examine:
        return Examine(
            self.entities,
            self.threshold,
            self.language,
            self.mode,
            self.permutations,
            key,
            self.names,
            self.countries,
            frozenset(self.kept),
        )

    def shown(self) -> dict[str, str]:
        """The settings that decide what comes out; how many workers did it is none of them.

        A model that finds names is told by its digest, values that stay by their number and a digest of all:
        where files lie, and which values a baseline knows, is nobody's business.
        """
        values = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("workers", "max_skipped", "against", "names", "kept", "left_out")
        }
        values["names"] = {"model": pii.names_digest(self.names), "cues": self.names.cues}
        values["kept"] = _told("values", self.kept)
        values["left_out"] = _told("documents", self.left_out)
        return {
            name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for name, value in values.items()
        }


def _told(what: str, some: Collection[object]) -> str:
    """How many, and a digest of which."""
    if not some:
        return "none"
    digest = hashlib.sha256(json.dumps(sorted(some, key=str)).encode()).hexdigest()[:12]
    return f"{len(some)} {what}, {digest}"


def scan(
    corpus: Path,
    clean: Path,
    reports: Path,
    *,
    key: artifacts.Key,
    settings: ScanSettings | None = None,
    runs: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Clean ``corpus`` into ``clean``, report to ``reports``, and keep what is private in the run folder.

    What another run has left in ``clean`` and ``reports`` is replaced only with ``overwrite``; what the same
    run has left, always.
    """
    settings = settings or ScanSettings()
    began = time.perf_counter()
    _check_places(corpus, clean)
    workers = LocalEngine(settings.workers, preload=["mlmguard.corpus.detect.presidio"])
    _check(settings)
    with _one_line_for_the_usual_failures():
        job = _Job.of(corpus, clean, reports, runs, key, settings, progress, overwrite)
        forget_abandoned(job.run)
        with (
            Spool(job.run, _made_by(settings)) as spool,
            Values(job.run) as values,
            Passages(job.run) as passages,
            dedup.Copies(spool.text, settings.near_threshold, settings.permutations, job.run) as copies,
        ):
            books = _Books()
            reading = _Reading(books, values, passages, copies, settings)
            try:
                _examine(job, spool, reading, workers)
            except InputError:
                spool.remove()  # nothing to go on with
                raise
            seconds_examining = time.perf_counter() - began
            job.progress("look for copies", 0, None)
            books.copies, books.repeated = copies.found(), values.repeated()
            _refuse_too_many_skipped(books, settings)
            _divide(books, job)
            _compare_passages(books, job, spool, passages)
            manifest = _write(job, books, spool)
            spool.remove()
        _write_timings(job, books, seconds_examining, time.perf_counter() - began)
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
        overwrite: bool,
    ) -> _Job:
        ours = (clean, reports, (runs or artifacts.RUNS).parent)
        inputs = readers.digests(corpus, ours)
        against = [readers.digests(folder) for folder in settings.against]
        listing = json.dumps([inputs, against, settings.shown()], sort_keys=True)
        run_id = f"scan-{key.fingerprint('scan run', listing)}"
        if not overwrite:
            _refuse_another_run(run_id, clean, reports)
        run = artifacts.run_folder(run_id, runs)
        return _Job(corpus, clean, reports, ours, run, run_id, inputs, listing, key, settings, progress)


# --- before anything starts ---------------------------------------------------------------------------


def _check(settings: ScanSettings) -> None:
    split.check_fractions(settings.splits)
    if settings.mode not in redact.MODES:
        raise InputError(f"mode {settings.mode!r}", "not known", f"one of: {', '.join(redact.MODES)}")
    if settings.cut_passages not in CUT:
        raise InputError(f"cut passages {settings.cut_passages!r}", "not known", f"one of: {', '.join(CUT)}")
    for name, value in (("threshold", settings.threshold), ("near threshold", settings.near_threshold)):
        if not 0 < value <= 1:
            raise InputError(name, str(value), "more than 0, at most 1")
    if settings.keep not in KEEP:
        raise InputError(f"keep {settings.keep!r}", "not known", f"one of: {', '.join(KEEP)}")
    if not 16 <= settings.permutations <= 4096:
        raise InputError("permutations", str(settings.permutations), "16 to 4096")
    pii.finder(
        settings.entities, settings.threshold, settings.language, settings.names, settings.countries
    )  # refuses what it cannot look for


def _check_places(corpus: Path, clean: Path) -> None:
    next(readers.files(corpus))  # refuses what is not there
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


def _refuse_another_run(run_id: str, clean: Path, reports: Path) -> None:
    for place, record in ((clean, "manifest.json"), (reports, "scan.json")):
        if not (place / record).exists():
            continue
        found = artifacts.read_json(place / record)
        there = found.get("run_id") if isinstance(found, dict) else None
        if there != run_id:
            raise InputError(
                str(place),
                f"it holds {there or record}, another run: its corpus, settings or key differ",
                f"{run_id}, or a new folder",
                "name another with --clean and --reports, or say --overwrite",
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
        what = os.strerror(error.errno).lower() if error.errno else type(error).__name__
        raise PartialRun(f"{where}: {what}; nothing half-written is left.") from None


# --- examining: find and clean, by many hands ---------------------------------------------------------


def _made_by(settings: ScanSettings) -> str:
    """What must be the same for an interrupted scan to be gone on with, beside the run's name."""
    detectors = pii.coverage(names=settings.names, countries=settings.countries)
    return json.dumps([__version__, [asdict(detector) for detector in detectors]])


def _examine(job: _Job, spool: Spool, reading: _Reading, workers: LocalEngine) -> None:
    """Every batch through the detectors, into the spool and into the books; what an interrupted run has done
    is kept. The books are kept here, while others examine, and not in a pass of their own."""
    for records, packed in spool:
        reading.add(records, packed)
    total = readers.size(job.corpus, job.ours)
    passed = 0

    def told(at: int) -> None:
        nonlocal passed
        passed = at

    batches = map(Batch, _batched(readers.read(job.corpus, job.settings.reading(), job.ours, told)))
    nobodys = replace(job.settings.reading(), unit_key=None)
    against = chain.from_iterable(readers.read(folder, nobodys) for folder in job.settings.against)
    left = islice(chain(batches, (Batch(b, against=True) for b in _batched(against))), spool.frames, None)
    for frame in workers.map(job.settings.examining(job.key), left):
        reading.add(*spool.append(frame))
        job.progress("scan (MB)", passed // 1_000_000, -(-total // 1_000_000))


def _batched(items: Iterable[Document | Skipped]) -> Iterator[list[Document | Skipped]]:
    """Batches of about equal work, the same whatever the number of workers."""
    batch: list[Document | Skipped] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.text) + sum(map(len, item.metadata.values())) if isinstance(item, Document) else 100
        if size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


# --- the books: count, and look for copies ------------------------------------------------------------


@dataclass
class _Books:
    """What is remembered of the documents: a few numbers each. Texts and names stay in the spool."""

    orders: array[int] = field(default_factory=lambda: array("Q"))  # whose it is, as a keyed number
    lengths: array[int] = field(default_factory=lambda: array("I"))  # characters
    findings: array[int] = field(default_factory=lambda: array("I"))
    columns: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, column) -> findings
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, column) -> documents
    repeated_ids: dict[str, RepeatedIds] = field(default_factory=dict)  # by source
    copied: Counter[str] = field(default_factory=Counter)  # rule -> most copies of a document that holds it
    skipped: list[Skipped] = field(default_factory=list)
    skipped_after_reading: list[int] = field(default_factory=list)  # ordinals among the documents read
    left_out: list[int] = field(default_factory=list)  # documents that somebody asked to leave out
    against: int = 0  # documents of evaluation sets: their numbers follow those of the corpus
    found: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, source) -> findings
    affected: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, source) -> documents
    copies: dedup.Found = field(init=False)
    repeated: Repeated = field(init=False)
    clusters: Array = field(init=False)  # uint32[documents]: the first document of its cluster
    sizes: Array = field(init=False)  # uint32[documents]: how many copies the corpus held, itself included
    status: Array = field(init=False)  # int8[documents]: a place in _STATUSES
    sides: Array = field(init=False)  # int8[documents]: a place in split.SPLITS
    shared: Counter[str] = field(default_factory=Counter)  # passages by where the other one stands
    cuts: Array = field(init=False)  # uint32[3, cuts]: document and first and last word, by document
    boilerplate: Repeated = field(init=False)

    def __len__(self) -> int:
        return len(self.orders)

    @property
    def owners(self) -> Array:
        """``orders`` as uint64[documents], and not a copy."""
        return np.frombuffer(self.orders, np.uint64)

    def cuts_of(self, index: int) -> list[tuple[int, int]]:
        """The runs of its words that are cut out of a document."""
        first, last = np.searchsorted(self.cuts[0], (index, index + 1))
        return [(int(start), int(end)) for _, start, end in self.cuts[:, first:last].T]

    def side(self, index: int) -> str:
        return split.SPLITS[self.sides[index]] if self.status[index] == _KEPT else ""


@dataclass
class _Reading:
    """Takes what comes back from the examiners, in order: counts it, and notes what finding copies needs."""

    books: _Books
    values: Values
    passages: Passages
    copies: dedup.Copies
    settings: ScanSettings
    read: int = 0

    def add(self, records: Iterable[dict[str, Any]], packed: bytes) -> None:
        """The next batch."""
        books = self.books
        sketches, anchors = unpacked(packed, self.settings.permutations)
        self.copies.add(sketches)
        self.passages.add(len(books) + books.against, anchors)
        for record in records:
            if "against" in record:
                books.against += 1
                continue
            if "skipped" not in record:
                self._count(Examined.of_record(record))
                self.read += 1
                continue
            books.skipped.append(skipped_of(record))
            if record["read"]:
                books.skipped_after_reading.append(self.read)
                self.read += 1

    def _count(self, item: Examined) -> None:
        books = self.books
        if item.id in self.settings.left_out:
            books.left_out.append(len(books))
        rules = Counter(placed.rule for placed in item.clean.placed)
        for rule, found in rules.items():
            books.found[rule, item.source] += found
            books.affected[rule, item.source] += 1
        self.values.add(len(books), ((p.rule, mark) for p, mark in zip(item.clean.placed, item.fingerprints)))
        for rule, column in {(b.rule, b.column) for b in item.beside}:
            books.rows[rule, column] += 1
        books.columns.update((b.rule, b.column) for b in item.beside)
        if item.id_was_taken:
            before = books.repeated_ids.get(item.source, RepeatedIds(item.source, 0, item.id))
            books.repeated_ids[item.source] = replace(before, documents=before.documents + 1)
        books.orders.append(int(item.order, 16))
        books.lengths.append(len(item.text))
        books.findings.append(len(item.clean.placed))


def _refuse_too_many_skipped(books: _Books, settings: ScanSettings) -> None:
    limit, skipped = settings.max_skipped, len(books.skipped)
    if limit is None:
        return
    share = skipped / max(1, skipped + len(books))
    if (share if limit < 1 else skipped) > limit:
        reasons = Counter(item.reason for item in books.skipped).most_common(1)
        raise PartialRun(
            f"{skipped} records skipped, more than --max-skipped {limit:g} (most of them: {reasons[0][0]}); "
            "nothing was written."
        )


def _divide(books: _Books, job: _Job) -> None:
    """Status and split of every document, now that all copies are known."""
    clusters = books.copies.clusters.roots()
    books.clusters = clusters[: len(books)]
    sizes = np.bincount(books.clusters, minlength=len(books)).astype(np.uint32)
    books.sizes = sizes[books.clusters]
    books.status = _statuses(books, job.settings.keep)
    books.status[np.isin(books.clusters, clusters[len(books) :])] = _EVALUATION
    # its copies go with it: one of them would come in for it
    books.status[np.isin(books.clusters, books.clusters[books.left_out])] = _LEFT_OUT
    if job.settings.mode == "drop-document":
        books.status[(books.status == _KEPT) & (np.array(books.findings) > 0)] = _DROPPED
    kept = books.status == _KEPT
    if not kept.any():
        raise PartialRun(
            "no document is left to write: every one was dropped for what was found in it "
            "or is a copy of an evaluation set, or was asked to be left out."
        )
    books.sides = split.assign(books.owners, books.clusters, kept, job.settings.splits)


def _statuses(books: _Books, keep: str) -> Array:
    """Which document of each cluster stays, by the rule ``keep``; of equals the first in corpus order."""
    everyone = np.arange(len(books), dtype=np.uint32)
    if keep == "all":
        return np.full(len(books), _KEPT, np.int8)
    best = everyone[books.clusters == everyone]
    if keep != "first":
        worth = -np.array(books.lengths, np.int64) if keep == "longest" else np.array(books.findings)
        order = np.lexsort((worth, books.clusters)).astype(np.uint32)  # stable: of equals the first
        of = books.clusters[order]
        best = order[np.concatenate([[True], of[1:] != of[:-1]])]
    first = books.copies.first[: len(books)]
    identical = np.bincount(first).astype(np.uint32)[first] > 1
    status = np.full(len(books), _NEAR, np.int8)
    status[identical] = _EXACT
    # Of identical texts none of which stays, one is a near copy of what does.
    stand_in = everyone[first == everyone]
    stayed = np.zeros(len(books), bool)
    stayed[first[best]] = True
    status[stand_in[~stayed[stand_in]]] = _NEAR
    status[best] = _KEPT
    return status


def _compare_passages(books: _Books, job: _Job, spool: Spool, passages: Passages) -> None:
    """Find the passages that kept documents share, and decide which are cut.

    The original is looked for in evaluation sets first, then in train, validation and test: what is cut
    between splits leaves validation and test.
    """
    first_outside, cut = len(books), job.settings.cut_passages
    order = np.lexsort((np.arange(len(books)), books.sides))
    order = order[books.status[order] == _KEPT]
    rank = np.full(len(books) + books.against, -1, np.int64)
    rank[first_outside:] = np.arange(books.against)
    rank[order] = np.arange(len(order)) + books.against
    cuts = array("I")
    with Values(job.run) as originals:
        for passage in passages.found(lambda document: minhash.words([spool.text(document)]), rank):
            if passage.document >= first_outside:
                continue
            if passage.other >= first_outside:
                where = "evaluation sets"
            else:
                crosses = books.sides[passage.document] != books.sides[passage.other]
                where = "other splits" if crosses else "the same split"
            books.shared[where] += 1
            mark = job.key.fingerprint("passage", f"{passage.other} {passage.other_start}")
            originals.add(passage.document, [("passage", mark)])
            if cut == "everywhere" or (cut == "between-splits" and where != "the same split"):
                cuts.extend((passage.document, passage.start, passage.end))
            job.progress("compare passages", sum(books.shared.values()), None)
        books.boilerplate = originals.repeated()
    by_document = np.array(cuts, np.uint32).reshape(-1, 3)
    books.cuts = by_document[np.argsort(by_document[:, 0], kind="stable")].T.copy()


# --- writing ------------------------------------------------------------------------------------------


def _write(job: _Job, books: _Books, spool: Spool) -> Manifest:
    """The second pass. ``clean`` appears whole and last; before it, nothing of an older run is touched."""
    clean, reports = job.clean, job.reports
    salt = "".join(job.key.fingerprint(f"scan salt {half}", job.listing) for half in (1, 2))
    surrogates = _surrogates(job, spool) if job.settings.mode == "surrogate" else None
    redacted: Counter[tuple[str, str]] = Counter()
    clean.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=clean.parent, prefix=f".{clean.name}-"))
    try:
        with (
            artifacts.replacing(job.run / "spans.jsonl", mode=0o600) as spans,
            artifacts.replacing(job.run / "passages.jsonl", mode=0o600) as cuts,
            artifacts.replacing(job.run / "documents.jsonl", mode=0o600) as documents,
            artifacts.replacing(reports / "findings.jsonl") as findings,
            _Shards(building) as shards,
        ):
            for index, item in enumerate(_documents(spool)):
                if cuts_of := books.cuts_of(index):
                    item = job.settings.examining(job.key).without(item, cuts_of)
                    if not minhash.words([item.clean.text]).bounds[-1]:
                        books.status[index] = _PASSAGES_ONLY
                if books.status[index] == _KEPT:
                    if surrogates is not None:
                        item = replace(item, clean=surrogates(item.clean, item.text))
                    row = {"id": item.id, "text": item.clean.text, "unit": item.unit}
                    shards.write(
                        books.side(index), row | ({"metadata": item.metadata} if item.metadata else {})
                    )
                    for placed, mark in zip(item.clean.placed, item.fingerprints):
                        if placed.rule == redact.REPEATED_PASSAGE:
                            cuts.write(_line({"id": item.id, **vars(placed)}))
                            continue
                        redacted[placed.rule, item.source] += 1
                        span = {"id": item.id, **vars(placed), "redacted": True, "fingerprint": mark}
                        spans.write(_line(span))
                for finding in _findings(item, books, index):
                    findings.write(_line(vars(finding) | {"location": vars(finding.location)}))
                    if not finding.location.column:
                        books.copied[finding.rule] = max(books.copied[finding.rule], finding.document_copies)
                first = int(books.clusters[index])
                entry = {
                    "id": item.id,
                    "split": books.side(index),
                    "status": _STATUSES[books.status[index]],
                    "cluster": item.id if first == index else spool.record(first)["id"],
                    "copies": int(books.sizes[index]),
                }
                documents.write(_line(entry))
                job.progress("write", index + 1, len(books))
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


def _surrogates(job: _Job, spool: Spool) -> Surrogates:
    """Surrogates that are no value of this corpus, under no rule."""
    found, rules = Marks(), set()
    for item in _documents(spool):
        for placed, mark in zip(item.clean.placed, item.fingerprints):
            found.add(int(mark, 16))
            rules.add(placed.rule)
    return Surrogates(
        job.key.fingerprint,
        lambda value: any(int(job.key.fingerprint(rule, value), 16) in found for rule in rules),
    )


def _documents(spool: Spool) -> Iterator[Examined]:
    for records, _ in spool:
        yield from (Examined.of_record(record) for record in records if "fingerprints" in record)


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

    def write(self, side: str, row: Mapping[str, Any]) -> None:
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


def _findings(item: Examined, books: _Books, index: int) -> Iterator[Finding]:
    """What was found in a document, whatever became of it, and in the other columns of its row."""
    status, copies = _STATUSES[books.status[index]], int(books.sizes[index])

    def finding(rule: str, score: float, location: Location, mark: str) -> Finding:
        held = books.repeated.holders(mark)
        return Finding(rule, severity(rule), score, location, mark, status, copies, held)

    for placed, mark in zip(item.clean.placed, item.fingerprints):
        if placed.rule != redact.REPEATED_PASSAGE:
            place = Location(item.id, placed.raw_start, placed.raw_end)
            yield finding(placed.rule, placed.score, place, mark)
    for beside in item.beside:
        place = Location(item.id, beside.start, beside.end, beside.column)
        yield finding(beside.rule, beside.score, place, beside.fingerprint)


def _manifest(
    job: _Job,
    books: _Books,
    shards: tuple[Shard, ...],
    redacted: Mapping[tuple[str, str], int],
    commitment: str,
) -> Manifest:
    count = np.bincount(books.status, minlength=len(_STATUSES)).tolist()
    sizes = np.bincount(books.clusters)
    return Manifest(
        run_id=job.run_id,
        documents_read=len(books),
        documents_written=count[_KEPT],
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
            exact=count[_EXACT],
            near=count[_NEAR],
            cross_split=_would_have_crossed(books, job),
            clusters=tuple(sorted(sizes[sizes > 1].tolist(), reverse=True)),
            evaluation=count[_EVALUATION],
            passages=sum(books.shared.values()),
            passages_cut=books.cuts.shape[1],
        ),
        coverage=pii.coverage(job.settings.entities, job.settings.names, job.settings.countries),
        commitment=commitment,
        key_id=job.key.id,
        settings=job.settings.shown(),
        tool_version=__version__,
        columns=tuple(
            ColumnCount(rule, column, found, books.rows[rule, column])
            for (rule, column), found in sorted(books.columns.items())
        ),
        repetition=_repetition(books),
        repeated_ids=tuple(books.repeated_ids.values()),
    )


def _repetition(books: _Books) -> tuple[Repetition, ...]:
    """By type, the worst first: what one leaked value does, times how often a model reads it."""
    found = books.repeated
    rows = []
    for number, rule in enumerate(found.rules):
        documents = found.documents[found.rule == number]
        if len(documents) or books.copied[rule] > 1:
            most = int(documents.max(initial=1))
            rows.append(Repetition(rule, severity(rule), len(documents), most, books.copied[rule]))
    return tuple(sorted(rows, key=lambda r: (-_WEIGHT[r.severity] * r.most, -r.values, r.rule)))


_WEIGHT = {"high": 3, "medium": 2, "low": 1}


def _would_have_crossed(books: _Books, job: _Job) -> int:
    """Pairs of copies that a split by unit alone would have put on two sides."""
    everyone = np.arange(len(books), dtype=np.uint32)
    alone = split.assign(books.owners, everyone, np.ones(len(books), bool), job.settings.splits)
    earlier, later = books.copies.pairs[books.copies.pairs[:, 1] < len(books)].T
    return int(np.count_nonzero(alone[earlier] != alone[later]))


def _write_run(job: _Job, books: _Books, outputs: Mapping[str, str], salt: str) -> None:
    """What the later verbs need and nobody outside should have."""
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
    return {
        "schema": "mlmguard/scan/v1",
        **{
            name: value
            for name, value in asdict(manifest).items()
            if name not in ("schema", "outputs", "skipped")
        },
        "documents_affected": sum(findings > 0 for findings in books.findings),
        "skipped": dict(sorted(Counter(item.reason for item in books.skipped).items())),
        "repeated": sorted(books.repeated.most(_REPEATED), key=_risk),
        "passages": {"shared_with": dict(sorted(books.shared.items())), "against": books.against},
        "boilerplate": [
            {"fingerprint": row["fingerprint"], "documents": row["documents"]}
            for row in books.boilerplate.most(_REPEATED)
        ],
    }


def _risk(row: Mapping[str, Any]) -> tuple[int, int, str, str]:
    """The worst first: what one leaked value of the type does, times how often a model reads it."""
    return (
        -_WEIGHT[severity(row["rule"])] * row["documents"],
        -row["findings"],
        row["rule"],
        row["fingerprint"],
    )


def _write_timings(job: _Job, books: _Books, examined: float, total: float) -> None:
    """Apart from everything else, so that everything else is a function of the input."""
    megabytes = sum(books.lengths) / 1e6
    artifacts.write_json(
        job.reports / "scan.run.json",
        {
            "schema": "mlmguard/scan-run/v1",
            "seconds": round(total, 3),
            "seconds_examining": round(examined, 3),
            "million_characters": round(megabytes, 3),
            "million_characters_per_second": round(megabytes / max(examined, 1e-9), 3),
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
