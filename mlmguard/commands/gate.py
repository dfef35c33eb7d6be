"""Judge saved evidence by a policy: no model, no corpus, no GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import click

from mlmguard import console
from mlmguard.artifacts import as_noun, key_at_hand, read_json, read_noun, source_date, write_text
from mlmguard.commands import leading_on, project
from mlmguard.commands.approval import signed
from mlmguard.commands.options import FILE, Page, outputs, policies, shared
from mlmguard.errors import InputError
from mlmguard.policy.consistency import refuse_impossible
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.report import json
from mlmguard.report.clearance import Case, case
from mlmguard.report.formats import content, holds, refuse_taken
from mlmguard.training.privacy import seals
from mlmguard.types import Drift, Evidence, Judgement, Review

FailOn = Literal["fail", "warn"]
#: Worst first (DESIGN.md, section 4).
_PRECEDENCE = (130, 1, 2, 10, 3, 0)


@dataclass(frozen=True)
class Judged:
    """One evidence file and what the policy says of it."""

    path: Path
    evidence: Evidence
    judgement: Judgement
    case: Case


def gate(
    evidence_paths: Sequence[str | Path],
    policy: str | Path | Policy = "base",
    fail_on: FailOn = "fail",
    out: Sequence[tuple[str, Path]] = (),
    today: date | None = None,
    require_signed: bool = False,
    require_sealed: bool = False,
    public_key: Path | None = None,
) -> tuple[list[Judged], int]:
    """Judge each file, write the reports, and return the worst exit code.

    With ``public_key`` each file must be signed by it, for this policy or for any (``mlmguard sign``).
    Everything is read and rendered before anything is written. With several evidence files, ``{name}`` in an
    output path becomes the file's name without its ending; a path that would be written twice is refused.
    """
    if not evidence_paths:
        raise InputError("gate", "no evidence", "at least one file", "give reports/audit.json")
    rules = policy if isinstance(policy, Policy) else load(policy)
    if require_signed:
        signed(rules)
    day = today or date.fromisoformat(source_date())
    paths = [Path(path) for path in evidence_paths]
    found = _with_reviews(paths, require_sealed)
    if public_key is not None:
        from mlmguard.commands import countersigned

        for path in paths:
            countersigned.refuse_unsigned(path, signable(path), rules, public_key)
    _refuse_other_corpora(found)
    for path, evidence in found:
        _refuse_what_no_rule_speaks_of(path, evidence, rules)
    judged = [judge_evidence(path, evidence, rules, fail_on, day) for path, evidence in found]
    write_cases([(one.path, one.case) for one in judged], out)
    codes = {exit_code(one.judgement, fail_on) for one in judged}
    return judged, next(code for code in _PRECEDENCE if code in codes)


def _with_reviews(paths: Sequence[Path], require_sealed: bool) -> list[tuple[Path, Evidence]]:
    """The evidence in each file; what ``sample-review`` wrote joins the evidence of the same corpus."""
    reviews = [path for path in paths if _schema(path) == Review.schema]
    found = [(path, judgeable(path, require_sealed)) for path in paths if path not in reviews]
    for path in reviews:
        review = read_noun(path, Review)
        refuse_impossible(review, str(path))
        for evidence_path, evidence in found:
            if evidence.manifest is None or evidence.manifest.commitment != review.commitment:
                raise InputError(
                    f"{path} and {evidence_path}", "they are of different corpora", "files of one scan"
                )
        found = [
            (other, replace(evidence, measurements=(*evidence.measurements, *review.measurements)))
            for other, evidence in found
        ]
    if not found:
        raise InputError(str(paths[0]), "a review alone", "evidence beside it", "give reports/audit.json too")
    return found


def signable(path: Path) -> Evidence | Review:
    """What a signature of this file is over: the evidence in it, or the review that it is."""
    return read_noun(path, Review) if _schema(path) == Review.schema else judgeable(path)


def _read(path: Path) -> object:
    if not path.exists():
        raise InputError(str(path), "no such file", "evidence of an audit", "run `mlmguard audit CKPT` first")
    return read_json(path)


def _schema(path: Path) -> object:
    data = _read(path)
    return data.get("schema") if isinstance(data, dict) else None


def _refuse_other_corpora(found: Sequence[tuple[Path, Evidence]]) -> None:
    """Several files are several models of one corpus; of two corpora, one verdict would speak of neither."""
    scans = {evidence.manifest.commitment: path for path, evidence in reversed(found) if evidence.manifest}
    if len(scans) > 1:
        one, other, *_ = reversed(scans.values())
        do = "judge them one after the other"
        raise InputError(f"{one} and {other}", "evidence of different corpora", "evidence of one scan", do)


def _refuse_what_no_rule_speaks_of(path: Path, evidence: Evidence, rules: Policy) -> None:
    """Drift is judged by rules on drift and an audit by others: the wrong ones find all inconclusive."""
    stages = {rule.stage for rule in rules.rules}
    if evidence.is_of_drift and "drift" not in stages:
        raise InputError(str(path), f"a result of drift, and {rules.id} has no rule on it", "--policy drift")
    if stages == {"drift"} and not evidence.is_of_drift:
        raise InputError(str(path), f"no result of drift, and {rules.id} is on drift alone", "another policy")


def judge_evidence(
    path: Path, evidence: Evidence, policy: Policy, fail_on: FailOn = "fail", today: date | None = None
) -> Judged:
    """Judge evidence that is in memory, as ``audit --policy`` and ``review`` do."""
    judgement = judge(policy, evidence, today or date.fromisoformat(source_date()))
    shown = case(evidence, judgement, policy.advice, exit_code(judgement, fail_on), project.declared())
    return Judged(path, evidence, judgement, shown)


def judgeable(path: Path, require_sealed: bool = False) -> Evidence:
    """Read what ``audit`` or ``drift`` wrote, or a JSON report made from it; as :func:`read_evidence`."""
    if _schema(path) == Drift.schema:
        return _sound(path, read_noun(path, Drift).evidence, require_sealed)
    return read_evidence(path, require_sealed)


def read_evidence(path: Path, require_sealed: bool = False) -> Evidence:
    """Read the evidence in a file that ``audit`` wrote, or in a JSON report made from one.

    Raises :class:`InputError` where it cannot be true, is not as this house sealed it (``require_sealed``:
    also where that cannot be checked), or its statement is forged or speaks of other weights than were
    audited.
    """
    data = _read(path)
    if isinstance(data, dict) and data.get("schema") == json.SCHEMA:
        data = data.get("evidence")
    return _sound(path, as_noun(data, Evidence, str(path)), require_sealed)


def _sound(path: Path, evidence: Evidence, require_sealed: bool) -> Evidence:
    refuse_impossible(evidence, str(path))
    seal = seals.compare_evidence(evidence, key_at_hand())
    if seal.outcome == "contradicted" or (require_sealed and seal.outcome != "holds"):
        raise InputError(str(path), seal.found, "evidence as this house sealed it", seal.do)
    if evidence.statement is not None:
        seals.refuse_forged(evidence.statement, f"{path}: statement")
        stated = evidence.statement.digests
        if stated and seals.weights_of(stated) != evidence.model.digest:
            raise InputError(
                str(path), "other weights than its statement speaks of", "an audit of the stated weights"
            )
    return evidence


def write_cases(cases: Sequence[tuple[Path, Case]], out: Sequence[tuple[str, Path]]) -> list[Path]:
    """Write every case in every format. All of them are rendered before the first is written."""
    jobs: list[tuple[str, Case, Path]] = []
    for name, template in out:
        if len(cases) > 1 and "{name}" not in str(template):
            raise InputError(f"--out {template}", "one path for several evidence files", "{name} in it")
        jobs += [(name, one, Path(str(template).replace("{name}", source.stem))) for source, one in cases]
    targets = [path for _, _, path in jobs]
    if len({path.resolve() for path in targets}) < len(targets):
        raise InputError("--out", "two reports would be written to one path", "different names")
    for name, _, path in jobs:
        refuse_taken(name, path, [source for source, _ in cases])
    rendered = [(path, content(name, one, path)) for name, one, path in jobs]
    for path, text in rendered:
        write_text(path, text)
    return targets


# --- the command ----------------------------------------------------------------------------------------


@click.command("gate", cls=Page)
@click.argument("evidence", type=FILE, nargs=-1, required=True)
@policies("base")
@click.option(
    "--require-signed", is_flag=True, help="Refuse waivers whose commit the approver has not signed."
)
@click.option(
    "--require-sealed", is_flag=True, help="Refuse evidence that the key of this house has not sealed."
)
@click.option("--public-key", type=FILE, help="The key (PEM) that must have signed each file of evidence.")
@outputs
@shared
def command(
    evidence: tuple[Path, ...],
    policy: str,
    fail_on: Any,
    require_signed: bool,
    require_sealed: bool,
    public_key: Path | None,
    out: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    from mlmguard.report.formats import parse_out, render

    targets = [parse_out(text) for text in out] or _pages_beside(evidence)
    judged, code = gate(
        evidence, policy, fail_on, targets,
        require_signed=require_signed, require_sealed=require_sealed, public_key=public_key,
    )  # fmt: skip
    for one in judged:
        if as_json:
            click.echo(render("json", one.case), nl=False)
        else:
            console.verdicts(one.case)
    for one in judged:
        seal = seals.compare_evidence(one.evidence, key_at_hand())
        if seal.outcome != "holds":
            console.say(f"{one.path}: {seal.found}", quiet)
    console.written([path for _, path in targets], quiet)
    if len(judged) == 1:
        leading_on.gaps(targets, quiet)
    worst = min(judged, key=lambda one: _PRECEDENCE.index(exit_code(one.judgement, fail_on)))
    leading_on.after_verdict(worst.case, worst.path, quiet)
    return code


def _pages_beside(evidence: Sequence[Path]) -> list[tuple[str, Path]]:
    """The page that an audit left as "not judged": it is written anew with the verdict.

    Where it is ours, and may be written: a verdict is no worse for a folder that is only read.
    """
    pages = [path.with_suffix(".html") for path in evidence]
    ours = len(pages) == 1 and pages[0].is_file() and os.access(pages[0].parent, os.W_OK)
    return [("html", pages[0])] if ours and holds("html", pages[0]) else []
