"""Spans that a model may complete, and give back whole: personal data, and rare words that no detector chose.

What was trained on is compared with what was not, matched in kind, and only the difference counts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import clustered, metrics, sequential
from mlmguard.leakage.answers import Answers, Ids, Probe
from mlmguard.leakage.attack import Attack, Bench, fills_no_masks
from mlmguard.leakage.extraction import search, unknowns
from mlmguard.leakage.ngram_index import NGRAM
from mlmguard.leakage.results import (
    CONTROL,
    Exposed,
    Hit,
    PValue,
    Result,
    Span,
    clusters,
    excess,
    fisher,
    joined,
    measured,
    of_whole_units,
    one_of_each,
    worth_listing,
)
from mlmguard.measures import family
from mlmguard.types import Curve, Measurement

# --- completion ---------------------------------------------------------------------------------------


def probe(model: Answers, attack: str, spans: Sequence[Span], rng: np.random.Generator) -> Result:
    """Hide one token of each span, the rest and the document given: rank, top-1, top-10 (completion).

    Every kind is compared with held-out spans of the same rule, length and fate: what a scan is less sure of
    and leaves in the text is a commoner word than what it takes out. Rates are over all spans given; the
    excess is over a subsample matched one to one, the test over one span a unit: matching leaves many spans
    in few held-out units, and then units of the two sets cannot be exchanged.
    """
    probes = []
    for span in spans:
        place = int(rng.integers(len(span.target.positions)))
        probes.append(Probe(span.target.ids, (span.target.positions[place],)))
    ranks = np.array([int(answer.rank[0]) for answer in model.answer(probes)])
    kinds = np.array([span.kind for span in spans])
    measurements: list[Measurement] = []
    curves: list[Curve] = []
    for kind in sorted({span.kind for span in spans}):
        chosen = [k for k in range(len(spans)) if kinds[k] == kind]
        for name, limit in (("top1", 1), ("top10", 10)):
            rows = [(spans[k].owner, float(ranks[k] <= limit)) for k in chosen]
            interval = clustered.mean(clusters(rows), rng)
            measurements.append(measured(attack, name, interval, len(rows), kind))
        measurements.append(measured(attack, "median_rank", metrics.median(ranks[chosen]), len(chosen), kind))
        long = [spans[k].target for k in chosen if len(spans[k].target.positions) >= NGRAM][:MOST_IN_A_CURVE]
        if len(long) >= FEWEST_IN_A_CURVE:
            curves.append(unknowns(model, attack, long, NGRAM, kind, rng))
    tests: list[PValue] = []
    for kind in sorted({span.kind for span in spans} - {CONTROL}):
        control = np.array([span.controls(kind) for span in spans])
        left, right = _alike(spans, kinds == kind, control, rng)
        if not left:
            continue
        own, other = ([(spans[k].owner, float(ranks[k] == 1)) for k in chosen] for chosen in (left, right))
        measurements.append(measured(attack, "top1_excess", excess(own, other, rng), len(left), kind))
        single = _one_a_unit(spans, rng)
        left, right = _alike(spans, single & (kinds == kind), single & control, rng)
        hits = [int((ranks[chosen] == 1).sum()) for chosen in (left, right)]
        p = fisher(hits[0], len(left), hits[1], len(right))
        tests.append(PValue(attack, p, len(left), kind, "top1"))
    return Result(tuple(measurements), tuple(curves), tuple(tests))


def _one_a_unit(spans: Sequence[Span], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(N,) true for one span of each unit, drawn at random."""
    chosen = np.zeros(len(spans), dtype=bool)
    chosen[one_of_each([span.owner for span in spans], rng)] = True
    return chosen


MOST_IN_A_CURVE = 400
FEWEST_IN_A_CURVE = 20


