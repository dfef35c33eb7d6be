"""Verify: a checkpoint against its statement; a contradiction is 10, what cannot be checked is unknown."""

from __future__ import annotations

import importlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from mlmguard import accounting, cli
from mlmguard.artifacts import run_folder, sha256_file, weights_digest, write_json
from mlmguard.commands.verify import Check, sign, verify
from mlmguard.errors import InputError
from mlmguard.training.privacy import derived
from mlmguard.training.privacy.ledger import ChainedFile, seed_of
from mlmguard.types import LedgerEntry, MechanismCheck, PrivacyStatement
from tests.fixtures.evidence import claiming, clean, not_private, statement

LEDGER = (LedgerEntry("poisson-gaussian", 1.1, 0.05, 40, what="training"),)


@cache
def said() -> PrivacyStatement:
    """A true claim about a small run."""
    plan = statement().plan
    assert plan is not None
    plan = replace(plan, noise_multiplier=1.1, sample_rate=0.05, steps=40, epsilon=2.0, delta=1e-5)
    computed = derived.fields(LEDGER, plan)
    made = replace(statement(), plan=plan, ledger=LEDGER, steps_applied=40, corpus_epsilon=None, **computed)
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
    run = run_folder(said().run_id, tmp_path / ".mlmguard" / "runs")
    write_json(run / "run.json", {"plan": said().plan})
    journal = ChainedFile(run / "ledger.jsonl", seed_of(said().plan))
    for step in range(40):
        journal.append({"step": step, "drawn": 3})
    return folder


def found(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.what: check.outcome for check in checks}


def said_of(checks: tuple[Check, ...], what: str) -> str:
    return next(check.found for check in checks if check.what == what)


def test_a_true_checkpoint_holds_and_is_said_to_be_unsigned(ckpt: Path) -> None:
    checks, code = verify(ckpt)
    assert code == 0
    assert found(checks) == {
        "weights": "holds",
        "loaded from": "holds",
        "audit": "unknown",
        "files": "unknown",
        "statement": "holds",
        "disclosure": "holds",
        "unit": "unknown",
        "ledger": "holds",
        "ε, computed anew": "holds",
        "figures, computed anew": "holds",
        "mechanism": "holds",
        "words": "unknown",
        "run folder": "holds",
        "run.json": "holds",
        "canaries and reference": "unknown",
        "corpus ledger": "unknown",
        "seal": "unknown",
        "signature": "unknown",
    }
    assert "none, digest only: catches accidents, not tampering" in said_of(checks, "signature")
    (ckpt / "model.sig").write_text("{}")
    assert "was not checked; digest only" in said_of(verify(ckpt)[0], "signature")


def _changed(**changes: object) -> Callable[[PrivacyStatement], PrivacyStatement]:
    return lambda made: sealed(replace(made, **changes))  # type: ignore[arg-type]


def _plan(**changes: object) -> Callable[[PrivacyStatement], PrivacyStatement]:
    return lambda made: sealed(replace(made, plan=replace(made.plan, **changes)))  # type: ignore[arg-type, type-var]


_FAILED = MechanismCheck("noise", "failed", "variances", "noise that somebody else can predict")


