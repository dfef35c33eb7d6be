"""What a statement is bound to: the files it speaks of, by digest, and the house that trained, by a seal.

A digest catches accidents: whoever edits a claim on purpose computes another. A seal is an HMAC under the key
of the house, so that nobody without that key can make a statement of this house; who can read the key can.
(docs/decisions/0008-seals.md)

No torch here: ``mlmguard gate`` must not wait for it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mlmguard import accounting
from mlmguard.artifacts import (
    WEIGHTS,
    Key,
    as_noun,
    folder_digests,
    json_of,
    key_at_hand,
    read_json,
    read_noun,
    run_folders,
    sha256_file,
    to_json,
    together,
)
from mlmguard.errors import InputError
from mlmguard.loading.folder import refuse_leaving
from mlmguard.types import DpPlan, Evidence, PrivacyStatement, Seal, sealable

Outcome = Literal["holds", "unknown", "contradicted"]

WRITTEN_BY_PEOPLE = ("README.md",)
"""Part of the release that people may edit; no claim rests on it."""
NOT_BOUND = (*WRITTEN_BY_PEOPLE, "privacy.json", "model.sig", "model.sigstore", "model.sigstore.json",
             "signature.sig")  # fmt: skip
_OF_RUN = "run:"
"""Before the name of a file in the run folder, which is not released."""
CANARIES, INITIAL, JOURNAL = (_OF_RUN + name for name in ("canaries.jsonl", "initial", "ledger.jsonl"))
MECHANISM = (_OF_RUN + "canary_coins.json", _OF_RUN + "mechanism.safetensors")
"""Coins, guesses and scores, from which an audit computes ε from inside: no function of the text."""
KEYED = "keyed "
"""Before the name of what could be guessed from a plain digest: its digest is a seal, for the house alone."""


# --- made at the end of a run -------------------------------------------------------------------------


def bound(
    statement: PrivacyStatement, ckpt: Path, run: Path, public_start: bool, guesses: int | None, key: Key
) -> PrivacyStatement:
    """``statement`` with the digests of the files in ``ckpt`` and ``run``, sealed.

    The sizes of draws could be tried against a plain digest of the journal, and a corpus against that of
    weights which were trained on it without privacy and are not released (``public_start`` is false).
    """
    kept = {name: digest for name in (CANARIES, INITIAL, JOURNAL, *MECHANISM) if (digest := _kept(run, name))}
    private = (JOURNAL, *MECHANISM) if public_start else (JOURNAL, INITIAL, *MECHANISM)
    named = {
        KEYED + name if name in private else name: _keyed(name, digest, key) if name in private else digest
        for name, digest in kept.items()
    }
    return sealed(replace(statement, digests={**released(ckpt), **named}, guesses=guesses), key)


def sealed(statement: PrivacyStatement, key: Key) -> PrivacyStatement:
    """``statement`` with its digest and a seal by ``key`` over all of it."""
    whole = replace(statement, digest=accounting.statement_digest(statement))
    return replace(whole, seal=Seal(key.id, key.seal(accounting.canonical(whole))))


def released(ckpt: Path) -> dict[str, str]:
    """Digests of what a statement speaks of in a checkpoint: weights, configuration, tokenizer, facts."""
    return {name: digest for name, digest in folder_digests(ckpt).items() if name not in NOT_BOUND}


def _of_release(digests: Mapping[str, str]) -> dict[str, str]:
    """Those of ``digests`` that are of files in the checkpoint."""
    return {name: digest for name, digest in digests.items() if _OF_RUN not in name}


def _kept(run: Path, name: str) -> str:
    path = run / name.removeprefix(_OF_RUN)
    if path.is_dir():
        return together(folder_digests(path))
    return sha256_file(path) if path.is_file() else ""


def _keyed(name: str, digest: str, key: Key) -> str:
    return key.seal(f"{name}\0{digest}")


# --- compared -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One comparison and its outcome. What is unknown is named and is no contradiction."""

    what: str
    found: str
    outcome: Outcome
    do: str = ""


def is_older(statement: PrivacyStatement) -> bool:
    """Was the statement made before there were seals, when it was bound to nothing?"""
    return not statement.digests and statement.seal is None


def compare_seal(statement: PrivacyStatement, key: Key | None) -> Check:
    """The seal of a statement against the key of this house; without that key it stays unknown."""
    seal = statement.seal
    if is_older(statement):
        do = "mlmguard sign before a release, or train again with this version"
        return Check("seal", "not checked: made before seals", "unknown", do)
    distrust = "do not trust this statement; restore it as training wrote it"
    if seal is None:
        return Check("seal", "taken away: this version seals every statement", "contradicted", distrust)
    do = "mlmguard sign before a release, or verify where that key lies"
    if key is None:
        found = f"not checked: unsigned; sealed by key {seal.key_id}, and no key is here"
        return Check("seal", found, "unknown", do)
    if seal.key_id != key.id:
        found = f"not checked: unsigned; sealed by another key, {seal.key_id}, than the one here, {key.id}"
        return Check("seal", found, "unknown", do)
    if seal.value != key.seal(accounting.canonical(statement)):
        return Check("seal", f"key {key.id}, which is here, did not seal this", "contradicted", distrust)
    found = f"by the key of this house, {key.id}: only who can read that key could have made it"
    return Check("seal", found, "holds")


