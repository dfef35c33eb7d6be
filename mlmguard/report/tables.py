"""The tables of a report as plain text, so that page, terminal and Markdown show the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlmguard.hazards import STANDING
from mlmguard.measures import claim
from mlmguard.report.clearance import Case
from mlmguard.showing import show_epsilon
from mlmguard.tiers import disclosure
from mlmguard.types import Curve, Evidence, FindingCount, Judgement, Manifest, Measurement, Status, Verdict

#: More sources than this are added up as "other": a page is read, the JSON is complete.
SOURCES = 8
#: More types than this are added up as "other types".
TYPES = 40
_GRAVEST_FIRST = (
    *(Status.FAIL, Status.INCONCLUSIVE, Status.WARN, Status.WAIVED),
    *(Status.OUT_OF_REACH, Status.NOT_APPLICABLE, Status.PASS),
)
#: What somebody has to act on.
UNMET = (Status.FAIL, Status.INCONCLUSIVE, Status.WARN)
_SEVERITIES = ("critical", "high", "medium", "low")


#: Languages, and reasons, that are listed each; the others are added up.
_ROWS = 12


@dataclass(frozen=True)
class Table:
    """Rows under a caption; ``numeric`` are the columns to set flush right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = ()
) -> Table:
    return Table(caption, tuple(columns), tuple(tuple(row) for row in rows), frozenset(numeric))


def count(value: float) -> str:
    """Format a count with separated thousands."""
    return f"{round(value):,}"


def figure(value: float | None) -> str:
    """Format a number with three digits; a dash for None."""
    if value is None:
        return "–"
    text = f"{int(value):,}" if abs(value) < 1e15 and value == int(value) else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def interval(m: Measurement) -> str:
    """Format both ends of an interval, or a dash."""
    return "–" if m.low is None or m.high is None else f"{figure(m.low)} … {figure(m.high)}"


def of(evidence: Evidence, name: str, slice: str | None = None) -> list[Measurement]:
    """Return the measurements called ``attack.metric``, of one slice or of all."""
    attack, metric = name.split(".")
    found = [m for m in evidence.measurements if (m.attack, m.metric) == (attack, metric)]
    return [m for m in found if slice is None or m.slice == slice]


def curves(evidence: Evidence, attack: str, name: str) -> list[Curve]:
    """Return the series of one figure that have points."""
    return [c for c in evidence.curves if (c.attack, c.name) == (attack, name) and c.x and c.y]


# --- the gates ----------------------------------------------------------------------------------------


def gravest_first(judgement: Judgement) -> list[Verdict]:
    """Order verdicts: what stops the release, then what is unknown, then the rest."""

    def gravity(verdict: Verdict) -> tuple[int, int]:
        known = verdict.severity in _SEVERITIES
        severity = _SEVERITIES.index(verdict.severity) if known else len(_SEVERITIES)
        return _GRAVEST_FIRST.index(verdict.status), severity

    return sorted(judgement.verdicts, key=gravity)


def tally(judgement: Judgement) -> list[tuple[Status, int]]:
    """Count the rules by status, gravest first."""
    counted = Counter(verdict.status for verdict in judgement.verdicts)
    return [(status, counted[status]) for status in _GRAVEST_FIRST if counted[status]]


def waivers(judgement: Judgement | None) -> Table | None:
    """List every waiver of the policy and its state."""
    if judgement is None or not judgement.waivers:
        return None
    rows = [
        (
            " ".join(part for part in (w.rule, w.slice, w.fingerprint) if part),
            w.state,
            w.expires,
            f"{w.reason} ({w.ticket}; owner {w.owner}, approved by {w.approver})",
        )
        for w in judgement.waivers
    ]
    return _table("Waivers", ("rule", "state", "until", "reason"), rows)


def attestations(judgement: Judgement | None) -> Table | None:
    """List the statements that no number can make, and who signed them."""
    if judgement is None or not judgement.attestations:
        return None
    rows = [
        (a.statement, a.role, f"{a.signed_by}, {a.date}" if a.signed_by else "not signed")
        for a in judgement.attestations
    ]
    return _table("Attestations", ("statement", "to be signed by the", "signed by"), rows)


# --- the audit ----------------------------------------------------------------------------------------


