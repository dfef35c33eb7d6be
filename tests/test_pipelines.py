"""Where people work: the action's own script, hooks, an example pipeline and the image."""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlmguard import cli
from mlmguard.artifacts import write_json
from mlmguard.commands.check import check
from mlmguard.errors import InputError
from tests.fixtures.evidence import clean, extractable, untrained

ROOT = Path(__file__).resolve().parent.parent
ACTION = YAML(typ="safe", pure=True).load((ROOT / "action.yml").read_text("utf-8"))


# --- the action ---------------------------------------------------------------------------------------


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    write_json(tmp_path / "reports" / "clean.json", clean())
    write_json(tmp_path / "reports" / "extractable.json", extractable())
    write_json(tmp_path / "reports" / "untrained.json", untrained())
    return tmp_path


def _act(folder: Path, **inputs: str) -> tuple[int, dict[str, str], str]:
    """Run the action's last step as the runner does: exit code, outputs, summary."""
    step = ACTION["runs"]["steps"][-1]
    given = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    environment = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: given[m[1]], text)
        for name, text in step["env"].items()
    }
    files = {name: str(folder / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**os.environ, **environment, **files, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    output, summary = (Path(one) for one in files.values())
    told = dict(row.split("=", 1) for row in output.read_text().splitlines()) if output.exists() else {}
    return ran.returncode, told, summary.read_text("utf-8") if summary.exists() else ""


def test_the_action_stops_a_pipeline_by_the_verdict(runner: Path) -> None:
    code, told, summary = _act(runner, evidence="reports/extractable.json")
    assert (code, told["exit-code"]) == (10, "10")
    assert (runner / told["sarif"]).is_file()
    assert "## mlmguard: Fail" in summary


def test_the_action_judges_several_files(runner: Path) -> None:
    code, told, summary = _act(runner, evidence="reports/clean.json\n\nreports/untrained.json\n")
    assert code == 3
    assert summary.count("## mlmguard:") == 2
    assert told["sarif"] == "mlmguard-reports/clean.sarif"


def test_the_action_does_not_run_what_its_inputs_hold(runner: Path) -> None:
    code, _, summary = _act(
        runner, evidence="reports/clean.json", policy='base"; touch stolen; "$(touch stolen)'
    )
    assert code == 2
    assert summary == ""
    assert not (runner / "stolen").exists()


# --- every command that a file here names exists ------------------------------------------------------


def _commands(text: str) -> list[list[str]]:
    found = re.findall(r"(?:run:|entry:|^\s*-? ?)\s*(mlmguard [^\n|&]+)", text, re.MULTILINE)
    return [shlex.split(one.split(" || ")[0], comments=True)[1:] for one in found]


@pytest.mark.parametrize("name", ["examples/pipeline.yml", ".pre-commit-hooks.yaml", "action.yml"])
def test_commands_and_options_exist(name: str) -> None:
    commands = _commands((ROOT / name).read_text("utf-8"))
    assert commands
    for words in commands:
        command = cli.leaves().get(words[0]) or cli.leaves()[" ".join(words[:2])]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_the_example_uses_inputs_that_the_action_has() -> None:
    pipeline = YAML(typ="safe", pure=True).load((ROOT / "examples" / "pipeline.yml").read_text("utf-8"))
    steps = [step for job in pipeline["jobs"].values() for step in job["steps"]]
    (gate,) = (step for step in steps if "mlmguard@" in step.get("uses", ""))
    assert set(gate["with"]) <= set(ACTION["inputs"])
    required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
    assert required <= set(gate["with"])
    order = [step.get("run", step.get("uses", "")) for step in steps]
    assert order.index(gate["uses"]) < next(i for i, one in enumerate(order) if "model-card" in one)


def test_the_image_copies_what_there_is_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    for line in lines:
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
    assert lines.index("USER guard") < lines.index('ENTRYPOINT ["mlmguard"]')
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert {".git", ".mlmguard", "clean", "ckpt", "reports"} <= set(ignored)


# --- the hook -----------------------------------------------------------------------------------------


def test_the_hook_names_places_and_types_and_never_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("nothing here\nwrite to zaphira@quux-clinic.com, card 4111 1111 1111 1111\n")
    Path("plain.txt").write_text("the train was late again\n")
    Path("image.png").write_bytes(b"\x89PNG\xff\xfe")
    assert cli.run(["check", "plain.txt"]) == 0
    assert cli.run(["check", "plain.txt", "image.png"]) == 1
    assert capsys.readouterr().out == "image.png: not looked at (unknown extension .png)\n"
    assert cli.run(["check", "plain.txt", "notes.txt"]) == 10
    out, err = capsys.readouterr()
    assert out.splitlines() == ["notes.txt:2: EMAIL_ADDRESS (medium)", "notes.txt:2: CREDIT_CARD (high)"]
    assert "zaphira" not in out + err and "4111" not in out + err
    assert cli.run(["check", "--least", "high", "notes.txt"]) == 10
    assert capsys.readouterr().out.splitlines() == ["notes.txt:2: CREDIT_CARD (high)"]
    with pytest.raises(InputError, match="no such file"):
        check([Path("none.txt")])


def test_the_hook_sees_what_scan_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind escapes, quoted-printable, base64 and columns; what nobody could read does not pass."""
    monkeypatch.chdir(tmp_path)
    encoded = base64.b64encode(b"write to kim@old-mill.example.org, SSN 512-46-7183\n")
    head = b"From: a@old-mill.example.org\nSubject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: "
    Path("b.eml").write_bytes(head + b"base64\n\n" + encoded + b"\n")
    Path("q.eml").write_bytes(head + b"quoted-printable\n\nSSN 512-46=\n-7183 here\n")
    Path("e.jsonl").write_text(
        '{"id": 1}\n{"text":"kim\\u0040old-mill.example.org 512\\u002d46\\u002d7183"}\n'
    )
    Path("d.csv").write_text("id,text,ssn\n1,a kettle,512467183\n")
    Path("h.html").write_text("<p>SSN 512&#45;46&#45;7183</p>")
    Path("crlf.txt").write_bytes(b"a\r\nb\r\nSSN 512-46-7183\r\n")
    Path("l1.txt").write_bytes("café kim@old-mill.example.org\n".encode("latin-1"))
    for name, line in (
        ("b.eml", 1),
        ("q.eml", 1),
        ("e.jsonl", 2),
        ("d.csv", 2),
        ("h.html", 1),
        ("crlf.txt", 3),
    ):
        assert cli.run(["check", name]) == 10
        assert f"{name}:{line}: US_SSN (high)" in capsys.readouterr().out.splitlines(), name
    assert cli.run(["check", "l1.txt"]) == 1
    assert capsys.readouterr().out == "l1.txt: not looked at (not UTF-8)\n"
