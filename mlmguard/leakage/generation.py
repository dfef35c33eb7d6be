"""What the model says of its own accord, and how much of it stands in the training documents.

A masked language model has no order of writing, but it can be sampled: start from masks, or from the
beginning of a document, and draw one position after another given the rest (Gibbs sampling; Wang and Cho
2019). What comes out is searched for n-grams of the training documents and of as many held-out ones. The
model knows how people write, so some turn up in both; only the difference is the training data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import formats, metrics
from mlmguard.leakage.answers import Answers, Ids
from mlmguard.leakage.attack import Attack, Bench, fills_no_masks
from mlmguard.leakage.ngram_index import NgramIndex, places_of
from mlmguard.leakage.results import (
    CONTROL,
    Exposed,
    PValue,
    Result,
    Rows,
    fisher,
    measured,
    whole_units,
    worth_listing,
)
from mlmguard.leakage.spans import PERSONAL
from mlmguard.measures import family
from mlmguard.types import Measurement

PROMPT = 8
"""Tokens of a document given to the model as a beginning; the rest of the window is its own."""
SWEEPS = 3
NEAR = 0.9
"""Share of a sample's own tokens that may be had from one stretch of a document by few edits."""


@dataclass(frozen=True)
class Split:
    """Documents that were trained on, or as many that were not, and their index."""

    name: str
    index: NgramIndex
    tokens: Sequence[Ids] = field(repr=False)  # of each document, in the index' order
    documents: Sequence[str] = field(repr=False)  # their ids
    units: Sequence[str] = field(repr=False)  # the unit of privacy of each
    values: frozenset[tuple[int, ...]] = field(default=frozenset(), repr=False)  # personal ones


def gibbs(
    model: Answers,
    prompts: Sequence[Ids],
    length: int,
    frame: tuple[int, int],
    allowed: NDArray[np.bool_],
    seed: int,
    sweeps: int = SWEEPS,
) -> list[Ids]:
    """Draw one text of ``length`` tokens for each prompt by Gibbs sampling; the prompts come first.

    ``frame`` is the ids of [CLS] and [SEP], ``allowed`` (V,) the tokens that may be drawn. Positions are
    visited in an order of their own in each sweep, all texts in step. The first sweep draws among masks.
    """
    if not prompts:
        return []
    rng = np.random.default_rng(seed)
    draw = model.sampler(seed, allowed)
    texts = np.full((len(prompts), length + 2), model.mask_id, dtype=np.int64)
    texts[:, 0], texts[:, -1] = frame
    free = np.ones((len(prompts), length), dtype=bool)
    for row, prompt in enumerate(prompts):
        given = prompt[:length]
        texts[row, 1 : 1 + len(given)] = given
        free[row, : len(given)] = False
    for _ in range(sweeps):
        orders = [1 + rng.permutation(np.flatnonzero(row)) for row in free]
        for step in range(max(len(order) for order in orders)):
            rows = np.array([k for k, order in enumerate(orders) if step < len(order)])
            places = np.array([orders[k][step] for k in rows])
            texts[rows, places] = draw(texts[rows], places)
    return [text[1:-1] for text in texts]


