"""The attacks, each a function from a model's answers to numbers with intervals.

Every attack has its control: what was trained on is compared with what was not, matched in kind, and only the
difference counts. A p-value is returned apart (:class:`PValue`): the audit corrects the whole family.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlmguard.leakage import metrics
from mlmguard.leakage.canaries import Secret
from mlmguard.leakage.extraction import Target, search
from mlmguard.leakage.signals import Floats, Ids, Probe, Scorer, pseudo_log_likelihood
from mlmguard.types import Curve, Measurement

NGRAM = 6
"""Tokens of a probed n-gram: enough for a curve of unknowns, short enough to fit any document."""


@dataclass(frozen=True)
class PValue:
    """One test of the audit's family, before correction."""

    attack: str
    p: float
    examples: int
    slice: str = ""
    metric: str = ""


@dataclass(frozen=True)
class Result:
    """What one attack brought."""

    measurements: tuple[Measurement, ...] = ()
    curves: tuple[Curve, ...] = ()
    tests: tuple[PValue, ...] = ()


@dataclass(frozen=True)
class Passage:
    """A window of a document: what probes are cut from. ``copies`` is how often the corpus held it."""

    document_id: str
    ids: Ids = field(repr=False)
    copies: int = 1


@dataclass(frozen=True)
class Span:
    """A span in its document's context. ``kind`` says what it was to the training: "kept" or "redacted"
    (personal data), "train" (chosen without a detector), or "held-out", the control."""

    document_id: str
    rule: str
    target: Target
    kind: str


CONTROL = "held-out"


def measured(
    attack: str, metric: str, found: metrics.Interval, n: int, slice: str = "", **more: object
) -> Measurement:
    """An interval as a measurement; nan becomes None, which no policy can pass."""
    value = None if found.value != found.value else found.value
    return Measurement(attack, metric, value, found.low, found.high, found.confidence, n, slice=slice, **more)  # type: ignore[arg-type]


# --- n-grams ------------------------------------------------------------------------------------------


def ngrams(
    scorer: Scorer,
    trained: Sequence[Passage],
    held_out: Sequence[Passage],
    classes: Ids,
    rng: np.random.Generator,
    per_document: int = 2,
) -> Result:
    """Masked probing of training n-grams against held-out ones matched by length and token classes.

    ``classes`` (V,) gives each token's class. Hits are top-1; on plain text a model guesses many held-out
    tokens too, so at most the excess is memorised. Documents are the clusters: n-grams of one document are
    not independent. The curve hides k of the n-gram's tokens at once (k = 1 completion, k = n extraction).
    """
    spans = [_spans(group, classes, rng, per_document) for group in (trained, held_out)]
    spans = _matched(spans[0], spans[1], classes, rng)
    names = ("train", "held-out")
    hits, curves, top1 = [], [], []
    for name, chosen in zip(names, spans):
        by_k: list[list[tuple[str, float, int]]] = [[] for _ in range(NGRAM)]
        probes, tags = [], []
        for passage, start in chosen:
            order = rng.permutation(NGRAM)
            for k in range(1, NGRAM + 1):
                probes.append(Probe(passage.ids, tuple(int(start + p) for p in order[:k])))
                tags.append((k, passage))
        for (k, passage), answer in zip(tags, scorer.answer(probes)):
            by_k[k - 1].append((passage.document_id, float((answer.rank == 1).all()), passage.copies))
        rates = [metrics.rate(int(sum(hit for _, hit, _ in row)), len(row)) for row in by_k]
        if chosen:
            curves.append(
                Curve(
                    "ngram", "k-unknown", "tokens hidden", "exact recovery", name,
                    tuple(float(k) for k in range(1, NGRAM + 1)),
                    tuple(r.value for r in rates), tuple(r.low for r in rates), tuple(r.high for r in rates),
                )
            )  # fmt: skip
        hits.append(by_k[0])
        top1.append(rates[0])
    n = len(hits[0])
    if not n:
        return Result(
            (
                Measurement(
                    "ngram", "top1_excess", None, None, None, 0.95, 0, note="no n-gram could be matched"
                ),
            )
        )
    measurements = [
        measured("ngram", "top1_train", top1[0], n),
        measured("ngram", "top1_heldout", top1[1], len(hits[1])),
        measured("ngram", "top1_excess", _excess(hits[0], hits[1], rng), n),
    ]
    for label, low, high in (("copies 1", 1, 1), ("copies 2-4", 2, 4), ("copies 5+", 5, 10**9)):
        part = [row for row in hits[0] if low <= row[2] <= high]
        if len(part) >= 30:
            measurements.append(
                measured("ngram", "top1_excess", _excess(part, hits[1], rng), len(part), label)
            )
    p = metrics.clustered_p(_clusters(hits[0]), _clusters(hits[1]), rng)
    return Result(tuple(measurements), tuple(curves), (PValue("ngram", p, n, metric="top1"),))


