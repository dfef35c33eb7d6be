"""Masking, units, the loop and its journal: what a private step must do whatever is drawn."""

import itertools
import json
import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlmguard.training import examples as examples_of
from mlmguard.training import gradients, loop, mechanism, models
from mlmguard.training import journal as journals
from mlmguard.training.clipping import precision
from mlmguard.training.examples import collate
from mlmguard.training.gradients import clipped_total
from mlmguard.training.privacy import releases
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import masking, tokenizer, units
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan, Watcher
from tests.fixtures.models import small

TOKENIZER = Tokenizer.load(None)


def some_units(count=12, length=20, seed=0):
    rng = np.random.default_rng(seed)
    return [units.Unit(f"u{k}", (rng.integers(10, len(TOKENIZER), length),)) for k in range(count)]


def small_model(seed=0):
    return small(TOKENIZER, 32, seed)


def plan(**changes):
    base = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "sample_rate": 0.5, "steps": 4, "delta": 1e-5}
    return DpPlan(**{**base, "unit": "document", "normaliser": 6.0, "epsilon": 8.0, **changes})


RECIPE = Recipe(steps=4, batch_units=6, learning_rate=1e-3, warmup_steps=1, window=32)


# --- masking ------------------------------------------------------------------------------------------


def test_masking_follows_80_10_10_and_leaves_special_tokens_alone():
    rng = np.random.default_rng(0)
    ids = np.concatenate(
        [
            [TOKENIZER.cls],
            rng.integers(10, len(TOKENIZER), 50_000),
            [TOKENIZER.sep, TOKENIZER.pad, TOKENIZER.pad],
        ]
    )
    masked, labels = masking.mask_tokens(ids, TOKENIZER, rng, 0.15)
    chosen = labels != masking.IGNORED
    assert not chosen[[0, -1, -2, -3]].any() and (masked[~chosen] == ids[~chosen]).all()
    assert (labels[chosen] == ids[chosen]).all()
    assert chosen.mean() == pytest.approx(0.15, abs=0.006)
    assert (masked[chosen] == TOKENIZER.mask_id).mean() == pytest.approx(0.8, abs=0.02)
    assert (masked[chosen] == ids[chosen]).mean() == pytest.approx(0.1, abs=0.02)


def test_a_short_record_is_never_without_a_loss_and_an_empty_one_is():
    rng = np.random.default_rng(0)
    for _ in range(50):
        _, labels = masking.mask_tokens(np.array([TOKENIZER.cls, 50, TOKENIZER.sep]), TOKENIZER, rng, 0.01)
        assert (labels != masking.IGNORED).sum() == 1
    _, labels = masking.mask_tokens(np.array([TOKENIZER.cls, TOKENIZER.sep]), TOKENIZER, rng)
    assert (labels == masking.IGNORED).all()