def attacks(case: Case) -> Table:
    """List the attacks that were run, and why the others were not."""
    rows = [(a.attack, a.status, a.detail) for a in case.evidence.attacks]
    return _table("Attacks", ("attack", "status", "detail"), rows)


def measurements(case: Case) -> Table:
    """List every number of the audit."""
    rows = [
        (
            f"{m.attack}.{m.metric}",
            m.slice or "all",
            f"p = {figure(m.value)}" if m.metric.endswith("_p") else figure(m.value),
            interval(m),
            count(m.examples) if m.examples else "–",
            figure(m.ceiling),
            m.note,
        )
        for m in case.evidence.measurements
    ]
    columns = ("metric", "slice", "value", "interval (95 %)", "n", "ceiling", "note")
    return _table("All measurements", columns, rows, (2, 3, 4, 5))


def by_attack(case: Case) -> Table:
    """List every number under the name of its attack, for a terminal of 80 columns."""
    rows: list[tuple[str, ...]] = []
    last = ""
    for m in case.evidence.measurements:
        if m.attack != last:
            rows.append((m.attack.upper(), "", "", ""))
            last = m.attack
        label = f"{m.metric}, {m.slice}" if m.slice else m.metric
        value = f"p = {figure(m.value)}" if m.metric.endswith("_p") else figure(m.value)
        rows.append((label, value, interval(m), count(m.examples) if m.examples else "–"))
    return _table("All measurements", ("number", "value", "interval (95 %)", "n"), rows, (1, 2, 3))


def membership(case: Case) -> Table:
    """List how far members were distinguished from non-members, and how far without the model."""
    names = {
        "auc": "AUC",
        "tpr_at_1pct_fpr": "members found at 1 % false",
        "tpr_at_10pct_fpr": "members found at 10 % false",
        "blind_auc": "AUC without the model",
        "reference_auc": "AUC, reference alone",
    }
    rows = [
        (f"{names[m.metric]}{f', {m.slice}' if m.slice else ''}", figure(m.value), interval(m))
        for m in case.evidence.measurements
        if m.attack == "membership" and m.metric in names
    ]
    return _table(
        "Chance is 0.5 for an AUC, and a share equal to the false positives",
        ("what", "value", "interval"),
        rows,
        (1, 2),
    )


def points(caption: str, found: Sequence[Curve], limit: int = 24) -> Table:
    """List the numbers behind a figure: at most ``limit`` points a series, ends included."""
    banded = any(c.low and c.high for c in found)
    rows = []
    for curve in found:
        for i in thinned(len(curve.x), limit):
            band = f"{figure(curve.low[i])} … {figure(curve.high[i])}" if curve.low and curve.high else "–"
            rows.append((curve.series, figure(curve.x[i]), figure(curve.y[i]), *([band] if banded else [])))
    first = found[0] if found else None
    labels = (first.x_label, first.y_label) if first else ("x", "y")
    return _table(caption, ("series", *labels, *(["interval"] if banded else [])), rows, (1, 2, 3))


def thinned(length: int, limit: int) -> list[int]:
    """Return at most ``limit`` evenly spread positions of a sequence, first and last among them."""
    if length <= limit:
        return list(range(length))
    return sorted({round(i * (length - 1) / (limit - 1)) for i in range(limit)})


# --- the corpus ---------------------------------------------------------------------------------------


