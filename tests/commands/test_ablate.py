"""The ablation: plans, effects against a naive count, and a small grid from beginning to end, twice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlmguard import cli
from mlmguard.artifacts import read_json
from mlmguard.commands import ablate as ablation
from mlmguard.commands.ablate import Plan, cells, effects, read_plan
from mlmguard.commands.outcomes import Outcome, frontiers, kept
from mlmguard.errors import InputError
from mlmguard.types import Measurement
from tests.fixtures.evidence import clean


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- plans --------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_once_for_each_seed(tmp_path: Path) -> None:
    grid = "grid: {masking: [token, span], dp_epsilon: [null, 8], dedup: [true, false]}"
    text = f"{grid}\nseeds: [0, 1]\ntrain: {{steps: 5}}"
    grid = cells(read_plan(written(tmp_path / "p.yaml", text)))
    assert len(grid) == 16 == len({(str(cell.place), cell.seed) for cell in grid})
    assert {cell.settings.steps for cell in grid} == {5}
    assert all(
        cell.settings.masking == cell.place["masking"] and cell.dedup == cell.place["dedup"] for cell in grid
    )
    assert {cell.settings.seed for cell in grid} == {0, 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("corpus: embedded", "no grid"),
        ("grid: {maskin: [token]}", "unknown key 'maskin'"),
        ("grid: {masking: token}", "grid: masking: no list"),
        ("grid: {masking: []}", "grid: masking: no list"),
        ("grid: {seed: [1, 2]}", "unknown key 'seed'"),
        ("grid: {masking: [token]}\ntrains: {}", "unknown key 'trains'"),
        ("grid: {masking: [token]}\naudit: {speed: 1}", "unknown key 'speed'"),
        ("grid: {masking: [token]}\naudit: {spans: many}", "audit: spans: input should be a valid integer"),
        (
            "grid: {masking: [token]}\ntrain: {canary_tiers: 32}",
            "canary_tiers: input should be a valid array",
        ),
        ("{", "not YAML"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_in_one_line(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["ablate", str(written(tmp_path / "p.yaml", text)), "--into", str(tmp_path / "x")]) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_the_plan_that_ships_is_the_grid_of_the_issue() -> None:
    grid = cells(read_plan(Path(__file__).parent.parent.parent / "examples" / "ablation.yaml"))
    assert len(grid) == 24
    axes = {axis: {str(cell.place[axis]) for cell in grid} for axis in grid[0].place}
    assert axes == {
        "dp_epsilon": {"None", "8"}, "dedup": {"True", "False"},
        "masking": {"token", "word", "span"}, "mask_rate": {"0.15", "0.3"},
    }  # fmt: skip


def test_of_an_attack_with_variants_one_is_read_that_was_chosen_beforehand() -> None:
    def auc(attack: str, slice: str, value: float) -> Measurement:
        return Measurement(attack, "auc", value, None, None, 0.95, 50, slice=slice)

    measured = (
        auc("canary", "loss", 0.5), auc("canary", "span", 0.9), auc("canary", "calibrated", 0.6),
        auc("canary", "copies 4", 0.95), auc("membership", "loss", 0.5), auc("membership", "votes", 0.7),
    )  # fmt: skip
    found = ablation._leakage(replace(clean(), measurements=measured))
    plan = Plan("embedded", {"masking": ("token",)}, train={"canary_tiers": [4]})
    one = Outcome({}, 0, numbers=tuple(found))
    read = {name: one.value(name) for name in ablation._names(plan) if one.value(name) is not None}
    assert read == {"canary.auc": 0.6, "membership.auc": 0.5, "canary.auc, copies 4": 0.95}


# --- effects ------------------------------------------------------------------------------------------


def outcome(
    place: dict[str, object], seed: int, accuracy: float | None, epsilon: float | None = None
) -> Outcome:
    numbers = (Measurement("utility", "accuracy", accuracy, None, None, 0.95, 100),)
    return Outcome(place, seed, "", f"run-{place}-{seed}", epsilon, numbers)


def test_an_effect_is_the_mean_over_cells_that_differ_in_nothing_else() -> None:
    rng = np.random.default_rng(0)
    plan = Plan("embedded", {"masking": ("token", "span"), "mask_rate": (0.15, 0.3)}, seeds=(0, 1, 2))
    known = {
        (m, r, seed): float(rng.random())
        for m in ("token", "span")
        for r in (0.15, 0.3)
        for seed in (0, 1, 2)
    }
    made = [outcome({"masking": m, "mask_rate": r}, seed, value) for (m, r, seed), value in known.items()]
    found = {one.axis: one for one in effects(plan, made)}
    gaps = [known["span", r, seed] - known["token", r, seed] for r in (0.15, 0.3) for seed in (0, 1, 2)]
    one = found["masking"]
    assert (one.pairs, one.change) == (6, "token → span") and one.mean == pytest.approx(np.mean(gaps))
    half = 2.570582 * np.std(gaps, ddof=1) / math.sqrt(6)  # Student's t, 5 degrees of freedom
    assert one.low == pytest.approx(one.mean - half, abs=1e-6) and one.high == pytest.approx(
        one.mean + half, abs=1e-6
    )


def test_cells_that_were_refused_or_not_measured_are_in_no_pair() -> None:
    plan = Plan("embedded", {"masking": ("token", "span")}, seeds=(0, 1))
    made = [
        outcome({"masking": "token"}, 0, 0.5), outcome({"masking": "span"}, 0, 0.6),
        outcome({"masking": "token"}, 1, None), Outcome({"masking": "span"}, 1, refused="no"),
    ]  # fmt: skip
    (one,) = effects(plan, made)
    assert one.pairs == 1 and one.low is None and one.mean == pytest.approx(0.1)


def test_the_frontier_holds_the_cells_that_none_of_their_kind_beats() -> None:
    def cell(accuracy: float, area: float, epsilon: float | None) -> Outcome:
        numbers = (
            Measurement("utility", "accuracy", accuracy, None, None, 0.95, 9),
            Measurement("canary", "auc", area, max(0.0, area - 0.5), area + 0.1, 0.95, 9),
        )
        return Outcome({"x": accuracy}, 0, "", "r", epsilon, numbers)

    made = [cell(*point, None) for point in ((0.5, 0.9), (0.4, 0.7), (0.3, 0.8), (0.3, 0.8))]
    made += [cell(*point, 8.0) for point in ((0.2, 0.5), (0.1, 0.5))]
    plain, private = frontiers(made, "canary.auc", "canary AUC")
    assert (plain.series, plain.x, plain.y) == ("not private", (0.4, 0.5), (0.7, 0.9))
    assert (private.series, private.x, private.y) == ("private", (0.2,), (0.5,))
    assert (private.low, private.high) == ((0.0,), (0.6,))


def test_the_gain_kept_is_of_cells_that_differ_in_epsilon_alone() -> None:
    def cell(masking: str, seed: int, epsilon: float | None, gain: float) -> Outcome:
        numbers = (Measurement("utility", "gain", gain, None, None, None, 9),)
        return Outcome({"masking": masking, "dp_epsilon": epsilon}, seed, "", "r", epsilon, numbers)

    made = [cell("token", 0, None, 2.0), cell("token", 0, 8.0, 1.0), cell("token", 0, 2.0, 0.2)]
    assert "keep 30% (10% to 50%)" in kept(made) and "pairs: 2" in kept(made)
    alone = [cell("span", 0, 8.0, 1.0), cell("token", 1, 8.0, 1.0)]
    worse = [cell("word", 0, None, -0.1), cell("word", 0, 8.0, -0.2)]  # nothing was gained that could be kept
    assert kept([*made, *alone, *worse]) == kept(made)
    assert kept([*made[:1], *alone, *worse]) == ""


# --- from beginning to end ----------------------------------------------------------------------------

PLAN = """
corpus: embedded
notes: 500
grid:
  masking: [token, span]
  dp_epsilon: [null, 8]
  dedup: [true, false]
