"""Gate and re-render: saved evidence in, verdicts, formats and an exit code out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlmguard import cli
from mlmguard.artifacts import write_json
from mlmguard.commands.gate import gate, read_evidence
from mlmguard.commands.report import rerender
from mlmguard.errors import InputError
from mlmguard.report.formats import FORMATS
from mlmguard.types import Evidence, Status
from tests.fixtures.evidence import TODAY, clean, extractable, manifest, untrained


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Path]:
    made = {"clean": clean(), "extractable": extractable(), "untrained": untrained()}
    for name, evidence in made.items():
        write_json(tmp_path / f"{name}.json", evidence)
    return {name: tmp_path / f"{name}.json" for name in made}


@pytest.mark.parametrize(
    ("names", "fail_on", "code"),
    [
        (["clean"], "fail", 0),
        (["clean"], "warn", 10),
        (["untrained"], "fail", 3),
        (["extractable"], "fail", 10),
        (["clean", "untrained"], "fail", 3),
        (["untrained", "extractable", "clean"], "fail", 10),
    ],
)
def test_the_worst_file_decides(saved: dict[str, Path], names: list[str], fail_on: str, code: int) -> None:
    judged, found = gate([saved[name] for name in names], "base", fail_on, today=TODAY)  # type: ignore[arg-type]
    assert found == code
    assert [one.path.stem for one in judged] == names


def test_evidence_survives_its_file(saved: dict[str, Path]) -> None:
    assert read_evidence(saved["clean"]) == clean()


def test_a_json_report_can_be_judged_again(saved: dict[str, Path], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    _, code = gate([saved["extractable"]], "base", out=[("json", report)], today=TODAY)
    assert gate([report], "base", today=TODAY)[1] == code == 10


def test_the_exit_code_is_the_same_for_every_format(saved: dict[str, Path], tmp_path: Path) -> None:
    for fmt in FORMATS:
        assert gate([saved["extractable"]], "base", out=[(fmt, tmp_path / fmt)], today=TODAY)[1] == 10
    assert "Fail" in (tmp_path / "markdown").read_text("utf-8")


def test_several_files_need_several_names(saved: dict[str, Path], tmp_path: Path) -> None:
    both = [saved["clean"], saved["untrained"]]
    with pytest.raises(InputError, match="one path for several"):
        gate(both, "base", out=[("json", tmp_path / "out" / "a.json")], today=TODAY)
    gate(both, "base", out=[("markdown", tmp_path / "out" / "{name}.md")], today=TODAY)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clean.md", "untrained.md"}


def _edited(path: Path, **changes: object) -> Path:
    data = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**data, **changes}), "utf-8")
    return path


def test_bad_evidence_gets_one_line_and_nothing_is_written(saved: dict[str, Path], tmp_path: Path) -> None:
    newer = _edited(saved["clean"], schema="mlmguard/evidence/v2")
    surplus = _edited(saved["untrained"], surprise=1)
    cut = tmp_path / "cut.json"
    cut.write_text(saved["extractable"].read_text("utf-8")[:400], "utf-8")
    listed = tmp_path / "list.json"
    listed.write_text("[]", "utf-8")
    hollow = tmp_path / "hollow.json"
    hollow.write_text('{"schema": "mlmguard/report/v1"}', "utf-8")
    lines = {
        newer: "schema 'mlmguard/evidence/v2'; expected 'mlmguard/evidence/v1'",
        surplus: "surprise",
        cut: "was it cut short?",
        listed: "not a JSON object",
        hollow: "not a JSON object",
        tmp_path / "none.json": "no such file",
    }
    out = tmp_path / "out"
    for path, expected in lines.items():
        for attempt in (
            lambda p: gate([p], "base", out=[("json", out / "a.json")]),
            lambda p: rerender(p, [("json", out / "a")]),
        ):
            with pytest.raises(InputError) as caught:
                attempt(path)
            assert expected in str(caught.value)
            assert "\n" not in str(caught.value)
    assert not out.exists()


def test_evidence_of_different_corpora_is_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    scanned = clean().manifest
    assert scanned is not None
    other = tmp_path / "other.json"
    write_json(other, replace(clean(), manifest=replace(scanned, commitment="ab" * 32)))
    with pytest.raises(InputError, match=r"clean.json and .*other.json: evidence of different corpora"):
        gate([saved["clean"], saved["untrained"], other], "base", out=[("json", tmp_path / "out" / "{name}")])
    assert not (tmp_path / "out").exists()
    write_json(other, replace(clean(), manifest=None))
    assert gate([saved["clean"], other], "base", today=TODAY)[1] == 3  # of which corpus it is nobody knows


def test_no_evidence_is_refused() -> None:
    with pytest.raises(InputError, match="no evidence"):
        gate([], "base")


def test_rerender_keeps_the_verdict_it_was_saved_with(saved: dict[str, Path], tmp_path: Path) -> None:
    report, page = tmp_path / "report.json", tmp_path / "page.html"
    gate([saved["extractable"]], "base", out=[("json", report), ("html", page)], today=TODAY)
    shown, written = rerender(report, [("html", tmp_path / "again.html")])
    assert shown.judgement is not None and shown.judgement.status is Status.FAIL
    assert written == [tmp_path / "again.html"]
    assert written[0].read_bytes() == page.read_bytes()


def test_rerender_of_bare_evidence_has_no_verdict_unless_a_policy_is_named(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    out = [("markdown", tmp_path / "a.md")]
    assert rerender(saved["clean"], out)[0].judgement is None
    assert "Not judged" in (tmp_path / "a.md").read_text("utf-8")
    judgement = rerender(saved["clean"], out, "base", TODAY)[0].judgement
    assert judgement is not None and judgement.status is Status.WARN


def test_an_empty_audit_is_inconclusive(tmp_path: Path) -> None:
    nothing: Evidence = replace(
        clean(), manifest=None, statement=None, measurements=(), curves=(), attacks=(), notes=()
    )
    write_json(tmp_path / "e.json", nothing)
    assert gate([tmp_path / "e.json"], "base", today=TODAY)[1] == 3


# --- every error of a reviewer's day, through the command ---------------------------------------------

RULE = """\
id: mine
version: "1"
title: Mine
rules:
  - {id: a, title: L, stage: audit, metric: pii.extraction_rate, fail: "> 0.1", severity: low, why: w, do: d}
