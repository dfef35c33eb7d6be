"""A private run tests its own mechanism: sound ones pass, and each named fault is found in the run it is in.

Faults are put in by replacing the real function, as a changed library or a careless patch would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlmguard.artifacts import read_json
from mlmguard.audit import mechanism as white_box
from mlmguard.hazards import MECHANISM_CHECKS
from mlmguard.leakage import metrics
from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load
from mlmguard.train import TrainSettings
from mlmguard.train import mechanism as tests_of_a_run
from mlmguard.train.run import Run
from mlmguard.training import mechanism, models
from mlmguard.training.clipping import clip, per_sample, unit_batch
from mlmguard.training.distributed import ALONE
from mlmguard.training.privacy import self_audit
from mlmguard.training.privacy.randomness import NoiseSource
from mlmguard.training.privacy.self_audit import SelfAudit
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan, PrivacyStatement
from tests.fixtures.evidence import clean
from tests.train.test_trainer import runs, scanned, trained

RUN = TrainSettings(
    init="scratch",
    dp_epsilon=4,
    delta=1e-5,
    steps=100,
    canaries=0,
    public_size=600,
    batch_units=60,
    window=32,
)
PLAN = DpPlan(1.387, 1.0, 0.1, 100, 1e-5, "document", 60.0, 4.0, mechanism.GRID)
MonkeyPatch = pytest.MonkeyPatch


# --- the canaries alone -------------------------------------------------------------------------------


def alone(plan: DpPlan, seed: int, canaries: int = 2000) -> SelfAudit:
    """The canaries of ``plan``, through its real step, from a known seed."""
    rng = np.random.default_rng(seed)
    audit = SelfAudit(rng.random(canaries) < 0.5, frozenset(range(plan.steps)), canaries // 10)
    noise = NoiseSource(rng.bytes(32))
    for step in range(plan.steps):
        audit.drew(step, np.flatnonzero(rng.random(audit.taking_part) < plan.sample_rate))
        audit.release(plan, noise)
    audit.finish()
    return audit


def test_the_log_ratio_is_that_of_the_two_densities() -> None:
    y = torch.linspace(-4, 5, 50, dtype=torch.float64)
    s, q = self_audit.planned_noise(PLAN), PLAN.sample_rate
    zero = torch.distributions.Normal(0.0, s).log_prob(y).exp()
    one = torch.distributions.Normal(1.0, s).log_prob(y).exp()
    naive = (((1 - q) * zero + q * one) / zero).log()
    assert torch.allclose(self_audit.log_likelihood_ratio(y, PLAN), naive, atol=1e-9)
    always = self_audit.log_likelihood_ratio(y, replace(PLAN, sample_rate=1.0))
    assert torch.allclose(always, (one / zero).log(), atol=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.1, 1.0])
def test_checks_of_an_honest_mechanism_have_their_level(rate: float) -> None:
    found = [alone(replace(PLAN, sample_rate=rate, steps=10), seed) for seed in range(60)]
    assert sum(audit.noise_p()[0] < 0.05 for audit in found) <= 9  # 3 expected of 60
    assert sum(audit.draws_p(PLAN) < 0.05 for audit in found if rate == PLAN.sample_rate) <= 9
    assert min(audit.noise_p()[0] for audit in found) > self_audit.LEVEL


@pytest.mark.parametrize(
    ("rate", "steps", "canaries"),
    [(5e-4, 120, 20_000), (1e-4, 120, 20_000), (0.01, 1, 20_000), (0.99, 3, 20_000), (1e-5, 10, 500),
     (0.05, 120, 20_000), (1.0, 4, 500)],
)  # fmt: skip
def test_rare_draws_of_a_sound_sampler_are_no_fault(rate: float, steps: int, canaries: int) -> None:
    """In a corpus of a million most canaries are never drawn: their numbers are no Gaussians."""
    rng, plan, found = np.random.default_rng(0), replace(PLAN, sample_rate=rate, steps=steps), []
    for _ in range(100):
        audit = SelfAudit(rng.random(canaries) < 0.5, frozenset(), canaries // 10)
        audit.steps, audit.draws = steps, rng.binomial(steps, rate, audit.taking_part)
        found.append(audit.draws_p(plan))
    assert min(found) > self_audit.LEVEL and sum(p < 0.05 for p in found) <= 12


@pytest.mark.parametrize(("rate", "steps"), [(5e-4, 120), (0.01, 4), (0.1, 100), (0.5, 20)])
def test_the_same_canaries_in_every_step_are_a_fault_at_any_rate(rate: float, steps: int) -> None:
    audit = SelfAudit(np.ones(20_000, dtype=bool), frozenset(), 2000)
    audit.steps, audit.draws[: round(rate * 20_000)] = steps, steps
    assert audit.draws_p(replace(PLAN, sample_rate=rate, steps=steps)) < self_audit.LEVEL


def test_one_left_out_where_everybody_is_drawn_is_a_fault() -> None:
    plan = replace(PLAN, sample_rate=1.0, steps=3)
    audit = SelfAudit(np.ones(50, dtype=bool), frozenset(), 10)
    audit.steps, audit.draws = 3, np.array([3] * 49 + [2])
    assert audit.draws_p(plan) == 0
    assert mechanism.check_sampler([50, 50, 50], 50, 1.0).agrees
    assert not mechanism.check_sampler([50, 49, 50], 50, 1.0).agrees


def test_a_unit_without_a_finite_gradient_is_no_fault_of_the_clipping() -> None:
    """It counts for nothing in a step. Whether there was one is private, and so no outcome may tell."""
    tokenizer = Tokenizer.load(None)
    model = models.fresh("nano", tokenizer, 32, 0.0, 0)
    with torch.no_grad():
        model.base_model.embeddings.token_type_embeddings.weight[1] = 1e30
    ids = torch.randint(10, 500, (3, 16), generator=torch.Generator().manual_seed(0))
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.where(torch.arange(16) < 4, ids, unit_batch.IGNORED),
        "token_type_ids": torch.zeros_like(ids),
    }
    assert clip.distance_from_loop(model, batch) < 1e-5
    batch["token_type_ids"][1, 9] = 1
    assert not clip.clipped_gradient_sum(model, batch, 1.0).norms[1].isfinite()
    assert clip.distance_from_loop(model, batch) < 1e-5
    batch["token_type_ids"][:, 9] = 1
    assert clip.distance_from_loop(model, batch) == 0


def test_a_run_that_an_earlier_version_began_draws_no_canaries_half_way(tmp_path: Path) -> None:
    """The sizes of its first draws are those of texts alone."""
    run = Run("train-0", tmp_path, ALONE)
    (tmp_path / "ledger.jsonl").write_text("a step\n")
    assert tests_of_a_run.opened(run, replace(PLAN, steps=3)) is None
    assert not (tmp_path / self_audit.COINS).exists()
    (tmp_path / "ledger.jsonl").unlink()
    begun = tests_of_a_run.opened(run, replace(PLAN, steps=3))
    (tmp_path / "ledger.jsonl").write_text("a step\n")
    again = tests_of_a_run.opened(run, replace(PLAN, steps=3, delta=1e-3))  # what is written there stands
    assert begun is not None and again is not None and (begun.planted == again.planted).all()
    assert (again.guesses, again.checked) == (begun.guesses, begun.checked)


def test_a_step_that_is_tried_again_counts_once() -> None:
    """After a pass that ran out of memory the whole step is made anew, with fresh noise."""
    audit = SelfAudit(np.ones(50, dtype=bool), frozenset({0}), 10)
    audit.drew(0, np.arange(20))
    noise = NoiseSource()
    for _ in range(3):
        audit.release(PLAN, noise)
    audit.finish()
    assert audit.steps == 1 and audit.draws.sum() == 20
    assert audit.noise[self_audit.ON_CANARIES][1] == 50


def test_a_resumed_run_goes_on_with_its_scores(tmp_path: Path) -> None:
    first = SelfAudit.draw(tmp_path, PLAN, 100, 10)
    first.drew(0, np.arange(5))
    first.release(PLAN, NoiseSource())
    state = first.state()
    again = SelfAudit.read(tmp_path)
    again.restore(*state)
    assert (again.planted == first.planted).all() and again.guesses == 10 and again.checked == first.checked
    assert torch.equal(again.log_ratios, first.log_ratios) and again.steps == 1 and again.noise == first.noise


@pytest.mark.parametrize(("delta", "canaries"), [(1e-5, 20_000), (1e-4, 5000), (1e-3, 500)])
def test_a_large_delta_takes_fewer_canaries(delta: float, canaries: int) -> None:
    m, guesses = tests_of_a_run.design(replace(PLAN, delta=delta))
    assert (m, guesses) == (canaries, canaries // 10)


def test_the_simulated_share_is_that_of_the_real_step() -> None:
    share = self_audit.simulated_share(PLAN, self_audit.planned_noise(PLAN), 1.0, 0.1)
    real = [alone(PLAN, seed, 20_000).right() / 2000 for seed in range(2)]
    assert share == pytest.approx(np.mean(real), abs=0.02)


# --- in a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scanned(tmp_path_factory.mktemp("mechanism"), notes=300)


def outcomes(statement: PrivacyStatement) -> dict[str, str]:
    assert {check.id for check in statement.mechanism_checks} == set(MECHANISM_CHECKS)
    return {check.id: check.outcome for check in statement.mechanism_checks}


def bound_of(place: Path, statement: PrivacyStatement) -> float:
    found = white_box.white_box(runs(place) / statement.run_id, statement)
    value = found[0].value
    assert found[0].metric == "white_box_lower_bound" and value is not None
    return value


def judged_by_base(statement: PrivacyStatement) -> dict[str, str]:
    """The verdicts of the two rules on the clean evidence with this statement."""
    evidence = replace(clean(), statement=statement)
    verdicts = judge(load("base"), evidence).verdicts
    return {one.rule: str(one.status) for one in verdicts if one.rule in ("dp-mechanism", "dp-white-box")}


@pytest.mark.slow
def test_an_honest_run_passes_and_its_bound_lies_below_its_claim(place: Path) -> None:
    for epsilon, least, most in ((4.0, 1.0, 4.0), (8.0, 1.5, 8.0)):
        statement = trained(place, replace(RUN, dp_epsilon=epsilon)).statement
        assert set(outcomes(statement).values()) == {"passed"}
        assert least < bound_of(place, statement) < most
        assert judged_by_base(statement)["dp-mechanism"] == "pass"


def quarter(patch: MonkeyPatch) -> None:
    honest = mechanism.gaussian
    patch.setattr(mechanism, "gaussian", lambda *given: honest(*given) / 4)


def tied_without_noise(patch: MonkeyPatch) -> None:
    honest = mechanism.gaussian

    def but_for_the_vocabulary(like: torch.Tensor, *rest: object) -> torch.Tensor:
        drawn = honest(like, *rest)  # type: ignore[arg-type]
        return torch.zeros_like(drawn) if like.ndim == 2 and len(like) > 1000 else drawn

    patch.setattr(mechanism, "gaussian", but_for_the_vocabulary)


def unclipped(patch: MonkeyPatch, *modules: object) -> None:
    for module in modules:
        patch.setattr(module, "clip_factors", lambda norms, losses, bound: torch.ones_like(norms))


def clipping_off(patch: MonkeyPatch) -> None:
    unclipped(patch, unit_batch, clip, per_sample)


def clipping_off_for_texts(patch: MonkeyPatch) -> None:
    unclipped(patch, clip, per_sample)


def fixed_size(patch: MonkeyPatch) -> None:
    patch.setattr(mechanism, "poisson_draw", lambda n, rate, rng: rng.permutation(n)[: round(n * rate)])


def same_units_always(patch: MonkeyPatch) -> None:
    """As many as a Poisson draw, and always the first ones."""
    patch.setattr(mechanism, "poisson_draw", lambda n, rate, rng: np.arange(rng.binomial(n, rate)))


def everything_off(patch: MonkeyPatch) -> None:
    patch.setattr(mechanism, "gaussian", lambda like, *rest: torch.zeros(like.shape, dtype=torch.float64))
    clipping_off(patch)
    patch.setattr(mechanism, "poisson_draw", lambda n, rate, rng: np.flatnonzero(rng.random(n) < 0.73))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "failed", "refutes"),
    [
        (quarter, {"noise", "canaries"}, True),
        (tied_without_noise, {"noise"}, False),
        (clipping_off, {"clipping", "canaries"}, True),
        (clipping_off_for_texts, {"clipping"}, False),
        (fixed_size, {"sampler"}, False),
        (same_units_always, {"sampler"}, False),
        (everything_off, set(MECHANISM_CHECKS), True),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_fault_is_found_in_the_run_that_has_it(
    place: Path,
    monkeypatch: MonkeyPatch,
    fault: Callable[[MonkeyPatch], None],
    failed: set[str],
    refutes: bool,
) -> None:
    with monkeypatch.context() as patch:
        fault(patch)
        statement = trained(place, RUN).statement
    assert {name for name, outcome in outcomes(statement).items() if outcome == "failed"} >= failed
    assert judged_by_base(statement)["dp-mechanism"] == "fail"
    assert statement.epsilon is not None and statement.epsilon <= 4
    assert (bound_of(place, statement) > statement.epsilon) is refutes


@pytest.mark.slow
def test_what_a_sample_rate_cannot_show_is_said(place: Path) -> None:
    statement = trained(place, replace(RUN, dp_epsilon=8, batch_units=6)).statement
    found = {m.slice: m for m in white_box.white_box(runs(place) / statement.run_id, statement)}
    assert "cannot refute 7.99" in found["noise / 4"].note
    assert "0.01" in found["noise / 4"].note
    assert (found[""].value or 0) < 8


def test_the_numbers_stay_in_the_run_folder(place: Path) -> None:
    statement = trained(place, replace(RUN, steps=3)).statement
    told = read_json(runs(place) / statement.run_id / self_audit.NUMBERS)
    assert told["steps"] == 3 and told["sampler"]["steps"] == 3 and len(told["clipping"]) == 3
    assert max(told["clipping"]) < 1e-3
    released = (place / "ckpt" / "privacy.json").read_text()
    assert "variance_ratio" not in released and "mean_z" not in released
    assert statement.batch_sizes == {}
    assert metrics.one_run_ceiling(told["canaries"], told["guesses"], 1e-5) > 5
