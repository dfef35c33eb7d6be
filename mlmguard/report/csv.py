"""Everything of a report that is rows, as one CSV: what the page adds up, this lists in full."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator

from mlmguard.report.clearance import Case

COLUMNS = ("kind", "name", "part", "status", "value", "low", "high", "n", "ceiling", "required", "detail")
HEAD = ",".join(COLUMNS[:5])
"""How every file of this format begins."""
_Row = tuple[object, ...]
_COMPUTED = frozenset("=+-@\t\r\n\N{MINUS SIGN}")


def render(case: Case) -> str:
    """One header, then verdicts, waivers, measurements, attacks, hazards, findings, detectors, skipped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rows in (_judged(case), _measured(case), _claimed(case), _scanned(case)):
        writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _judged(case: Case) -> Iterator[_Row]:
    if case.judgement is None:
        return
    for v in case.judgement.verdicts:
        yield "verdict", v.rule, v.severity, v.status.value, v.observed, *[None] * 4, v.required, v.reason
    for w in case.judgement.waivers:
        details = (
            f"{w.reason} ({w.ticket}; owner {w.owner}, approved by {w.approver}, {w.created} to {w.expires})"
        )
        yield "waiver", w.rule, w.slice or w.fingerprint, w.state, *[None] * 6, details


def _measured(case: Case) -> Iterator[_Row]:
    for m in case.evidence.measurements:
        name, numbers = f"{m.attack}.{m.metric}", (m.value, m.low, m.high, m.examples, m.ceiling)
        yield "measurement", name, m.slice, "", *numbers, "", m.note
    for a in case.evidence.attacks:
        yield "attack", a.attack, "", a.status, *[None] * 6, a.detail


def _claimed(case: Case) -> Iterator[_Row]:
    statement = case.evidence.statement
    if statement is None:
        return
    for h in statement.hazards:
        yield "hazard", h.id, "", h.status, *[None] * 6, h.detail
    for reading in statement.accountants:
        yield "accountant", reading.name, "", "", reading.epsilon, *[None] * 5, ""


def _scanned(case: Case) -> Iterator[_Row]:
    manifest = case.evidence.manifest
    if manifest is None:
        return
    for f in manifest.findings:
        details = f"{f.redacted} redacted, in {f.documents} documents"
        details += f"; {f.left} left in the text" if f.left is not None else ""
        yield "finding", f.rule, f.source, "", f.found, *[None] * 5, details
    for d in manifest.coverage:
        yield "detector", d.entity, "", d.status, *[None] * 6, f"{d.name} {d.version}".strip()
    for s in manifest.skipped:
        number = s.records if s.records > 1 else None
        yield "skipped", s.source, f"line {s.line}" if s.line else "", "", number, *[None] * 5, s.reason


def _cell(value: object) -> object:
    """A spreadsheet computes what begins with =, +, - or @, in any width: such a text gets an apostrophe."""
    if isinstance(value, str) and unicodedata.normalize("NFKC", value[:1]) in _COMPUTED:
        return f"'{value}"
    return "" if value is None else value