def personal_data(
    manifest: Manifest | None, columns_of_sources: int = SOURCES, most_types: int = TYPES
) -> Table | None:
    """List entity types by folder: found, and redacted. Values in removed copies were found, not redacted.

    Files beside the folders are one source, a single source is only its sum, and sources beyond
    ``columns_of_sources`` are added up; 1 leaves their sum alone. So are types beyond ``most_types``.
    """
    if manifest is None or not manifest.findings:
        return None
    by_source: Counter[str] = Counter()
    by_type: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for finding in manifest.findings:
        by_source[_folder(finding.source)] += finding.found
        by_type[finding.rule] += finding.found
        left[finding.rule] += finding.left or 0
    sources = sorted(by_source, key=lambda s: (-by_source[s], s))
    most = columns_of_sources if len(sources) > 1 else 1
    shown = sources if 1 < len(sources) <= most else sources[: most - 1]
    columns = [*shown, *(["other"] if shown and len(shown) < len(sources) else [])]
    types = sorted(by_type, key=lambda t: (-by_type[t], t))
    most_types += len(types) == most_types + 1  # a row "other types" of one would hide its name for nothing
    cells: dict[tuple[str, str], list[int]] = {}
    for finding in manifest.findings:
        row = finding.rule if finding.rule in types[:most_types] else "other types"
        folder = _folder(finding.source)
        column = folder if folder in shown else "other"
        for place in (column, "all"):
            cell = cells.setdefault((row, place), [0, 0])
            cell[0] += finding.found
            cell[1] += finding.redacted

    def shown_cell(cell: list[int] | None) -> str:
        return f"{cell[0]:,} / {cell[1]:,}" if cell else "–"

    names = [*types[:most_types], *(["other types"] if len(types) > most_types else [])]
    rows = [(t, *(shown_cell(cells.get((t, c))) for c in (*columns, "all"))) for t in names]
    heads = ("type", *columns, "all")
    if any(left.values()):
        heads = (*heads, "left in")
        folded = sum(left[t] for t in types[most_types:])
        rows = [(*row, f"{left.get(row[0], folded):,}") for row in rows]
    caption = "Found / redacted, by type and folder; of documents left out, values are found and not redacted"
    return _table(caption, heads, rows, range(1, len(heads)))


def _folder(source: str) -> str:
    """The folder of a source; a file at the top of the corpus has none, and its name is nobody's business."""
    return "files" if "." in source else source


def totals(findings: Iterable[FindingCount]) -> tuple[int, int, int | None]:
    """Return the numbers of values found, redacted, and left in the written text (None: not told)."""
    rows = list(findings)
    left = None if any(row.left is None for row in rows) else sum(row.left or 0 for row in rows)
    return sum(row.found for row in rows), sum(row.redacted for row in rows), left


def coverage(manifest: Manifest | None) -> Table | None:
    """List the entity types with a detector, and those without."""
    if manifest is None or not manifest.coverage:
        return None
    unknown_first = sorted(manifest.coverage, key=lambda d: (d.status == "available", d.entity))
    rows = [
        (d.entity, d.status, f"{d.name} {d.version}".strip() or "–", d.recall or "–") for d in unknown_first
    ]
    return _table("Detectors", ("type", "status", "detector", "share found of labelled text"), rows)


def languages(manifest: Manifest | None) -> Table | None:
    """List the languages of the documents, and for how many types each was looked through."""
    if manifest is None or not manifest.languages:
        return None
    rows = [
        (row.language, count(row.documents), row.status, count(len(row.made)), count(len(row.measured)))
        for row in manifest.languages[:_ROWS]
    ]
    if others := manifest.languages[_ROWS:]:
        statuses = ", ".join(sorted({row.status for row in others}))
        documents = count(sum(row.documents for row in others))
        rows.append((f"{len(others)} others", documents, statuses, "–", "–"))
    return _table(
        "Languages of the documents",
        ("language", "documents", "identifiers", "types", "measured"),
        rows,
        (1, 3, 4),
    )


def skipped(manifest: Manifest | None) -> Table | None:
    """List the records left out, added up by reason."""
    if manifest is None or not manifest.skipped:
        return None
    reasons = Counter[str]()
    for record in manifest.skipped:
        reasons[record.reason] += record.records
    rows = [(reason, count(n)) for reason, n in reasons.most_common(_ROWS)]
    if (others := reasons.total() - sum(n for _, n in reasons.most_common(_ROWS))) > 0:
        rows.append((f"{len(reasons) - _ROWS} other reasons", count(others)))
    return _table("Records left out", ("reason", "records"), rows, (1,))


def duplicates(manifest: Manifest | None) -> Table | None:
    """List the copies removed, and the sizes of the clusters they formed."""
    if manifest is None:
        return None
    d = manifest.duplicates
    rows = [
        ("exact copies removed", count(d.exact)),
        ("near copies removed", count(d.near)),
        *([("copies of earlier scans removed", count(d.earlier))] if manifest.earlier else []),
        ("pairs that would have crossed a split", count(d.cross_split)),
        ("clusters", count(len(d.clusters))),
        ("largest cluster", count(max(d.clusters, default=0))),
    ]
    return _table("Duplicates", ("what", "count"), rows, (1,))


