"""The first pass: read, find, clean and sketch, in batches, by as many workers as there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from mlmguard.corpus.examine import Batch
from mlmguard.corpus.read import documents
from mlmguard.corpus.spool import Spool, Spools
from mlmguard.engine import Engine
from mlmguard.errors import InputError
from mlmguard.scan.books import Workplace
from mlmguard.scan.job import Job, examining, reading
from mlmguard.types import Document, Skipped, Watcher

BATCH_CHARS = 100_000
"""Characters after which a batch ends: the same whatever the number of workers."""


def examine(job: Job, place: Workplace, engine: Engine, watcher: Watcher) -> None:
    """Put every batch through the detectors, into the spool and into the books.

    What an interrupted run, or the jobs of the shards, have done is kept. Raises :class:`InputError` for a
    corpus without a document.
    """
    for records, packed in place.spool:
        place.add(records, packed)
        watcher.progress("read again", place.read, None)
    if isinstance(place.spool, Spools):
        if not place.read:
            raise documents.no_document(job.corpus, reading(job.settings))
        return
    try:
        _examine(job, place, place.spool, engine, watcher)
    except InputError:
        place.done()  # nothing to go on with
        raise


def _examine(job: Job, place: Workplace, spool: Spool, engine: Engine, watcher: Watcher) -> None:
    total = documents.size(job.corpus, job.ours)
    passed = 0

    def advance(at: int) -> None:
        nonlocal passed
        passed = at

    how = reading(job.settings)
    everything = batches(documents.read(job.corpus, how, job.ours, advance), job.settings.against, how)
    for frame in engine.map(examining(job.settings, job.key), islice(everything, spool.frames, None)):
        place.add(*spool.append(frame))
        watcher.progress("scan (MB)", passed // 1_000_000, -(-total // 1_000_000))


def batches(
    corpus: Iterable[Document | Skipped], against: Iterable[Path], how: documents.Settings
) -> Iterator[Batch]:
    """Give the batches of a corpus, and after them those of the sets it is held against."""
    evaluation = chain.from_iterable(
        documents.read(folder, replace(how, unit_key=None)) for folder in against
    )
    yield from map(Batch, _batched(corpus))
    yield from (Batch(batch, against=True) for batch in _batched(evaluation))


def _batched(items: Iterable[Document | Skipped]) -> Iterator[list[Document | Skipped]]:
    """Batches of about equal work."""
    batch: list[Document | Skipped] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.text) + sum(map(len, item.metadata.values())) if isinstance(item, Document) else 100
        if size >= BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