def compare_released(found: Mapping[str, str], statement: PrivacyStatement) -> Check:
    """The files of a checkpoint, by their digests (:func:`released`), against those in its statement."""
    if not statement.digests:
        if is_older(statement):
            do = "train again with this version"
            return Check("files", "not checked: the statement is older than digests of files", "unknown", do)
        do = "restore privacy.json as training wrote it"
        return Check("files", "their digests were taken out of the statement", "contradicted", do)
    stated = _of_release(statement.digests)
    added = [name for name in found if name not in stated]
    faults = {
        "other bytes than trained": [n for n, digest in stated.items() if found.get(n, digest) != digest],
        "missing": [name for name in stated if name not in found],
        "weights that training did not write": [n for n in added if Path(n).suffix in WEIGHTS],
    }
    said = "; ".join(f"{fault}: {', '.join(names)}" for fault, names in faults.items() if names)
    if said or not any(Path(name).suffix in WEIGHTS for name in stated):
        do = "restore the files as training wrote them"
        return Check("files", said or "the statement names no weights", "contradicted", do)
    if added:
        do = "check what they do: nothing is claimed about them"
        return Check("files", f"as trained, beside files of others: {', '.join(added)}", "unknown", do)
    return Check("files", f"{len(stated)} files are those that training wrote", "holds")


def compare_kept(run: Path, name: str, statement: PrivacyStatement, key: Key | None) -> Check:
    """A file (or folder) of the run folder, by its name in ``digests``, against its digest there."""
    shown, found = name.removeprefix(_OF_RUN), _kept(run, name)
    stated = statement.digests.get(name, "")
    if KEYED + name in statement.digests:
        if key is None or statement.seal is None or statement.seal.key_id != key.id:
            return Check(shown, "not checked: its digest is under the key of the seal", "unknown")
        stated, found = statement.digests[KEYED + name], _keyed(name, found, key) if found else ""
    if stated != found:
        do = "restore the run folder as training left it"
        return Check(shown, "is not the one that the statement names", "contradicted", do)
    return Check(shown, "as training left it" if found else "none, and none is stated", "holds")


def compare_run(run: Path, statement: PrivacyStatement, key: Key | None) -> Iterator[Check]:
    """What an audit reads in a run folder against the statement, which names its digests."""
    if is_older(statement):
        found = "not compared: the statement is older than their digests"
        yield Check("canaries and reference", found, "unknown", "train again with this version")
        return
    for name in (CANARIES, INITIAL, JOURNAL):
        yield compare_kept(run, name, statement, key)
    for name in MECHANISM:
        if KEYED + name in statement.digests:
            yield compare_kept(run, name, statement, key)
        elif statement.mechanism_checks:
            do = "train again with this version"
            yield Check(name.removeprefix(_OF_RUN), "not compared: its digest is not stated", "unknown", do)
    guesses = facts_of(run).get("guesses")
    if guesses != statement.guesses:
        do = "restore the run folder as training left it"
        found = f"{guesses} in run.json, {statement.guesses} in the statement"
        yield Check("guesses", found, "contradicted", do)
    else:
        yield Check("guesses", f"{guesses or 'none'}, as stated", "holds")


def weights_of(digests: Mapping[str, str]) -> str:
    """The digest of all weights, as an audit names it, from digests of a checkpoint or of a statement."""
    return together(
        {
            name: digest
            for name, digest in _of_release(digests).items()
            if "/" not in name and Path(name).suffix in WEIGHTS
        }
    )


# --- evidence -----------------------------------------------------------------------------------------


def sealed_evidence(evidence: Evidence, key: Key) -> Evidence:
    """``evidence`` under the key of the house: weights, statement, every number.

    It is sealed as a reader will have it, to whom 0 and 0.0 are one number where a fraction may stand.
    """
    read = as_noun(json_of(to_json(evidence), "evidence"), Evidence, "evidence")
    return replace(read, seal=Seal(key.id, key.seal(_canonical(read))))