def test_a_fixed_seed_gives_fixed_masks():
    ids = np.arange(10, 200)
    once, again = (masking.mask_tokens(ids, TOKENIZER, np.random.default_rng(3)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(once, again))


# --- units --------------------------------------------------------------------------------------------


def test_one_draw_of_a_unit_is_one_window_however_long_it_is():
    rng = np.random.default_rng(0)
    long = units.Unit("x", (np.arange(10, 1000), np.arange(10, 15)))
    lengths = {len(units.window(long, 32, TOKENIZER.cls, TOKENIZER.sep, rng)) for _ in range(100)}
    assert lengths == {32, 7}


def test_windows_cover_a_sequence_once():
    ids = np.arange(10, 85)
    inner = np.concatenate([w[1:-1] for w in units.windows(ids, 32, TOKENIZER.cls, TOKENIZER.sep)])
    assert (inner == ids).all()


def test_realised_draws_are_binomial_and_independent_across_steps():
    rng = mechanism.private_rng()
    draws = np.zeros((2000, 100), dtype=bool)
    for row in draws:
        row[units.poisson_draw(100, 0.3, rng)] = True
    sizes = draws.sum(1)
    assert sizes.mean() == pytest.approx(30, abs=5 * math.sqrt(21 / 2000))
    assert sizes.var() == pytest.approx(21, rel=0.2)
    both = (draws[1:, 0] & draws[:-1, 0]).mean()
    assert both == pytest.approx(0.09, abs=0.035)


def test_micro_batches_hold_every_sequence_once_within_the_budget():
    sequences = [np.zeros(n) for n in (5, 64, 3, 64, 17, 200)]
    groups = list(units.micro_batches(sequences, 130))
    assert sorted(k for group in groups for k in group) == list(range(6))
    for group in groups:
        assert len(group) == 1 or len(group) * max(len(sequences[k]) for k in group) <= 130


# --- the private step ---------------------------------------------------------------------------------


def all_gradients(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def private(model, examples, **changes):
    noise = mechanism.noise_source()
    return gradients.private_gradient(
        model, examples, TOKENIZER.pad, plan(**changes), noise, "one-pass", 8192, torch.device("cpu")
    )


def test_an_empty_draw_is_noise_of_the_planned_scale():
    model = small_model()
    loss = private(model, [], noise_multiplier=2.0, max_grad_norm=0.5, normaliser=4.0)
    found = all_gradients(model)
    assert math.isnan(loss)
    assert float(found.std()) == pytest.approx(2.0 * 0.5 / 4.0, rel=0.02)
    assert float(found.mean()) == pytest.approx(0, abs=5 * 0.25 / math.sqrt(len(found)))


def test_a_margin_for_rounding_widens_the_noise():
    model = small_model()
    private(model, [], noise_multiplier=2.0, max_grad_norm=0.5, normaliser=4.0, precision_margin=0.5)
    assert float(all_gradients(model).std()) == pytest.approx(1.5 * 2.0 * 0.5 / 4.0, rel=0.02)


def test_the_margin_covers_what_16_bit_passes_add():
    """On draws that were not measured: adding one unit moves the clipped sum by at most C(1 + margin)."""
    model, device, recipe = small_model(), torch.device("cpu"), replace(RECIPE, batch_units=48)
    before = [p.detach().clone() for p in model.parameters()]
    half = torch.autocast("cpu", dtype=torch.bfloat16)

    def margin(context):
        return precision.precision_margin(model, TOKENIZER, recipe, "one-pass", device, context)

    assert 0 <= margin(nullcontext()) <= 1e-3
    allowed = margin(half)
    assert allowed > 0 and allowed == margin(half)  # public tokens from a fixed seed
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    rng = np.random.default_rng(5)
    drawn = [units.Unit("u", (rng.integers(10, len(TOKENIZER), rng.integers(1, 31)),)) for _ in range(48)]
    examples = [examples_of.example(unit, TOKENIZER, RECIPE, rng) for unit in drawn]

    def released(some):
        batches = collate(some, TOKENIZER.pad, recipe.micro_tokens, device)
        return clipped_total(model, batches, 1e-2, "one-pass", half)[0]

    whole = released(examples)
    for left_out in range(0, 48, 6):
        rest = released(examples[:left_out] + examples[left_out + 1 :])
        moved = torch.cat([(whole[n] - rest[n]).double().flatten() for n in whole]).norm()
        assert 0.5e-2 < float(moved) <= 1e-2 * (1 + allowed)


def test_noise_never_repeats():
    model = small_model()
    seen = []
    for _ in range(3):
        private(model, [])
        seen.append(all_gradients(model).clone())
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(seen))


def test_one_unit_moves_the_noiseless_mean_by_at_most_c_over_the_normaliser():
    model, rng = small_model(), np.random.default_rng(0)
    examples = [examples_of.example(u, TOKENIZER, RECIPE, rng) for u in some_units(7)]
    private(model, examples[:-1], noise_multiplier=0.0)
    without = all_gradients(model).clone()
    private(model, examples, noise_multiplier=0.0)
    moved = (all_gradients(model) - without).norm() * 6.0
    assert (
        0.5 < float(moved) <= 1.0 + 1e-3
    )  # these gradients are longer than C, so the bound is met, not slack


def test_the_normaliser_is_public_and_not_the_draw():
    model, rng = small_model(), np.random.default_rng(0)
    one = examples_of.example(some_units(1)[0], TOKENIZER, RECIPE, rng)
    private(model, [one], noise_multiplier=0.0, normaliser=6.0)
    assert float(all_gradients(model).norm()) == pytest.approx(1 / 6, rel=1e-3)


def test_micro_batch_size_changes_memory_and_not_the_sum():
    model, rng = small_model(), np.random.default_rng(0)
    examples = [examples_of.example(u, TOKENIZER, RECIPE, rng) for u in some_units(9, length=15)]
    sums = []
    for tokens in (16, 64, 8192):
        noise = mechanism.noise_source()
        gradients.private_gradient(
            model,
            examples,
            TOKENIZER.pad,
            plan(noise_multiplier=0.0),
            noise,
            "one-pass",
            tokens,
            torch.device("cpu"),
        )
        sums.append(all_gradients(model).clone())
    for other in sums[1:]:
        assert float((other - sums[0]).norm() / sums[0].norm()) < 1e-6


# --- the journal --------------------------------------------------------------------------------------


def run(model, folder, the_plan, stop=lambda: False, recipe=RECIPE):
    journal = journals.Journal(folder, the_plan)
    loop.train(model, some_units(), TOKENIZER, recipe, journal, the_plan, watcher=Watcher(stop=stop))
    return journal


def test_a_private_run_charges_every_step_exactly_once(tmp_path):
    journal = run(small_model(), tmp_path, plan())
    (entry,) = journal.entries()
    assert (entry.steps, entry.noise_multiplier, entry.sample_rate) == (4, 1.0, 0.5)
    assert journal.applied == 4


def test_a_step_is_charged_before_its_noise_exists(tmp_path, monkeypatch):
    charged = []

    def look(*args):
        charged.append(len((tmp_path / "ledger.jsonl").read_text().splitlines()))
        return original(*args)

    original = gradients.private_gradient
    monkeypatch.setattr(gradients, "private_gradient", look)
    run(small_model(), tmp_path, plan())
    assert charged == [1, 2, 3, 4]


class Killed(BaseException):
    pass


def test_a_private_run_killed_anywhere_and_resumed_never_spends_more(tmp_path, monkeypatch):
    original = gradients.private_gradient
    rng = np.random.default_rng(5)

    def kill_sometimes(*args):
        if rng.random() < 0.4:
            raise Killed  # after the charge, before or instead of the step
        return original(*args)

    monkeypatch.setattr(gradients, "private_gradient", kill_sometimes)
    the_plan, recipe = plan(steps=12), Recipe(12, 6, 1e-3, 1, 32)
    for _ in range(40):
        try:
            journal = run(small_model(), tmp_path, the_plan, recipe=recipe)
            break
        except Killed:
            continue
    (entry,) = journal.entries()
    assert entry.steps == 12 and journal.applied <= 12
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line.split("\t")[0])["step"] for line in lines] == list(range(12))