train:
  {canaries: 60, canary_tiers: [4], steps: 6, batch_units: 128, init: scratch, public_size: 600, window: 32}
audit: {documents: 20, spans: 4, searched: 4, restarts: 2, samples: 10, probed: 50}
"""


@pytest.mark.slow
def test_a_grid_runs_resumes_and_composes(tmp_path: Path) -> None:
    into = tmp_path / "ablation"
    plan = written(tmp_path / "plan.yaml", PLAN)
    done = ablation.ablate(plan, into)
    assert len(done.outcomes) == 8 and not any(one.refused for one in done.outcomes)
    assert {one.epsilon is None for one in done.outcomes} == {True, False}
    assert all(one.value("accuracy") is not None and one.value("probe") is not None for one in done.outcomes)
    assert all(one.value("canary.auc") is not None for one in done.outcomes)
    assert all(one.value("canary.auc, copies 4") is not None for one in done.outcomes)
    coins = {
        (path.parent / "canaries.jsonl").read_bytes() for path in into.glob(".mlmguard/runs/train-*/run.json")
    }
    assert coins == {(into / ".mlmguard" / "runs" / "ablation" / "canaries.jsonl").read_bytes()}
    kept, copied = (read_json(into / name / "manifest.json") for name in ("clean", "clean-with-copies"))
    assert copied["splits"]["train"] > kept["splits"]["train"]
    assert "ε = " in done.together and "4 not private" in done.together
    single = max(one.epsilon for one in done.outcomes if one.epsilon)
    assert float(done.together.split("ε = ")[1].split()[0]) > single  # composed, not the largest
    html = done.page.read_text()
    assert "8 cells on one corpus" in html and "What each choice does" in html and "<svg" in html
    told = json.loads(done.page.with_suffix(".json").read_text())
    assert len(told["outcomes"]) == 8 and told["effects"]

    # started again it trains nothing; of a lost outcome a plain model is trained anew, a private one is not
    runs = written_runs(into)
    assert len(runs) == 8
    assert ablation.ablate(plan, into).outcomes == done.outcomes and written_runs(into) == runs
    for private in (False, True):
        kept = next(
            one
            for one in into.glob("cells/*/outcome.json")
            if (read_json(one)["epsilon"] is not None) is private
        )
        kept.unlink()
        runs = written_runs(into)
        assert ablation.ablate(plan, into).outcomes == done.outcomes
        assert len(written_runs(into) - runs) == (0 if private else 1)


def written_runs(into: Path) -> set[tuple[str, int]]:
    """Every training run and when it was written: a plain one that is done again keeps its name."""
    found = into.glob(".mlmguard/runs/train-*/run.json")
    return {(path.parent.name, path.stat().st_mtime_ns) for path in found}


@pytest.mark.slow
def test_a_cell_that_cannot_be_is_shown_as_refused(tmp_path: Path) -> None:
    text = PLAN.replace("masking: [token, span]", "objective: [mlm, mlm+nsp]").replace(
        "[true, false]", "[true]"
    )
    done = ablation.ablate(written(tmp_path / "plan.yaml", text), tmp_path / "ablation")
    refused = [one for one in done.outcomes if one.refused]
    assert [one.place for one in refused] == [{"objective": "mlm+nsp", "dp_epsilon": 8, "dedup": True}]
    assert "a pair of two units in a private run" in done.page.read_text()


def test_canaries_must_be_as_many_in_every_cell(tmp_path: Path) -> None:
    plan = written(tmp_path / "p.yaml", "grid: {canaries: [0, 10]}\nnotes: 100")
    with pytest.raises(InputError, match="all cells share their canaries"):
        ablation.ablate(plan, tmp_path / "x")