def _spans(
    passages: Sequence[Passage], classes: Ids, rng: np.random.Generator, per_document: int
) -> list[tuple[Passage, int]]:
    chosen: list[tuple[Passage, int]] = []
    for passage in passages:
        room = len(passage.ids) - 2 - NGRAM  # [CLS] and [SEP] are never hidden
        if room < 0:
            continue
        starts = 1 + rng.permutation(room + 1)[:per_document]
        chosen.extend((passage, int(start)) for start in starts)
    return chosen


def _matched(
    trained: list[tuple[Passage, int]],
    held_out: list[tuple[Passage, int]],
    classes: Ids,
    rng: np.random.Generator,
) -> list[list[tuple[Passage, int]]]:
    """Equal numbers of n-grams of each kind on both sides; its kind is how many tokens of each class."""

    def kinds(spans: list[tuple[Passage, int]]) -> dict[bytes, list[tuple[Passage, int]]]:
        found: dict[bytes, list[tuple[Passage, int]]] = defaultdict(list)
        for passage, start in spans:
            found[np.sort(classes[passage.ids[start : start + NGRAM]]).tobytes()].append((passage, start))
        return found

    left, right = kinds(trained), kinds(held_out)
    sides: list[list[tuple[Passage, int]]] = [[], []]
    for kind in sorted(set(left) & set(right)):
        size = min(len(left[kind]), len(right[kind]))
        for side, group in zip(sides, (left[kind], right[kind])):
            side.extend(group[k] for k in sorted(rng.permutation(len(group))[:size]))
    return sides


def _clusters(rows: Sequence[tuple[str, float, int]]) -> list[list[float]]:
    """Outcomes gathered by document."""
    gathered: dict[str, list[float]] = defaultdict(list)
    for document_id, hit, _ in rows:
        gathered[document_id].append(hit)
    return list(gathered.values())


def _excess(
    left: Sequence[tuple[str, float, int]], right: Sequence[tuple[str, float, int]], rng: np.random.Generator
) -> metrics.Interval:
    return metrics.clustered_difference(_clusters(left), _clusters(right), rng)


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
            rows = [(spans[k].document_id, float(ranks[k] <= limit), 1) for k in chosen]
            interval = metrics.clustered_mean(_clusters(rows), rng)
            measurements.append(measured(attack, name, interval, len(rows), kind))
        measurements.append(measured(attack, "median_rank", _median(ranks[chosen]), len(chosen), kind))
        long = [spans[k].target for k in chosen if len(spans[k].target.positions) >= NGRAM][:MOST_IN_A_CURVE]
        if len(long) >= FEWEST_IN_A_CURVE:
            curves.append(_unknowns(scorer, attack, long, NGRAM, kind, rng))
    tests: list[PValue] = []
    for kind in sorted({span.kind for span in spans} - {CONTROL}):
        left, right = _alike(spans, kinds == kind, kinds == CONTROL, rng)
        if not left:
            continue
        own, other = (
            [(spans[k].document_id, float(ranks[k] == 1), 1) for k in side] for side in (left, right)
        )
        measurements.append(measured(attack, "top1_excess", _excess(own, other, rng), len(left), kind))
        single = _one_a_document(spans, rng)
        left, right = _alike(spans, single & (kinds == kind), single & (kinds == CONTROL), rng)
        hits = [int((ranks[side] == 1).sum()) for side in (left, right)]
        p = _fisher(hits[0], len(left), hits[1], len(right))
        tests.append(PValue(attack, p, len(left), kind, "top1"))
    return Result(tuple(measurements), tuple(curves), tuple(tests))