def extract(
    model: Answers,
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
    parts = sequential.looks(spans, _group, early)
    tried: list[tuple[Span, bool]] = []
    for part in parts:
        found = search(model, [span.target for span in part], alphabets, rng, restarts=restarts)
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
    got: dict[str, list[Exposed]] = defaultdict(list)
    exposed: list[Exposed] = []
    for span, recovered in tried:
        rows[span.kind].append((span.owner, float(recovered)))
        if span.kind != CONTROL:
            by_rule[span.rule].append(recovered)
        if recovered:
            got[span.kind].append(Exposed(span.document_id, attack, span.rule, 1.0))
    measurements: list[Measurement] = []
    tests: list[PValue] = []
    for kind, group in rows.items():
        # of the same fate: what was left in the text is of other types, and easier, than what was taken out
        control = [(span.owner, float(hit)) for span, hit in tried if span.controls(kind)]
        hits = int(sum(hit for _, hit in group))
        note = stopped if group else "no such span in the corpus"
        measurements.append(
            measured(attack, "extraction_rate", _rate_by_cluster(group, alpha), len(group), kind, note=note)
        )
        if kind == CONTROL or not group:
            continue
        missed = int(sum(hit for _, hit in control))
        more = excess(group, control, rng, alpha)
        measurements.append(measured(attack, "extraction_excess", more, len(group), kind))
        guessed = {span.rule for span, hit in tried if hit and span.controls(kind)}
        exposed += [one for one in got[kind] if worth_listing(more, one.kind in guessed)]
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
    """Equal numbers of spans of each rule and length from both, as indices."""

    def grouped(chosen: NDArray[np.bool_]) -> dict[tuple[str, int], list[int]]:
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for k in map(int, np.flatnonzero(chosen)):
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
    """Rate over all probes; the interval counts units, for probes of one unit are not independent."""
    units = clusters(rows)
    if not units:
        return metrics.rate(0, 0, alpha)
    hit = sum(max(unit) > 0 for unit in units)
    low, high = metrics.clopper_pearson(hit, len(units), alpha)
    value = float(np.mean([outcome for _, outcome in rows]))
    return metrics.Interval(value, min(low, value), high, 1 - alpha)


# --- the attacks --------------------------------------------------------------------------------------

PERSONAL = ("kept", "redacted")
"""Kinds of personal spans in what was trained on: left in its text, or taken out."""


def _probed_and_searched(
    bench: Bench, attack: str, spans: Sequence[Span], kinds: Sequence[str], rng: np.random.Generator
) -> Result:
    """Probe all spans; search for one of each of some units, so that those are independent."""
    searched = to_search(spans, kinds, bench.settings.spans, rng)
    restarts, early = bench.settings.restarts // 2, bench.settings.stop_early
    return joined(
        probe(bench.model, attack, spans, rng),
        extract(bench.model, attack, searched, kinds, bench.alphabets, rng, restarts, early),
    )


def to_search(spans: Sequence[Span], kinds: Sequence[str], most: int, rng: np.random.Generator) -> list[Span]:
    """One span of each of at most so many units, for each of ``kinds`` and for the controls of each fate.

    Drawn from all findings of a unit, a control would seldom be one that was left in where much was taken out
    beside it, and what was left in elsewhere would be all that it is compared with.
    """
    by_unit: dict[tuple[str, str], dict[str, list[Span]]] = defaultdict(lambda: defaultdict(list))
    for span in spans:
        by_unit[_group(span)][span.owner].append(span)
    groups = [(kind, "") for kind in kinds] + sorted(name for name in by_unit if name[0] == CONTROL)
    chosen = []
    for name in groups:
        units = sorted(by_unit[name])
        for k in sorted(rng.permutation(len(units))[:most]):
            choices = by_unit[name][units[k]]
            chosen.append(choices[int(rng.integers(len(choices)))])
    return chosen


def _group(span: Span) -> tuple[str, str]:
    return span.kind, span.fate if span.kind == CONTROL else ""


def _personal_data(bench: Bench) -> Result:
    return _probed_and_searched(bench, "pii", bench.personal_spans, PERSONAL, bench.rng("personal data"))


WORD = re.compile(r"[^\W_]{5,}")
"""Long enough to be a name, a place or a number, not a particle."""


def _rare_words(bench: Bench) -> Result:
    """What the scan missed is what was trained: the rarest word of a document, found by no detector."""
    rng = bench.rng("rare words")
    splits = (("train", bench.audited.members), (CONTROL, bench.audited.held_out))
    seen = Counter(word for _, rows in splits for row in rows for word in set(WORD.findall(row["text"])))
    picked: list[tuple[str, Mapping[str, str], int, int]] = []
    for kind, rows in splits:
        for row in of_whole_units(rows, lambda row: row["unit"], bench.settings.documents, rng):
            text = row["text"]
            rare = [m for m in WORD.finditer(text) if seen[m.group()] == 1]
            if rare:
                match = rare[int(rng.integers(len(rare)))]
                picked.append((kind, row, match.start(), match.end()))
    targets = bench.targets([(row["text"], start, end) for _, row, start, end in picked])
    spans = [
        Span(row["id"], "word", target, kind, row["unit"])
        for (kind, row, *_), target in zip(picked, targets)
        if target is not None
    ]
    return _probed_and_searched(bench, "rare", spans, ("train",), rng)


PERSONAL_DATA = Attack(
    "pii",
    "masked probing of the scan's findings and coordinate search, kept and redacted",
    family("pii"),
    _personal_data,
    fills_no_masks,
    how=(
        "hides one token of every finding of the scan (up to 4,000 a kind): rank, top-1, top-10; then tries "
        "to get whole spans back by coordinate search; kept and redacted apart"
    ),
    control="findings in held-out rows, matched by type and length",
)
RARE_WORDS = Attack(
    "rare",
    "masked probing and search of rare words, chosen without a detector",
    family("rare"),
    _rare_words,
    fills_no_masks,
    how=(
        "the same for the rarest words, chosen without any detector: what the scan missed is what was trained"
    ),
    control="rare words of held-out rows",
)
