"""Evidence that somebody signed: what was changed since, and what it is judged by, is seen by the gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlmguard import cli
from mlmguard.artifacts import write_json
from mlmguard.commands.gate import gate
from mlmguard.commands.sign import sign_evidence
from mlmguard.errors import InputError
from mlmguard.types import Review
from tests.commands.test_verify import keys
from tests.fixtures.evidence import clean, extractable


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Evidence signed for the policy ``base``, and the keys."""
    private, public = keys(tmp_path, "release")
    path = tmp_path / "audit.json"
    write_json(path, clean())
    assert sign_evidence(path, private, "base") == tmp_path / "audit.json.sig"
    return path, private, public


def test_evidence_that_was_signed_is_judged_by_the_policy_that_was_named(
    signed: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, private, public = signed
    usual = gate([path])[1]
    assert gate([path], public_key=public)[1] == usual
    with pytest.raises(InputError, match=r"not signed by release\.pub over this .* policy pci-pan"):
        gate([path], "pci-pan", public_key=public)
    sign_evidence(path, private)  # for any policy
    assert gate([path], "pci-pan", public_key=public) and gate([path], public_key=public)
    assert cli.run(["gate", str(path), "-q", "--public-key", str(public)]) == usual
    assert cli.run(["sign", str(path), "--private-key", str(private), "--policy", "base", "-q"]) == 0
    assert cli.run(["gate", str(path), "-q", "--policy", "pci-pan", "--public-key", str(public)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


CHANGED: dict[str, Callable[[Path], object]] = {
    "other evidence": lambda path: write_json(path, extractable()),
    "one number": lambda path: path.write_text(path.read_text().replace("4416698", "4416699")),
    "no signature": lambda path: path.with_name("audit.json.sig").unlink(),
    "half a signature": lambda path: path.with_name("audit.json.sig").write_text('{"dsseEnvelope": '),
    "a list": lambda path: path.with_name("audit.json.sig").write_text("[]"),
    "deep": lambda path: path.with_name("audit.json.sig").write_text("[" * 100_000),
    "no text": lambda path: path.with_name("audit.json.sig").write_bytes(b"\xff" * 40),
    "without end": lambda path: (
        path.with_name("audit.json.sig").unlink(), path.with_name("audit.json.sig").symlink_to("/dev/zero")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_what_was_changed_since_is_refused(
    name: str, signed: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, _, public = signed
    before = path.read_text(), path.with_name("audit.json.sig").read_bytes()
    CHANGED[name](path)
    kept = path.with_name("audit.json.sig")
    assert before != (path.read_text(), kept.is_file() and kept.read_bytes())
    assert cli.run(["gate", str(path), "-q", "--public-key", str(public)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_another_key_and_another_file_s_signature_are_refused(
    signed: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    path, _, public = signed
    _, stranger = keys(tmp_path, "stranger", "secp384r1")
    with pytest.raises(InputError, match=r"not signed by stranger\.pub"):
        gate([path], public_key=stranger)
    other = tmp_path / "other.json"
    write_json(other, extractable())
    path.with_name("audit.json.sig").rename(tmp_path / "other.json.sig")
    with pytest.raises(InputError, match=r"other\.json\.sig"):
        gate([other], public_key=public)
    with pytest.raises(InputError, match="not a private key"):
        sign_evidence(path, public)


def test_a_review_beside_it_is_signed_too(signed: tuple[Path, Path, Path]) -> None:
    path, private, public = signed
    manifest = clean().manifest
    assert manifest is not None
    review = path.with_name("review.json")
    write_json(review, Review("review", manifest.commitment, 0, (), "1"))
    assert json.loads(review.read_text())["schema"] == Review.schema
    with pytest.raises(InputError, match=r"review\.json: no signature"):
        gate([path, review], public_key=public)
    sign_evidence(review, private, "base")
    assert gate([path, review], public_key=public)


def test_evidence_that_cannot_be_true_is_not_signed(signed: tuple[Path, Path, Path]) -> None:
    path, private, _ = signed
    path.write_text(path.read_text().replace('"confidence": 0.95', '"confidence": 0.5'))
    with pytest.raises(InputError, match=r"at 0\.5 confidence"):
        sign_evidence(path, private)
