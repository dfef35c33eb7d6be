"""Probing and extraction: what a model completes, and what it gives back whole.

Every attack has its control: what was trained on is compared with what was not, matched in kind, and only the
difference counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import formats, metrics, sequential
from mlmguard.leakage.extraction import Target, search
from mlmguard.leakage.ngrams import NgramIndex
from mlmguard.leakage.results import (
    CONTROL,
    Exposed,
    Hit,
    Passage,
    PValue,
    Result,
    Span,
    clusters,
    excess,
    fisher,
    measured,
)
from mlmguard.leakage.signals import Floats, Ids, Probe, Scorer
from mlmguard.types import Curve, Measurement

NGRAM = 6
"""Tokens of a probed n-gram: enough for a curve of unknowns, short enough to fit any document."""


# --- n-grams ------------------------------------------------------------------------------------------

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
    copies: int  # documents of its side that hold it
    elsewhere: bool  # the other side has it, too

    def probe(self, hidden: int) -> Probe:
        return Probe(self.passage.ids, self.order[:hidden])

    @property
    def once(self) -> bool:
        """In one document of both sides together."""
        return self.copies == 1 and not self.elsewhere


def ngrams(
    scorer: Scorer,
    reference: Scorer | None,
    trained: Sequence[Passage],
    held_out: Sequence[Passage],
    classes: Ids,
    indices: tuple[NgramIndex, NgramIndex],
    rng: np.random.Generator,
    per_document: int = 2,
) -> Result:
    """Masked probing of training n-grams against held-out ones that could as well have been trained on.

    Compared are n-grams that occur in one document of both sides together (``indices``, of all training and
    of all held-out documents), matched by the class of the token that is hidden first (``classes`` (V,)), how
    likely the reference finds it, and how many of the tokens are digits. Documents were dealt to the sides at
    random, so under the null the two kinds are exchangeable. Hits are top-1; at most the excess is memorised.
    The curve hides k of the tokens at once (k = 1 completion, k = n extraction). N-grams that several
    training documents hold, and no held-out one, are compared with the same controls, matched likewise.
    """
    inside, outside = indices
    sides = [
        _grams(trained, inside, outside, rng, per_document),
        _grams(held_out, outside, inside, rng, per_document),
    ]
    everything = [gram for side in sides for gram in side]
    expected = _answered(reference, everything)
    likely = dict(zip(map(id, everything), expected)) if reference is not None else {}
    single = [[gram for gram in side if gram.once] for side in sides]
    bins = _terciles([likely[id(gram)][0] for side in single for gram in side if likely])

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
        by_k = [_hits(scorer, chosen, k) for k in range(1, NGRAM + 1)]
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
        measured("ngram", "top1_train", metrics.clustered_mean(clusters(hits[0]), rng), n),
        measured("ngram", "top1_heldout", metrics.clustered_mean(clusters(hits[1]), rng), n),
        measured("ngram", "top1_excess", excess(hits[0], hits[1], rng), n),
    ]
    if likely:
        measurements.append(_counterfactual(pair, hits, likely, rng))
    for label, fewest, most in COPIES:
        held = [gram for gram in sides[0] if fewest <= gram.copies <= most and not gram.elsewhere]
        alike = _matched(held, single[1], kind, rng)
        measurements += _slice(label, _hits(scorer, alike[0], 1), _hits(scorer, alike[1], 1), rng)
    seen = [(gram.passage.exposures(gram.start, NGRAM), hit) for gram, hit in zip(pair[0], hits[0])]
    for label, least, below in EXPOSURES:
        part = [hit for times, hit in seen if times is not None and least <= times < below]
        measurements += _slice(label, part, hits[1], rng)
    own, other = (_one_a_gram(side, rng) for side in pair)
    left, right = ([row[k][1] for k in chosen] for row, chosen in zip(hits, (own, other)))
    p = fisher(int(sum(left)), len(left), int(sum(right)), len(right))
    return Result(tuple(measurements), tuple(curves), (PValue("ngram", p, n, metric="top1"),))


def _grams(
    passages: Sequence[Passage], own: NgramIndex, other: NgramIndex, rng: np.random.Generator, most: int
) -> list[_Gram]:
    """Of each passage up to ``most`` n-grams of one document, and as many of several on its side alone."""
    chosen: list[_Gram] = []
    for passage in passages:
        inner = passage.ids[1:-1]  # [CLS] and [SEP] are never hidden
        copies, elsewhere = own.counts(inner), other.counts(inner) > 0
        # what stands on the other side, too, is language: no count of copies makes it memorised
        for kind in ((copies == 1) & ~elsewhere, (copies > 1) & ~elsewhere):
            for start in map(int, rng.permutation(np.flatnonzero(kind))[:most]):
                order = tuple(1 + start + int(place) for place in rng.permutation(NGRAM))
                chosen.append(_Gram(passage, 1 + start, order, int(copies[start]), bool(elsewhere[start])))
    return chosen


def _answered(scorer: Scorer | None, grams: Sequence[_Gram]) -> list[tuple[float, bool]]:
    """For the token hidden first: its log-probability, and whether it is ranked first."""
    if scorer is None:
        return []
    answers = scorer.answer([gram.probe(1) for gram in grams])
    return [(float(answer.log_probability[0]), bool(answer.rank[0] == 1)) for answer in answers]


def _hits(scorer: Scorer, grams: Sequence[_Gram], hidden: int) -> list[Hit]:
    """Whether all of the first ``hidden`` tokens are ranked first when they are hidden at once."""
    answers = scorer.answer([gram.probe(hidden) for gram in grams])
    return [
        (gram.passage.document_id, float((answer.rank == 1).all())) for gram, answer in zip(grams, answers)
    ]


def _terciles(values: Sequence[float]) -> Floats:
    edges = np.linspace(0, 1, TERCILES + 1)[1:-1]
    return np.quantile(values, edges) if len(values) else np.zeros(0)


def _matched(
    trained: Sequence[_Gram],
    held_out: Sequence[_Gram],
    kind: Callable[[_Gram], Hashable],
    rng: np.random.Generator,
) -> tuple[list[_Gram], list[_Gram]]:
    """Equal numbers of n-grams of each kind on both sides."""
    both: list[dict[Hashable, list[_Gram]]] = []
    for side in (trained, held_out):
        groups: dict[Hashable, list[_Gram]] = defaultdict(list)
        for gram in side:
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
    the training n-grams, one a document, that only one of the two completes.
    """
    # −1, 0 and 1 as 0, ½ and 1: intervals are of rates
    gains = [
        [(document, (1 + hit - likely[id(gram)][1]) / 2) for gram, (document, hit) in zip(side, rows)]
        for side, rows in zip(pair, hits)
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
    """One n-gram of each document, drawn at random, as indices."""
    return _one_of_each([gram.passage.document_id for gram in grams], rng)


def _one_of_each(documents: Sequence[str], rng: np.random.Generator) -> list[int]:
    seen: set[str] = set()
    chosen = []
    for k in map(int, rng.permutation(len(documents))):
        if documents[k] not in seen:
            seen.add(documents[k])
            chosen.append(k)
    return chosen


# --- personal data ------------------------------------------------------------------------------------


def probe(scorer: Scorer, attack: str, spans: Sequence[Span], rng: np.random.Generator) -> Result:
    """One token of each span hidden, the rest and the document given: rank, top-1, top-10 (completion).

    Every kind is compared with held-out spans of the same rule and length. Rates are over all spans given;
    the excess is over a subsample matched one to one, the test over one span a document: matching leaves
    many spans in few held-out documents, and then documents of the two sides cannot be exchanged.
    """
    probes = []
    for span in spans:
        place = int(rng.integers(len(span.target.positions)))
        probes.append(Probe(span.target.ids, (span.target.positions[place],)))
    ranks = np.array([int(answer.rank[0]) for answer in scorer.answer(probes)])
    kinds = np.array([span.kind for span in spans])
    measurements: list[Measurement] = []
    curves: list[Curve] = []
    for kind in sorted({span.kind for span in spans}):
        chosen = [k for k in range(len(spans)) if kinds[k] == kind]
        for name, limit in (("top1", 1), ("top10", 10)):
            rows = [(spans[k].document_id, float(ranks[k] <= limit)) for k in chosen]
            interval = metrics.clustered_mean(clusters(rows), rng)
            measurements.append(measured(attack, name, interval, len(rows), kind))
        measurements.append(measured(attack, "median_rank", metrics.median(ranks[chosen]), len(chosen), kind))
        long = [spans[k].target for k in chosen if len(spans[k].target.positions) >= NGRAM][:MOST_IN_A_CURVE]
        if len(long) >= FEWEST_IN_A_CURVE:
            curves.append(unknowns(scorer, attack, long, NGRAM, kind, rng))
    tests: list[PValue] = []
    for kind in sorted({span.kind for span in spans} - {CONTROL}):
        left, right = _alike(spans, kinds == kind, kinds == CONTROL, rng)
        if not left:
            continue
        own, other = ([(spans[k].document_id, float(ranks[k] == 1)) for k in side] for side in (left, right))
        measurements.append(measured(attack, "top1_excess", excess(own, other, rng), len(left), kind))
        single = _one_a_document(spans, rng)
        left, right = _alike(spans, single & (kinds == kind), single & (kinds == CONTROL), rng)
        hits = [int((ranks[side] == 1).sum()) for side in (left, right)]
        p = fisher(hits[0], len(left), hits[1], len(right))
        tests.append(PValue(attack, p, len(left), kind, "top1"))
    return Result(tuple(measurements), tuple(curves), tuple(tests))


def _one_a_document(spans: Sequence[Span], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Marks one span of each document, drawn at random."""
    marks = np.zeros(len(spans), dtype=bool)
    marks[_one_of_each([span.document_id for span in spans], rng)] = True
    return marks


MOST_IN_A_CURVE = 400
FEWEST_IN_A_CURVE = 20


def extract(
    scorer: Scorer,
    attack: str,
    spans: Sequence[Span],
    kinds: Sequence[str],
    alphabets: Sequence[Ids],
    rng: np.random.Generator,
    restarts: int = 12,
    early: bool = False,
) -> Result:
    """The whole span hidden: extraction by search of every span given, held-out ones as control.

    The attacker knows the document around the span and the span's format (which positions are digits), not
    its tokens. A redacted value never reached the model through its own document; getting it back means
    that redaction missed a copy. A kind without spans is reported as such. ``early``: the search ends after a
    quarter of the spans of each kind where that settles a test.
    """
    parts = sequential.looks(spans, lambda span: span.kind, early)
    tried: list[tuple[Span, bool]] = []
    for part in parts:
        found = search(scorer, [span.target for span in part], alphabets, rng, restarts=restarts)
        tried += [(span, extraction.recovered) for span, extraction in zip(part, found)]
        result = _recovered(attack, tried, len(spans), kinds, rng, len(parts))
        if sequential.settled(result.tests):
            break
    return result


def _recovered(
    attack: str,
    tried: Sequence[tuple[Span, bool]],
    planned: int,
    kinds: Sequence[str],
    rng: np.random.Generator,
    looks: int,
) -> Result:
    """Rates, excesses and tests of the spans ``tried``, at one of so many ``looks``."""
    alpha = 0.05 / looks
    stopped = f"ended at the first look: {len(tried)} of {planned} spans" if len(tried) < planned else ""
    rows: dict[str, list[Hit]] = {kind: [] for kind in (*kinds, CONTROL)}
    by_rule: dict[str, list[bool]] = defaultdict(list)
    exposed: list[Exposed] = []
    for span, recovered in tried:
        rows[span.kind].append((span.document_id, float(recovered)))
        if span.kind != CONTROL:
            by_rule[span.rule].append(recovered)
            if recovered:
                exposed.append(Exposed(span.document_id, attack, span.rule, 1.0))
    measurements: list[Measurement] = []
    tests: list[PValue] = []
    control = rows[CONTROL]
    for kind, group in rows.items():
        hits = int(sum(hit for _, hit in group))
        note = stopped if group else "no such span in the corpus"
        measurements.append(
            measured(attack, "extraction_rate", _rate_by_cluster(group, alpha), len(group), kind, note=note)
        )
        if kind == CONTROL or not group:
            continue
        missed = int(sum(hit for _, hit in control))
        measurements.append(
            measured(attack, "extraction_excess", excess(group, control, rng, alpha), len(group), kind)
        )
        p = sequential.over_looks(fisher(hits, len(group), missed, len(control)), looks)
        tests.append(PValue(attack, p, len(group), kind, "extraction"))
    for rule, outcomes in sorted(by_rule.items()):
        if len(by_rule) > 1:
            interval = metrics.rate(sum(outcomes), len(outcomes), alpha)
            measurements.append(measured(attack, "extraction_rate", interval, len(outcomes), rule))
    return Result(tuple(measurements), (), tuple(tests), tuple(exposed))


def _alike(
    spans: Sequence[Span], left: NDArray[np.bool_], right: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Equal numbers of spans of each rule and length on both sides, as indices."""

    def grouped(side: NDArray[np.bool_]) -> dict[tuple[str, int], list[int]]:
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for k in map(int, np.flatnonzero(side)):
            groups[spans[k].rule, len(spans[k].target.positions)].append(k)
        return groups

    both = (grouped(left), grouped(right))
    chosen: tuple[list[int], list[int]] = ([], [])
    for kind in sorted(set(both[0]) & set(both[1])):
        size = min(len(groups[kind]) for groups in both)
        for picked, groups in zip(chosen, both):
            picked.extend(groups[kind][k] for k in sorted(rng.permutation(len(groups[kind]))[:size]))
    return chosen


def _rate_by_cluster(rows: Sequence[Hit], alpha: float) -> metrics.Interval:
    """Rate over all probes; the interval counts documents, for probes of one document are not independent."""
    documents = clusters(rows)
    if not documents:
        return metrics.rate(0, 0, alpha)
    hit = sum(max(document) > 0 for document in documents)
    low, high = metrics.clopper_pearson(hit, len(documents), alpha)
    value = float(np.mean([outcome for _, outcome in rows]))
    return metrics.Interval(value, min(low, value), high, 1 - alpha)


def unknowns(
    scorer: Scorer,
    attack: str,
    targets: Sequence[Target],
    longest: int,
    series: str,
    rng: np.random.Generator,
) -> Curve:
    """Exact recovery by parallel decoding with k of the secret's tokens hidden, k = 1 … ``longest``."""
    rates = []
    for k in range(1, longest + 1):
        probes = []
        for target in targets:
            places = rng.permutation(len(target.positions))[:k]
            probes.append(
                Probe(
                    target.ids,
                    tuple(target.positions[p] for p in places),
                    tuple(target.alphabets[p] for p in places),
                )
            )
        right = 0
        for probe, answer in zip(probes, scorer.answer(probes)):
            right += bool((answer.best == probe.ids[list(probe.positions)]).all())
        rates.append(metrics.rate(right, len(targets)))
    return Curve(
        attack, "k-unknown", "tokens hidden", "exact recovery", series,
        tuple(float(k) for k in range(1, longest + 1)),
        tuple(r.value for r in rates), tuple(r.low for r in rates), tuple(r.high for r in rates),
    )  # fmt: skip
