"""Passages of at least fifty words that stand in two different documents.

Every run of 25 words has a fingerprint; of each 26 consecutive runs the least is an anchor (winnowing,
Schleimer, Wilkerson and Aiken 2003), so that two documents which share fifty words share an anchor, and only
one word in thirteen is remembered. Anchors lie on disk as fixed-width records, sorted one part at a time;
what shares an anchor is compared word by word and grown to the longest run that both documents hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mlmguard.corpus.copies.minhash import Array, Words, rolling
from mlmguard.corpus.records import Parts

LEAST = 50  # words of a passage: as in Lee et al. 2022, "Deduplicating training data", there in tokens
_RUN = 25  # words under one fingerprint
_WINDOW = LEAST - _RUN + 1  # of these runs lie in the shortest passage
_REFERENCES = 4  # earlier places of an anchor that are tried before it is left
_ANCHOR = np.dtype([("run", "<u8"), ("document", "<u4"), ("place", "<u4")])
_LINK = np.dtype([(name, "<u4") for name in ("document", "place", "attempt", "other", "other_place")])
_PARTS = 64  # of the anchors by fingerprint, of the links by document


@dataclass(frozen=True)
class Anchors:
    """Chosen runs of words of a batch of texts, in order."""

    runs: Array  # uint64: fingerprints
    texts: Array  # uint32: the text of the batch
    places: Array  # uint32: the first word, counted in its text


def anchors(of: Words) -> Anchors:
    """Return the anchors of a batch of texts."""
    total = len(of.fingerprints)
    if total < LEAST:
        return Anchors(np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.uint32))
    runs = rolling(of.fingerprints, _RUN)
    last = np.repeat(of.bounds[1:], np.diff(of.bounds))  # for each word, where its text ends
    first = np.arange(len(runs) - _WINDOW + 1)
    whole = first + LEAST <= last[: len(first)]  # windows inside one text
    least = np.where(whole, _over_windows(np.minimum, runs), np.uint64(0))
    padding = np.zeros(_WINDOW - 1, np.uint64)
    chosen = _over_windows(np.maximum, np.concatenate([padding, least, padding])) == runs
    chosen[1:] &= runs[1:] != runs[:-1]  # one word over and over is one anchor
    places = np.flatnonzero(chosen)
    texts = np.searchsorted(of.bounds, places, side="right") - 1
    return Anchors(runs[places], texts.astype(np.uint32), (places - of.bounds[texts]).astype(np.uint32))


def _over_windows(least_or_most: np.ufunc, values: Array) -> Array:
    """The least (or greatest) of every ``_WINDOW`` consecutive values, by doubling."""
    width = 1
    while 2 * width <= _WINDOW:
        values = least_or_most(values[:-width], values[width:])
        width *= 2
    rest = _WINDOW - width
    return least_or_most(values[:-rest], values[rest:]) if rest else values


@dataclass(frozen=True)
class Passage:
    """Words ``start`` to ``end`` of ``document`` also stand in ``other``, from ``other_start`` on.

    ``opening`` is a fingerprint of its first fifty words: the same passage has it in a third document too.
    """

    document: int
    start: int
    end: int
    other: int
    other_start: int
    opening: int


class Passages:
    """Shown the anchors of every batch, finds the passages that documents share."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._anchors = Parts(_ANCHOR, _PARTS, folder)

    def __enter__(self) -> Passages:
        return self

    def __exit__(self, *exception: object) -> None:
        self._anchors.__exit__(*exception)

    def add(self, first: int, found: Anchors) -> None:
        """Add the anchors of a batch whose first text is document ``first``."""
        records = np.empty(len(found.runs), _ANCHOR)
        records["run"], records["place"] = found.runs, found.places
        records["document"] = found.texts + np.uint32(first)
        self._anchors.append(records, records["run"])

    def found(self, words_of: Callable[[int], Words], rank: Array) -> Iterator[Passage]:
        """Every passage of a document that another of lower ``rank`` holds too, one document after the other.

        ``rank`` (int64[documents], all different) says whose copy counts as the original; documents of a
        negative rank are left out. Passages of one document come in order and do not overlap.
        """

        @lru_cache(maxsize=64)
        def fingerprints(document: int) -> Array:
            return words_of(document).fingerprints

        document, covered = -1, 0
        for here, place, _, other, other_place in self._links(rank):
            if here != document:
                document, covered = here, 0
            if place < covered:
                continue
            a, b = fingerprints(here), fingerprints(other)
            start = place - _shared(a[covered:place][::-1], b[:other_place][::-1])
            end = place + _shared(a[place:], b[other_place:])
            if end - start >= LEAST:
                (opening,) = rolling(a[start : start + LEAST], LEAST).tolist()
                yield Passage(here, start, end, other, other_place - (place - start), opening)
                covered = end

    def _links(self, rank: Array) -> Iterator[list[int]]:
        """Places that share an anchor with one of lower rank, as in ``_LINK``, by document and place."""
        with Parts(_LINK, _PARTS, self._folder) as links:
            for found in self._anchors.pieces("run"):
                for some in _linked(found, rank):
                    links.append(some, some["document"])
            for piece in links.pieces("document"):
                for link in piece[np.lexsort((piece["attempt"], piece["place"], piece["document"]))]:
                    yield list(link.tolist())


def _linked(found: Array, rank: Array) -> Iterator[Array]:
    """Each anchor of a document with the first few places that documents of lower rank have it at."""
    found = found[rank[found["document"]] >= 0]
    of = rank[found["document"]]
    order = np.lexsort((found["place"], of, found["run"]))
    found, of = found[order], of[order]
    if not len(found):
        return
    first = np.flatnonzero(np.concatenate([[True], found["run"][1:] != found["run"][:-1]]))
    group = np.repeat(first, np.diff(np.append(first, len(found))))
    for attempt in range(_REFERENCES):
        reference = np.minimum(group + attempt, len(found) - 1)
        later = np.flatnonzero((found["run"][reference] == found["run"]) & (of[reference] < of))
        links = np.empty(len(later), _LINK)
        links["document"], links["place"] = found["document"][later], found["place"][later]
        links["attempt"] = attempt
        links["other"] = found["document"][reference[later]]
        links["other_place"] = found["place"][reference[later]]
        yield links


def _shared(a: Array, b: Array) -> int:
    """How many elements two arrays have in common before the first that differs."""
    count = min(len(a), len(b))
    differ = a[:count] != b[:count]
    return int(np.argmax(differ)) if differ.any() else count