def regurgitated(texts: Sequence[Ids], owned: Sequence[int], trained: Split, held_out: Split) -> Result:
    """Search ``texts`` for what stands in the documents of either split; ``owned`` is each prompt's length.

    A document is *emitted* when a text holds, in the model's own part, an n-gram that occurs in this document
    alone of its split and nowhere in the other. Documents were assigned to the splits at random, so as many
    of each would be emitted by chance: the test is over their units, whatever one of them does to many texts.
    """
    n, count = trained.index.n, len(texts)
    drawn = [text[skip:] for text, skip in zip(texts, owned)]
    numbers: list[Measurement] = []
    emitted: dict[str, set[int]] = {}
    counted: list[tuple[int, int]] = []
    for own, other in ((trained, held_out), (held_out, trained)):
        found = [_verbatim(text, own, other) for text in drawn]
        emitted[own.name] = {document for one in found for document in one.once.values()}
        different = len({gram for one in found for gram in one.grams})
        once = len({gram for one in found for gram in one.once})
        per = 1000 / max(count, 1)
        counts = f"of 1,000 texts: {different * per:.0f} different n-grams of {n}, {once * per:.0f} seen once"
        values = own.values - other.values
        for name, hits, note in (
            ("verbatim_rate", sum(bool(one.grams) for one in found), counts),
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
        units = {own.units[k] for k in emitted[own.name]}
        counted.append((len(units), len(set(own.units))))
        numbers.append(
            measured("generation", "documents_emitted", metrics.rate(*counted[-1]), counted[-1][1], own.name)
        )
    (hits, all_own), (misses, all_other) = counted
    excess = metrics.difference(hits, all_own, misses, all_other)
    numbers.append(measured("generation", "documents_emitted_excess", excess, all_own))
    p = fisher(hits, all_own, misses, all_other)
    return Result(
        tuple(numbers),
        (),
        (PValue("generation", p, all_own, metric="documents"),),
        tuple(
            Exposed(trained.documents[k], "generation", "n-gram", 1.0)
            for k in sorted(emitted[trained.name])
            if worth_listing(excess, misses)
        ),
    )


@dataclass(frozen=True)
class _Verbatim:
    """N-grams of one text that stand in one split and not in the other; for those of one document, which."""

    grams: frozenset[tuple[int, ...]]
    once: Mapping[tuple[int, ...], int]


def _verbatim(text: Ids, own: Split, other: Split) -> _Verbatim:
    n = own.index.n
    counts = own.index.confirmed(text, own.tokens.__getitem__)
    counts[other.index.counts(text) > 0] = 0
    holders = own.index.holders(text)
    grams = {int(k): tuple(text[k : k + n].tolist()) for k in np.flatnonzero(counts)}
    once = {gram: int(holders[k]) for k, gram in grams.items() if counts[k] == 1}
    return _Verbatim(frozenset(grams.values()), once)


def _nearly(text: Ids, own: Split) -> bool:
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


# --- the attack ---------------------------------------------------------------------------------------

MOST_SEARCHED = 10_000
"""Documents of each split that drawn texts are compared with."""
LONGEST_SAMPLE = 32
FEWEST_TOKENS_OF_A_VALUE = 3
"""What is shorter turns up by chance."""


def _run(bench: Bench) -> Result:
    """Texts from masks alone, and from the beginnings of training and of held-out documents."""
    rng, samples = bench.rng("generation"), bench.settings.samples
    rows = (bench.audited.members, bench.audited.held_out)
    trained, outside = (
        _compared(bench, name, [split[k] for k in chosen])
        for name, split, chosen in zip(("train", CONTROL), rows, whole_units(rows, MOST_SEARCHED, rng))
    )
    begun = samples // 4
    beginnings = [
        split.tokens[k][:PROMPT]
        for split in (trained, outside)
        for k in rng.permutation(len(split.tokens))[:begun]
    ]
    nothing = np.zeros(0, dtype=np.int64)
    prompts = [*beginnings, *[nothing] * (samples - len(beginnings))]
    texts = gibbs(
        bench.model,
        prompts,
        min(LONGEST_SAMPLE, bench.audited.window - 2),
        bench.frame,
        bench.classes != formats.SPECIAL,
        int(rng.integers(2**31)),
    )
    return regurgitated(texts, [len(prompt) for prompt in prompts], trained, outside)


def _compared(bench: Bench, name: str, rows: Rows) -> Split:
    tokens = list(bench.encoded(rows))
    kinds = (CONTROL,) if name == CONTROL else PERSONAL
    known = frozenset(
        tuple(span.target.ids[span.target.positions[0] : span.target.positions[-1] + 1].tolist())
        for span in bench.personal_spans
        if span.kind in kinds and len(span.target.positions) >= FEWEST_TOKENS_OF_A_VALUE
    )
    index = bench.index(f"searched {name}", tokens)
    return Split(name, index, tokens, [row["id"] for row in rows], [row["unit"] for row in rows], known)


ATTACK = Attack(
    "generation",
    "Gibbs sampling from masks and from beginnings of documents",
    family("generation"),
    _run,
    fills_no_masks,
    how=(
        "draws texts by Gibbs sampling, from masks and from beginnings of documents, and searches them for "
        "phrases (exactly, and up to a tenth of edits) and personal values of the training rows"
    ),
    control="the same search in as many held-out rows; the test counts units of privacy, not texts",
)
