"""Check a checkpoint against its statement: digests, ledger, ε, signature.

Exit code 10 where something is contradicted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from mlmguard import accounting, console
from mlmguard.artifacts import (
    RUNS,
    find_run_folder,
    read_json,
    read_noun,
    sha256_file,
    weights_digest,
    write_text,
)
from mlmguard.commands import signature
from mlmguard.commands.gate import read_evidence
from mlmguard.commands.options import FILE, FOLDER, Page
from mlmguard.errors import InputError
from mlmguard.measures import disclosure, show_epsilon
from mlmguard.report import in_toto
from mlmguard.types import LedgerEntry, PrivacyStatement, UnitKind

Outcome = Literal["holds", "unknown", "contradicted"]
#: Relative. Accountants round up to their grid; a claim this close to what is computed anew is the same.
_ROUNDING = 1e-3
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle")


@dataclass(frozen=True)
class Check:
    """One comparison and its outcome. What is unknown is named and is no contradiction."""

    what: str
    found: str
    outcome: Outcome
    do: str = ""


def verify(
    ckpt: Path, evidence: Path | None = None, out: Path | None = None, public_key: Path | None = None
) -> tuple[tuple[Check, ...], int]:
    """Return every check and the exit code: 10 if the checkpoint contradicts its statement, 0 otherwise.

    ``out`` takes an in-toto statement about each file of the folder with the outcome of these checks. With
    ``public_key`` a missing signature is a contradiction: else who strips it passes.
    """
    if not (ckpt / "privacy.json").is_file():
        raise InputError(str(ckpt), "no privacy.json", "a checkpoint that mlmguard train wrote")
    statement = read_noun(ckpt / "privacy.json", PrivacyStatement)
    checks = (
        *_weights(ckpt, evidence),
        *_statement(ckpt, statement),
        *(_claim(statement) if statement.private else ()),
        *_journal(ckpt, statement),
        _signature(ckpt, public_key),
    )
    if out is not None:
        write_text(out, _in_toto(ckpt, checks))
    return checks, 10 if any(check.outcome == "contradicted" for check in checks) else 0


def sign(ckpt: Path, private_key: Path, evidence: Path | None = None) -> Path:
    """Sign a checkpoint; :class:`InputError` for one that contradicts its statement."""
    checks, _ = verify(ckpt, evidence)
    refuse_contradicted(ckpt, checks)
    return signature.write(ckpt, private_key)


def refuse_contradicted(ckpt: Path, checks: tuple[Check, ...]) -> None:
    """Raise :class:`InputError` for the first check that contradicts."""
    for one in checks:
        if one.outcome == "contradicted":
            raise InputError(
                f"{ckpt}: {one.what}", one.found, "a checkpoint that agrees with its statement", one.do
            )


def _weights(ckpt: Path, evidence: Path | None) -> Iterator[Check]:
    files = [*ckpt.glob("*.safetensors"), *ckpt.glob("*.bin")]
    if not files:
        yield Check("weights", "no weight file", "contradicted", "restore model.safetensors")
        return
    digest = weights_digest(ckpt)
    yield Check("weights", f"SHA-256 {digest}", "holds")
    risky = sorted(path.name for path in ckpt.iterdir() if path.suffix in _PICKLES)
    if risky:
        do = "a pickle runs code when it is loaded: ship safetensors"
        yield Check("weight format", ", ".join(risky), "unknown", do)
    if evidence is None:
        yield Check("audit", "not compared; name one with --evidence", "unknown")
        return
    audited = read_evidence(evidence)
    if audited.model.digest != digest:
        do = "audit this checkpoint, or find the one that was audited"
        yield Check(
            "audit",
            f"{audited.run_id} audited {audited.model.digest[:16]}, other weights",
            "contradicted",
            do,
        )
    else:
        yield Check("audit", f"{audited.run_id} audited these weights", "holds")
    if audited.statement != read_noun(ckpt / "privacy.json", PrivacyStatement):
        yield Check("audited claim", "the audit saw another statement", "contradicted", "audit again")


def _statement(ckpt: Path, statement: PrivacyStatement) -> Iterator[Check]:
    if statement.digest and statement.digest != accounting.statement_digest(statement):
        do = "restore privacy.json as training wrote it"
        yield Check("statement", "does not match its own digest", "contradicted", do)
    else:
        yield Check("statement", "matches its digest" if statement.digest else "carries no digest", "holds")
    facts = read_json(ckpt / "training.json") if (ckpt / "training.json").is_file() else {}
    named = facts.get("run_id", statement.run_id) if isinstance(facts, dict) else ""
    if named != statement.run_id:
        do = "keep the files of one run together"
        yield Check("training.json", "is of another run", "contradicted", do)
    if not statement.private:
        yield Check(
            "claim", "no differential privacy is claimed", "holds", "treat the weights like the corpus"
        )
        return
    yield Check("disclosure", disclosure(statement), "holds")
    yield _unit(statement)
    if statement.plan is not None and not statement.plan.grid:
        found = "of a seed of 32 bits where it was drawn on a CPU: one released step can give it away"
        yield Check("noise", found, "unknown", "train again with this version before a release")


def _unit(statement: PrivacyStatement) -> Check:
    if not statement.unit_kind:
        found = f"“{statement.unit}”; whether that is a row or a key of this name is not known"
        return Check("unit", found, "unknown", "train again with this version before a release")
    if statement.unit_kind not in set(UnitKind):
        return Check("unit", "of no kind that there is", "contradicted", "restore privacy.json")
    return Check("unit", f"“{statement.unit}”, a {statement.unit_kind}", "holds")


def _claim(statement: PrivacyStatement) -> Iterator[Check]:
    plan, delta = statement.plan, statement.delta
    if plan is None or delta is None or statement.epsilon is None or not statement.ledger:
        yield Check(
            "claim", "without plan, δ, ε or ledger", "contradicted", "a claim is computed from what ran"
        )
        return
    steps = sum(entry.steps for entry in statement.ledger if entry.mechanism == "poisson-gaussian")
    strange = [entry for entry in statement.ledger if not _as_planned(entry, statement)]
    if strange or steps != plan.steps or statement.steps_applied > steps:
        found = f"{steps:,} steps charged, {plan.steps:,} planned, {statement.steps_applied:,} applied"
        if strange:
            found += "; other noise or sample rate than planned"
        yield Check("ledger", found, "contradicted", "the plan couples noise, rate and steps; do not release")
    else:
        yield Check("ledger", f"{steps:,} steps as planned, {statement.steps_applied:,} applied", "holds")
    spent = accounting.compose(statement.ledger, delta)
    claimed = show_epsilon(statement.epsilon)
    compared = f"ε = {show_epsilon(spent)} at δ = {delta:g} from the ledger, {claimed} claimed"
    # written so that a NaN contradicts
    if not (math.isfinite(spent) and spent <= statement.epsilon * (1 + _ROUNDING)):
        yield Check("ε, computed anew", compared, "contradicted", "the claim is smaller than what was spent")
    else:
        yield Check("ε, computed anew", compared, "holds")


def _as_planned(entry: LedgerEntry, statement: PrivacyStatement) -> bool:
    plan = statement.plan
    if entry.mechanism != "poisson-gaussian" or plan is None:
        return True
    return (entry.noise_multiplier, entry.sample_rate) == (plan.noise_multiplier, plan.sample_rate)


def _journal(ckpt: Path, statement: PrivacyStatement) -> Iterator[Check]:
    """The run folder's own ledger, where it is at hand: one line a step, there before its noise was drawn."""
    folder = find_run_folder(statement.run_id, ckpt.resolve().parent)
    journal = folder / "ledger.jsonl" if folder else None
    if journal is None or not journal.is_file():
        found = f"{RUNS}/{statement.run_id} is not here, so that its steps were not counted"
        yield Check("run folder", found, "unknown")
        return
    charged = len(journal.read_text("utf-8").splitlines())
    stated = sum(entry.steps for entry in statement.ledger if entry.mechanism == "poisson-gaussian")
    if statement.private and charged != stated:
        found = f"{charged:,} steps in its ledger, {stated:,} in the statement"
        yield Check("run folder", found, "contradicted", "the statement is not of this run")
    else:
        yield Check("run folder", f"{charged:,} steps in its ledger", "holds")


