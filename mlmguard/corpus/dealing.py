"""Members and non-members, dealt before a training that happens elsewhere.

What may not be separated is dealt together: all documents of a unit, and all copies of a text, near ones too.
The deal follows from the key, the seed and the texts, and neither from their order nor from their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from mlmguard.artifacts import Key
from mlmguard.corpus import split
from mlmguard.corpus.copies import dedup
from mlmguard.corpus.copies.minhash import Array
from mlmguard.types import Document

_AT_ONCE = 500  # texts that are sketched together


def deal(documents: Sequence[Document], key: Key, seed: int, share: float) -> tuple[Array, int]:
    """(N,) true for each document that is to stay out of the training, and how many parts were dealt.

    About ``share`` of the documents stay out; the largest part always trains.
    """
    texts = [document.text for document in documents]
    with dedup.Copies(texts.__getitem__) as copies:
        for start in range(0, len(texts), _AT_ONCE):
            copies.add(dedup.sketch(texts[start : start + _AT_ONCE]))
        clusters = copies.found().clusters.roots()
    whose = (document.unit or digest(document.text) for document in documents)
    orders = np.array([int(key.fingerprint(f"deal {seed}", one), 16) for one in whose], dtype=np.uint64)
    shares = {"train": 1 - share, "validation": 0.0, "test": share}
    dealt = split.assign(orders, clusters, np.ones(len(texts), dtype=bool), shares)
    out: Array = dealt == split.SPLITS.index("test")
    return out, len(np.unique(split.components(orders, clusters)))


def digest(text: str) -> str:
    """A name of a text by its letters: the same however its white space and accents are written."""
    return dedup.digest(text).hex()


def signed(key: Key, seed: int, texts: Iterable[str]) -> str:
    """One keyed digest of a side of the deal, in whatever order its texts are."""
    return key.seal("\n".join([f"deal {seed}", *sorted(map(digest, texts))]))


def sides(documents: Sequence[Document], out: Array) -> Iterator[list[Document]]:
    """The members, and then the non-members."""
    for side in (False, True):
        yield [document for document, apart in zip(documents, out) if apart == side]