def _one_a_document(spans: Sequence[Span], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Marks one span of each document, drawn at random."""
    seen: set[str] = set()
    marks = np.zeros(len(spans), dtype=bool)
    for k in map(int, rng.permutation(len(spans))):
        if spans[k].document_id not in seen:
            seen.add(spans[k].document_id)
            marks[k] = True
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
) -> Result:
    """The whole span hidden: extraction by search of every span given, held-out ones as control.

    The attacker knows the document around the span and the span's format (which positions are digits), not
    its tokens. A redacted value never reached the model through its own document; getting it back means
    that redaction missed a copy. A kind without spans is reported as such.
    """
    found = search(scorer, [span.target for span in spans], alphabets, rng, restarts=restarts)
    rows: dict[str, list[tuple[str, float, int]]] = {kind: [] for kind in (*kinds, CONTROL)}
    by_rule: dict[str, list[bool]] = defaultdict(list)
    for span, extraction in zip(spans, found):
        rows[span.kind].append((span.document_id, float(extraction.recovered), 1))
        if span.kind != CONTROL:
            by_rule[span.rule].append(extraction.recovered)
    measurements: list[Measurement] = []
    tests: list[PValue] = []
    control = rows[CONTROL]
    for kind, group in rows.items():
        hits = int(sum(hit for _, hit, _ in group))
        note = "" if group else "no such span in the corpus"
        measurements.append(
            measured(attack, "extraction_rate", _rate_by_cluster(group), len(group), kind, note=note)
        )
        if kind == CONTROL or not group:
            continue
        missed = int(sum(hit for _, hit, _ in control))
        measurements.append(
            measured(attack, "extraction_excess", _excess(group, control, rng), len(group), kind)
        )
        p = _fisher(hits, len(group), missed, len(control))
        tests.append(PValue(attack, p, len(group), kind, "extraction"))
    for rule, outcomes in sorted(by_rule.items()):
        if len(by_rule) > 1:
            interval = metrics.rate(sum(outcomes), len(outcomes))
            measurements.append(measured(attack, "extraction_rate", interval, len(outcomes), rule))
    return Result(tuple(measurements), (), tuple(tests))


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


def _median(values: NDArray[np.int64]) -> metrics.Interval:
    """The median with its order-statistic interval: distribution-free, 95 %."""
    ordered = np.sort(values)
    n = len(ordered)
    low = int(stats.binom.ppf(0.025, n, 0.5))
    high = min(n - 1, int(stats.binom.ppf(0.975, n, 0.5)))
    return metrics.Interval(
        float(np.median(ordered)), float(ordered[max(0, low - 1)]), float(ordered[high]), 0.95
    )


def _rate_by_cluster(rows: Sequence[tuple[str, float, int]]) -> metrics.Interval:
    """Rate over all probes; the interval counts documents, for probes of one document are not independent."""
    clusters = _clusters(rows)
    if not clusters:
        return metrics.rate(0, 0)
    hit = sum(max(cluster) > 0 for cluster in clusters)
    low, high = metrics.clopper_pearson(hit, len(clusters))
    value = float(np.mean([outcome for _, outcome, _ in rows]))
    return metrics.Interval(value, min(low, value), high, 0.95)


def _fisher(hits: int, n: int, control_hits: int, control_n: int) -> float:
    """One-sided Fisher exact p that the first rate is the larger; 1.0 without a control."""
    if not n or not control_n:
        return 1.0
    table = [[hits, n - hits], [control_hits, control_n - control_hits]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


# --- vocabulary ---------------------------------------------------------------------------------------


def vocabulary(entries: set[str], trained: Mapping[str, int], held_out: Mapping[str, int]) -> Result:
    """Whole vocabulary entries among rare words of the training rows only, and of the held-out rows only.

    Both maps give the number of documents a word occurs in. Words of one document on one side alone are
    compared: a vocabulary learnt from public text knows as few of the one kind as of the other, one learnt
    from the training rows knows more. Words count in lower case, as most vocabularies hold them.
    """
    rare = [
        {word.lower() for word, n in own.items() if n == 1 and word not in other}
        for own, other in ((trained, held_out), (held_out, trained))
    ]
    hits = [sum(word in entries for word in words) for words in rare]
    sizes = [len(words) for words in rare]
    p = _fisher(hits[0], sizes[0], hits[1], sizes[1])
    return Result(
        tuple(
            measured("vocabulary", "rare_words_known", metrics.rate(h, n), n, name)
            for name, h, n in zip(("train", CONTROL), hits, sizes)
        ),
        (),
        (PValue("vocabulary", p, sizes[0], metric="rare_words"),) if all(sizes) else (),
    )


# --- canaries -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CanaryScores:
    """Calibrated scores, higher = likelier trained on; shapes (m,). ``twins`` were never planted."""

    planted: np.ndarray = field(repr=False)  # bool: the coins
    scores: Floats = field(repr=False)
    twins: Floats = field(repr=False)


def score_canaries(
    scorer: Scorer,
    reference: Scorer,
    secrets: Sequence[Secret],
    targets: Sequence[Target],
    twins: Sequence[Target],
) -> CanaryScores:
    """Pseudo-log-likelihood of each secret under the model minus under the reference."""

    def calibrated(group: Sequence[Target]) -> Floats:
        windows, spans = [t.ids for t in group], [t.positions for t in group]
        return pseudo_log_likelihood(scorer, windows, spans) - pseudo_log_likelihood(
            reference, windows, spans
        )

    planted = np.array([secret.canary.planted for secret in secrets], dtype=bool)
    return CanaryScores(planted, calibrated(targets), calibrated(twins))


def exposure(found: CanaryScores, rng: np.random.Generator) -> Result:
    """Mean exposure in bits of the planted canaries among all that were never planted, and a rank-sum test.

    Controls (coin said no) and planted canaries are exchangeable under the null, so the test is exact.
    """
    controls = found.scores[~found.planted]
    reference = np.concatenate([controls, found.twins])
    planted = found.scores[found.planted]
    if not len(planted) or not len(controls):
        return Result(
            (Measurement("canary", "exposure_mean", None, None, None, 0.95, 0, note="no canaries"),)
        )
    bits = np.array([metrics.exposure(score, reference) for score in planted])
    draws = rng.choice(bits, size=(2000, len(bits))).mean(1)
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
    interval = metrics.Interval(float(bits.mean()), low, high, 0.95)
    cap = float(np.log2(len(reference) + 1))
    null = [metrics.exposure(s, np.delete(reference, k)) for k, s in enumerate(controls)]
    curves = tuple(
        _distribution("exposure", series, values, cap)
        for series, values in (("planted", bits), ("controls", np.array(null)))
    )
    return Result(
        (measured("canary", "exposure_mean", interval, len(bits), ceiling=cap, note="null mean 1.443 bits"),),
        curves,
        (PValue("canary", metrics.rank_sum_p(planted, controls), len(bits), metric="exposure"),),
    )


def _distribution(name: str, series: str, values: Floats, cap: float) -> Curve:
    """Share of canaries at or above each exposure."""
    grid = np.linspace(0, cap, 41)
    share = [(values >= bits).mean() for bits in grid]
    return Curve(
        "canary",
        name,
        "exposure (bits)",
        "share at or above",
        series,
        tuple(map(float, grid)),
        tuple(map(float, share)),
    )


def extract_canaries(
    scorer: Scorer,
    planted: Sequence[Target],
    controls: Sequence[Target],
    alphabets: Sequence[Ids],
    rng: np.random.Generator,
    restarts: int = 24,
) -> Result:
    """Whole-secret extraction by coordinate search, planted against controls, with the k-unknown curve."""
    found = search(scorer, [*planted, *controls], alphabets, rng, restarts=restarts)
    hits = [sum(e.recovered for e in found[: len(planted)]), sum(e.recovered for e in found[len(planted) :])]
    sizes = [len(planted), len(controls)]
    measurements = [
        measured("canary", name, metrics.rate(h, n), n)
        for name, h, n in zip(("extraction_rate", "extraction_rate_heldout"), hits, sizes)
    ]
    curves = [
        _unknowns(scorer, "canary", group, min(len(t.positions) for t in group), series, rng)
        for series, group in (("planted", planted), ("controls", controls))
        if group
    ]
    p = _fisher(hits[0], sizes[0], hits[1], sizes[1])
    return Result(tuple(measurements), tuple(curves), (PValue("canary", p, sizes[0], metric="extraction"),))


def _unknowns(
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


# --- ε ------------------------------------------------------------------------------------------------


def one_run_epsilon(found: CanaryScores, guesses: int, delta: float, claimed: float | None) -> Result:
    """The one-run lower bound (Steinke, Nasr and Jagielski 2023) beside the claim, with its ceiling.

    ``guesses`` was fixed before training: the highest-scored half of it is guessed in, the lowest half out.
    """
    m = len(found.scores)
    guesses = min(guesses, m) // 2 * 2
    order = np.argsort(found.scores, kind="stable")
    out, into = order[: guesses // 2], order[m - guesses // 2 :]
    right = int(found.planted[into].sum() + (~found.planted[out]).sum())
    bound = metrics.one_run_epsilon_lower_bound(m, guesses, right, delta)
    ceiling = metrics.one_run_ceiling(m, guesses, delta)
    refutable = float(claimed is not None and ceiling > claimed)
    note = f"{right} of {guesses} guesses right over {m} canaries"
    return Result(
        (
            Measurement("epsilon", "one_run_lower_bound", bound, bound, None, 0.95, m, ceiling, note=note),
            Measurement("epsilon", "claimed", claimed, None, None, 1.0, m),
            Measurement("epsilon", "refutable", refutable, None, None, 1.0, m, note=_need(claimed, delta)),
        )
    )


def _need(claimed: float | None, delta: float) -> str:
    if claimed is None:
        return "no ε is claimed"
    needed = metrics.canaries_to_refute(claimed, delta)
    if needed is None:
        return "no canary audit of practical size can refute this ε"
    return f"refuting ε = {claimed:.2f} takes {needed:,} canaries, every guess right"
