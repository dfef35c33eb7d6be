"""What stays of the copies, which split a document goes to, and which passages are cut out."""

from __future__ import annotations

from array import array

import numpy as np

from mlmguard.corpus import split
from mlmguard.corpus.copies import minhash
from mlmguard.corpus.copies.minhash import Array
from mlmguard.corpus.values import Values
from mlmguard.errors import PartialRun
from mlmguard.scan.books import Books, Status, Workplace
from mlmguard.scan.job import Job
from mlmguard.settings import Cleaning, CutPassages, Keep
from mlmguard.types import Watcher


def divide(job: Job, books: Books) -> None:
    """Give every document its status and its split, now that all copies are known.

    Raises :class:`PartialRun` if no document is left.
    """
    clusters = books.copies.clusters.roots()
    books.clusters = clusters[: len(books)]
    sizes = np.bincount(books.clusters, minlength=len(books)).astype(np.uint32)
    books.sizes = sizes[books.clusters]
    books.status = _statuses(books, job.settings.keep)
    if books.known is not None:
        books.status[books.known.copies] = Status.EARLIER_COPY
    books.status[np.isin(books.clusters, clusters[len(books) :])] = Status.EVALUATION_COPY
    # its copies go with it: one of them would come in for it
    books.status[np.isin(books.clusters, books.clusters[books.left_out])] = Status.LEFT_OUT
    if job.settings.mode == Cleaning.DROP_DOCUMENT:
        kept = books.status == Status.KEPT
        books.status[kept & (np.array(books.findings) > 0)] = Status.DROPPED
    kept = books.status == Status.KEPT
    if not kept.any():
        counts = ((why, int((books.status == status).sum())) for status, why in _GONE.items())
        told = ", ".join(f"{count:,} {why}" for why, count in counts if count)
        raise PartialRun(f"no document is left to write; of {len(books):,}: {told}.")
    forms = np.frombuffer(books.forms, np.uint64)
    books.splits = split.assign(books.owners, books.clusters, kept, job.settings.shares, forms)


_GONE = {
    Status.EARLIER_COPY: "copied from what earlier scans have read",
    Status.EVALUATION_COPY: "copied from an evaluation set",
    Status.DROPPED: "dropped for what was found",
    Status.LEFT_OUT: "to be left out",
    Status.EXACT_DUPLICATE: "copied from another",
    Status.NEAR_DUPLICATE: "nearly copied from another",
}


def _statuses(books: Books, keep: str) -> Array:
    """Which document of each cluster stays, by the rule ``keep``; of equals the first in corpus order."""
    everyone = np.arange(len(books), dtype=np.uint32)
    if keep == Keep.ALL:
        return np.full(len(books), Status.KEPT, np.int8)
    best = everyone[books.clusters == everyone]
    if keep != Keep.FIRST:
        longest = keep == Keep.LONGEST
        worth = -np.array(books.lengths, np.int64) if longest else np.array(books.findings)
        order = np.lexsort((worth, books.clusters)).astype(np.uint32)  # stable: of equals the first
        of = books.clusters[order]
        best = order[np.concatenate([[True], of[1:] != of[:-1]])]
    first = books.copies.first[: len(books)]
    identical = np.bincount(first).astype(np.uint32)[first] > 1
    status = np.full(len(books), Status.NEAR_DUPLICATE, np.int8)
    status[identical] = Status.EXACT_DUPLICATE
    # Of identical texts none of which stays, one is a near copy of what does.
    stand_in = everyone[first == everyone]
    stayed = np.zeros(len(books), bool)
    stayed[first[best]] = True
    status[stand_in[~stayed[stand_in]]] = Status.NEAR_DUPLICATE
    status[best] = Status.KEPT
    return status


def would_have_crossed(job: Job, books: Books) -> int:
    """Count the pairs of copies that a split by unit alone would have put into two splits."""
    everyone = np.arange(len(books), dtype=np.uint32)
    alone = split.assign(books.owners, everyone, np.ones(len(books), bool), job.settings.shares)
    earlier, later = books.copies.pairs[books.copies.pairs[:, 1] < len(books)].T
    return int(np.count_nonzero(alone[earlier] != alone[later]))


def compare_passages(job: Job, place: Workplace, watcher: Watcher) -> None:
    """Find the passages that kept documents share, and decide which are cut.

    The original is looked for in evaluation sets first, then in train, validation and test: what is cut
    between splits leaves validation and test.
    """
    books, cut = place.books, job.settings.cut_passages
    cuts = array("I")
    with Values(job.run) as originals:
        for passage in place.passages.found(lambda id: minhash.words([place.spool.text(id)]), _ranks(books)):
            if passage.document >= len(books):
                continue
            where = _where(books, passage.document, passage.other)
            books.shared[where] += 1
            fingerprint = job.key.fingerprint("passage", f"{passage.opening:016x}")
            originals.add(passage.document, [("passage", fingerprint)])
            between = cut == CutPassages.BETWEEN_SPLITS and where != _SAME_SPLIT
            if cut == CutPassages.EVERYWHERE or between:
                cuts.extend((passage.document, passage.start, passage.end))
            watcher.progress("compare passages", sum(books.shared.values()), None)
        books.boilerplate = originals.repeated()
    by_document = np.array(cuts, np.uint32).reshape(-1, 3)
    books.cuts = by_document[np.argsort(by_document[:, 0], kind="stable")].T.copy()


_SAME_SPLIT = "the same split"


def _where(books: Books, document: int, other: int) -> str:
    """Where ``other``, which holds a passage of ``document`` too, stands."""
    if other >= len(books):
        return "evaluation sets"
    return "other splits" if books.splits[document] != books.splits[other] else _SAME_SPLIT


def _ranks(books: Books) -> Array:
    """Whose copy of a passage is the original, int64: the lowest; negative for what is not compared."""
    order = np.lexsort((np.arange(len(books)), books.splits))
    order = order[books.status[order] == Status.KEPT]
    rank = np.full(len(books) + books.against, -1, np.int64)
    rank[len(books) :] = np.arange(books.against)
    rank[order] = np.arange(len(order)) + books.against
    return rank
