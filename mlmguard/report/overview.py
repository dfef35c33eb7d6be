"""Several runs on one page, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlmguard.measures import claim
from mlmguard.report import tables, words
from mlmguard.report.clearance import Case
from mlmguard.report.html import template
from mlmguard.report.tables import Table, figure
from mlmguard.showing import show_epsilon
from mlmguard.types import Measurement, Verdict

COLUMNS = ("policy", "day", "ε claimed", "ε shown", "secrets extracted", "redacted recovered", "AUC, worst")


@dataclass(frozen=True)
class Run:
    """One file of the folder: its name without the ending, the page beside it ("" if none) and its case."""

    name: str
    page: str
    case: Case


@dataclass(frozen=True)
class _Row:
    name: str
    page: str
    status: str
    mark: str
    word: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """Two runs side by side."""

    old: str
    new: str
    sentence: str
    tables: tuple[Table, ...]


def render(runs: Sequence[Run], pair: tuple[Run, Run] | None = None, left_out: int = 0) -> str:
    """The page; ``pair`` is compared, old before new."""
    return template("index.html").render(
        runs=[_row(run) for run in runs],
        columns=COLUMNS,
        compared=compare(*pair) if pair else None,
        left_out=left_out,
    )


def _row(run: Run) -> _Row:
    judgement, statement = run.case.judgement, claim(run.case.evidence)
    status = judgement.status if judgement else None
    claimed = statement.epsilon if statement else None
    areas = [m.value for m in tables.of(run.case.evidence, "membership.auc") if m.value is not None]
    cells = (
        f"{judgement.policy} {judgement.policy_version}" if judgement else "–",
        (judgement.day if judgement else "") or "–",
        show_epsilon(claimed) if claimed is not None else "none",
        _value(run.case, "epsilon.one_run_lower_bound"),
        words.percent(_number(run.case, "canary.extraction_rate")),
        words.percent(_number(run.case, "pii.extraction_rate", "redacted")),
        figure(max(areas)) if areas else "–",
    )
    mark, word = (words.MARK[status], words.WORD[status]) if status else ("·", "not judged")
    return _Row(run.name, run.page, status.value if status else "none", mark, word, cells)


def _number(case: Case, name: str, slice_: str | None = None) -> float | None:
    found = next(iter(tables.of(case.evidence, name, slice_)), None)
    return found.value if found else None


def _value(case: Case, name: str) -> str:
    value = _number(case, name)
    return "–" if value is None else f"≥ {figure(value)}"


def compare(old: Run, new: Run) -> Compared:
    """What came out otherwise: verdicts first, then every number that moved."""
    shown = (
        Table("Rules that came out otherwise", ("rule", old.name, new.name, "why"), _otherwise(old, new)),
        Table("Numbers that moved", ("metric", old.name, new.name, "intervals"), _moved(old.case, new.case)),
    )
    rules, numbers = (tables.count(len(table.rows)) for table in shown)
    far = tables.count(sum(row[3] == _APART for row in shown[1].rows))
    sentence = (
        f"{rules} rules came out otherwise, and {numbers} numbers moved, {far} of them farther than their "
        "intervals."
    )
    if old.case.evidence.model.digest == new.case.evidence.model.digest:
        sentence += " Both audited the same weights."
    return Compared(old.name, new.name, sentence, tuple(table for table in shown if table.rows))


def _otherwise(old: Run, new: Run) -> tuple[tuple[str, ...], ...]:
    before, after = ({v.rule: v for v in _verdicts(run)} for run in (old, new))
    rows = []
    for rule in dict.fromkeys([*before, *after]):
        was, now = before.get(rule), after.get(rule)
        if was is None or now is None or was.status is not now.status:
            statuses = [
                words.WORD[verdict.status] if verdict else "not in the policy" for verdict in (was, now)
            ]
            last = now or was
            rows.append((rule, *statuses, last.reason if last else ""))
    return tuple(rows)


def _verdicts(run: Run) -> Sequence[Verdict]:
    return run.case.judgement.verdicts if run.case.judgement else ()


def _moved(old: Case, new: Case) -> tuple[tuple[str, ...], ...]:
    before, after = _measured(old), _measured(new)
    rows = []
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        if _told(was) != _told(now):
            rows.append((" ".join(filter(None, key)), _told(was), _told(now), _apart(was, now)))
    return tuple(rows)


def _measured(case: Case) -> dict[tuple[str, str], Measurement]:
    return {(f"{m.attack}.{m.metric}", m.slice): m for m in case.evidence.measurements}


def _told(m: Measurement | None) -> str:
    if m is None:
        return "not measured"
    ends = f" ({tables.interval(m)})" if m.low is not None and m.high is not None else ""
    return f"{figure(m.value)}{ends}"


_APART = "apart"


def _apart(one: Measurement | None, other: Measurement | None) -> str:
    """Whether two intervals exclude each other; only then did a number move by more than chance."""
    if one is None or other is None:
        return "–"
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return "–"
    return _APART if one.high < other.low or other.high < one.low else "overlap"
