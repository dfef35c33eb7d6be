"""Train, evaluate and audit every cell of a grid of settings.

PLAN is a YAML file with a corpus and a grid; the page says what each choice does to utility and leakage.

\f
PLAN.yaml ──▶ a scan with copies, one without ──▶ cells: train, audit, probe ──▶ effects, frontier, page

All cells share their canaries, their run folders and so their ledger: every private cell is a release of the
same corpus, and the page says what choosing among them costs. A cell is kept under the digest of everything
that decides it, so an ablation that is started again runs only what is new.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import click
import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mlmguard import __version__, console
from mlmguard.artifacts import (
    RUNS,
    as_noun,
    load_key,
    read_json,
    run_folder,
    sha256_file,
    text_of,
    write_json,
    write_text,
)
from mlmguard.commands.ledger import ledger
from mlmguard.commands.options import FILE, FOLDER, Page, shared, show
from mlmguard.commands.outcomes import UTILITY, Outcome, frontiers, kept, repeated
from mlmguard.commands.probe import linear_probe
from mlmguard.commands.watching import interruptible
from mlmguard.corpus.synthetic import private_documents, write_corpus
from mlmguard.engine import LocalEngine
from mlmguard.errors import InputError
from mlmguard.measures import COPIES_SLICE, METRICS
from mlmguard.report import ablation as page
from mlmguard.settings import AuditSettings, ScanSettings, TrainSettings, check
from mlmguard.types import SILENT, Evidence, Measurement, Watcher

EMBEDDED = "embedded"
DEDUP = "dedup"  # the one axis that is not a setting of train
# invented notes of another seed, labelled by their kind, for the probe of the embedded corpus
PROBE_NOTES = 600

LEAKAGE = {metric.name: metric.column for metric in METRICS.values() if metric.column}
"""What is read of a cell's evidence, and what the page calls it."""
_REPEATED = ("canary.auc", "canary.extraction_rate")
"""What is read again of canaries that were planted more often: one column for each number of copies."""
_VARIANTS = ("", "calibrated", "loss")
"""Of an attack with several variants, the first of these that there is: the best of them after the fact would
look better than chance where nothing is to be found."""


# --- the plan -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The axes of a grid and everything that all cells share."""

    corpus: str  # "embedded", or a folder that scan reads
    grid: Mapping[str, tuple[Any, ...]]
    notes: int = 4000  # of the embedded corpus
    seeds: tuple[int, ...] = (0,)
    train: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    probe: str | None = None  # a file labelled for classification; the embedded corpus has its own


def read_plan(path: Path) -> Plan:
    """A plan from YAML; :class:`InputError` names a key that nobody knows or an axis without values."""
    try:
        given = YAML(typ="safe", pure=True).load(text_of(path, "a plan", 1_000_000))
    except (YAMLError, ValueError, RecursionError):
        raise InputError(str(path), "not YAML", "a plan with a corpus and a grid") from None
    if not isinstance(given, dict) or not isinstance(given.get("grid"), dict) or not given["grid"]:
        raise InputError(str(path), "no grid", "axes with their values, as in `mask_rate: [0.15, 0.3]`")
    dials = {one.name for one in fields(TrainSettings)}
    _refuse_unknown(f"{path}", given, {one.name for one in fields(Plan)})
    _refuse_unknown(f"{path}: grid", given["grid"], {*dials - {"seed"}, DEDUP})
    _refuse_unknown(f"{path}: train", given.get("train", {}), dials - {"seed"})
    _refuse_unknown(f"{path}: audit", given.get("audit", {}), {one.name for one in fields(AuditSettings)})
    for axis, values in given["grid"].items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: grid: {axis}", "no list of values", "as in `mask_rate: [0.15, 0.3]`")
    check(as_noun(given.get("audit", {}), AuditSettings, f"{path}: audit"))
    grid = {axis: tuple(values) for axis, values in given["grid"].items()}
    seeds = tuple(given.get("seeds", (0,)))
    return Plan(**{"corpus": EMBEDDED, **given, "grid": grid, "seeds": seeds})