def _signature(ckpt: Path, public_key: Path | None) -> Check:
    found = signature.find(ckpt)
    if public_key is None:
        found_signature = f"{found.name} was not checked; digest only" if found else "none, digest only"
        do = "name the key with --public-key" if found else "mlmguard sign before release"
        return Check("signature", f"{found_signature}: catches accidents, not tampering", "unknown", do)
    if found is None:
        return Check("signature", "none", "contradicted", "get the folder as it was signed")
    fault = signature.fault(ckpt, found, public_key)
    if fault:
        return Check("signature", f"{found.name}: {fault}", "contradicted", "do not load this checkpoint")
    return Check("signature", f"{found.name} is by {public_key.name}, over every file", "holds")


def _in_toto(ckpt: Path, checks: tuple[Check, ...]) -> str:
    files = sorted(path for path in ckpt.rglob("*") if path.is_file() and path.name not in signature.NAMES)
    subjects = [
        {"name": path.relative_to(ckpt).as_posix(), "digest": {"sha256": sha256_file(path)}} for path in files
    ]
    by = {one: [c.what for c in checks if c.outcome == one] for one in ("holds", "unknown", "contradicted")}
    statement_file = {"name": "privacy.json", "digest": {"sha256": sha256_file(ckpt / "privacy.json")}}
    return in_toto.statement(subjects, [statement_file], by["holds"], by["unknown"], by["contradicted"])


# --- the command ----------------------------------------------------------------------------------------


@click.command("verify", cls=Page)
@click.argument("ckpt", type=FOLDER)
@click.option("--evidence", type=FILE, help="An audit that must be of these weights.")
@click.option("--public-key", type=FILE, help="The key (PEM) that must have signed every file of the folder.")
@click.option("--out", type=FILE, help="Write an in-toto statement of every file and check to this path.")
def command(ckpt: Path, evidence: Path | None, public_key: Path | None, out: Path | None) -> int:
    checks, code = verify(ckpt, evidence, out, public_key)
    health = {"holds": "ok", "unknown": "warn", "contradicted": "missing"}
    console.checks([(one.what, one.found, health[one.outcome], one.do) for one in checks], "Verify")
    console.written([out] if out else [])
    return code
