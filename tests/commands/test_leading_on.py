"""Commands that lead on say what is next, and what stands in its usual place is found."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlmguard import cli
from mlmguard.artifacts import write_json
from tests.fixtures.evidence import clean, extractable, untrained


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    for name, evidence in {"clean": clean(), "leaks": extractable(), "untrained": untrained()}.items():
        write_json(tmp_path / "reports" / f"{name}.json", evidence)
    return Path("reports")


def last(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("clean", 0, r"(explain \S+|verify CKPT --evidence \S+)"),
        ("leaks", 10, r"explain \S+"),
        ("untrained", 3, r"explain \S+"),
    ],
)
def test_a_gate_names_the_rule_to_read_about(
    reports: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, said: str
) -> None:
    assert cli.run(["gate", str(reports / f"{name}.json")]) == code
    line = last(capsys)
    assert re.fullmatch(f"next: mlmguard {said}", line)
    if " explain " in line:
        assert cli.run(line.split()[2:]) == 0  # as it is typed
    assert cli.run(["gate", str(reports / f"{name}.json"), "--quiet"]) == code
    assert "next:" not in last(capsys)


def test_the_page_that_was_not_judged_is_written_anew_with_the_verdict(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence, page = reports / "leaks.json", reports / "leaks.html"
    assert cli.run(["report", str(evidence)]) == 0
    assert last(capsys) == f"next: mlmguard gate {evidence} --policy base"
    before, saved = page.read_text("utf-8"), evidence.read_bytes()
    assert cli.run(["gate", str(evidence)]) == 10
    assert page.read_text("utf-8") != before and "Fail" in page.read_text("utf-8")
    assert f"wrote {page}" in capsys.readouterr().err and evidence.read_bytes() == saved
    assert cli.run(["gate", str(reports / "clean.json")]) == 0 and not (reports / "clean.html").exists()


def test_evidence_that_is_not_there_names_the_command_that_makes_it(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("gate", "report"):
        assert cli.run([command, "reports/audit.json"]) == 2
        assert "no such file" in (line := last(capsys)) and "run `mlmguard audit CKPT` first" in line


def test_a_page_that_is_not_ours_or_may_not_be_written_stays_and_the_verdict_is_the_same(
    reports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence, page = reports / "leaks.json", reports / "leaks.html"
    page.write_text("<title>my notes</title>", "utf-8")
    assert cli.run(["gate", str(evidence)]) == 10
    assert page.read_text("utf-8") == "<title>my notes</title>"
    assert cli.run(["report", str(evidence)]) == 2
    assert page.read_text("utf-8") == "<title>my notes</title>"
    page.unlink()
    assert cli.run(["report", str(evidence)]) == 0
    before = page.read_bytes()
    monkeypatch.setattr("mlmguard.commands.gate.os.access", lambda path, mode: mode != os.W_OK)
    assert cli.run(["gate", str(evidence)]) == 10
    assert page.read_bytes() == before and "wrote" not in capsys.readouterr().err.rpartition("leaks.html")[2]


def test_what_was_planned_is_what_is_typed_next(capsys: pytest.CaptureFixture[str]) -> None:
    planned = ["--dp-epsilon", "4", "--steps", "200", "--canaries", "300"]
    assert cli.run(["plan", "--public-size", "2000", *planned]) == 0
    assert last(capsys) == f"next: mlmguard train {' '.join(planned)}"
    assert cli.run(["plan", "--public-size", "2000", "--dp-epsilon", "8"]) == 0
    assert last(capsys) == "next: mlmguard train --dp-epsilon 8"
