"""The report as one page: no script, no request, light and dark, on screen and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from mlmguard.measures import claim
from mlmguard.report import briefing, figures, tables, words
from mlmguard.report.clearance import Case
from mlmguard.report.tables import Table, count, figure
from mlmguard.showing import show_epsilon


@dataclass(frozen=True)
class Figure:
    """A drawing with the sentence it shows and the numbers it was drawn from."""

    id: str
    takeaway: str
    svg: Markup
    table: Table
    note: str = ""


@dataclass(frozen=True)
class Tile:
    """One number of the verdict card."""

    label: str
    value: str
    detail: str


@cache
def template(name: str) -> Template:
    """A template of this folder; everything that is put into it is escaped."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def render(case: Case) -> str:
    """The whole page."""
    word, sentence = words.headline(case)
    status = case.judgement.status if case.judgement else None
    context: dict[str, Any] = {
        "case": case,
        "evidence": case.evidence,
        "word": word,
        "sentence": sentence,
        "status": status.value if status else "none",
        "mark": words.MARK[status] if status else "·",
        "marks": words.MARK,
        "status_words": words.WORD,
        "tally": tables.tally(case.judgement) if case.judgement else [],
        "verdicts": tables.gravest_first(case.judgement) if case.judgement else [],
        "unmet": tables.UNMET,
        "briefing": briefing.answers(case),
        "signatories": briefing.signatories(case),
        "tiles": _tiles(case),
        "words": words,
        "tables": tables,
        "figures": _figures(case),
        "training": [f"training-{i}" for i, _ in enumerate(figures.training_names(case))],
        "count": count,
        "limits": words.LIMITS,
    }
    return template("page.html").render(context)


def _tiles(case: Case) -> list[Tile]:
    """The five numbers a reader asks for first; "–" says that one is not there."""
    evidence = case.evidence
    claimed = claim(evidence)
    bound = next(iter(tables.of(evidence, "epsilon.one_run_lower_bound")), None)
    canaries = next(iter(tables.of(evidence, "canary.extraction_rate")), None)
    redacted = next(iter(tables.of(evidence, "pii.extraction_rate", "redacted")), None)
    margin = next(iter(tables.of(evidence, "model.unigram_margin")), None)

    def upper(m: Any) -> str:
        if m is None:
            return "not measured"
        return (
            f"of {count(m.examples)}; {words.at_most(m.high)}"
            if m.high is not None
            else f"of {count(m.examples)}"
        )

    return [
        Tile(
            "ε claimed",
            show_epsilon(claimed.epsilon) if claimed and claimed.epsilon is not None else "none",
            f"δ = {claimed.delta:g}, unit: {claimed.unit}"
            if claimed and claimed.epsilon is not None and claimed.delta is not None
            else "no differential privacy is claimed",
        ),
        Tile(
            "ε shown by an outsider",
            f"≥ {figure(bound.value)}" if bound and bound.value is not None else "–",
            f"could have shown {figure(bound.ceiling)}"
            if bound and bound.ceiling is not None
            else "not measured",
        ),
        Tile("Secrets extracted", words.percent(canaries.value) if canaries else "–", upper(canaries)),
        Tile(
            "Redacted values recovered", words.percent(redacted.value) if redacted else "–", upper(redacted)
        ),
        Tile(
            "Better than word frequencies",
            words.works(case),
            _margin(margin.value if margin else None),
        ),
    ]


def _margin(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"by {figure(value)} nats a token" if value > 0 else f"worse by {figure(-value)} nats a token"


def _figures(case: Case) -> dict[str, Figure]:
    """Every figure that has numbers."""
    evidence = case.evidence
    bound = [
        (
            m.metric.replace("_", " ") + (f": {m.slice}" if m.slice else ""),
            figure(m.value),
            tables.interval(m),
            figure(m.ceiling),
            count(m.examples),
        )
        for m in evidence.measurements
        if m.attack == "epsilon"
    ]
    within = figures.within_axes(case)
    drawn: Sequence[tuple[str, str, str, Table]] = (
        (
            "epsilon",
            words.epsilon(case),
            figures.epsilon_axis(within),
            Table(
                "ε", ("what", "value", "interval", "ceiling", "coins"), tuple(bound), frozenset({1, 2, 3, 4})
            ),
        ),
        ("roc", words.roc(case), figures.roc(within), _points(case, "membership", "roc")),
        ("unknown", words.unknown(case), figures.unknown(within), _points(case, "ngram", "k-unknown")),
        ("secrets", words.secrets(case), figures.secrets(within), _points(case, "canary", "k-unknown")),
        ("exposure", words.exposure(case), figures.exposure(within), _points(case, "canary", "exposure")),
        ("copies", words.copies(case), figures.copies(within), _copies(case)),
        ("clusters", words.duplicates(case), figures.clusters(within), _clusters(case)),
        (
            "frontier",
            words.frontier(case),
            figures.frontier(within),
            _points(case, "ablation", "frontier"),
        ),
        *(
            (
                f"training-{i}",
                words.training(case, name),
                figures.training(within, name),
                _points(case, "training", name),
            )
            for i, name in enumerate(figures.training_names(case))
        ),
    )
    return {name: Figure(name, caption, Markup(svg), table) for name, caption, svg, table in drawn if svg}


def _points(case: Case, attack: str, name: str) -> Table:
    return tables.points("The numbers behind the figure", tables.curves(case.evidence, attack, name))


def _copies(case: Case) -> Table:
    rows = tuple(
        (
            m.slice,
            words.percent(m.value),
            f"{words.percent(m.low)} … {words.percent(m.high)}",
            count(m.examples),
        )
        for m in tables.by_copies(case)
    )
    return Table("Excess by copies", ("phrases", "excess", "interval", "n"), rows, frozenset({1, 2, 3}))


def _clusters(case: Case) -> Table:
    manifest = case.evidence.manifest
    sizes = manifest.duplicates.clusters if manifest else ()
    names = [label for label, _, _ in figures.CLUSTER_BINS]
    rows = tuple(zip(names, [count(n) for n in figures.cluster_counts(sizes)]))
    return Table("Clusters by size", ("documents in the cluster", "clusters"), rows, frozenset({1}))
