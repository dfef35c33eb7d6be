"""What a tokenizer's entries say of the texts it was learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from mlmguard.leakage import metrics
from mlmguard.leakage.attack import Attack, Audited, Bench
from mlmguard.leakage.results import (
    CONTROL,
    Hit,
    PValue,
    Result,
    Rows,
    Span,
    fisher,
    joined,
    measured,
    one_of_each,
    redealt,
)
from mlmguard.leakage.spans import PERSONAL, WORD
from mlmguard.measures import family

_V = TypeVar("_V", str, bytes)
LEARNT = "learnt from held-out"


@dataclass(frozen=True)
class Words:
    """The words of one split: in how many documents each occurs, and a unit of privacy that has it."""

    counts: Mapping[str, int] = field(repr=False)
    owner: Mapping[str, str] = field(repr=False)


def vocabulary(entries: set[str], trained: Words, held_out: Words, rng: np.random.Generator) -> Result:
    """Whole vocabulary entries among rare words of the training rows only, and of the held-out rows only.

    Words of one document in one set alone are compared: a vocabulary learnt from public text knows as few of
    the one kind as of the other, one learnt from the training rows knows more. Words of one document are not
    independent, so the test deals whole units anew. Words count in lower case, as most vocabularies hold
    them, and parts of words (``##ing``) without their mark.

    Beside both stands what a vocabulary of the same size learnt from the held-out rows would know of *their*
    rare words: its most frequent whole words, ties in the order of the alphabet, because training a
    WordPiece vocabulary breaks ties at random and an audit gives the same bytes twice.
    """
    entries = {entry.removeprefix("##").removeprefix("Ġ").removeprefix("▁") for entry in entries}
    rare = [
        {
            word.lower(): own.owner[word]
            for word, n in own.counts.items()
            if n == 1 and word not in other.counts
        }
        for own, other in ((trained, held_out), (held_out, trained))
    ]
    frequent = sorted(held_out.counts, key=lambda word: (-held_out.counts[word], word))
    learnt = {word.lower() for word in frequent[: len(entries)]}
    known = [(name, words.keys() & entries, words) for name, words in zip(("train", CONTROL), rare)]
    known.append((LEARNT, rare[1].keys() & learnt, rare[1]))
    tests = []
    if all(rare):
        p = redealt(_hits(rare[0], entries), _hits(rare[1], entries), rng)
        tests.append(PValue("vocabulary", p, len(rare[0]), metric="rare_words"))
    return Result(
        tuple(
            measured("vocabulary", "rare_words_known", metrics.rate(len(found), len(words)), len(words), name)
            for name, found, words in known
        ),
        (),
        tuple(tests),
    )


def _hits(owned: Mapping[_V, str], entries: Collection[_V]) -> list[Hit]:
    """Whether each word or value is an entry, with the unit it is of."""
    return [(unit, float(one in entries)) for one, unit in owned.items()]


def findings(spans: Sequence[Span], kinds: Sequence[str], rng: np.random.Generator) -> Result:
    """Personal values that are one entry of the vocabulary, among different values of each kind.

    A name that many people bear may be one by chance: values in held-out rows, and in those alone, say how
    often. Values that stand in both are left out. The test is over one value a unit, of those that stand in
    one unit alone: findings are drawn, so that the units of one set bring more of them than those of the
    other, and what stands in several units is a commoner word. Its controls are of the same fate: where
    states are left in the text and addresses taken out, states are entries and addresses are not.
    """

    def value(span: Span) -> bytes:
        return span.target.ids[list(span.target.positions)].tobytes()

    units: dict[bytes, set[str]] = {}
    for span in spans:
        units.setdefault(value(span), set()).add(span.owner)
    values = {
        kind: {value(span): span.owner for span in spans if span.kind == kind} for kind in (*kinds, CONTROL)
    }
    fates = {kind: {value(span) for span in spans if span.controls(kind)} for kind in kinds}
    one_entry = {value(span) for span in spans if len(span.target.positions) == 1}
    inside = set[bytes]().union(*(values[kind] for kind in kinds))
    controls = {one: unit for one, unit in values[CONTROL].items() if one not in inside}
    hits, n = len(controls.keys() & one_entry), len(controls)
    measurements = [measured("vocabulary", "findings_known", metrics.rate(hits, n), n, CONTROL)]
    tests = []
    for kind in kinds:
        own = {one: unit for one, unit in values[kind].items() if one not in values[CONTROL]}
        known, size = len(own.keys() & one_entry), len(own)
        measurements.append(measured("vocabulary", "findings_known", metrics.rate(known, size), size, kind))
        alike = {one: unit for one, unit in controls.items() if one in fates[kind]}
        single = [_one_a_unit(side, units, rng) for side in (own, alike)]
        if all(single):
            (left, hits), (right, others) = ((len(one), len(one & one_entry)) for one in single)
            p = fisher(hits, left, others, right)
            tests.append(PValue("vocabulary", p, left, slice=kind, metric="findings"))
    return Result(tuple(measurements), (), tuple(tests))


def _one_a_unit(
    owned: Mapping[bytes, str], units: Mapping[bytes, Collection[str]], rng: np.random.Generator
) -> set[bytes]:
    alone = [one for one in owned if len(units[one]) == 1]
    return {alone[k] for k in one_of_each([owned[one] for one in alone], rng)}


def _unasked(audited: Audited) -> str:
    return (
        "the tokenizer is the one of the package: no text of this corpus is in it" if audited.shipped else ""
    )


def _run(bench: Bench) -> Result:
    """Does the tokenizer know words of the training rows that it should not?"""
    rng = bench.rng("vocabulary")
    inside, outside = _words(bench.audited.members), _words(bench.audited.held_out)
    known = vocabulary(set(bench.entries), inside, outside, rng)
    return joined(known, findings(bench.personal_spans, PERSONAL, rng))


def _words(rows: Rows) -> Words:
    counts: Counter[str] = Counter()
    owner: dict[str, str] = {}
    for row in rows:
        words = sorted(set(WORD.findall(row["text"])))
        counts.update(words)
        owner.update(dict.fromkeys(words, row["unit"]))
    return Words(counts, owner)


ATTACK = Attack(
    "vocabulary",
    "rare words and personal values that are entries, against those of held-out rows",
    family("vocabulary"),
    _run,
    how=(
        "vocabulary entries among words that stand in one training row only, and personal values that are "
        "one entry"
    ),
    control=(
        "words of one held-out row only, values of held-out rows only; beside them what a vocabulary learnt "
        "from the held-out rows would know"
    ),
    unasked=_unasked,
)
