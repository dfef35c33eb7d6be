"""What a scan remembers of the documents: a few numbers each. Texts and names stay in the spool."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Self

import numpy as np

from mlmguard.corpus import split
from mlmguard.corpus.copies import dedup, earlier
from mlmguard.corpus.copies.minhash import Array
from mlmguard.corpus.copies.passages import Passages
from mlmguard.corpus.examine import Examined, skipped_of, unpacked
from mlmguard.corpus.read.left_out import LeftOut
from mlmguard.corpus.spool import Spool, Spools, forget_abandoned
from mlmguard.corpus.values import Repeated, Values
from mlmguard.errors import PartialRun
from mlmguard.scan.job import Job, made_by
from mlmguard.types import RepeatedIds, Watcher


class Status(IntEnum):
    """What became of a document."""

    KEPT = 0
    EXACT_DUPLICATE = 1
    NEAR_DUPLICATE = 2
    DROPPED = 3
    EVALUATION_COPY = 4
    PASSAGES_ONLY = 5
    LEFT_OUT = 6
    EARLIER_COPY = 7

    @property
    def label(self) -> str:
        """The word in ``documents.jsonl`` and ``findings.jsonl``."""
        return self.name.lower().replace("_", "-")


@dataclass
class Books:
    """Columns with one number a document, and counts."""

    orders: array[int] = field(default_factory=lambda: array("Q"))  # whose it is, as a keyed number
    forms: array[int] = field(default_factory=lambda: array("Q"))  # what it is without its values, hashed
    lengths: array[int] = field(default_factory=lambda: array("I"))  # characters
    findings: array[int] = field(default_factory=lambda: array("I"))
    columns: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, column) -> findings
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, column) -> documents
    languages: Counter[str] = field(default_factory=Counter)  # documents by language
    repeated_ids: dict[str, RepeatedIds] = field(default_factory=dict)  # by source
    copied: Counter[str] = field(default_factory=Counter)  # rule -> most copies of a document that holds it
    skipped: LeftOut = field(default_factory=LeftOut)
    skipped_after_reading: list[int] = field(default_factory=list)  # ordinals among the documents read
    left_out: list[int] = field(default_factory=list)  # documents left out by --forget-list
    against: int = 0  # documents of evaluation sets: their numbers follow those of the corpus
    found: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, source) -> findings
    affected: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, source) -> documents
    copies: dedup.Found = field(init=False)
    known: earlier.Known | None = None  # which are copies of what earlier scans have seen
    repeated: Repeated = field(init=False)
    clusters: Array = field(init=False)  # uint32[documents]: the first document of its cluster
    sizes: Array = field(init=False)  # uint32[documents]: how many copies the corpus held, itself included
    status: Array = field(init=False)  # int8[documents]: a :class:`Status`
    splits: Array = field(init=False)  # int8[documents]: a place in split.SPLITS
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
        """List the runs of its words that are cut out of a document."""
        first, last = np.searchsorted(self.cuts[0], (index, index + 1))
        return [(int(start), int(end)) for _, start, end in self.cuts[:, first:last].T]

    def is_kept(self, index: int) -> bool:
        """Say whether a document is written to ``clean/``."""
        return bool(self.status[index] == Status.KEPT)

    def status_of(self, index: int) -> str:
        """Name what became of a document."""
        return Status(int(self.status[index])).label

    def split_of(self, index: int) -> str:
        """Name the split of a document; "" unless it is kept."""
        return split.SPLITS[self.splits[index]] if self.is_kept(index) else ""


class Workplace:
    """The files of a scan while it runs, in its run folder: what was examined, values, passages, copies.

    Its books are kept here, while workers examine, and not in a pass of their own. Leaving it removes what
    is temporary, and keeps the spool, so that an interrupted scan can go on, until :meth:`done`.
    """

    def __init__(self, job: Job, spools: Spools | None = None) -> None:
        """``spools``: what was examined elsewhere, all of it."""
        self.books = Books()
        self.read = 0  # documents of the corpus
        self._job = job
        self._spools = spools
        self._keyed = job.earlier.keyed if job.earlier else None

    def __enter__(self) -> Self:
        settings, run = self._job.settings, self._job.run
        forget_abandoned(run)
        with ExitStack() as stack:
            self.spool: Spool | Spools = self._spools or Spool(run, made_by(settings))
            stack.enter_context(self.spool)
            self._values = stack.enter_context(Values(run))
            self.passages = stack.enter_context(Passages(run))
            self.copies = stack.enter_context(
                dedup.Copies(
                    self.spool.text, settings.near_threshold, settings.permutations, run, self._keyed
                )
            )
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def done(self) -> None:
        """Remove what an interrupted scan would go on with."""
        self.spool.remove()

    def documents(self) -> Iterator[Examined]:
        """Every document of the corpus, in order, as it was examined."""
        for records, _ in self.spool:
            yield from (Examined.of_record(record) for record in records if "fingerprints" in record)

    def add(self, records: Iterable[dict[str, Any]], packed: bytes) -> None:
        """Count the next batch, and note what finding copies needs."""
        books = self.books
        sketches, anchors = unpacked(packed, self._job.settings.permutations)
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
            books.skipped.add(skipped_of(record))
            if record["read"]:
                books.skipped_after_reading.append(self.read)
                self.read += 1

    def _count(self, item: Examined) -> None:
        books = self.books
        if item.id in self._job.settings.left_out:
            books.left_out.append(len(books))
        rules = Counter(placed.rule for placed in item.clean.placed)
        for rule, found in rules.items():
            books.found[rule, item.source] += found
            books.affected[rule, item.source] += 1
        by_value = (
            (placed.rule, fingerprint) for placed, fingerprint in zip(item.clean.placed, item.fingerprints)
        )
        self._values.add(len(books), by_value)
        for rule, column in {(b.rule, b.column) for b in item.beside}:
            books.rows[rule, column] += 1
        books.columns.update((b.rule, b.column) for b in item.beside)
        books.languages[item.language] += 1
        if item.id_was_taken:
            before = books.repeated_ids.get(item.source, RepeatedIds(item.source, 0, item.id))
            books.repeated_ids[item.source] = replace(before, documents=before.documents + 1)
        books.orders.append(int(item.order, 16))
        books.forms.append(item.clean.form(item.text))
        books.lengths.append(len(item.text))
        books.findings.append(len(item.clean.placed))

    def close(self, watcher: Watcher) -> Books:
        """Give the books once everything was examined, with copies and repeated values found.

        Raises :class:`PartialRun` if more records were skipped than the settings allow.
        """
        self.examined = time.perf_counter()
        watcher.progress("look for copies", 0, None)
        self.books.copies, self.books.repeated = self.copies.found(), self._values.repeated()
        if self._job.earlier:
            self.books.known = self._job.earlier.known(self.copies, len(self.books), self.spool.text)
        _refuse_too_many_skipped(self.books, self._job.settings.max_skipped)
        return self.books

    def remember(self, corpus: str) -> None:
        """Put the documents of the corpus, named ``corpus``, into the index for later scans."""
        texts = ([r["text"] for r in records if "fingerprints" in r] for records, _ in self.spool)
        assert self._job.earlier is not None and self.books.known is not None
        self._job.earlier.remember(self._job.run_id, corpus, self.copies, self.books.known, texts)


def _refuse_too_many_skipped(books: Books, limit: float | None) -> None:
    """``limit``: a share of the records below 1, a count from 1 on, None for any number."""
    skipped = books.skipped.records
    if limit is None:
        return
    share = skipped / max(1, skipped + len(books))
    if (share if limit < 1 else skipped) > limit:
        reasons = books.skipped.by_reason().most_common(1)
        raise PartialRun(
            f"{skipped} records skipped, more than --max-skipped {limit:g} (most of them: {reasons[0][0]}); "
            "nothing was written."
        )
