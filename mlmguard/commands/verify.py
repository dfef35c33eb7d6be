"""Check a checkpoint against its statement: digests, ledger, ε, run folder, seal, signature.

Exit code 10 where something is contradicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mlmguard import accounting, console
from mlmguard.artifacts import (
    Key,
    files_below,
    key_at_hand,
    read_json,
    read_noun,
    sha256_file,
    write_text,
)
from mlmguard.commands import leading_on, signature
from mlmguard.commands.gate import read_evidence
from mlmguard.commands.options import FILE, FOLDER, Page
from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.report import in_toto
from mlmguard.tiers import disclosure
from mlmguard.training.privacy import seals
from mlmguard.training.privacy.seals import Check
from mlmguard.types import PrivacyStatement, UnitKind


def verify(
    ckpt: Path,
    evidence: Path | None = None,
    out: Path | None = None,
    public_key: Path | None = None,
    usual: Path | None = None,
) -> tuple[tuple[Check, ...], int]:
    """Return every check and the exit code: 10 if the checkpoint contradicts its statement, 0 otherwise.

    ``out`` takes an in-toto statement about each file of the folder with the outcome of these checks. With
    ``public_key`` a missing signature is a contradiction: else who strips it passes. Without ``evidence``
    the one in ``usual`` is compared, if there is one and it is of these weights.
    """
    if not (ckpt / "privacy.json").is_file():
        found = "no privacy.json" if ckpt.is_dir() else "no such folder"
        raise InputError(str(ckpt), found, "a checkpoint that mlmguard train wrote")
    from mlmguard.commands import verify_claim, verify_run  # they know torch, which --help must not wait for

    statement = read_noun(ckpt / "privacy.json", PrivacyStatement)
    facts = read_json(ckpt / "training.json") if (ckpt / "training.json").is_file() else {}
    training = facts if isinstance(facts, dict) else {}
    key, unreadable = _house_key()
    files = seals.released(ckpt)
    weights = seals.weights_of(files)
    checks = (
        *_weights(ckpt, weights, statement, evidence or _if_of(weights, usual)),
        seals.compare_released(files, statement),
        *_statement(statement, training),
        *(verify_claim.private(statement, training) if statement.private else verify_claim.plain(statement)),
        *verify_run.of(ckpt, weights, statement, training, key),
        _seal(statement, key, unreadable),
        _signature(ckpt, public_key),
    )
    if out is not None:
        write_text(out, _in_toto(ckpt, checks))
    return checks, 10 if any(check.outcome == "contradicted" for check in checks) else 0


def sign(ckpt: Path, private_key: Path, evidence: Path | None = None, leave_out: Sequence[str] = ()) -> Path:
    """Sign a checkpoint; :class:`InputError` for one that contradicts its statement."""
    checks, _ = verify(ckpt, evidence)
    refuse_contradicted(ckpt, checks)
    return signature.write(ckpt, private_key, leave_out)


def refuse_contradicted(ckpt: Path, checks: tuple[Check, ...]) -> None:
    """Raise :class:`InputError` for the first check that contradicts."""
    for one in checks:
        if one.outcome == "contradicted":
            raise InputError(
                f"{ckpt}: {one.what}", one.found, "a checkpoint that agrees with its statement", one.do
            )


def _weights(ckpt: Path, digest: str, statement: PrivacyStatement, evidence: Path | None) -> Iterator[Check]:
    files = [*ckpt.glob("*.safetensors"), *ckpt.glob("*.bin")]
    if not files:
        yield Check("weights", "no weight file", "contradicted", "restore model.safetensors")
        return
    yield Check("weights", f"SHA-256 {digest}", "holds")
    yield from _surfaces(ckpt)
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
    if audited.statement != statement:
        yield Check("audited claim", "the audit saw another statement", "contradicted", "audit again")


def _if_of(weights: str, usual: Path | None) -> Path | None:
    """``usual``, if evidence of these weights is in it: of others it says nothing."""
    if usual is None or not usual.is_file():
        return None
    try:
        audited = read_evidence(usual)
    except InputError:  # nobody has named it
        return None
    return usual if audited.model.digest == weights else None


def _surfaces(ckpt: Path) -> Iterator[Check]:
    """What in the folder could run, and whether it loads from its own files alone."""
    try:
        names = [path.name for path in folders.weight_files(ckpt)]
        yield Check("loaded from", f"{', '.join(names)}, and nothing outside the folder", "holds")
    except InputError as problem:
        yield Check("loaded from", str(problem), "contradicted", "do not load this checkpoint")
    found = folders.surfaces(ckpt)
    if leaving := [f"{one.where} ({one.kind})" for one in found if one.leaves]:
        do = "do not load this checkpoint: what it loads is not what is checked here"
        yield Check("leaves the folder", "; ".join(leaving), "contradicted", do)
    pickles = [one.where for one in found if one.kind == "pickle"]
    if pickles:
        do = "a pickle runs code when it is loaded: ship safetensors"
        yield Check("weight format", ", ".join(pickles), "unknown", do)
    others = [f"{one.where} ({one.kind})" for one in found if not one.leaves and one.kind != "pickle"]
    if others:
        do = "nothing of it runs here; elsewhere it may: take it out before a release"
        yield Check("could run", "; ".join(others), "unknown", do)


def _statement(statement: PrivacyStatement, training: dict[str, Any]) -> Iterator[Check]:
    do = "restore privacy.json as training wrote it"
    if statement.digest and statement.digest != accounting.statement_digest(statement):
        yield Check("statement", "does not match its own digest", "contradicted", do)
    elif statement.digest:
        yield Check("statement", "matches its digest", "holds")
    elif seals.is_older(statement):
        yield Check("statement", "not checked: an older version gave it no digest", "unknown", do)
    else:
        yield Check("statement", "its digest was taken away", "contradicted", do)
    if training.get("run_id", statement.run_id) != statement.run_id:
        do = "keep the files of one run together"
        yield Check("training.json", "is of another run", "contradicted", do)
    if not statement.private:
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


def _house_key() -> tuple[Key | None, str]:
    """The key that seals here, or why there is none to check a seal with."""
    try:
        return key_at_hand(), ""
    except InputError as problem:
        return None, str(problem)


def _seal(statement: PrivacyStatement, key: Key | None, unreadable: str) -> Check:
    found = seals.compare_seal(statement, key)
    if unreadable and found.outcome == "unknown" and not seals.is_older(statement):
        return replace(found, found=f"not checked: unsigned; {unreadable}")
    return found


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
    unsigned = signature.left_out(ckpt, found)
    but = f" but {', '.join(unsigned)}, as it records" if unsigned else ""
    return Check("signature", f"{found.name} is by {public_key.name}, over every file{but}", "holds")


def _in_toto(ckpt: Path, checks: tuple[Check, ...]) -> str:
    files = [path for path in files_below(ckpt) if path.name not in signature.NAMES]
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
    checks, code = verify(ckpt, evidence, out, public_key, Path("reports/audit.json"))
    health = {"holds": "ok", "unknown": "warn", "contradicted": "missing"}
    console.checks([(one.what, one.found, health[one.outcome], one.do) for one in checks], "Verify")
    console.written([out] if out else [])
    if code == 0:
        leading_on.then("sign", ckpt, "--private-key", "KEY.pem")
    return code
