"""The second pass: rows to ``clean/``, findings to the reports, places to the run folder."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from mlmguard import artifacts
from mlmguard.corpus import redact, split
from mlmguard.corpus.copies import minhash
from mlmguard.corpus.detect import identity
from mlmguard.corpus.detect.installed import entity
from mlmguard.corpus.examine import Beside, Examined
from mlmguard.corpus.records import Numbers
from mlmguard.corpus.surrogate import Surrogates
from mlmguard.scan import card
from mlmguard.scan.books import Books, Status, Workplace
from mlmguard.scan.job import Job, examining
from mlmguard.settings import Cleaning
from mlmguard.types import Finding, Location, Shard, Watcher

SHARD_ROWS = 10_000
"""Rows of one file of ``clean/``."""


@dataclass(frozen=True)
class Written:
    """The files of a scan's output; how many findings were taken out, and left, by (entity type, source)."""

    shards: tuple[Shard, ...]
    redacted: Counter[tuple[str, str]]
    left: Counter[tuple[str, str]]


def write(job: Job, place: Workplace, folder: Path, watcher: Watcher) -> Written:
    """Write the rows to ``folder``, findings to the reports and the private places to the run folder."""
    books = place.books
    surrogates = _surrogates(job, place) if job.settings.mode == Cleaning.SURROGATE else None
    cutting = examining(job.settings, job.key)
    redacted: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, str]] = Counter()
    with (
        artifacts.replacing(job.run / "spans.jsonl", mode=0o600) as spans,
        artifacts.replacing(job.run / "passages.jsonl", mode=0o600) as cuts,
        artifacts.replacing(job.run / "documents.jsonl", mode=0o600) as documents,
        artifacts.replacing(job.reports / "findings.jsonl") as findings,
        _Shards(folder) as shards,
    ):
        for index, item in enumerate(place.documents()):
            if cuts_of := books.cuts_of(index):
                item = cutting.without(item, cuts_of)
                if not minhash.words([item.clean.text]).bounds[-1]:
                    books.status[index] = Status.PASSAGES_ONLY
            if books.is_kept(index):
                if surrogates is not None:
                    item = replace(item, clean=surrogates(item.clean, item.text))
                shards.write(books.split_of(index), _row(item))
                for placed, fingerprint in zip(item.clean.placed, item.fingerprints):
                    if placed.rule == redact.REPEATED_PASSAGE:
                        cuts.write(_line({"id": item.id, **placed._asdict()}))
                        continue
                    redacted[placed.rule, item.source] += 1
                    span = {"id": item.id, **placed._asdict(), "redacted": True, "fingerprint": fingerprint}
                    spans.write(_line(span))
                for one in item.left:
                    left[one.rule, item.source] += 1
                    spans.write(_line(_kept(item, one)))
            for finding in _findings(item, books, index):
                findings.write(_line(vars(finding) | {"location": vars(finding.location)}))
                if not finding.location.column:
                    books.copied[finding.rule] = max(books.copied[finding.rule], finding.document_copies)
            documents.write(_line(_entry(item, place, index)))
            watcher.progress("write", index + 1, len(books))
    return Written(shards.done, redacted, left)


def _surrogates(job: Job, place: Workplace) -> Surrogates:
    """Surrogates that are no value of this corpus, of any entity type."""
    found, rules = Numbers(), set()
    for item in place.documents():
        for placed, fingerprint in zip(item.clean.placed, item.fingerprints):
            found.add(int(fingerprint, 16))
            rules.add(placed.rule)
        for one in item.left:
            found.add(int(one.fingerprint, 16))
            rules.add(one.rule)
    return Surrogates(
        partial(identity.fingerprint, job.key),
        lambda value: any(int(identity.fingerprint(job.key, rule, value), 16) in found for rule in rules),
    )


def _kept(item: Examined, one: Beside) -> Mapping[str, Any]:
    """A finding that stays in the text, as a line of ``spans.jsonl``."""
    start = item.clean.to_clean(one.start)
    placed = redact.Placed(one.rule, one.score, one.start, one.end, start, start + one.end - one.start)
    return {"id": item.id, **placed._asdict(), "redacted": False, "fingerprint": one.fingerprint}


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

    def write(self, to: str, row: Mapping[str, Any]) -> None:
        """Append ``row`` to the split ``to``."""
        number, begun = divmod(self._rows[to], SHARD_ROWS)
        if not begun:
            if to in self._current:
                self._finish(self._current[to])
            self._current[to] = (self._folder / f"{to}-{number:05}.jsonl").open("wb")
        self._current[to].write(_line(row))
        self._rows[to] += 1

    @staticmethod
    def _finish(stream: IO[bytes]) -> None:
        with stream:
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def done(self) -> tuple[Shard, ...]:
        """The shards in the order of their splits and numbers."""
        return tuple(
            Shard(f"{of}-{number:05}.jsonl", of, min(SHARD_ROWS, self._rows[of] - number * SHARD_ROWS))
            for of in split.SPLITS
            for number in range(-(-self._rows[of] // SHARD_ROWS))
        )


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n"


def _row(item: Examined) -> dict[str, Any]:
    """What is written to ``clean/``: four texts, whatever columns the corpus has. An object in the place of
    the last would be of another type in every shard, which no reader of tables takes."""
    columns = json.dumps(item.metadata, ensure_ascii=False)
    return dict(zip(card.COLUMNS, (item.id, item.clean.text, item.unit, columns)))


def _entry(item: Examined, place: Workplace, index: int) -> dict[str, Any]:
    """What ``documents.jsonl`` says of a document."""
    books, first = place.books, int(place.books.clusters[index])
    return {
        "id": item.id,
        "split": books.split_of(index),
        "status": books.status_of(index),
        "cluster": item.id if first == index else place.spool.record(first)["id"],
        "copies": int(books.sizes[index]),
    }


def _findings(item: Examined, books: Books, index: int) -> Iterator[Finding]:
    """What was found in a document, whatever became of it, and in the other columns of its row."""
    status, copies = books.status_of(index), int(books.sizes[index])

    def finding(rule: str, score: float, location: Location, fingerprint: str) -> Finding:
        held = books.repeated.holders(fingerprint)
        return Finding(rule, entity(rule).severity, score, location, fingerprint, status, copies, held)

    for placed, fingerprint in zip(item.clean.placed, item.fingerprints):
        if placed.rule != redact.REPEATED_PASSAGE:
            place = Location(item.id, placed.raw_start, placed.raw_end)
            yield finding(placed.rule, placed.score, place, fingerprint)
    for beside in item.beside:
        place = Location(item.id, beside.start, beside.end, beside.column)
        yield finding(beside.rule, beside.score, place, beside.fingerprint)