def _refuse_unknown(thing: str, given: Mapping[str, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise InputError(thing, f"unknown key {str(key)[:40]!r}", "one of: " + ", ".join(sorted(known)))


# --- cells --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One point of the grid: its place on every axis, the seed, and what it is trained with."""

    place: Mapping[str, Any]
    seed: int
    settings: TrainSettings
    dedup: bool


def _tiers(plan: Plan) -> tuple[int, ...]:
    return tuple(plan.train.get("canary_tiers", ()))


def _names(plan: Plan) -> dict[str, str]:
    """Every number of a cell, and what the page calls it."""
    again = {
        repeated(name, tier): f"{LEAKAGE[name]}, {tier} copies" for tier in _tiers(plan) for name in _REPEATED
    }
    return {**UTILITY, "canary.auc": LEAKAGE["canary.auc"], **again, **LEAKAGE}


def cells(plan: Plan) -> list[Cell]:
    """Every combination of values, once for each seed."""
    found = []
    for values in itertools.product(*plan.grid.values()):
        place = dict(zip(plan.grid, values))
        dials = {**plan.train, **{axis: value for axis, value in place.items() if axis != DEDUP}}
        dedup = bool(place.get(DEDUP, True))
        for seed in plan.seeds:
            settings = as_noun({**dials, "seed": seed}, TrainSettings, "the plan")
            found.append(Cell(place, seed, settings, dedup))
    return found


@dataclass(frozen=True)
class _Run:
    """The work on one cell, picklable: nothing of the corpus is in it, only where it lies."""

    into: Path
    audit: Mapping[str, Any]
    probe: Path | None

    def folder(self, cell: Cell) -> Path:
        clean = _clean(self.into, cell.dedup)
        decided = [
            asdict(cell.settings), sha256_file(clean / "manifest.json"), dict(self.audit), __version__,
            sha256_file(_canaries(self.into)), sha256_file(self.probe) if self.probe else "",
        ]  # fmt: skip
        name = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]
        return self.into / "cells" / name

    def __call__(self, cell: Cell) -> Outcome:
        folder = self.folder(cell)
        kept = folder / "outcome.json"
        if kept.exists():
            return as_noun(read_json(kept), Outcome, str(kept))
        from mlmguard.audit import Ours, audit
        from mlmguard.train import train

        ckpt, reports, runs = folder / "ckpt", folder / "reports", self.into / RUNS
        try:
            trained = train(
                _clean(self.into, cell.dedup), ckpt, reports, cell.settings,
                runs=runs, planted=_canaries(self.into),
            )  # fmt: skip
            evidence = audit(ckpt, reports, AuditSettings(**self.audit), source=Ours(runs=runs))
        except InputError as refusal:
            outcome = Outcome(cell.place, cell.seed, refused=str(refusal))
        else:
            numbers = [_accuracy(trained.unprotected), _gain(trained.unprotected), *_leakage(evidence)]
            if self.probe is not None:
                numbers.append(_probe_auc(ckpt, self.probe))
            statement = trained.statement
            outcome = Outcome(cell.place, cell.seed, "", statement.run_id, statement.epsilon, tuple(numbers))
        write_json(kept, outcome)
        return outcome


def _accuracy(numbers: Mapping[str, float]) -> Measurement:
    from mlmguard.leakage import metrics

    count = int(numbers["heldout_tokens"])
    found = metrics.rate(round(numbers["heldout_accuracy"] * count), count)
    return Measurement("utility", "accuracy", found.value, found.low, found.high, 0.95, count)


def _gain(numbers: Mapping[str, float]) -> Measurement:
    gain = numbers["start_loss"] - numbers["heldout_loss"]
    return Measurement("utility", "gain", gain, None, None, 0.95, int(numbers["heldout_tokens"]))


def _leakage(evidence: Evidence) -> list[Measurement]:
    """The numbers of LEAKAGE, and those of canaries planted more often."""
    formed = [m for m in evidence.measurements if m.value is not None]
    found = [m for m in formed if m.slice.startswith(COPIES_SLICE) and f"{m.attack}.{m.metric}" in _REPEATED]
    for name in LEAKAGE:
        own = {m.slice: m for m in formed if f"{m.attack}.{m.metric}" == name}
        found += [own[variant] for variant in _VARIANTS if variant in own][:1]
    return found


def _probe_auc(ckpt: Path, data: Path) -> Measurement:
    after = linear_probe(ckpt, data)
    return Measurement("utility", "probe", after.value, after.low, after.high, 0.95, after.examples)


# --- the workflow -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """What going from one value of an axis to another does to a number, all else equal.

    The mean over matched pairs of cells with Student's 95 % interval; one pair has none.
    """

    axis: str
    change: str
    number: str
    mean: float
    low: float | None
    high: float | None
    pairs: int


@dataclass(frozen=True)
class Ablation:
    """All cells, what each choice does, and what having tried them all costs."""

    outcomes: tuple[Outcome, ...]
    effects: tuple[Effect, ...]
    together: str
    page: Path


def ablate(plan_file: Path, into: Path, workers: int = 1, *, watcher: Watcher = SILENT) -> Ablation:
    """Run the cells of ``plan_file`` below ``into`` and write ``reports/ablation``, html, json and md."""
    plan = read_plan(plan_file)
    grid = cells(plan)
    corpus = _corpus(plan, into)
    for dedup in sorted({cell.dedup for cell in grid}):
        _scan_once(corpus, into, dedup, workers, watcher)
    _draw_canaries(plan, into, grid)
    run = _Run(into, plan.audit, _probe_file(plan, into))
    outcomes: list[Outcome] = []
    watcher.progress("cells", 0, len(grid))
    # the first cell alone: it makes what all others share, such as the model warmed up on public text
    for part in (grid[:1], grid[1:]):
        for outcome in LocalEngine(workers if len(part) > 1 else 1).map(run, part):
            outcomes.append(outcome)
            watcher.progress("cells", len(outcomes), len(grid))
    found = effects(plan, outcomes)
    together = "; ".join(one.together for one in ledger(into / RUNS))
    target = into / "reports" / "ablation.html"
    shown = _shown(plan, outcomes, found, together)
    write_text(target, page.render(shown))
    write_text(target.with_suffix(".md"), page.markdown(shown))
    results = {"outcomes": [asdict(one) for one in outcomes], "effects": [asdict(one) for one in found]}
    write_json(
        target.with_suffix(".json"), {"schema": "mlmguard/ablation/v1", "together": together, **results}
    )
    return Ablation(tuple(outcomes), tuple(found), together, target)


def effects(plan: Plan, outcomes: Sequence[Outcome]) -> list[Effect]:
    """Every axis, each value against the first one, over cells that differ in nothing else."""
    from scipy import stats

    found = []
    for axis, (base, *others) in plan.grid.items():
        for other in others:
            for name in _names(plan):
                pairs = _pairs(axis, base, other, outcomes, name)
                if not pairs:
                    continue
                gaps = np.array([after - before for before, after in pairs])
                low = high = None
                if len(gaps) > 1:
                    half = float(stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / len(gaps) ** 0.5)
                    low, high = float(gaps.mean()) - half, float(gaps.mean()) + half
                change = f"{page.shown_value(base)} → {page.shown_value(other)}"
                found.append(Effect(axis, change, name, float(gaps.mean()), low, high, len(gaps)))
    return found


def _pairs(
    axis: str, base: Any, other: Any, outcomes: Sequence[Outcome], name: str
) -> list[tuple[float, float]]:
    def rest(one: Outcome) -> str:
        return json.dumps([{k: v for k, v in one.place.items() if k != axis}, one.seed], sort_keys=True)

    def at(value: Any) -> dict[str, float]:
        own = ((rest(one), one.value(name)) for one in outcomes if one.place[axis] == value)
        return {key: found for key, found in own if found is not None}

    before, after = at(base), at(other)
    return [(before[key], after[key]) for key in before if key in after]


# --- what all cells share -----------------------------------------------------------------------------


def _corpus(plan: Plan, into: Path) -> Path:
    if plan.corpus != EMBEDDED:
        return Path(plan.corpus)
    corpus = into / "corpus"
    if not (into / "gold.jsonl").exists():
        write_corpus(corpus, into / "gold.jsonl", notes=plan.notes)
    return corpus


def _clean(into: Path, dedup: bool) -> Path:
    return into / ("clean" if dedup else "clean-with-copies")


def _scan_once(corpus: Path, into: Path, dedup: bool, workers: int, watcher: Watcher) -> None:
    clean = _clean(into, dedup)
    if not (clean / "manifest.json").exists():
        from mlmguard.scan import scan

        settings = ScanSettings(keep="first" if dedup else "all", workers=workers)
        scan(
            corpus,
            clean,
            into / "scan" / clean.name,
            key=load_key(),
            settings=settings,
            runs=into / RUNS,
            watcher=watcher,
        )


def _canaries(into: Path) -> Path:
    return into / RUNS / "ablation" / "canaries.jsonl"


def _draw_canaries(plan: Plan, into: Path, grid: Sequence[Cell]) -> None:
    """One set of secrets and coins for all cells, drawn before the first is trained."""
    kinds = {
        (cell.settings.canaries, cell.settings.canary_repetitions, cell.settings.canary_tiers)
        for cell in grid
    }
    if len(kinds) > 1:
        raise InputError("grid: canaries", f"{len(kinds)} kinds", "one: all cells share their canaries")
    if not _canaries(into).exists():
        from mlmguard.leakage import canaries
        from mlmguard.training.privacy.randomness import private_rng

        run_folder("ablation", into / RUNS)
        rng = private_rng()
        count, repetitions, tiers = kinds.pop()
        canaries.save(canaries.draw(count, rng, repetitions, tiers), _canaries(into))


def _probe_file(plan: Plan, into: Path) -> Path | None:
    if plan.probe is not None:
        return Path(plan.probe)
    if plan.corpus != EMBEDDED:
        return None
    path = into / "probe.jsonl"
    if not path.exists():
        documents, _ = private_documents(PROBE_NOTES, seed=1)
        rows = ({"text": d.text, "label": d.metadata["kind"]} for d in documents)
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


# --- the page -----------------------------------------------------------------------------------------


def _shown(plan: Plan, outcomes: Sequence[Outcome], found: Sequence[Effect], together: str) -> page.Shown:
    axes = tuple(plan.grid)
    names = _names(plan)
    measured = [name for name in names if any(one.value(name) is not None for one in outcomes)]
    rows = [
        page.Row(
            (*(page.shown_value(one.place[axis]) for axis in axes), str(one.seed)),
            tuple(one.number(name) for name in measured),
            one.refused,
        )
        for one in outcomes
    ]
    changes: dict[tuple[str, str], dict[str, Effect]] = {}
    for effect in found:
        changes.setdefault((effect.axis, effect.change), {})[effect.number] = effect
    return page.Shown(
        axes=(*axes, "seed"),
        names=tuple(names[name] for name in measured),
        rows=tuple(rows),
        effects=tuple(
            (
                f"{axis}: {change}",
                tuple(
                    (own[name].mean, own[name].low, own[name].high, own[name].pairs) if name in own else None
                    for name in measured
                ),
            )
            for (axis, change), own in changes.items()
        ),
        frontier=tuple(frontiers(outcomes, *_memorised(plan, names))),
        kept=kept(outcomes),
        together=together,
    )


def _memorised(plan: Plan, names: Mapping[str, str]) -> tuple[str, str]:
    """Return the number that the frontier shows over accuracy: of the canaries planted most often."""
    tiers = _tiers(plan)
    name = repeated("canary.auc", max(tiers)) if tiers else "canary.auc"
    return name, names[name]


# --- the command ----------------------------------------------------------------------------------------


@click.command("ablate", cls=Page)
@click.argument("plan", type=FILE)
@click.option(
    "--into", type=FOLDER, default="ablation", show_default=True, help="Folder for all that it makes."
)
@click.option("--workers", type=click.IntRange(1), help="Cells at a time.  [default: one a core]")
@shared
def command(plan: Path, into: Path, workers: int | None, quiet: bool, as_json: bool) -> None:
    from mlmguard.engine import default_workers

    with interruptible(quiet or as_json) as watcher:
        done = ablate(plan, into, workers or default_workers(), watcher=watcher)
    rows = [
        (f"{one.axis}: {one.change}", f"{one.number} {one.mean:+.3f} over {one.pairs} pairs")
        for one in done.effects
    ]
    show(done, as_json, lambda: console.explanation("Ablation", [*rows, ("cost", done.together)]))
    console.written([done.page], quiet)