def repeated(manifest: Manifest | None) -> Table | None:
    """List the types whose values stand in several documents, the worst first: severity times documents."""
    if manifest is None or not manifest.repetition:
        return None
    rows = [
        (one.rule, one.severity, count(one.values), count(one.most), count(one.most_copies))
        for one in manifest.repetition[:TYPES]
    ]
    columns = (
        "type",
        "severity",
        "values in several documents",
        "documents with one value",
        "copies of one document",
    )
    return _table("Personal values that are repeated, the gravest type first", columns, rows, range(2, 5))


def by_copies(case: Case) -> list[Measurement]:
    """Return the n-gram excess by how often a phrase was copied, few copies first."""
    return [
        m
        for m in of(case.evidence, "ngram.top1_excess")
        if m.slice.startswith("copies") and m.value is not None
    ]


# --- the claim ----------------------------------------------------------------------------------------


def ledger(case: Case) -> Table | None:
    """List what each release cost."""
    statement = case.evidence.statement
    if statement is None or not statement.ledger:
        return None
    rows = []
    for entry in statement.ledger:
        noise, rate = figure(entry.noise_multiplier), figure(entry.sample_rate)
        if entry.steps:
            terms = f"noise {noise} × clip, rate {rate}, {count(entry.steps)} steps"
        elif entry.epsilon:
            terms = f"ε = {show_epsilon(entry.epsilon)}"
        else:
            terms = f"noise {noise} × sensitivity, once"
        rows.append((entry.what or "–", entry.mechanism, terms))
    return _table("Ledger", ("what", "mechanism", "terms"), rows)


def disclosed(case: Case) -> list[tuple[str, str]]:
    """List what else the statement says of its claim, and how much of it is disclosed."""
    s = case.evidence.statement
    if s is None or not s.private:
        return []
    rows = [("Disclosure", disclosure(s))]
    if s.epsilon_without_amplification is not None:
        rows.append(("If the draws were known", f"ε = {show_epsilon(s.epsilon_without_amplification)}"))
    if s.group_epsilon:
        groups = [
            f"{size} units: {show_epsilon(e) if e is not None else 'no bound'}"
            for size, e in s.group_epsilon.items()
        ]
        rows.append(("ε of a group", "; ".join(groups)))
    if s.corpus_epsilon is not None:
        rows.append(("All private runs on this corpus", f"ε = {show_epsilon(s.corpus_epsilon)}"))
    elif s.corpus_epsilon_reason:
        rows.append(("All private runs on this corpus", f"no ε: {s.corpus_epsilon_reason}"))
    if s.raw_corpus:
        rows.append(("Raw corpus", s.raw_corpus))
    if s.adaptation:
        rows.append(("Trained", s.adaptation))
    return rows


def accountants(case: Case) -> Table | None:
    """List ε of the ledger by every accountant that read it."""
    statement = case.evidence.statement
    if statement is None or not statement.accountants:
        return None
    rows = [(reading.name, show_epsilon(reading.epsilon)) for reading in statement.accountants]
    return _table("Accountants", ("accountant", "ε"), rows, (1,))


def mechanism(case: Case) -> Table | None:
    """List the tests that a private run made of its own mechanism, and what each cannot see."""
    statement = claim(case.evidence)
    if statement is None or not statement.mechanism_checks:
        return None
    rows = [(c.id, c.outcome, c.what, c.blind_to) for c in statement.mechanism_checks]
    return _table("Tests of the mechanism", ("test", "outcome", "compares", "cannot see"), rows)


def hazards(case: Case) -> Table | None:
    """List the known ways for the claim to be hollow: those of this run, then what holds of every run."""
    statement = case.evidence.statement
    if statement is None or not statement.hazards:
        return None
    order = ("present", "unknown", "every run", "absent")
    rows = [
        (h.id, "every run" if h.id in STANDING and h.status != "absent" else h.status, h.detail)
        for h in statement.hazards
    ]
    ranked = sorted(rows, key=lambda row: order.index(row[1]) if row[1] in order else 0)
    return _table("Hazards", ("hazard", "applies to this run", "detail"), ranked)
