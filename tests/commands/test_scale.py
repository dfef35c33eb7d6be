"""What is predicted follows from what was measured, and says how far beyond it lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlmguard import cli
from mlmguard.commands import scale
from mlmguard.commands.scale import Cost, Point

POINTS = [Point(100, 7.0), Point(200, 9.0), Point(1100, 27.0)]


def test_a_straight_line_is_found_and_followed() -> None:
    found = Cost.of("examining", "core-seconds", POINTS, 1_000_000)
    assert (found.each, found.once) == (pytest.approx(0.02), pytest.approx(5.0))
    assert found.predicted == pytest.approx(20_005) and found.times == pytest.approx(1e6 / 1100)
    assert found.exponent == pytest.approx(1.0)
    assert "5.56 core-hours; measured at 100 to 1,100 documents, 909 times beyond" in found.line
    assert "exponent" not in found.line


@pytest.mark.parametrize(
    ("costs", "said"), [((1.0, 4.0, 121.0), "exponent 2.0"), ((3.0, 3.0, 3.0), "exponent not measurable")]
)
def test_what_is_no_straight_line_is_said(costs: tuple[float, ...], said: str) -> None:
    points = [Point(one.documents, cost) for one, cost in zip(POINTS, costs)]
    found = Cost.of("merge", "core-seconds", points, 10**9)
    assert said in found.line and "says little" in found.line and found.predicted >= 3


def test_longer_documents_cost_more_and_the_start_does_not() -> None:
    scans = [
        scale._Scanned(n, 400.0 * n, 500 * n, 0.02 * n, 1 + 0.001 * n, 2000 * n, 1500 * n, 10**9)
        for n in (50, 200, 800)
    ]
    names = [(Point(n, 1e-5 * n), Point(n, 10**8 + 40 * n)) for n in (20_000, 60_000, 180_000)]
    once, twice = (
        {one.what: one for one in scale._costs(scans, names, 10**9, longer)} for longer in (1.0, 2.0)
    )
    assert once["examining"].predicted == pytest.approx(2e7)
    assert twice["examining"].predicted == pytest.approx(4e7)
    assert twice["merge"].predicted == pytest.approx(1 + 2e6)
    assert twice["memory of the merge"] == once["memory of the merge"]
    assert once["memory of the merge"].predicted == pytest.approx(10**9 + (40 + scale._BOOKS) * 1e9)
    assert once["moved"].predicted == pytest.approx((500 + 4 * 2000 + 1500) * 1e9)


def test_a_training_is_divided_among_gpus_and_not_where_there_is_none() -> None:
    here = scale._training(64, "processor", 0.01, 1_000_000)
    there = scale._training(64, "GPU", 0.01, 1_000_000)
    assert here.seconds_together is None and there.seconds_together == pytest.approx(there.seconds / 64)
    assert there.bytes_a_step == round(8e6 * 63 / 64)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A shorter run, in this process."""
    monkeypatch.setattr(scale, "NOTES", (10, 20, 60))
    monkeypatch.setattr(scale, "NAMES", (500, 1000, 4000))
    monkeypatch.setattr(scale, "_apart", lambda work, *arguments: work(*arguments))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_measures_and_leaves_nothing(
    short: Path, capsys: pytest.CaptureFixture[str], own_state: Path
) -> None:
    asked = ["plan", "scale", "--documents", "1e6", "--chars", "2000", "--cores", "8", "--quiet"]
    assert cli.run([*asked, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["documents"] == 10**6 and found["chars"] == 2000 and found["training"] is None
    costs = {one["what"]: one for one in found["costs"]}
    assert all(len(one["points"]) == 3 and one["times"] > 100 for one in costs.values())
    assert all(one["predicted"] > 0 for one in costs.values())
    assert costs["examining"]["points"][-1]["documents"] >= 60
    hours = costs["examining"]["predicted"] / 8 + costs["merge"]["predicted"] + costs["copies"]["predicted"]
    assert found["hours"] == pytest.approx(hours / 3600)
    assert not list(short.iterdir()) and not list(own_state.iterdir())


@pytest.mark.slow
def test_a_training_is_measured_here_and_leaves_no_entry_in_the_ledger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], own_state: Path
) -> None:
    monkeypatch.setattr(scale, "NOTES", (100, 200, 400))
    monkeypatch.setattr(scale, "NAMES", (500, 1000, 4000))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["plan", "scale", "--documents", "1e6", "--gpus", "64"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "120 steps of 512 units, for any corpus" in said
    assert "a step and process" in said and ("not predicted" in said or "at least" in said)
    assert not list(own_state.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--documents"),
        (["--documents", "0"], "--documents: 0; expected a whole number from 1 to 1e15"),
        (["--documents", "1.5"], "--documents: 1.5"),
        (["--documents", "nan"], "--documents: nan"),
        (["--documents", "1e400"], "--documents: inf"),
        (["--documents", "many"], "--documents"),
        (["--documents", "9", "--gpus", "0"], "--gpus"),
        (["--documents", "9", "--chars", "0"], "--chars"),
        (["--documents", "9", "--size", "huge"], "--size"),
    ],
)
def test_what_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plan", "scale", *arguments]) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_a_plan_is_still_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plan", "--public-size", "5000", "--dp-epsilon", "8", "--quiet"]) == 0
    assert "audit ceiling" in capsys.readouterr().out
    assert cli.run(["plan"]) == 2
    assert "a plan reads no corpus" in capsys.readouterr().err
    assert cli.run(["plan", "scal", "--documents", "9"]) == 2
