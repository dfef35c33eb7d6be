"""The recipes of CONTRIBUTING.md, followed to the letter by somebody who has only that page.

A recipe of a plug-in is followed in a package of its own (:func:`installed`); a recipe that changes a file of
ours, in a copy of ours (:class:`Checkout`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mlmguard import cli, plugins
from mlmguard.artifacts import write_json
from mlmguard.commands.doctor import doctor
from mlmguard.errors import InputError
from mlmguard.report.clearance import case
from mlmguard.report.formats import FORMATS, names, render
from tests.evidence_fixture import clean, extractable

ROOT = Path(__file__).resolve().parent.parent

#: Installs a package of one module: (its name, its text, kind to (name to what stands there)).
Install = Callable[[str, str, Mapping[str, Mapping[str, str]]], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay a package and its entry points on the path, as ``pip install`` does."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(module: str, text: str, points: Mapping[str, Mapping[str, str]]) -> None:
        (site / f"{module}.py").write_text(text, "utf-8")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines: list[str] = []
        for kind, named in points.items():
            lines += [f"[mlmguard.{kind}]", *(f"{name} = {target}" for name, target in named.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


class Checkout:
    """A copy of the package and its policies, to be changed as a recipe says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "mlmguard", folder / "mlmguard", ignore=kept_out)
        shutil.copytree(ROOT / "policies", folder / "policies")

    def after(self, file: str, line: str, added: str) -> None:
        """Add text to a file after the one line that begins with ``line``."""
        path = self.folder / file
        lines = path.read_text("utf-8").splitlines()
        (at,) = [number for number, one in enumerate(lines) if one.startswith(line)]
        path.write_text("\n".join([*lines[: at + 1], *added.splitlines(), *lines[at + 1 :]]) + "\n", "utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the changed ``mlmguard`` in the folder of the checkout."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        command = [sys.executable, "-m", "mlmguard", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


# --- a report format ----------------------------------------------------------------------------------

FORMAT = """
from mlmguard.report import tables, words
from mlmguard.report.clearance import Case


def render(case: Case) -> str:
    word, sentence = words.headline(case)
    rows = tables.gravest_first(case.judgement) if case.judgement else []
    lines = [f"{verdict.status.value}\\t{verdict.rule}\\t{verdict.reason}" for verdict in rows]
    return "\\n".join([f"{word}: {sentence}", *lines]) + "\\n"
"""


def test_a_report_format(
    installed: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("tab_report", FORMAT, {"report": {"tabs": "tab_report:render"}})
    monkeypatch.chdir(tmp_path)
    assert names() == (*FORMATS, "tabs")
    write_json(tmp_path / "e.json", extractable())
    assert cli.run(["gate", "e.json", "--out", "tabs=gate.tsv"]) == 10
    assert (tmp_path / "gate.tsv").read_text("utf-8").startswith("Fail: ")
    assert "fail\tcanary-extracted\t" in (tmp_path / "gate.tsv").read_text("utf-8")
    capsys.readouterr()
    assert cli.run(["gate", "--help"]) == 0
    assert "tabs" in capsys.readouterr().out
    assert "tabs" in {row.what: row.found for row in doctor()}["report formats"]


def test_a_format_of_a_plug_in_is_given_nothing_that_is_not_cleared(installed: Install) -> None:
    installed(
        "bare_report",
        "def render(case):\n    return repr(case)\n",
        {"report": {"bare": "bare_report:render"}},
    )
    planted = "zaphira.quux@private.example"
    soiled = replace(clean(), notes=(f"written by {planted}",), run_id=planted)
    assert planted not in render("bare", case(soiled))


@pytest.mark.parametrize(
    ("text", "target", "line"),
    [
        ("import nowhere_to_be_found", "broken_report:render", "does not load (ModuleNotFoundError)"),
        ("", "broken_report:render", "does not load (AttributeError)"),
        ("render = 3", "broken_report:render", "expected a function from a case to text"),
        ("def render(case):\n    return b''", "broken_report:render", "it gave a bytes; expected text"),
    ],
)
def test_a_format_that_does_not_load_is_an_error(
    installed: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    text: str, target: str, line: str,
) -> None:  # fmt: skip
    installed("broken_report", text, {"report": {"broken": target}})
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "e.json", clean())
    assert cli.run(["gate", "e.json", "--out", "csv=e.csv", "--out", "broken=e.txt"]) == 2
    assert line in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "e.csv").exists() and not (tmp_path / "e.txt").exists()
    assert ("does not load" in line) == any(row.what == "plug-in broken" for row in doctor())


def test_a_plug_in_takes_no_name_that_is_taken(installed: Install) -> None:
    installed("html_report", FORMAT, {"report": {"html": "html_report:render"}})
    with pytest.raises(InputError, match="another report of that name"):
        plugins.every("report", FORMATS)
    assert any(row.health == "missing" for row in doctor() if row.what == "report formats")


# --- a metric with its rule ---------------------------------------------------------------------------

RULE = """\
id: house
version: "1"
title: House rules
extends: { policy: base, version: "1.0" }
rules:
  - id: few-files
    title: Not too many files of text were skipped
    stage: scan
    metric: scan.skipped
    fail: "> 0"
    severity: low
    why: What was skipped was never looked at.
    do: Look at the reasons in the manifest.
"""


def test_a_metric_with_its_rule(checkout: Checkout) -> None:
    measures = "mlmguard/measures.py"
    checkout.after(measures, "_METRICS", '    Metric("scan.skipped", "how many records could not be read"),')
    number = '    "scan.skipped": lambda e: [("", float(len(e.manifest.skipped)), "")] if e.manifest else [],'
    checkout.after(measures, "DERIVED:", number)
    (checkout.folder / "house.yaml").write_text(RULE, "utf-8")
    write_json(checkout.folder / "e.json", clean())
    explained = checkout.run("explain", "scan.skipped", "--policy", "house.yaml")
    assert "how many records could not be read" in explained.stdout, explained.stderr
    assert "few-files" in explained.stdout
    judged = checkout.run("gate", "e.json", "--policy", "house.yaml", "--out", "csv=e.csv")
    (verdict,) = [
        row for row in (checkout.folder / "e.csv").read_text("utf-8").splitlines() if "few-files" in row
    ]
    skipped = len(clean().manifest.skipped) if clean().manifest else 0
    assert verdict.startswith(f"verdict,few-files,low,{'fail' if skipped else 'pass'}"), judged.stderr