def compare_evidence(evidence: Evidence, key: Key | None) -> Check:
    """The seal of evidence against the key of this house; without that key it stays unknown."""
    seal, do = evidence.seal, "gate where the key of the audit lies, or audit again"
    if seal is None:
        return Check("evidence", "not sealed: anybody could have written it", "unknown", do)
    if key is None or seal.key_id != key.id:
        here = "no key is here" if key is None else f"the one here is {key.id}"
        return Check("evidence", f"sealed by key {seal.key_id[:12]}, and {here}", "unknown", do)
    if not hmac.compare_digest(seal.value.encode(), key.seal(_canonical(evidence)).encode()):
        do = "restore the evidence as audit wrote it, or audit again"
        return Check("evidence", f"key {key.id}, which is here, did not seal this", "contradicted", do)
    return Check("evidence", f"sealed by the key of this house, {key.id}", "holds")


def _canonical(evidence: Evidence) -> str:
    """Every field but the seal; the first word keeps a seal of evidence from being one of a statement."""
    return "evidence\0" + to_json(sealable(replace(evidence, seal=None)))


# --- refused ------------------------------------------------------------------------------------------


def refuse_forged(statement: PrivacyStatement, thing: str) -> None:
    """Raise :class:`InputError` for a statement that its digest, or a seal of this house, contradicts.

    What cannot be checked passes here, and is named by ``mlmguard verify``: statements older than digests and
    seals, and those of another house.
    """
    accounting.refuse_edited(statement, thing)
    seal = compare_seal(statement, key_at_hand())
    if seal.outcome == "contradicted":
        raise InputError(f"{thing}: the seal", seal.found, "the file as training wrote it", seal.do)
    if not is_older(statement) and not statement.digest:
        raise InputError(thing, "the statement carries no digest", "the file as training wrote it")


def read_statement(ckpt: Path) -> PrivacyStatement:
    """The statement of a checkpoint; :class:`InputError` where it is forged or of other files."""
    path = ckpt / "privacy.json"
    statement = read_noun(path, PrivacyStatement)
    refuse_forged(statement, str(path))
    refuse_leaving(ckpt)
    files = compare_released(released(ckpt), statement)
    if files.outcome == "contradicted":
        raise InputError(str(ckpt), files.found, "the files that its privacy.json speaks of", files.do)
    return statement


def refuse_changed_run(run: Path, statement: PrivacyStatement) -> None:
    """Raise :class:`InputError` where a run folder is not as the run of ``statement`` left it."""
    if is_older(statement):
        return
    key = key_at_hand()
    for one in compare_run(run, statement, key):
        if one.outcome == "contradicted":
            raise InputError(f"{run}: {one.what}", one.found, "the run folder as training left it", one.do)


# --- the run folder -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FoundRun:
    """The run folder of a checkpoint. ``skipped`` are others under its id, each with the reason."""

    folder: Path | None
    skipped: tuple[str, ...] = ()
    fault: str = ""  # it lies where the run of this checkpoint belongs, and is not of it


def run_of(ckpt: Path, statement: PrivacyStatement, *near: Path) -> FoundRun:
    """The run folder that agrees with a checkpoint: beside it, beside ``near``, or here.

    Where none agrees, one that lies beside the checkpoint, or was written with it, is returned with its
    fault; others of the same id are skipped and named.
    """
    place = ckpt.resolve()
    candidates = run_folders(statement.run_id, place.parent, *near)
    faults = {path: _disagreement(path, ckpt, statement) for path in candidates}
    skipped = tuple(f"{path} is of another run: {fault}" for path, fault in faults.items() if fault)
    agreeing = next((path for path, fault in faults.items() if not fault), None)
    if agreeing is not None:
        return FoundRun(agreeing, skipped)
    for path, fault in faults.items():
        if path.resolve().parent.parent.parent == place.parent or facts_of(path).get("checkpoint") == str(
            place
        ):
            return FoundRun(path, (), fault)
    return FoundRun(None, skipped)


def _disagreement(run: Path, ckpt: Path, statement: PrivacyStatement) -> str:
    facts = facts_of(run)
    if not facts:
        return "no run.json"
    plan = as_noun(facts["plan"], DpPlan, f"{run}/run.json") if facts.get("plan") else None
    if plan != statement.plan:
        return "its plan is another"
    stated = statement.digests.get(CANARIES, "")
    if is_older(statement) and (ckpt / "training.json").is_file():
        stated = str(read_json(ckpt / "training.json").get("canaries_digest", ""))
    if stated != _kept(run, CANARIES):
        return "its canaries are others"
    seal = facts.get("seal")
    if seal is not None and (
        statement.seal is None or seal != {"key_id": statement.seal.key_id, "value": statement.seal.value}
    ):
        return "it was left by a run with another seal"
    return ""


def facts_of(run: Path) -> dict[str, Any]:
    """``run.json`` of a run folder; {} where it has none."""
    path = run / "run.json"
    known = read_json(path) if path.is_file() else {}
    return known if isinstance(known, dict) else {}
