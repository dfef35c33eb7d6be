"""Does the model complete n-grams it was trained on better than n-grams it was not trained on?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlmguard.leakage import clustered, formats, metrics
from mlmguard.leakage.answers import Answers, Floats, Ids, Probe
from mlmguard.leakage.attack import Attack, Bench, fills_no_masks
from mlmguard.leakage.ngram_index import NGRAM, NgramIndex
from mlmguard.leakage.results import (
    CONTROL,
    Hit,
    Passage,
    PValue,
    Result,
    clusters,
    excess,
    fisher,
    measured,
    one_of_each,
)
from mlmguard.measures import family
from mlmguard.types import Curve, Measurement

COPIES = (("copies 1", 1, 1), ("copies 2-4", 2, 4), ("copies 5-9", 5, 9), ("copies 10+", 10, 10**9))
EXPOSURES = (("seen < 1 time", 0.0, 1.0), ("seen 1-10 times", 1.0, 10.0), ("seen > 10 times", 10.0, np.inf))
FEWEST_IN_A_SLICE = 30
TERCILES = 3
DIGITS = (1, 3)  # none, a few, mostly


@dataclass(frozen=True)
class _Gram:
    """``NGRAM`` tokens of a passage, and the order in which they are hidden."""

    passage: Passage
    start: int
    order: tuple[int, ...]
    copies: int  # documents of its set that hold it
    elsewhere: bool  # a document of the other set holds it, too

    def probe(self, hidden: int) -> Probe:
        return Probe(self.passage.ids, self.order[:hidden])

    @property
    def once(self) -> bool:
        """In one document of both sets together."""
        return self.copies == 1 and not self.elsewhere


def ngrams(
    model: Answers,
    reference: Answers | None,
    trained: Sequence[Passage],
    held_out: Sequence[Passage],
    classes: Ids,
    indices: tuple[NgramIndex, NgramIndex],
    rng: np.random.Generator,
    per_document: int = 2,
) -> Result:
    """Masked probing of training n-grams against held-out ones that could as well have been trained on.

    Compared are n-grams that occur in one document of both sets together (``indices``, of all training and
    of all held-out documents), matched by the class of the token that is hidden first (``classes`` (V,)), how
    likely the reference finds it, and how many of the tokens are digits. Documents were assigned to the sets
    at random, so under the null the two kinds are exchangeable. Hits are top-1; at most the excess is
    memorised. The curve hides k of the tokens at once (k = 1 completion, k = n extraction). N-grams that
    several training documents hold, and no held-out one, are compared with the same controls.
    """
    inside, outside = indices
    sets = [
        _grams(trained, inside, outside, rng, per_document),
        _grams(held_out, outside, inside, rng, per_document),
    ]
    everything = [gram for grams in sets for gram in grams]
    expected = _answered(reference, everything)
    likely = dict(zip(map(id, everything), expected)) if reference is not None else {}
    single = [[gram for gram in grams if gram.once] for grams in sets]
    bins = _terciles([likely[id(gram)][0] for grams in single for gram in grams if likely])

    def kind(gram: _Gram) -> tuple[int, int, int]:
        tokens = classes[gram.passage.ids[gram.start : gram.start + NGRAM]]
        digits = int(np.searchsorted(DIGITS, (tokens == formats.DIGIT).sum(), side="right"))
        tercile = int(np.searchsorted(bins, likely[id(gram)][0])) if likely else 0
        return int(classes[gram.passage.ids[gram.order[0]]]), digits, tercile

    pair = _matched(single[0], single[1], kind, rng)
    n = len(pair[0])
    if not n:
        note = "no n-gram could be matched"
        return Result((Measurement("ngram", "top1_excess", None, None, None, 0.95, 0, note=note),))
    curves, hits = [], []
    for name, chosen in zip(("train", CONTROL), pair):
        by_k = [_hits(model, chosen, k) for k in range(1, NGRAM + 1)]
        rates = [metrics.rate(int(sum(hit for _, hit in row)), len(row)) for row in by_k]
        curves.append(
            Curve(
                "ngram", "k-unknown", "tokens hidden", "exact recovery", name,
                tuple(float(k) for k in range(1, NGRAM + 1)),
                tuple(r.value for r in rates), tuple(r.low for r in rates), tuple(r.high for r in rates),
            )
        )  # fmt: skip
        hits.append(by_k[0])
    measurements = [
        measured("ngram", "top1_train", clustered.mean(clusters(hits[0]), rng), n),
        measured("ngram", "top1_heldout", clustered.mean(clusters(hits[1]), rng), n),
        measured("ngram", "top1_excess", excess(hits[0], hits[1], rng), n),
    ]
    if likely:
        measurements.append(_counterfactual(pair, hits, likely, rng))
    for label, fewest, most in COPIES:
        held = [gram for gram in sets[0] if fewest <= gram.copies <= most and not gram.elsewhere]
        alike = _matched(held, single[1], kind, rng)
        measurements += _slice(label, _hits(model, alike[0], 1), _hits(model, alike[1], 1), rng)
    seen = [(gram.passage.exposures(gram.start, NGRAM), hit) for gram, hit in zip(pair[0], hits[0])]
    for label, least, below in EXPOSURES:
        part = [hit for times, hit in seen if times is not None and least <= times < below]
        measurements += _slice(label, part, hits[1], rng)
    own, other = (_one_a_gram(grams, rng) for grams in pair)
    left, right = ([row[k][1] for k in chosen] for row, chosen in zip(hits, (own, other)))
    p = fisher(int(sum(left)), len(left), int(sum(right)), len(right))
    return Result(tuple(measurements), tuple(curves), (PValue("ngram", p, n, metric="top1"),))


def _grams(
    passages: Sequence[Passage], own: NgramIndex, other: NgramIndex, rng: np.random.Generator, most: int
) -> list[_Gram]:
    """Of each passage up to ``most`` n-grams of one document, and as many of several of its set alone."""
    chosen: list[_Gram] = []
    for passage in passages:
        inner = passage.ids[1:-1]  # [CLS] and [SEP] are never hidden
        copies, elsewhere = own.counts(inner), other.counts(inner) > 0
        # what stands in the other set, too, is language: no count of copies makes it memorised
        for kind in ((copies == 1) & ~elsewhere, (copies > 1) & ~elsewhere):
            for start in map(int, rng.permutation(np.flatnonzero(kind))[:most]):
                order = tuple(1 + start + int(place) for place in rng.permutation(NGRAM))
                chosen.append(_Gram(passage, 1 + start, order, int(copies[start]), bool(elsewhere[start])))
    return chosen


def _answered(model: Answers | None, grams: Sequence[_Gram]) -> list[tuple[float, bool]]:
    """For the token hidden first: its log-probability, and whether it is ranked first."""
    if model is None:
        return []
    answers = model.answer([gram.probe(1) for gram in grams])
    return [(float(answer.log_probability[0]), bool(answer.rank[0] == 1)) for answer in answers]


def _hits(model: Answers, grams: Sequence[_Gram], hidden: int) -> list[Hit]:
    """Whether all of the first ``hidden`` tokens are ranked first when they are hidden at once."""
    answers = model.answer([gram.probe(hidden) for gram in grams])
    return [(gram.passage.owner, float((answer.rank == 1).all())) for gram, answer in zip(grams, answers)]


def _terciles(values: Sequence[float]) -> Floats:
    edges = np.linspace(0, 1, TERCILES + 1)[1:-1]
    return np.quantile(values, edges) if len(values) else np.zeros(0)


def _matched(
    trained: Sequence[_Gram],
    held_out: Sequence[_Gram],
    kind: Callable[[_Gram], Hashable],
    rng: np.random.Generator,
) -> tuple[list[_Gram], list[_Gram]]:
    """Equal numbers of n-grams of each kind from both sets."""
    both: list[dict[Hashable, list[_Gram]]] = []
    for grams in (trained, held_out):
        groups: dict[Hashable, list[_Gram]] = defaultdict(list)
        for gram in grams:
            groups[kind(gram)].append(gram)
        both.append(groups)
    pair: tuple[list[_Gram], list[_Gram]] = ([], [])
    for name in [name for name in both[0] if name in both[1]]:
        size = min(len(groups[name]) for groups in both)
        for chosen, groups in zip(pair, both):
            chosen.extend(groups[name][k] for k in sorted(rng.permutation(len(groups[name]))[:size]))
    return pair


def _counterfactual(
    pair: tuple[Sequence[_Gram], Sequence[_Gram]],
    hits: Sequence[Sequence[Hit]],
    likely: Mapping[int, tuple[float, bool]],
    rng: np.random.Generator,
) -> Measurement:
    """The excess over what the reference completes, too: (model − reference) on training minus on held-out.

    A reference trained on other documents would have learnt as much of the language. McNemar's test counts
    the training n-grams, one a unit, that only one of the two completes.
    """
    # −1, 0 and 1 as 0, ½ and 1: intervals are of rates
    gains = [
        [(owner, (1 + hit - likely[id(gram)][1]) / 2) for gram, (owner, hit) in zip(grams, rows)]
        for grams, rows in zip(pair, hits)
    ]
    one = [gains[0][k][1] for k in _one_a_gram(pair[0], rng)]
    p = metrics.mcnemar(one.count(1.0), one.count(0.0))
    note = f"McNemar, training n-grams, model against reference: p = {p:.3g}"
    half = excess(gains[0], gains[1], rng)
    found = metrics.Interval(2 * half.value, 2 * half.low, 2 * half.high, half.confidence)
    return measured("ngram", "counterfactual_excess", found, len(gains[0]), note=note)


def _slice(
    label: str, part: Sequence[Hit], control: Sequence[Hit], rng: np.random.Generator
) -> list[Measurement]:
    if len(part) < FEWEST_IN_A_SLICE:
        return []
    return [measured("ngram", "top1_excess", excess(part, control, rng), len(part), label)]


def _one_a_gram(grams: Sequence[_Gram], rng: np.random.Generator) -> list[int]:
    """One n-gram of each unit, drawn at random, as indices."""
    return one_of_each([gram.passage.owner for gram in grams], rng)


def _run(bench: Bench) -> Result:
    return ngrams(
        bench.model, bench.reference, bench.members, bench.others, bench.classes, bench.indices,
        bench.rng("ngrams"),
    )  # fmt: skip


ATTACK = Attack(
    "ngram",
    "masked probing of training n-grams against matched held-out ones",
    family("ngram"),
    _run,
    fills_no_masks,
    how=(
        "hides tokens of six-token phrases of the training rows; top-1, and the whole curve from one hidden "
        "token to all; by copies in what was trained on, and by how often training is expected to have shown "
        "them"
    ),
    control=(
        "phrases of one held-out row only against phrases of one training row only, with the same token "
        "classes and as likely to the reference; beside it what the reference completes as well"
    ),
)
