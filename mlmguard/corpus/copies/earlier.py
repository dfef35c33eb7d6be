"""Documents of a corpus held against those of earlier scans, by an index: no text of theirs is read again.

What is a copy is what it is within a scan: an equal digest, or a shared band and shingles of which 0.8 are
the same, counted on their keyed names. A cluster of this scan with one document that is a copy of an earlier
one is a cluster of copies of it, as it would be in a scan of everything at once.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from mlmguard.corpus.copies.dedup import Copies, Found, Shingles, Table, jaccard, shingle_sets
from mlmguard.corpus.copies.index import BAND, DIGEST, Index, Texts, Writer, packed
from mlmguard.corpus.copies.keyed import Keyed
from mlmguard.corpus.copies.minhash import Array
from mlmguard.corpus.records import Numbers

_TRIES = 16  # comparisons of one document with a band of an earlier scan that may fail, as within a scan
_REMEMBERED = 1 << 20  # failed comparisons that are not made again in another band
_HIT = np.dtype([("document", "<u4"), ("rest", "<u8"), ("cluster", "<u8")])
_ODD = 0x9E3779B97F4A7C15
_NONE = np.uint64((1 << 64) - 1)  # no cluster has this number


@dataclass(frozen=True)
class Known:
    """Which documents of a scan are copies of what earlier scans have seen."""

    copies: Array  # bool[documents]
    same: Array  # bool[documents]: of these, those whose digest is in the index
    clusters: Array  # uint64[documents]: where it is one, the cluster of the earlier scan
    joined: int  # clusters of earlier scans that a document of this one shows to be one with another


class Earlier:
    """The scans that one is held against, and its place among them."""

    def __init__(self, index: Index, place: int, threshold: float) -> None:
        """``place``: how many of them; raises :class:`InputError` where one is torn."""
        self.index, self.place, self.keyed = index, place, index.keyed
        self.scans, self.state = index.scans(place), index.state(place)
        self._threshold = threshold

    @property
    def documents(self) -> int:
        """Count the texts that they have seen."""
        return sum(one.scan.documents for one in self.scans)

    def known(self, copies: Copies, documents: int, text_of: Callable[[int], str]) -> Known:
        """Find which of the first ``documents`` are copies of earlier ones, and join their clusters.

        ``copies`` has found those of the scan itself.
        """
        names, search = copies.names, _Search(self.keyed, self._threshold, copies.known, text_of)
        same = self._same(names.digests, documents, search)
        first = copies.known.first[:documents] == np.arange(documents, dtype=np.uint32)
        compared = first & ~copies.wordless[:documents] & ~same
        with ExitStack() as stack:
            readers = [(stack.enter_context(one.texts()), one.bands()) for one in self.scans]
            for keys in names.bands:
                wanted = np.flatnonzero(compared).astype(np.uint32)
                wanted = wanted[np.argsort(keys[wanted], kind="stable")]
                ordered = keys[wanted]
                for texts, bands in readers:
                    for entries, sharing in _meetings(next(bands, ()), ordered, wanted):
                        search.compare(texts, entries["document"], sharing)
        return search.known(documents, same)

    def _same(self, digests: Table, documents: int, search: _Search) -> Array:
        """Which documents have the digest of an earlier one, bool."""
        same, hits = np.zeros(documents, bool), array("B")
        low, rest = iter(digests), np.zeros(0, np.uint64)
        keys = next(low)[:documents]
        wanted = np.argsort(keys, kind="stable").astype(np.uint32)
        ordered = keys[wanted]
        for one in self.scans:
            with one.texts() as texts:
                for entries, found in _meetings(one.digests(), ordered, wanted):
                    block = np.empty((len(entries), len(found)), _HIT)
                    block["document"], block["rest"] = found, entries["rest"][:, None]
                    block["cluster"] = np.array(texts.clusters(entries["document"]), np.uint64)[:, None]
                    hits.frombytes(block.tobytes())
        rest = next(low)
        for hit in np.frombuffer(hits.tobytes(), _HIT):
            if rest[hit["document"]] == hit["rest"]:
                same[hit["document"]] = True
                search.link(int(hit["document"]), int(hit["cluster"]))
        return same

    # --- this scan, for later ones --------------------------------------------------------------------

    def remember(
        self, run_id: str, corpus: str, copies: Copies, known: Known, texts: Iterable[list[str]]
    ) -> None:
        """Put this scan into the index, unless it is there: all of it or nothing.

        ``texts`` are those of the corpus in order, some at a time.
        """
        if any(one.run_id == run_id for one in self.index.record.scans):
            return
        with self.index.adding() as folder:
            writer = Writer(folder)
            documents, compared = self._write_names(writer, copies, known)
            self._write_texts(writer, copies, known, texts)
            self.index.add(writer.done(run_id, corpus, documents, compared), folder, self.place)

    def _write_names(self, writer: Writer, copies: Copies, known: Known) -> tuple[int, int]:
        """Digests and bands; how many documents they are of."""
        kept = _not_there(copies, known)
        number = np.cumsum(kept, dtype=np.uint32) - np.uint32(1)
        of = np.flatnonzero(kept).astype(np.uint32)
        compared = of[~copies.wordless[of]]
        low, rest = (np.array(column[: len(kept)]) for column in copies.names.digests)
        with writer.file("digests") as put:
            for block in writer.sorted(DIGEST, low, of, number, rest):
                put(block)
        del low, rest
        with writer.file("bands") as put:
            for keys in copies.names.bands:
                for block in writer.sorted(BAND, keys, compared, number, None):
                    put(block)
        return len(of), len(compared)

    def _write_texts(self, writer: Writer, copies: Copies, known: Known, texts: Iterable[list[str]]) -> None:
        """Shingles and clusters."""
        kept = _not_there(copies, known)
        number = np.cumsum(kept, dtype=np.uint64) - np.uint64(1)
        own = np.uint64(self.place + 1 << 32) + number[copies.known.clusters.roots()[: len(kept)]]
        clusters = np.where(known.copies, known.clusters, own)
        at = begin = 0
        with writer.file("shingles") as put, writer.file("documents") as note:
            for some in texts:
                chosen = kept[at : at + len(some)]
                new = [text for text, keep in zip(some, chosen) if keep]
                sets = list(shingle_sets(new, self.keyed.shingles)) if new else []
                data, places = packed(sets, begin, clusters[at : at + len(some)][chosen])
                put(data)
                note(places)
                at, begin = at + len(some), begin + len(data)


def _not_there(copies: Copies, known: Known) -> Array:
    """Which documents the index does not hold, of equal ones the first: bool."""
    everyone = np.arange(len(known.same), dtype=np.uint32)
    return np.asarray((copies.known.first[: len(everyone)] == everyone) & ~known.same)


def _meetings(blocks: Iterable[Array], keys: Array, documents: Array) -> Iterator[tuple[Array, Array]]:
    """Entries of an index and ``documents``, by what key they share; ``keys`` are theirs, sorted, and so are
    the entries of all blocks together."""
    for block in blocks:
        left = np.searchsorted(keys, block["key"])
        there = np.flatnonzero(left < len(keys))
        there = there[keys[left[there]] == block["key"][there]]
        edges = np.flatnonzero(np.diff(block["key"][there]) != 0) + 1
        for entries in np.split(block[there], edges) if len(there) else ():
            first = int(np.searchsorted(keys, entries["key"][0]))
            last = int(np.searchsorted(keys, entries["key"][0], side="right"))
            yield entries, documents[first:last]


class _Search:
    """Comparisons of documents with those of earlier scans, and what came of them."""

    def __init__(self, keyed: Keyed, threshold: float, found: Found, text_of: Callable[[int], str]) -> None:
        self._threshold, self._clusters = threshold, found.clusters
        self._shingles = Shingles(text_of, keyed.shingles)
        self._documents, self._with = array("I"), array("Q")  # links: a document and an earlier cluster
        self._linked, self._failed = Numbers(), set[tuple[int, int, int]]()

    def link(self, document: int, cluster: int) -> None:
        """``document`` is a copy of one in ``cluster`` of an earlier scan."""
        if self._linked.add(self._name(document, cluster)):
            self._documents.append(document)
            self._with.append(cluster)

    def _name(self, document: int, cluster: int) -> int:
        """One number for a cluster of this scan and one of an earlier."""
        return (self._clusters.root(document) * _ODD + cluster) % (1 << 64)

    def compare(self, texts: Texts, others: Array, documents: Array) -> None:
        """Link what is alike of texts that share a band.

        As within a scan: one comparison that holds links two clusters, and a document that is like none of a
        thousand others which share only a letterhead with it gives up after a few.
        """
        members: dict[int, list[int]] = {}
        for other, cluster in zip(others.tolist(), texts.clusters(others)):
            members.setdefault(cluster, []).append(other)
        for document in documents.tolist():
            left = _TRIES
            for cluster, some in members.items():
                if self._name(document, cluster) in self._linked:
                    continue
                for other in some[:left]:
                    if self._alike(texts, other, document):
                        self.link(document, cluster)
                        break
                    left -= 1
                if left <= 0:
                    break

    def _alike(self, texts: Texts, other: int, document: int) -> bool:
        pair = (texts.seen.place, other, document)
        if pair in self._failed:
            return False
        alike = jaccard(self._shingles[document], texts.shingles(other)) >= self._threshold
        if not alike and len(self._failed) < _REMEMBERED:
            self._failed.add(pair)
        return alike

    def known(self, documents: int, same: Array) -> Known:
        """Put together what was found; what is a copy of one earlier text is one cluster."""
        of, clusters = np.array(self._documents, np.uint32), np.array(self._with, np.uint64)
        order = np.argsort(clusters, kind="stable")
        of, clusters = of[order], clusters[order]
        for place in np.flatnonzero(clusters[1:] == clusters[:-1]):
            self._clusters.join(int(of[place]), int(of[place + 1]))
        roots = self._clusters.roots()
        least = np.full(len(roots), _NONE)
        np.minimum.at(least, roots[of], clusters)
        of_each = least[roots[:documents]]
        joined = len(np.unique(clusters)) - len(np.unique(roots[of]))
        return Known(of_each < _NONE, same, of_each, joined)
