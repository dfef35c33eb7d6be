"""Copies: exact ones by digest, near ones by MinHash, each candidate verified by its true Jaccard index.

Clusters are the connected components of *verified* pairs. A chain A~B~C is one cluster even where A and C
alone are too different; a pair that failed verification connects nothing. The first document of a cluster
in corpus order is kept.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

SHINGLE = 5  # words
PERMUTATIONS = 128
THRESHOLD = 0.8
_MISSED = 0.001  # share of pairs exactly at the threshold that the bands may miss

_WORD = re.compile(r"\w+")


def digest(text: str) -> bytes:
    """The same for texts that differ only in white space and in how accents are encoded."""
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.sha256(normal.encode("utf-8")).digest()


def shingles(text: str) -> set[str]:
    """Runs of five lower-cased words; a shorter text is one shingle, a text without words has none."""
    words = _WORD.findall(text.lower())
    if len(words) < SHINGLE:
        return {" ".join(words)} if words else set()
    return {" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}


def jaccard(a: set[str], b: set[str]) -> float:
    """Shared shingles over all shingles; 0 if there are none."""
    common = len(a & b)
    return common / (len(a) + len(b) - common) if common else 0.0


def signature(text: str, permutations: int = PERMUTATIONS) -> np.ndarray[Any, Any] | None:
    """The MinHash of a text's shingles; None for a text without words."""
    from datasketch import MinHash

    of_text = shingles(text)
    if not of_text:
        return None
    sketch = MinHash(num_perm=permutations, seed=1)
    sketch.update_batch(shingle.encode("utf-8") for shingle in of_text)
    return np.asarray(sketch.digest())


def bands(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows): the most selective banding that finds 99.9 % of the pairs at the threshold.

    >>> bands(0.8, 128)
    (25, 5)
    """
    for rows in range(permutations, 1, -1):
        count = permutations // rows
        if (1 - threshold**rows) ** count <= _MISSED:
            return count, rows
    return permutations, 1


class Clusters:
    """Which documents belong together; the smallest index is a cluster's root."""

    def __init__(self, size: int = 0) -> None:
        self._parent = list(range(size))

    def __len__(self) -> int:
        return len(self._parent)

    def add(self) -> int:
        """One more document, alone so far."""
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def root(self, index: int) -> int:
        """The first document of the cluster that ``index`` is in."""
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(self, a: int, b: int) -> None:
        """``a`` and ``b`` are copies of one another."""
        a, b = self.root(a), self.root(b)
        self._parent[max(a, b)] = min(a, b)


class NearCopies:
    """Finds near copies among the texts it is shown, in corpus order.

    ``text_of`` gives a text back by its index: texts are not kept here.
    """

    def __init__(
        self,
        text_of: Callable[[int], str],
        threshold: float = THRESHOLD,
        permutations: int = PERMUTATIONS,
    ) -> None:
        from datasketch import MinHashLSH

        self._text_of, self._threshold, self._permutations = text_of, threshold, permutations
        self._index: Any = MinHashLSH(num_perm=permutations, params=bands(threshold, permutations))

    def earlier(self, index: int, sketch: np.ndarray[Any, Any] | None, clusters: Clusters) -> list[int]:
        """Earlier documents that are verified near copies of this one: at least one for each such cluster.

        Within a cluster one verified pair is enough, so a thousand copies of a form letter cost a
        thousand comparisons, not half a million.
        """
        from datasketch import MinHash

        if sketch is None:
            return []
        key = MinHash(num_perm=self._permutations, seed=1)
        key.hashvalues = sketch
        candidates = sorted(self._index.query(key))
        self._index.insert(index, key)
        found: dict[int, int] = {}
        own = shingles(self._text_of(index)) if candidates else set()
        for candidate in candidates:
            root = clusters.root(candidate)
            if root not in found and jaccard(own, shingles(self._text_of(candidate))) >= self._threshold:
                found[root] = candidate
        return list(found.values())


def duplicates(
    texts: Iterable[str], threshold: float = THRESHOLD, permutations: int = PERMUTATIONS
) -> Clusters:
    """All copies among ``texts``, exact and near: the whole of this file in one loop, for texts in memory."""
    known = list(texts)
    clusters = Clusters()
    first: dict[bytes, int] = {}
    near = NearCopies(known.__getitem__, threshold, permutations)
    for index, text in enumerate(known):
        clusters.add()
        original = first.setdefault(digest(text), index)
        copies = (
            [original] if original != index else near.earlier(index, signature(text, permutations), clusters)
        )
        for copy in copies:
            clusters.join(index, copy)
    return clusters
