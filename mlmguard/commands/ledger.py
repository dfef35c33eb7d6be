"""List every run on every corpus: what it cost, alone and together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from mlmguard import accounting, artifacts, console
from mlmguard.commands.options import FOLDER, Page, shared, show
from mlmguard.errors import InputError
from mlmguard.showing import show_epsilon
from mlmguard.training.privacy import derived
from mlmguard.training.privacy.ledger import CorpusLedger, RunOnCorpus, epsilon_together, same_corpus
from mlmguard.types import UnitKind


@dataclass(frozen=True)
class Row:
    """One run; ``epsilon`` None: not private."""

    run_id: str
    unit: str
    epsilon: float | None
    delta: float | None
    steps: int
    finished: bool
    unit_kind: str = ""  # "": not known, as in lines of older versions

    @property
    def line(self) -> str:
        """Return the run in one line."""
        state = "finished" if self.finished else "not finished"
        if self.epsilon is None:
            return f"NOT private, {state}"
        spent = f"ε = {show_epsilon(self.epsilon)} at δ = {self.delta:g}"
        unit = f"key “{self.unit}”" if self.unit_kind == UnitKind.KEY else self.unit
        return f"{spent}, unit: {unit}, {self.steps} steps, {state}"


@dataclass(frozen=True)
class Corpus:
    """All runs on one corpus. ``epsilon``: of the private ones together, at the smallest δ; None: none."""

    name: str
    runs: tuple[Row, ...]
    epsilon: float | None
    delta: float | None
    reason: str = ""  # why there is no ε of several private runs

    @property
    def together(self) -> str:
        """Return the sum over all runs, as a sentence."""
        plain = sum(run.epsilon is None for run in self.runs)
        total = "no private run"
        if self.delta is not None:
            total = (
                f"ε = {show_epsilon(self.epsilon)} at δ = {self.delta:g}"
                if self.epsilon is not None
                else f"no ε: {self.reason}"
            )
        if plain:
            total += f"; {plain} not private: released, they void it (NIST SP 800-226, 2.6)"
        return total


def ledger(runs: Path, tell: Callable[[str], None] = lambda line: None) -> tuple[Corpus, ...]:
    """All runs of this user, grouped: scans of one folder, or with one commitment, are one corpus.

    What an earlier version left in ``runs`` is taken over, and ``tell`` hears of it.

    Raises :class:`InputError` when there is none, or when it does not match its digests.
    """
    known = CorpusLedger(runs)
    if not known.exists():
        raise InputError(
            "the ledger", "no run was entered yet", "ledger.jsonl", "name its folder with MLMGUARD_STATE"
        )
    taken = known.take_over()
    if taken:
        tell(taken)
    groups: list[list[RunOnCorpus]] = []
    for run in known.read():
        same = [group for group in groups if any(same_corpus(run, other) for other in group)]
        groups = [group for group in groups if group not in same]
        groups.append([*(member for group in same for member in group), run])
    return tuple(_corpus(group) for group in groups)


def _corpus(group: list[RunOnCorpus]) -> Corpus:
    deltas = [run.delta for run in group if run.private and run.delta]
    delta = min(deltas, default=None)
    together = epsilon_together(group, delta) if delta is not None else (None, "")
    return Corpus(
        name=group[0].corpus[:12],
        runs=tuple(_row(run) for run in group),
        epsilon=together[0],
        delta=delta,
        reason=together[1],
    )


def _row(run: RunOnCorpus) -> Row:
    steps = derived.steps_of(run.entries)
    epsilon = accounting.compose(run.entries, run.delta) if run.private and run.delta else None
    return Row(run.run_id, run.unit, epsilon, run.delta, steps, run.finished, run.unit_kind)


# --- the command ----------------------------------------------------------------------------------------


@click.command("ledger", cls=Page)
@click.option(
    "--runs", type=FOLDER, default=artifacts.RUNS, show_default=True, help="Where the run folders are."
)
@shared
def command(runs: Path, quiet: bool, as_json: bool) -> None:
    found = ledger(runs, console.say)

    def tables() -> None:
        for corpus in found:
            rows = [(run.run_id, run.line) for run in corpus.runs]
            console.explanation(f"Corpus {corpus.name}", [*rows, ("together", corpus.together)])

    show(found, as_json, tables)
