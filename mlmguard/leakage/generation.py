"""What the model says of its own accord, and how much of it stands in the training documents.

A masked language model has no order of writing, but it can be sampled: start from masks, or from the
beginning of a document, and draw one position after another given the rest (Gibbs sampling; Wang and Cho
2019). What comes out is searched for n-grams of the training documents and of as many held-out ones. The
model knows how people write, so some turn up on both sides; only the difference is the training data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mlmguard.leakage import metrics
from mlmguard.leakage.ngrams import NgramIndex, places_of
from mlmguard.leakage.results import Exposed, PValue, Result, fisher, measured
from mlmguard.leakage.signals import Ids, Scorer
from mlmguard.types import Measurement

PROMPT = 8
"""Tokens of a document given to the model as a beginning; the rest of the window is its own."""
SWEEPS = 3
NEAR = 0.9
"""Share of a sample's own tokens that may be had from one stretch of a document by few edits."""


@dataclass(frozen=True)
class Side:
    """Documents that were trained on, or as many that were not, and their index."""

    name: str
    index: NgramIndex
    tokens: Sequence[Ids] = field(repr=False)  # of each document, in the index' order
    documents: Sequence[str] = field(repr=False)  # their ids
    values: frozenset[tuple[int, ...]] = field(default=frozenset(), repr=False)  # personal ones


def gibbs(
    scorer: Scorer,
    prompts: Sequence[Ids],
    length: int,
    frame: tuple[int, int],
    allowed: NDArray[np.bool_],
    seed: int,
    sweeps: int = SWEEPS,
) -> list[Ids]:
    """One text of ``length`` tokens for each prompt, drawn by Gibbs sampling; the prompts come first.

    ``frame`` is the ids of [CLS] and [SEP], ``allowed`` (V,) the tokens that may be drawn. Positions are
    visited in an order of their own in each sweep, all texts in step. The first sweep draws among masks.
    """
    if not prompts:
        return []
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    texts = np.full((len(prompts), length + 2), scorer.mask_id, dtype=np.int64)
    texts[:, 0], texts[:, -1] = frame
    free = np.ones((len(prompts), length), dtype=bool)
    for row, prompt in enumerate(prompts):
        given = prompt[:length]
        texts[row, 1 : 1 + len(given)] = given
        free[row, : len(given)] = False
    tokens = torch.from_numpy(allowed)
    for _ in range(sweeps):
        orders = [1 + rng.permutation(np.flatnonzero(row)) for row in free]
        for step in range(max(len(order) for order in orders)):
            rows = np.array([k for k, order in enumerate(orders) if step < len(order)])
            places = np.array([orders[k][step] for k in rows])
            texts[rows, places] = scorer.sample(texts[rows], places, generator, tokens)
    return [text[1:-1] for text in texts]


def regurgitated(texts: Sequence[Ids], owned: Sequence[int], trained: Side, held_out: Side) -> Result:
    """Search ``texts`` for what stands in the documents of either side; ``owned`` is each prompt's length.

    A document is *emitted* when a text holds, in the model's own part, an n-gram that occurs in this document
    alone of its side and nowhere on the other. Documents were dealt to the sides at random, so as many of
    each would be emitted by chance: the test is over documents, whatever one of them does to many texts.
    """
    n, count = trained.index.n, len(texts)
    drawn = [text[skip:] for text, skip in zip(texts, owned)]
    numbers: list[Measurement] = []
    emitted: dict[str, set[int]] = {}
    for own, other in ((trained, held_out), (held_out, trained)):
        found = [_verbatim(text, own, other) for text in drawn]
        emitted[own.name] = {document for one in found for document in one.once.values()}
        different = len({gram for one in found for gram in one.grams})
        once = len({gram for one in found for gram in one.once})
        per = 1000 / max(count, 1)
        told = f"of 1,000 texts: {different * per:.0f} different n-grams of {n}, {once * per:.0f} seen once"
        values = own.values - other.values
        for name, hits, note in (
            ("verbatim_rate", sum(bool(one.grams) for one in found), told),
            ("near_verbatim_rate", sum(_nearly(text, own) for text in drawn), ""),
            (
                "personal_rate",
                sum(holds_any(text, values) for text in drawn),
                f"{len(values):,} values known",
            ),
        ):
            numbers.append(
                measured("generation", name, metrics.rate(hits, count), count, own.name, note=note)
            )
        share = metrics.rate(len(emitted[own.name]), len(own.tokens))
        numbers.append(measured("generation", "documents_emitted", share, len(own.tokens), own.name))
    hits, misses = len(emitted[trained.name]), len(emitted[held_out.name])
    sizes = len(trained.tokens), len(held_out.tokens)
    excess = metrics.difference(hits, sizes[0], misses, sizes[1])
    numbers.append(measured("generation", "documents_emitted_excess", excess, sizes[0]))
    p = fisher(hits, sizes[0], misses, sizes[1])
    return Result(
        tuple(numbers),
        (),
        (PValue("generation", p, sizes[0], metric="documents"),),
        tuple(
            Exposed(trained.documents[k], "generation", "n-gram", 1.0) for k in sorted(emitted[trained.name])
        ),
    )


@dataclass(frozen=True)
class _Verbatim:
    """N-grams of one text that stand on a side and not on the other; for those of one document, which."""

    grams: frozenset[tuple[int, ...]]
    once: Mapping[tuple[int, ...], int]


def _verbatim(text: Ids, own: Side, other: Side) -> _Verbatim:
    n = own.index.n
    counts = own.index.confirmed(text, own.tokens.__getitem__)
    counts[other.index.counts(text) > 0] = 0
    holders = own.index.holders(text)
    grams = {int(k): tuple(text[k : k + n].tolist()) for k in np.flatnonzero(counts)}
    once = {gram: int(holders[k]) for k, gram in grams.items() if counts[k] == 1}
    return _Verbatim(frozenset(grams.values()), once)


def _nearly(text: Ids, own: Side) -> bool:
    """Does one document hold ``text`` up to a tenth of its tokens inserted, lost or changed?

    Looked for around the n-grams that both hold: with so few edits, there is one.
    """
    holders = own.index.holders(text)
    for start in map(int, np.flatnonzero(holders >= 0)):
        document = own.tokens[int(holders[start])]
        for place in places_of(text[start : start + own.index.n], document):
            low = max(0, place - start - SLACK)
            stretch = document[low : low + len(text) + 2 * SLACK]
            if edits_within(text, stretch) <= (1 - NEAR) * len(text):
                return True
    return False


SLACK = 4  # tokens: more than a tenth of the longest text that is drawn


def edits_within(text: Ids, stretch: Ids) -> int:
    """The fewest edits (token in, out or changed) that make ``text`` a part of ``stretch`` (Sellers 1980)."""
    row = np.zeros(len(stretch) + 1, dtype=np.int64)
    for k, token in enumerate(text, start=1):
        changed = row[:-1] + (stretch != token)
        new = np.minimum(np.r_[k, changed], row + 1)
        row = np.minimum.accumulate(new - np.arange(len(new))) + np.arange(len(new))  # deletions run right
    return int(row.min())


def holds_any(text: Ids, values: frozenset[tuple[int, ...]]) -> bool:
    """Does one of ``values`` stand in ``text`` as it is?"""
    tokens = text.tolist()
    return any(
        tuple(tokens[start : start + length]) in values
        for length in {len(value) for value in values}
        for start in range(len(tokens) - length + 1)
    )
