"""The index of a reports folder: its runs, two of them side by side, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mlmguard import cli
from mlmguard.artifacts import write_json
from mlmguard.commands.gate import gate
from mlmguard.commands.index import index
from mlmguard.errors import InputError
from mlmguard.types import Evidence
from tests.fixtures.evidence import clean, extractable


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Two judged runs, the later one with the earlier name, and files of other kinds."""
    folder = tmp_path / "reports"
    _judged(folder, "b-first", clean(), date(2026, 1, 5))
    _judged(folder, "a-second", extractable(), date(2026, 2, 5))
    write_json(folder / "scan.run.json", {"seconds": 3})
    (folder / "notes.txt").write_text("by hand")
    return folder


def _judged(folder: Path, name: str, evidence: Evidence, day: date) -> None:
    write_json(folder.parent / "evidence.json", evidence)
    out = [("json", folder / f"{name}.json"), ("html", folder / f"{name}.html")]
    gate([folder.parent / "evidence.json"], "base", out=out, today=day)


def test_runs_stand_in_the_order_they_were_judged_and_link_to_their_pages(reports: Path) -> None:
    page = index(reports).read_text("utf-8")
    assert page.index('<a href="b-first.html">') < page.index('<a href="a-second.html">')
    assert "2 runs" in page and "1 other JSON file left out" in page
    assert "96\N{NO-BREAK SPACE}%" in page
    assert len(page.encode()) < 400_000


def test_the_last_two_are_compared_unless_others_are_named(reports: Path) -> None:
    page = index(reports).read_text("utf-8")
    assert '<h2 id="compared">b-first and a-second</h2>' in page
    assert "9 numbers moved, 6 of them farther than their intervals. Both audited the same weights." in page
    assert "lower end 0.927 is above 0.01" in page
    other = index(reports, ("a-second", "b-first")).read_text("utf-8")
    assert '<h2 id="compared">a-second and b-first</h2>' in other


def test_one_run_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    write_json(tmp_path / "only.json", clean())
    page = index(tmp_path).read_text("utf-8")
    assert "1 run</h1>" in page and 'id="compared"' not in page and "not judged" in page


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert "No report or evidence lies in this folder." in index(tmp_path).read_text("utf-8")


def test_the_same_folder_gives_the_same_bytes(reports: Path) -> None:
    assert index(reports).read_bytes() == index(reports).read_bytes()


def test_names_from_outside_are_text(tmp_path: Path) -> None:
    write_json(tmp_path / "<b>x@y.example.json", replace(clean(), run_id="<b>"))
    page = index(tmp_path).read_text("utf-8")
    assert "<b>" not in page and "x@y.example" not in page


def test_errors(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="one of: b-first, a-second"):
        index(reports, ("a-second", "c"))
    with pytest.raises(InputError, match="no such folder"):
        index(reports / "none")
    (reports / "cut.json").write_text((reports / "b-first.json").read_text("utf-8")[:900], "utf-8")
    with pytest.raises(InputError, match="was it cut short"):
        index(reports)
    assert cli.run(["index", str(reports)]) == 2
    assert "cut.json" in capsys.readouterr().err