"""
CHILD = """\
id: mine
version: "1"
title: Mine
extends: {policy: base, version: "2.1"}
rules:
  - {id: dp-epsilon, fail: "> 99"}
"""


@pytest.mark.parametrize(
    ("policy", "evidence", "said"),
    [
        (RULE.replace("fail:", "fial:"), ["clean"], "p.yaml: line 5: unknown key 'fial' (did you"),
        (RULE.replace("pii.", "pi."), ["clean"], "p.yaml: line 5: unknown metric 'pi.extraction_"),
        (CHILD, ["clean"], "p.yaml: line 6: rule 'dp-epsilon' is looser than base 2.1"),
        ("", ["clean"], "p.yaml: an empty policy; expected at least one rule"),
        ("rules: []", ["clean"], "p.yaml: an empty policy"),
        (RULE, ["newer"], "newer.json: schema 'mlmguard/evidence/v9'; expected 'mlmguard/evidence/v1'"),
        (RULE, ["cut"], "cut.json: not valid JSON"),
        (RULE, ["clean", "elsewhere"], "clean.json and elsewhere.json: evidence of different corpora"),
        (RULE, ["none"], "none.json: no such file"),
    ],
)  # fmt: skip
def test_one_line_and_exit_2(
    saved: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    policy: str,
    evidence: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(policy, "utf-8")
    whole = saved["clean"].read_text("utf-8")
    (tmp_path / "cut.json").write_text(whole[:700], "utf-8")
    (tmp_path / "newer.json").write_text(
        whole.replace("mlmguard/evidence/v1", "mlmguard/evidence/v9"), "utf-8"
    )
    scanned = replace(manifest(), commitment="ab" * 32)
    write_json(tmp_path / "elsewhere.json", replace(clean(), manifest=scanned))
    files = [f"{name}.json" for name in evidence]
    code = cli.run(["gate", *files, "--policy", "p.yaml", "--out", "html=out/{name}.html"])
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"error: {said}")
    assert not (tmp_path / "out").exists()


ELSE = {  # what is there, and what would be written over it
    "the evidence": ("clean.json", "annex", None),
    "weights": ("ckpt/model.safetensors", "html", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"),
    "weights, as a card": ("ckpt/model.safetensors", "model-card", b"{}"),
    "a statement": ("ckpt/privacy.json", "json", b'{"schema": "mlmguard/privacy/v1"}'),
    "findings": ("findings.jsonl", "csv", b'{"rule": "EMAIL_ADDRESS"}\n'),
    "a page of others": ("index.html", "html", b"<!doctype html><title>Ward</title>"),
}


@pytest.mark.parametrize("name", ELSE)
def test_what_is_no_report_is_not_written_over(name: str, saved: dict[str, Path], tmp_path: Path) -> None:
    place, format_, held = ELSE[name]
    path = tmp_path / place
    if held is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(held)
    before = path.read_bytes()
    with pytest.raises(InputError):
        rerender(saved["clean"], [(format_, path)], "base", TODAY)
    assert path.read_bytes() == before
    assert cli.run(["gate", str(saved["clean"]), "--out", f"{format_}={path}"]) == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize("format_", FORMATS)
def test_a_report_is_written_over_its_own_kind_and_into_no_folder(
    format_: str, saved: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("card.md" if format_ == "model-card" else "report")
    for name in ("clean", "extractable"):
        assert rerender(saved[name], [(format_, path)], "base", TODAY)[1] == [path]
    assert cli.run(["report", str(saved["clean"]), "--out", f"{format_}={tmp_path}"]) == 2
    assert "a folder" in capsys.readouterr().err


@pytest.mark.parametrize("named", ["privacy.json", "manifest.json"])
def test_no_report_lies_in_a_checkpoint_or_a_cleaned_corpus(
    named: str, saved: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / named).write_text("{}")
    assert cli.run(["gate", str(saved["clean"]), "--out", f"html={tmp_path / 'page.html'}"]) == 2
    assert "a folder for reports" in capsys.readouterr().err and not (tmp_path / "page.html").exists()


def test_a_page_with_a_verdict_is_not_replaced_by_one_without(saved: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    gate([saved["clean"]], "base", out=[("html", page)], today=TODAY)
    judged = page.read_bytes()
    with pytest.raises(InputError, match="a report with a verdict"):
        rerender(saved["clean"], [("html", page)])
    assert page.read_bytes() == judged
    rerender(saved["clean"], [("html", page)], "base", TODAY)
    assert page.read_bytes() == judged
    bare = tmp_path / "bare.html"
    for _ in range(2):
        rerender(saved["clean"], [("html", bare)])


def test_gaps_that_a_person_has_to_fill_are_counted(
    saved: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("annex", "dpia"):
        out = f"{name}={tmp_path / name}.md"
        assert cli.run(["report", str(saved["clean"]), "--policy", "base", "--out", out]) == 0
        gaps = (tmp_path / f"{name}.md").read_text("utf-8").count("[to be written: ")
        assert f"{gaps} items to be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "forged",
    [
        lambda judged: judged.update(status="pass"),
        lambda judged: [verdict.update(status="pass") for verdict in judged["verdicts"]],
        lambda judged: judged["verdicts"][0].update(observed="0 of 10,000"),
        lambda judged: judged.update(day="yesterday"),
        lambda judged: judged.update(policy_hash="0" * 64),
    ],
    ids=["the word", "every rule", "what was observed", "no day", "another policy"],
)
def test_a_saved_verdict_that_its_policy_does_not_give_is_refused(
    forged: Callable[[dict[str, Any]], object], saved: dict[str, Path], tmp_path: Path
) -> None:
    report, page = tmp_path / "report.json", tmp_path / "page.html"
    gate([saved["extractable"]], "base", out=[("json", report)], today=TODAY)
    data = json.loads(report.read_text("utf-8"))
    forged(data["judgement"])
    report.write_text(json.dumps(data), "utf-8")
    with pytest.raises(InputError):
        rerender(report, [("html", page)])
    assert not page.exists()
