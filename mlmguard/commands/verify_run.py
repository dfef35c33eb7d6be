"""A statement against the run folder and the corpus ledger that its run has left, where they are at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlmguard import accounting
from mlmguard.artifacts import RUNS, Key, as_noun
from mlmguard.errors import InputError
from mlmguard.training.privacy import derived, seals
from mlmguard.training.privacy.ledger import ChainedFile, CorpusLedger, RunOnCorpus, epsilon_together, seed_of
from mlmguard.training.privacy.seals import Check
from mlmguard.types import CorpusRelease, LedgerEntry, PrivacyStatement

_RESTORE = "restore the run folder as training left it, or do not release"


def of(
    ckpt: Path, weights: str, statement: PrivacyStatement, training: Mapping[str, Any], key: Key | None
) -> Iterator[Check]:
    """Every check that needs the run folder: which it is, its plan and steps, what an audit reads there.

    ``weights`` is the digest of all weights in ``ckpt``.
    """
    found = seals.run_of(ckpt, statement)
    for other in found.skipped:
        yield Check("other run folder", other, "unknown", "move it away: it is not of this checkpoint")
    if found.folder is None:
        looked = f"{RUNS}/{statement.run_id} is not here, so that nothing was compared with it"
        yield Check("run folder", looked, "unknown")
        yield from _corpus(CorpusLedger(RUNS), weights, statement)
        return
    if found.fault:
        yield Check("run folder", f"{found.folder}: {found.fault}", "contradicted", _RESTORE)
        return
    yield _steps(found.folder, statement)
    known = seals.facts_of(found.folder)
    yield from _facts(known, statement, training)
    yield from seals.compare_run(found.folder, statement, key)
    yield from _corpus(CorpusLedger(found.folder.parent), weights, statement)


def _steps(run: Path, statement: PrivacyStatement) -> Check:
    """The journal: one line a step, there before its noise was drawn, chained to the plan."""
    stated = derived.steps_of(statement.ledger)
    journal = run / "ledger.jsonl"
    if not journal.is_file():
        found = f"{journal} is gone, {stated:,} steps in the statement"
        return Check("run folder", found, "contradicted" if stated else "unknown", _RESTORE)
    try:
        charged = len(ChainedFile(journal, seed_of(statement.plan)).lines)
    except (InputError, ValueError):
        if statement.plan is not None and not statement.plan.grid:
            found = "its ledger is of an older version: the chain was not compared"
            return Check("run folder", found, "unknown", "train again with this version")
        found = "its ledger is not chained to the plan in the statement"
        return Check("run folder", found, "contradicted", "the statement is not of this run")
    if statement.private and charged != stated:
        found = f"{charged:,} steps in its ledger, {stated:,} in the statement"
        return Check("run folder", found, "contradicted", "the statement is not of this run")
    return Check("run folder", f"{charged:,} steps in its ledger, chained to the plan", "holds")


def _facts(
    known: Mapping[str, Any], statement: PrivacyStatement, training: Mapping[str, Any]
) -> Iterator[Check]:
    """``run.json`` against statement and ``training.json``: start, canaries, and what was spent besides."""
    differ = []
    settings = known.get("settings") or {}
    if settings and training.get("init") != (settings.get("init") or derived.WARMED_UP):
        differ.append("init")
    if settings and training.get("canaries") != settings.get("canaries"):
        differ.append("canaries")
    if statement.digests and (training.get("canaries_digest") or None) != statement.digests.get(
        seals.CANARIES
    ):
        differ.append("canaries_digest")
    if statement.private and known.get("spent") is not None:
        spent = tuple(as_noun(entry, LedgerEntry, "run.json") for entry in known["spent"])
        if spent != tuple(entry for entry in statement.ledger if entry.mechanism != "poisson-gaussian"):
            differ.append("what was spent before training")
    if settings and bool(settings.get("dp_epsilon")) != statement.private:
        differ.append("private or not")
    if differ:
        yield Check("run.json", f"another run: {', '.join(differ)}", "contradicted", _RESTORE)
    else:
        yield Check("run.json", "start, canaries and releases as stated", "holds")


def _corpus(ledger: CorpusLedger, weights: str, statement: PrivacyStatement) -> Iterator[Check]:
    """What the runs on the corpus cost, as its ledger had it when this one ended, and what it released."""
    if not ledger.exists():
        yield Check("corpus ledger", "is not here: what other runs cost was not compared", "unknown")
        return
    try:
        entered = {run.run_id: run for run in ledger.read()}
        if statement.run_id not in entered:
            found = "does not know this run, so that its other runs were not compared"
            yield Check("corpus ledger", found, "unknown", "verify where the model was trained")
            return
        own, others = ledger.on_corpus_of(statement.run_id, until=statement.run_id)
    except InputError as problem:
        yield Check("corpus ledger", str(problem), "contradicted", "restore it from a copy")
        return
    stated = {release.run_id: release for release in statement.corpus_releases}
    differ = []
    if not own.finished or own.entries != statement.ledger:
        differ.append("what this run has charged")
    released = entered[statement.run_id].weights
    if released and released != weights:
        differ.append("the weights it released")
    if released and seals.is_older(statement):
        differ.append("that its version seals, and this is not sealed")
    made = entered[statement.run_id].statement
    if made and made != accounting.statement_digest(statement):
        differ.append("the statement it released")
    if own.private != statement.private:
        differ.append("private or not")
    if (own.unit, own.unit_kind) != (statement.unit, statement.unit_kind):
        differ.append("the unit")
    if not {run.run_id for run in others} <= stated.keys():
        differ.append("which other runs there were")
    elif not all(_as_stated(run, stated[run.run_id]) for run in others):
        differ.append("what other runs were")
    if differ:
        found = f"knows it otherwise: {', '.join(differ)}"
        yield Check("corpus ledger", found, "contradicted", "do not release; see mlmguard ledger")
        return
    yield Check("corpus ledger", f"this run and {len(others)} others as stated", "holds")
    yield _together(statement, [own, *others])


def _as_stated(run: RunOnCorpus, release: CorpusRelease) -> bool:
    if (run.private, run.unit, run.unit_kind) != (release.private, release.unit, release.unit_kind):
        return False
    if not run.private or run.delta is None or release.status != "finished":
        return True
    spent = accounting.compose(run.entries, run.delta)
    return release.epsilon is not None and math.isclose(release.epsilon, spent, rel_tol=1e-3)


def _together(statement: PrivacyStatement, runs: list[RunOnCorpus]) -> Check:
    stated = statement.corpus_epsilon
    if statement.delta is None:
        return Check("corpus ε", "not private, and none is stated", "holds")
    if any(release.status == "unfinished" for release in statement.corpus_releases):
        found = "not compared: a run that had not ended then has gone on since"
        return Check("corpus ε", found, "unknown", "see mlmguard ledger")
    spent, reason = epsilon_together(runs, statement.delta)
    agrees = (
        stated == spent if None in (stated, spent) else math.isclose(stated or 0, spent or 0, rel_tol=1e-3)
    )
    if not agrees or reason != statement.corpus_epsilon_reason:
        found = f"ε = {spent:.4g} by the corpus ledger" if spent is not None else reason
        return Check("corpus ε", found, "contradicted", "do not rely on it; see mlmguard ledger")
    return Check("corpus ε", "as from the corpus ledger", "holds")