def test_a_plain_run_stopped_and_resumed_ends_with_the_same_weights(tmp_path):
    recipe = Recipe(6, 4, 1e-3, 2, 32, seed=3)
    whole = small_model()
    (tmp_path / "a").mkdir()
    run(whole, tmp_path / "a", None, recipe=recipe)
    (tmp_path / "b").mkdir()
    stopped = small_model()
    with pytest.raises(loop.Interrupted):
        run(stopped, tmp_path / "b", None, stop=lambda: True, recipe=recipe)
    resumed = small_model(seed=9)  # weights come from the journal, not from here
    run(resumed, tmp_path / "b", None, recipe=recipe)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values()):
        assert torch.equal(a, b)


def test_a_loss_that_is_not_finite_stops_a_plain_run(tmp_path):
    model = small_model()
    with torch.no_grad():
        model.cls.predictions.bias.fill_(float("inf"))
    with pytest.raises(loop.MlmguardError, match="not finite"):
        run(model, tmp_path, None)


# --- small releases -----------------------------------------------------------------------------------


def test_the_noisy_count_is_charged_and_centred():
    draws = [releases.noisy_count(1000, 0.5) for _ in range(400)]
    counts = np.array([count for count, _ in draws])
    assert draws[0][1].epsilon == 0.5 and draws[0][1].mechanism == "discrete-laplace"
    # variance of the difference of two geometrics: 2p/(1−p)², p = e^−ε
    spread = math.sqrt(2 * math.exp(-0.5) / (1 - math.exp(-0.5)) ** 2)
    assert counts.mean() == pytest.approx(1000, abs=5 * spread / 20)
    assert counts.std() == pytest.approx(spread, rel=0.25)


# --- models and tokenizer -----------------------------------------------------------------------------


def test_masked_logits_are_the_full_forward_at_those_rows():
    model = small_model().eval()
    ids = torch.randint(5, len(TOKENIZER), (3, 20))
    where = torch.rand(3, 20) < 0.2
    attention = torch.ones_like(ids)
    found = models.masked_logits(model, ids, attention, where)
    assert torch.allclose(found, model(input_ids=ids, attention_mask=attention).logits[where], atol=1e-6)


def test_the_shipped_tokenizer_is_the_pinned_one_and_splits_numbers():
    assert tokenizer.digest(tokenizer.PUBLIC / "tokenizer.json") == tokenizer.PUBLIC_SHA256
    assert TOKENIZER.tokens(TOKENIZER.encode(["482913"])[0]) == list("482913")
    assert not any(token.strip("#").isdigit() and len(token.strip("#")) > 1 for token in TOKENIZER.entries())
    unknown = TOKENIZER.hugging_face.unk_token_id
    assert unknown not in TOKENIZER.encode(["~!@#$%^&*()_+{}|:<>?`-=[]\\;',./ O'Neil"])[0]
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = " ".join(a + b for a in letters for b in letters)
    assert unknown not in TOKENIZER.encode([pairs])[0]  # any ASCII word can be spelt
