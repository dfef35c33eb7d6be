"""The page of an ablation: what each choice does, the frontier, every cell, and what having tried costs.

Intervals stand on a line of their own below their number: a dozen columns fit a page that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mlmguard.report import figures, tables
from mlmguard.report.clearance import case, name, prose
from mlmguard.report.html import Figure, template
from mlmguard.report.tables import Table, figure
from mlmguard.types import Curve, Evidence, Measurement, ModelFacts


@dataclass(frozen=True)
class Row:
    """One cell: its place on every axis, a number for every column, or why it was refused."""

    place: tuple[str, ...]
    numbers: tuple[Measurement | None, ...]
    refused: str = ""


#: mean, low, high and number of pairs of an effect; None where it was not measured
Change = tuple[float, float | None, float | None, int]


@dataclass(frozen=True)
class Shown:
    """What the page is made of."""

    axes: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    effects: tuple[tuple[str, tuple[Change | None, ...]], ...]
    frontier: tuple[Curve, ...]
    kept: str  # which share of the gain ε leaves; "" where no two cells say
    together: str


def shown_value(value: Any) -> str:
    """A value of an axis as a reader expects it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return name(f"{value:g}" if isinstance(value, float) else str(value))


def render(shown: Shown) -> str:
    """The whole page as HTML."""
    return template("ablation.html").render(
        cells=len(shown.rows),
        together=prose(shown.together),
        frontier=_frontier(shown),
        tables=(_effects(shown), _cells(shown)),
        refused=[(", ".join(row.place), prose(row.refused)) for row in shown.rows if row.refused],
        notes=NOTES,
    )


def markdown(shown: Shown) -> str:
    """The same tables as Markdown."""
    parts = [
        f"# Ablation of {len(shown.rows)} cells",
        prose(shown.together),
        *([shown.kept] if shown.kept else []),
    ]
    for table in (_effects(shown), _cells(shown)):
        head = "| " + " | ".join(table.columns) + " |"
        rule = "|" + "---|" * len(table.columns)
        body = ["| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |" for row in table.rows]
        parts.append("\n".join([f"## {table.caption}", "", head, rule, *body]))
    parts += [f"Refused: {', '.join(row.place)}: {prose(row.refused)}" for row in shown.rows if row.refused]
    return "\n\n".join([*parts, *NOTES]) + "\n"


NOTES = (
    "An effect is the mean over pairs of cells that differ in this choice alone, with Student's 95 % "
    "interval over the pairs. Cells share corpus, canaries and public start: it speaks of those alone.",
    "Several effects are shown at once and none is corrected for that.",
    "Intervals of a cell are over its texts or canaries, not over repetitions of its training: more seeds "
    "show those.",
    "A cell chosen from this page was chosen by numbers that no ε covers: they were computed on private "
    "text, and by runs that are not private.",
)


def _effects(shown: Shown) -> Table:
    def cell(change: Change | None) -> str:
        if change is None:
            return "–"
        mean, low, high, _ = change
        ends = f"\n[{low:+.3f}, {high:+.3f}]" if low is not None and high is not None else ""
        return f"{mean:+.3f}{ends}"

    rows = tuple(
        (
            prose(what),
            *(cell(change) for change in changes),
            str(max((c[3] for c in changes if c), default=0)),
        )
        for what, changes in shown.effects
    )
    columns = ("choice", *shown.names, "pairs")
    return Table("What each choice does, all else equal", columns, rows, frozenset(range(1, len(columns))))


def _cells(shown: Shown) -> Table:
    def cell(number: Measurement | None) -> str:
        if number is None or number.value is None:
            return "–"
        ends = f"\n({tables.interval(number)})" if number.low is not None and number.high is not None else ""
        return f"{figure(number.value)}{ends}"

    rows = tuple(
        (*row.place, *(cell(number) for number in row.numbers)) for row in shown.rows if not row.refused
    )
    columns = (*shown.axes, *shown.names)
    return Table("Every cell", columns, rows, frozenset(range(len(shown.axes), len(columns))))


def _frontier(shown: Shown) -> Figure | None:
    if not shown.frontier:
        return None
    nobody = ModelFacts("", 0, 0, "", False, False)
    known = case(Evidence("ablation", nobody, None, None, (), shown.frontier, (), (), ""))
    points = tables.points("The numbers behind the figure", list(known.evidence.curves))
    takeaway = "Cells that no other of their kind beats: more accuracy to the right, less memorisation below."
    takeaway = f"{takeaway} {shown.kept}".rstrip()
    return Figure("frontier", takeaway, Markup(figures.frontier(known)), points)
