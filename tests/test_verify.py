"""Verify: a checkpoint against its papers; what contradicts them is 10, what nobody can say is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from evidence_fixture import clean, not_private, statement
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from mlmguard import accounting, cli
from mlmguard.artifacts import run_folder, sha256_file, weights_digest, write_json
from mlmguard.errors import InputError
from mlmguard.types import LedgerEntry, PrivacyStatement
from mlmguard.workflows.verify import Check, verify

LEDGER = (LedgerEntry("poisson-gaussian", 1.1, 0.05, 40, what="training"),)


def said() -> PrivacyStatement:
    """A true claim about a small run."""
    plan = statement().plan
    assert plan is not None
    plan = replace(plan, noise_multiplier=1.1, sample_rate=0.05, steps=40, epsilon=2.0)
    spent = accounting.compose(LEDGER, 1e-5)
    made = replace(statement(), plan=plan, ledger=LEDGER, steps_applied=40, epsilon=spent, delta=1e-5)
    return sealed(made)


def sealed(made: PrivacyStatement) -> PrivacyStatement:
    return replace(made, digest=accounting.statement_digest(replace(made, digest="")))


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    folder = tmp_path / "ckpt"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    write_json(folder / "training.json", {"run_id": said().run_id})
    write_json(folder / "privacy.json", said())
    journal = run_folder(said().run_id, tmp_path / ".mlmguard" / "runs") / "ledger.jsonl"
    journal.write_text("".join(f'{{"step": {i}}}\tchain\n' for i in range(40)))
    return folder


def found(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.what: check.outcome for check in checks}


def test_a_true_checkpoint_holds_and_is_said_to_be_unsigned(ckpt: Path) -> None:
    checks, code = verify(ckpt)
    assert code == 0
    assert found(checks) == {
        "weights": "holds",
        "audit": "unknown",
        "statement": "holds",
        "disclosure": "holds",
        "ledger": "holds",
        "ε, computed anew": "holds",
        "run folder": "holds",
        "signature": "unknown",
    }
    (ckpt / "model.sig").write_text("{}")
    assert "was not verified here" in next(c.found for c in verify(ckpt)[0] if c.what == "signature")


def _changed(**changes: object) -> Callable[[PrivacyStatement], PrivacyStatement]:
    return lambda made: sealed(replace(made, **changes))  # type: ignore[arg-type]


def _plan(**changes: object) -> Callable[[PrivacyStatement], PrivacyStatement]:
    return lambda made: sealed(replace(made, plan=replace(made.plan, **changes)))  # type: ignore[arg-type, type-var]


@pytest.mark.parametrize(
    ("change", "contradicted"),
    [
        (lambda made: replace(made, epsilon=0.1), {"statement", "ε, computed anew"}),
        (_changed(epsilon=0.9), {"ε, computed anew"}),
        (_changed(epsilon=None), {"claim"}),
        (_changed(ledger=()), {"claim", "run folder"}),
        (_changed(steps_applied=41), {"ledger"}),
        (_plan(steps=39), {"ledger"}),
        (_plan(noise_multiplier=1.2), {"ledger"}),
        (_changed(ledger=(replace(LEDGER[0], noise_multiplier=0.0),)), {"ledger", "ε, computed anew"}),
        (_changed(run_id="train-other"), {"training.json"}),
    ],
)
def test_a_checkpoint_that_contradicts_its_papers(
    ckpt: Path, change: Callable[[PrivacyStatement], PrivacyStatement], contradicted: set[str]
) -> None:
    write_json(ckpt / "privacy.json", change(said()))
    checks, code = verify(ckpt)
    assert {what for what, outcome in found(checks).items() if outcome == "contradicted"} == contradicted
    assert code == 10
    assert all(check.do for check in checks if check.outcome == "contradicted")


def test_a_claim_that_rounds_is_no_contradiction(ckpt: Path) -> None:
    close = said().epsilon
    assert close is not None and math.isfinite(close)
    write_json(ckpt / "privacy.json", _changed(epsilon=close * 0.9999)(said()))
    assert verify(ckpt)[1] == 0


def test_steps_that_the_run_folder_did_not_write(ckpt: Path) -> None:
    journal = ckpt.parent / ".mlmguard" / "runs" / said().run_id / "ledger.jsonl"
    journal.write_text(journal.read_text() + "more\n")
    checks, code = verify(ckpt)
    assert (found(checks)["run folder"], code) == ("contradicted", 10)


def test_an_audit_of_other_weights(ckpt: Path, tmp_path: Path) -> None:
    ours = replace(clean(), statement=said(), model=replace(clean().model, digest=weights_digest(ckpt)))
    write_json(tmp_path / "audit.json", ours)
    assert found(verify(ckpt, tmp_path / "audit.json")[0])["audit"] == "holds"
    (ckpt / "model.safetensors").write_bytes(b"other weights")
    checks, code = verify(ckpt, tmp_path / "audit.json")
    assert (found(checks)["audit"], code) == ("contradicted", 10)


def test_an_audit_of_another_claim(ckpt: Path, tmp_path: Path) -> None:
    other = replace(clean(), model=replace(clean().model, digest=weights_digest(ckpt)))
    write_json(tmp_path / "audit.json", other)
    assert found(verify(ckpt, tmp_path / "audit.json")[0])["audited claim"] == "contradicted"


def test_no_claim_is_no_contradiction_and_pickles_are_named(ckpt: Path) -> None:
    plain = not_private().statement
    assert plain is not None
    write_json(ckpt / "privacy.json", replace(plain, run_id=said().run_id))
    (ckpt / "pytorch_model.bin").write_bytes(b"x")
    checks, code = verify(ckpt)
    assert code == 0
    assert "no differential privacy" in next(c.found for c in checks if c.what == "claim")
    assert found(checks)["weight format"] == "unknown"


def test_missing_files(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no privacy\.json"):
        verify(tmp_path)
    (ckpt / "model.safetensors").unlink()
    checks, code = verify(ckpt)
    assert (found(checks)["weights"], code) == ("contradicted", 10)


def test_the_in_toto_statement_is_about_every_file(ckpt: Path, tmp_path: Path) -> None:
    write_json(ckpt / "privacy.json", _changed(epsilon=0.9)(said()))
    verify(ckpt, out=tmp_path / "statement.json")
    text = (tmp_path / "statement.json").read_text("utf-8")
    parsed = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    digests = {one.name: one.digest["sha256"] for one in parsed.subject}
    assert digests == {path.name: sha256_file(path) for path in ckpt.iterdir()}
    predicate = json_format.ParseDict(json.loads(text)["predicate"], test_result_pb2.TestResult())
    assert (predicate.result, list(predicate.failed_tests)) == ("FAILED", ["ε, computed anew"])


def test_the_command(ckpt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(ckpt)]) == 0
    assert "computed anew" in capsys.readouterr().out
    write_json(ckpt / "privacy.json", _changed(epsilon=0.9)(said()))
    assert cli.run(["verify", str(ckpt)]) == 10
    assert cli.run(["verify", str(ckpt.parent)]) == 2
