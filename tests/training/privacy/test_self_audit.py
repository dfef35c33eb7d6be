"""The private step audits itself: an honest one stands, each way of cheating is caught."""

import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlmguard import cli
from mlmguard.commands import private_step
from mlmguard.commands.private_step import audit_private_step
from mlmguard.errors import InputError
from mlmguard.training import gradients, loop, mechanism
from mlmguard.training.clipping import unit_batch
from mlmguard.training.journal import Journal
from mlmguard.training.privacy.randomness import NoiseSource
from mlmguard.training.recipes import Recipe
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit
from tests.fixtures.models import small

SEEDS = range(5)


@pytest.fixture(autouse=True)
def entropy_with_a_seed(monkeypatch):
    """Coins and draws from a known seed, so that a test of a median cannot fail one day in a hundred."""
    seeds = np.random.SeedSequence(20_231)

    def seeded():
        return np.random.default_rng(seeds.spawn(1)[0])

    monkeypatch.setattr(mechanism, "private_rng", seeded)
    monkeypatch.setattr(private_step, "private_rng", seeded)
    monkeypatch.setattr(mechanism, "noise_source", lambda: NoiseSource(seeded().bytes(32)))


def test_an_honest_step_gives_a_bound_between_one_and_its_claim():
    audits = [audit_private_step() for _ in SEEDS]
    assert all(a.claimed <= 4 < a.ceiling and a.conclusive and a.sampler.agrees for a in audits)
    assert not any(a.refuted for a in audits)
    assert 1 < statistics.median(a.lower_bound for a in audits) < 4
    (entry,) = audits[0].ledger
    assert (entry.steps, entry.noise_multiplier) == (100, audits[0].plan.noise_multiplier)


def test_noise_secretly_cut_to_a_quarter_is_refuted(monkeypatch):
    honest = mechanism.gaussian
    monkeypatch.setattr(mechanism, "gaussian", lambda *arguments: honest(*arguments) / 4)
    audits = [audit_private_step() for _ in SEEDS]
    assert all(a.claimed <= 4 for a in audits)  # the ledger was lied to
    assert statistics.median(a.lower_bound for a in audits) > 4
    assert all(a.refuted for a in audits)


def test_clipping_off_is_refuted_by_canaries_longer_than_c(monkeypatch):
    assert not audit_private_step(canary_norm=10.0).refuted  # clipped: no more than C after all
    monkeypatch.setattr(unit_batch, "clip_factors", lambda norms, losses, bound: torch.ones_like(norms))
    assert all(audit_private_step(canary_norm=10.0).refuted for _ in SEEDS)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_shuffled_sampler_of_fixed_size_is_flagged(monkeypatch, rate):
    def shuffled(count, sample_rate, rng):
        return rng.permutation(count)[: round(count * sample_rate)]

    monkeypatch.setattr(mechanism, "poisson_draw", shuffled)
    audit = audit_private_step(sample_rate=rate, canaries=2000, guesses=200)
    assert not audit.sampler.agrees and audit.sampler.variance_ratio < 0.01


def test_a_sampler_that_draws_by_tens_is_flagged(monkeypatch):
    def tens(count, sample_rate, rng):
        return np.flatnonzero(np.repeat(rng.random(count // 10 + 1) < sample_rate, 10)[:count])

    monkeypatch.setattr(mechanism, "poisson_draw", tens)
    audit = audit_private_step(canaries=2000, guesses=200)
    assert not audit.sampler.agrees and audit.sampler.variance_ratio > 3


def test_the_sampler_check_has_its_nominal_level():
    rng = np.random.default_rng(0)
    values = [
        mechanism.check_sampler(rng.binomial(3000, 0.17, 120).tolist(), 3000, 0.17).p_value
        for _ in range(2000)
    ]
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_training_uses_the_functions_that_are_audited(tmp_path, monkeypatch):
    """What is replaced in ``mechanism`` is replaced in the training step too."""
    called = []

    def count(name):
        honest = getattr(mechanism, name)

        def counted(*arguments):
            called.append(name)
            return honest(*arguments)

        monkeypatch.setattr(mechanism, name, counted)

    for name in ("poisson_draw", "gaussian"):
        count(name)
    tokenizer = Tokenizer.load(None)
    model = small(tokenizer, 16)
    plan = replace(audit_private_step(canaries=20, guesses=2, steps=2).plan, steps=2)
    called.clear()
    journal = Journal(tmp_path, plan)
    recipe = Recipe(2, 2, 1e-3, 1, 16)
    units = [Unit(str(k), (np.arange(10, 15 + k),)) for k in range(4)]
    loop.train(model, units, tokenizer, recipe, journal, plan)
    assert called.count("poisson_draw") == 2
    assert called.count("gaussian") == 2 * sum(1 for _ in model.parameters())
    assert gradients.clipped_gradient_sum.__globals__["clip_factors"] is unit_batch.clip_factors


def test_too_few_canaries_are_said_to_be_unable_to_refute():
    audit = audit_private_step(canaries=100, guesses=50)
    assert not audit.conclusive and not audit.refuted


def test_impossible_numbers_of_guesses_are_refused():
    with pytest.raises(InputError, match="guesses"):
        audit_private_step(canaries=10, guesses=11)


def test_the_command_prints_bound_beside_claim_and_fails_when_refuted(monkeypatch, capsys):
    assert cli.run(["doctor", "--private-step"]) == 0
    shown = capsys.readouterr().out
    assert "claim" in shown and "lower bound" in shown and "not refuted" in shown
    honest = mechanism.gaussian
    monkeypatch.setattr(mechanism, "gaussian", lambda *arguments: honest(*arguments) / 4)
    assert cli.run(["doctor", "--private-step"]) == 1
    assert "REFUTED" in capsys.readouterr().out