@pytest.mark.parametrize(
    ("change", "contradicted"),
    [
        (lambda made: replace(made, epsilon=0.1), {"statement", "ε, computed anew"}),
        (_changed(epsilon=0.9), {"ε, computed anew"}),
        (_changed(epsilon=None), {"claim"}),
        (_changed(ledger=()), {"claim", "run folder"}),
        (_changed(steps_applied=41), {"ledger"}),
        (_plan(steps=39), {"ledger", "run folder"}),
        (_plan(noise_multiplier=1.2), {"ledger", "figures, computed anew", "run folder"}),
        (_changed(ledger=(replace(LEDGER[0], noise_multiplier=0.0),)), {"ledger", "ε, computed anew"}),
        (_changed(run_id="train-other"), {"training.json"}),
        (_changed(mechanism_checks=(_FAILED,)), {"mechanism"}),
    ],
)
def test_a_checkpoint_that_contradicts_its_statement(
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
    ours = claiming(replace(clean(), model=replace(clean().model, digest=weights_digest(ckpt))), said())
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
    assert found(verify(ckpt)[0])["run folder"] == "contradicted"  # it is that of a private run
    shutil.rmtree(ckpt.parent / ".mlmguard")
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


# --- signatures ---------------------------------------------------------------------------------------


def keys(folder: Path, name: str, curve: str = "prime256v1") -> tuple[Path, Path]:
    """A private and a public key, as openssl makes them for a house."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make keys with")
    pytest.importorskip("model_signing", reason="model-signing, of the extra [signing], is not installed")
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    for arguments in (
        ["ecparam", "-name", curve, "-genkey", "-noout", "-out", str(private)],
        ["ec", "-in", str(private), "-pubout", "-out", str(public)],
    ):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    return private, public


def reworded(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def by(ckpt: Path, public: Path) -> tuple[str, str, int]:
    checks, code = verify(ckpt, public_key=public)
    return found(checks)["signature"], said_of(checks, "signature"), code


def test_a_signature_over_every_file(ckpt: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "release")
    assert by(ckpt, public) == ("contradicted", "none", 10)  # whoever strips a signature must not pass
    assert sign(ckpt, private) == ckpt / "model.sig"
    assert by(ckpt, public) == ("holds", "model.sig is by release.pub, over every file", 0)
    sign(ckpt, private)  # again, over the old signature
    assert by(ckpt, public)[2] == 0
    _, stranger = keys(tmp_path, "stranger", "secp384r1")
    outcome, told, code = by(ckpt, stranger)
    assert (outcome, code) == ("contradicted", 10) and "Key mismatch" in told


def test_what_a_digest_cannot_see_a_signature_shows(ckpt: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "release")
    sign(ckpt, private)
    # a forger makes everything anew, away from the house: a smaller noise, its ledger, its ε, its digest
    forged, plan = replace(LEDGER[0], noise_multiplier=4.0), replace(said().plan, noise_multiplier=4.0)  # type: ignore[type-var]
    write_json(
        ckpt / "privacy.json",
        _changed(ledger=(forged,), plan=plan, **derived.fields((forged,), plan))(said()),
    )
    shutil.rmtree(ckpt.parent / ".mlmguard")
    checks, code = verify(ckpt)
    assert code == 0 and found(checks)["seal"] == "unknown"
    outcome, told, code = by(ckpt, public)
    assert (outcome, code) == ("contradicted", 10)
    assert "Hash mismatch for 'privacy.json'" in told


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda c: (c / "model.safetensors").write_bytes(b"others"), "Hash mismatch for 'model.safetensors'"),
        (lambda c: (c / "modeling.py").write_text("import os"), "Extra files found"),
        (lambda c: (c / "training.json").unlink(), "Missing files"),
        (lambda c: (c / "model.sig").write_text("{"), "model.sig: "),
        (lambda c: (c / "model.sig").write_text("{}"), "model.sig: "),
        (lambda c: reworded(c / "model.sig", '"sig":"', '"sig":"AAAA'), "not made by this key over these"),
    ],
)  # fmt: skip
def test_a_signed_folder_that_was_changed(
    ckpt: Path, tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    private, public = keys(tmp_path, "release")
    sign(ckpt, private)
    damage(ckpt)
    outcome, said_so, _ = by(ckpt, public)
    assert outcome == "contradicted" and told in said_so


def test_a_signature_that_leaves_the_weights_out(ckpt: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "release")
    signing = importlib.import_module("model_signing.signing")
    hashing = importlib.import_module("model_signing.hashing").Config()
    hashing.set_ignored_paths(paths=["model.sig", "model.safetensors"])
    signer = signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(hashing)
    signer.sign(ckpt, ckpt / "model.sig")
    assert by(ckpt, public)[:2] == ("contradicted", "model.sig: leaves out model.safetensors")


def test_files_that_no_model_is_read_from_may_be_left_out_and_the_signature_records_it(
    ckpt: Path, tmp_path: Path
) -> None:
    private, public = keys(tmp_path, "release")
    (ckpt / "curve.png").write_bytes(b"a figure")
    for pattern, said_of_it in (
        ("*.safetensors", "model.safetensors"),
        ("*.json", "json"),
        ("no*", "no file"),
    ):
        with pytest.raises(InputError, match=said_of_it):
            sign(ckpt, private, leave_out=[pattern])
    assert not (ckpt / "model.sig").exists()
    sign(ckpt, private, leave_out=["*.png"])
    outcome, told, _ = by(ckpt, public)
    assert outcome == "holds" and told.endswith("over every file but curve.png, as it records")
    (ckpt / "curve.png").write_bytes(b"another")
    assert by(ckpt, public)[0] == "holds"
    (ckpt / "other.png").write_bytes(b"nobody signed this")
    assert by(ckpt, public)[0] == "contradicted"


def test_what_contradicts_its_statement_is_not_signed(ckpt: Path, tmp_path: Path) -> None:
    private, _ = keys(tmp_path, "release")
    write_json(ckpt / "privacy.json", _changed(epsilon=0.9)(said()))
    with pytest.raises(InputError, match="ε, computed anew"):
        sign(ckpt, private)
    assert not (ckpt / "model.sig").exists()


def test_a_link_is_not_signed(ckpt: Path, tmp_path: Path) -> None:
    private, _ = keys(tmp_path, "release")
    (ckpt / "link").symlink_to(private)
    with pytest.raises(InputError, match="leaves the folder"):
        sign(ckpt, private)
    (ckpt / "link").unlink()
    (ckpt / "link").symlink_to("training.json")
    with pytest.raises(InputError, match=r"symlink.*expected plain files"):
        sign(ckpt, private)
    assert not (ckpt / "model.sig").exists()


def test_sign_and_verify_by_the_command_line(
    ckpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = keys(tmp_path, "release")
    assert cli.run(["sign", str(ckpt), "--private-key", str(private)]) == 0
    assert cli.run(["verify", str(ckpt), "--public-key", str(public)]) == 0
    assert "over every file" in capsys.readouterr().out
    (tmp_path / "rsa.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    for arguments in (
        ["sign", str(ckpt), "--private-key", str(public)],
        ["sign", str(ckpt), "--private-key", str(tmp_path / "rsa.pem")],
        ["sign", str(ckpt), "--private-key", str(tmp_path / "none.pem")],
        ["verify", str(ckpt), "--public-key", str(private)],
    ):
        assert cli.run(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "key that can be used; expected an elliptic-curve key" in line
    (ckpt / "model.safetensors").write_bytes(b"others")
    assert cli.run(["verify", str(ckpt), "--public-key", str(public)]) == 10


def test_without_the_library_it_is_named(
    ckpt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    assert cli.run(["sign", str(ckpt), "--private-key", "release.pem"]) == 2
    assert "pip install 'mlmguard[signing]'" in capsys.readouterr().err
    assert cli.run(["verify", str(ckpt)]) == 0


def test_the_command(ckpt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(ckpt)]) == 0
    assert "computed anew" in capsys.readouterr().out
    write_json(ckpt / "privacy.json", _changed(epsilon=0.9)(said()))
    assert cli.run(["verify", str(ckpt)]) == 10
    assert cli.run(["verify", str(ckpt.parent)]) == 2


def test_noise_of_older_versions_is_named_and_their_digests_still_hold(ckpt: Path) -> None:
    """A statement written before there was a grid has no such field, and its digest was made without it."""
    plan = said().plan
    assert plan is not None
    older = json.loads((ckpt / "privacy.json").read_text())
    del older["plan"]["grid"]
    older["digest"] = sealed(replace(said(), plan=replace(plan, grid=0.0))).digest
    write_json(ckpt.parent / ".mlmguard" / "runs" / said().run_id / "run.json", {"plan": older["plan"]})
    (ckpt / "privacy.json").write_text(json.dumps(older))
    checks, code = verify(ckpt)
    assert code == 0 and found(checks)["statement"] == "holds"
    assert found(checks)["noise"] == "unknown" and "32 bits" in said_of(checks, "noise")
    assert "noise" not in found(verify_of(said(), ckpt))


def verify_of(made: PrivacyStatement, ckpt: Path) -> tuple[Check, ...]:
    write_json(ckpt / "privacy.json", made)
    return verify(ckpt)[0]
