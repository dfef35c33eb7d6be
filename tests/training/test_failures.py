"""What a plain run does about its own failures, and that a private one does none of it."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mlmguard.artifacts import read_json, write_json
from mlmguard.training import gradients, loop, models, watch
from mlmguard.training.examples import example
from mlmguard.training.journal import Journal
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import masking, packing, units
from mlmguard.training.text.masking import Masking
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan, Watcher
from tests.fixtures.models import small

TOKENIZER = Tokenizer.load(None)
CPU = torch.device("cpu")


def some_units(count=12, length=20):
    rng = np.random.default_rng(0)
    return [units.Unit(f"u{k}", (rng.integers(10, len(TOKENIZER), length + k),)) for k in range(count)]


def small_model(seed=0):
    return small(TOKENIZER, 32, seed)


def recipe(**changes):
    usual = {"steps": 20, "batch_units": 4, "learning_rate": 1e-3, "warmup_steps": 2, "window": 32}
    return Recipe(**{**usual, **changes})


def run(folder, model, how, tell=lambda line: None, stop=bool, **options):
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, options.pop("plan", None))
    watcher = Watcher(tell=tell, stop=stop)
    loop.train(
        model, some_units(), TOKENIZER, how, journal, journal.plan, device=CPU, watcher=watcher, **options
    )
    return journal


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# --- the loss leaves ----------------------------------------------------------------------------------


def test_a_loss_leaves_when_the_median_does_and_not_for_one_hard_batch():
    seen = watch.LossWatch()
    falling = [8 - 0.05 * k for k in range(60)]
    assert not any(seen.left(loss) for loss in falling)
    assert not seen.left(20.0) and not seen.well(20.0) and seen.well(5.0)
    assert [seen.left(12.0) for _ in range(5)] == [False, False, False, True, True]
    assert watch.LossWatch().left(math.nan) and watch.LossWatch().left(math.inf)


def test_a_watch_fed_the_losses_so_far_is_the_one_that_saw_them():
    losses = [7.0] * 9 + [5.0] * 9
    again, once = watch.LossWatch(losses), watch.LossWatch()
    for loss in losses:
        once.left(loss)
    later = [5.0, 9.0, 9.0, 9.0, 9.0, 9.0]
    assert [again.left(x) for x in later] == [once.left(x) for x in later]


def breaks_at(step, monkeypatch, times=1):
    """The loss is NaN at a step, as often as said; the gradient is left as it was."""
    original, seen = gradients.plain_gradient, {"calls": 0, "broke": 0}

    def broken(*args):
        loss = original(*args)
        if seen["calls"] == step and seen["broke"] < times:
            seen["broke"] += 1
            seen["calls"] = 0 if times > 1 else seen["calls"] + 1
            return math.nan
        seen["calls"] += 1
        return loss

    monkeypatch.setattr(gradients, "plain_gradient", broken)


def test_after_a_loss_that_is_not_finite_the_run_goes_back_and_on_at_half_the_rate(tmp_path, monkeypatch):
    said = []
    breaks_at(13, monkeypatch)
    journal = run(tmp_path, small_model(), recipe(), tell=said.append)
    assert said == ["step 14: the loss is not finite; back to step 12 at half the learning rate"]
    assert journal.applied == 20 and len(journal.losses) == 20 and journal.eased == watch.EASED
    how, rates = recipe(), journal.curves["rate"]
    assert rates[11] == pytest.approx(1e-3 * loop.schedule(11, how))
    assert rates[12] == pytest.approx(0.5e-3 * loop.schedule(12, how))


def test_a_second_time_ends_the_run_and_leaves_the_good_state(tmp_path, monkeypatch):
    breaks_at(5, monkeypatch, times=2)
    with pytest.raises(loop.MlmguardError, match="not finite again; lower --learning-rate"):
        run(tmp_path, small_model(), recipe())
    assert (tmp_path / "good.json").exists()


def test_a_run_that_diverges_falls_back_to_before_it_did(tmp_path):
    """A rate at which training leaves: the loss after the fall-back starts from good weights again."""
    model, said = small_model(), []
    rng = np.random.default_rng(0)
    corpus = [units.Unit(f"u{k}", (rng.choice(np.arange(100, 110), 24),)) for k in range(12)]
    original = loop.schedule

    def jolts(step, how):  # a hundred steps that learn, then a rate a thousand times too high, once
        return original(step, how) * (1000 if step >= 100 and not said else 1)

    how = recipe(steps=200, learning_rate=3e-3)
    journal = Journal(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "schedule", jolts)
        loop.train(model, corpus, TOKENIZER, how, journal, device=CPU, watcher=Watcher(tell=said.append))
    assert len(said) == 1 and "back to step 100" in said[0]
    assert np.mean(journal.losses[-20:]) < np.mean(journal.losses[90:100]) + 0.1
    assert len(journal.losses) == 200


def test_a_private_run_neither_falls_back_nor_keeps_good_states(tmp_path, monkeypatch):
    plan = DpPlan(1.0, 1.0, 0.5, 6, 1e-5, "document", 6.0, 8.0)
    original = gradients.private_gradient
    monkeypatch.setattr(gradients, "private_gradient", lambda *args: (original(*args), math.nan)[1])
    said, evaluated = [], []
    how = recipe(steps=6, evaluate_every=1, patience=1)
    journal = run(
        tmp_path, small_model(), how, plan=plan, tell=said.append,
        validate=lambda: evaluated.append(1) or 9.0,
    )  # fmt: skip
    assert (journal.charged, journal.applied, said, evaluated) == (6, 6, [], [])
    assert not list(tmp_path.glob("good*")) and not list(tmp_path.glob("best*"))


# --- 16-bit floats ------------------------------------------------------------------------------------


def test_a_step_whose_scaled_gradient_overflows_is_left_out_and_the_factor_halved(tmp_path):
    """The real scaler, on this CPU, resumed with a factor that no 16-bit gradient can bear."""
    how, count = recipe(precision="fp16", steps=50), iter(range(1000))
    with pytest.raises(loop.Interrupted):
        run(tmp_path, small_model(), how, stop=lambda: next(count) == 4)
    state = read_json(tmp_path / "state.json")
    before = load_file(tmp_path / "state-5.safetensors")
    state["scaler"]["scale"] = 2.0**40
    write_json(tmp_path / "state.json", state)
    model, count = small_model(), iter(range(1000))
    with pytest.raises(loop.Interrupted):
        run(tmp_path, model, how, stop=lambda: next(count) == 4)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[f"model.{name}"])
    journal = run(tmp_path, model, how)
    left_out = [norm is None for norm in journal.curves["gradient_norm"]]
    assert left_out[5:10] == [True] * 5 and not any(left_out[:5] + left_out[-10:])
    assert journal.scaler.get_scale() == 2.0 ** (40 - sum(left_out)) and journal.applied == 50


def test_a_run_in_16_bits_that_is_resumed_scales_on_where_it_was(tmp_path):
    how = recipe(precision="fp16")
    whole, stopped, resumed = small_model(), small_model(), small_model(seed=9)
    through = run(tmp_path / "a", whole, how)
    count = iter(range(1000))
    with pytest.raises(loop.Interrupted):
        run(tmp_path / "b", stopped, how, stop=lambda: next(count) == 7)
    again = run(tmp_path / "b", resumed, how)
    assert torch.equal(weights(whole), weights(resumed))
    assert through.scaler.state_dict() == again.scaler.state_dict()


# --- memory -------------------------------------------------------------------------------------------


class Device:
    """A model that runs out of memory above so many tokens a pass, with torch's own exception."""

    def __init__(self, model, limit):
        self.passes = []
        model.register_forward_pre_hook(self._refuse, with_kwargs=True)
        self.limit = limit

    def _refuse(self, module, args, kwargs):
        tokens = kwargs["input_ids"].numel()
        if tokens > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.passes.append(tokens)


def test_out_of_memory_means_smaller_passes_of_the_same_batch(tmp_path):
    whole, pressed = small_model(), small_model()
    how = recipe(steps=6)
    through = run(tmp_path / "a", whole, how)
    device = Device(pressed, 70)
    again = run(tmp_path / "b", pressed, how)
    assert max(device.passes) <= 70 < 4 * 22
    assert again.losses == pytest.approx(through.losses, rel=1e-5)


def test_a_cpu_that_runs_out_of_memory_is_asked_for_less_too():
    asked = []

    def work(tokens):
        asked.append(tokens)
        return torch.empty(2**60 if tokens > 100 else 8).numel()  # the allocator's own refusal

    assert watch.within_memory(work, 800, 16) == (8, 100) and asked == [800, 400, 200, 100]
    with pytest.raises(RuntimeError, match="something else"):
        watch.within_memory(lambda tokens: (_ for _ in ()).throw(RuntimeError("something else")), 800, 16)


def test_a_private_batch_in_smaller_passes_is_charged_once(tmp_path):
    model = small_model()
    Device(model, 70)
    plan = DpPlan(1.0, 1.0, 0.9, 5, 1e-5, "document", 6.0, 8.0)
    journal = run(tmp_path, model, recipe(steps=5), plan=plan)
    assert journal.charged == journal.applied == 5


def test_a_window_that_does_not_fit_ends_the_run_with_what_would_help(tmp_path):
    model = small_model()
    Device(model, 10)
    with pytest.raises(loop.MlmguardError, match="--gradient-checkpointing"):
        run(tmp_path, model, recipe())


# --- stopping early -----------------------------------------------------------------------------------


def evaluations(*pairs):
    return [watch.Evaluation(10 * (k + 1), v, t) for k, (v, t) in enumerate(pairs)]


def test_overfitting_is_no_new_best_and_a_growing_gap_in_a_row():
    assert watch.overfits(evaluations((5, 5), (4, 4), (4.1, 3.5), (4.2, 3)), 2)
    assert not watch.overfits(evaluations((5, 5), (4, 4), (4.1, 3.5)), 2)  # not for long enough
    assert not watch.overfits(evaluations((5, 5), (4, 4), (4.1, 3.5), (3.9, 3)), 2)  # a new best
    assert not watch.overfits(evaluations((5, 5), (4, 4), (4.1, 4.1), (4.2, 4.2)), 2)  # both rise: no gap
    assert not watch.overfits(evaluations((5, 5), (6, 4), (7, 3)), 0)


def test_a_run_that_overfits_stops_and_keeps_its_best_weights(tmp_path):
    model, said, at = small_model(), [], {}
    validation = iter([7.0, 6.0, 6.5, 7.0, 7.5, 8.0, 9.0, 9.0, 9.0, 9.0])

    def validate():
        loss = next(validation)
        at[loss] = weights(model).clone()
        return loss

    rng = np.random.default_rng(0)
    corpus = [units.Unit(f"u{k}", (rng.choice(np.arange(100, 104), 24),)) for k in range(12)]
    how = recipe(steps=100, learning_rate=1e-2, evaluate_every=10, patience=3)
    journal = Journal(tmp_path)
    loop.train(
        model,
        corpus,
        TOKENIZER,
        how,
        journal,
        device=CPU,
        validate=validate,
        watcher=Watcher(tell=said.append),
    )
    assert said == ["step 50: the validation loss has stopped falling; back to step 20"]
    assert journal.applied == 50 and torch.equal(weights(model), at[6.0])


# --- schedules and resuming ---------------------------------------------------------------------------


def test_schedules_warm_up_and_end_where_they_say():
    for name, middle in (("linear", 0.55), ("cosine", 0.55), ("constant", 1.0)):
        how = recipe(steps=110, warmup_steps=10, schedule=name)
        assert loop.schedule(0, how) == 0.1 and loop.schedule(9, how) == loop.schedule(10, how) == 1.0
        assert loop.schedule(60, how) == pytest.approx(middle)
        assert loop.schedule(109, how) == pytest.approx(1.0 if name == "constant" else 0.1, abs=0.01)
    quarter = recipe(steps=110, warmup_steps=10, schedule="cosine", last_rate=0.0)
    assert loop.schedule(35, quarter) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_gradients_are_scaled_down_together_to_the_norm_asked_for(tmp_path):
    journal = run(tmp_path, small_model(), recipe(steps=1, max_grad_norm=1e-3))
    model = small_model()
    model(**{key: torch.randint(5, 50, (2, 8)) for key in ("input_ids", "labels")}).loss.backward()
    before = gradients.gradient_norm(model, 1e-3)
    after = gradients.gradient_norm(model, math.inf)
    assert before > 1e-2 and after == pytest.approx(1e-3, rel=1e-3)
    assert journal.curves["gradient_norm"][0] > 1e-3  # what is recorded is what it was before


EVERYTHING = {
    "masking": Masking("span", 0.3, 0.15),
    "objective": "mlm+nsp",
    "schedule": "cosine",
    "packed": True,
    "evaluate_every": 3,
    "patience": 3,
}


def noted(corpus):
    return [
        units.Unit(
            unit.id, unit.sequences, (masking.Notes(np.arange(len(ids)) // 2, np.zeros(len(ids), bool)),)
        )
        for unit in corpus
        for ids in unit.sequences
    ]


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"masking": Masking(static=True)}])
@pytest.mark.parametrize("cut", [1, 7])
def test_a_run_stopped_anywhere_and_resumed_is_the_same_run_bit_for_bit(tmp_path, options, cut):
    corpus, how = noted(some_units()), recipe(**options)

    def go(folder, model, stop):
        folder.mkdir(exist_ok=True)
        models.set_dropout(model, 0.1)
        journal = Journal(folder)
        step = iter(range(10**6))
        loop.train(
            model, corpus, TOKENIZER, how, journal, device=CPU,
            validate=lambda: float(weights(model).square().sum()),
            watcher=Watcher(stop=lambda: next(step) + 1 == stop),
        )  # fmt: skip
        return journal

    whole, stopped, resumed = small_model(), small_model(), small_model(seed=9)
    through = go(tmp_path / "a", whole, 0)
    with pytest.raises(loop.Interrupted):
        go(tmp_path / "b", stopped, cut)
    again = go(tmp_path / "b", resumed, 0)
    assert torch.equal(weights(whole), weights(resumed))
    assert through.losses == again.losses and through.evaluations == again.evaluations


def test_a_run_that_falls_back_and_is_killed_later_ends_the_same(tmp_path, monkeypatch):
    """Good states lie at fixed steps: where a run falls back to does not depend on when it was saved."""
    endings = []
    for name, stop in (("a", 0), ("b", 16)):
        with pytest.MonkeyPatch.context() as patch:
            breaks_at(13, patch)
            model, count = small_model(), iter(range(1000))
            try:
                run(tmp_path / name, model, recipe(), stop=lambda: next(count) + 1 == stop)  # noqa: B023
            except loop.Interrupted:
                model = small_model(seed=5)
                run(tmp_path / name, model, recipe())
        endings.append(weights(model))
    assert torch.equal(*endings)


# --- packing ------------------------------------------------------------------------------------------


def test_rows_are_filled_and_hold_every_example_once():
    lengths = [30, 5, 12, 12, 7, 31, 3]
    rows = packing.rows(lengths, 32)
    assert sorted(k for row in rows for k in row) == list(range(7))
    assert all(sum(lengths[k] for k in row) <= 32 for row in rows) and len(rows) == 4


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_packed_examples_have_the_loss_and_the_gradient_they_have_alone(kind):
    from transformers import AutoConfig, AutoModelForMaskedLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, vocab_size=len(TOKENIZER), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=40, embedding_size=16,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=TOKENIZER.pad,
    )  # fmt: skip
    model = AutoModelForMaskedLM.from_config(config)
    packing.refuse_unpackable(model, len(TOKENIZER), 32, TOKENIZER.pad)
    rng = np.random.default_rng(0)
    corpus = [units.Unit(f"u{k}", (rng.integers(10, len(TOKENIZER), 3 + 2 * k),)) for k in range(8)]
    examples = [example(unit, TOKENIZER, recipe(), rng) for unit in corpus]
    found = []
    for packed in (0, 32):
        model.zero_grad()
        loss = gradients.plain_gradient(model, examples, TOKENIZER.pad, 8192, CPU, packed=packed)
        found.append((loss, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert float((found[0][1] - found[1][1]).norm() / found[0][1].norm()) < 1e-5


def test_a_model_that_ignores_the_boundaries_is_refused_by_name():
    model = small_model()
    model.bert.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "attention_mask": None}), with_kwargs=True
    )
    with pytest.raises(loop.MlmguardError, match="--packing: BertForMaskedLM"):
        packing.refuse_unpackable(model, len(TOKENIZER), 32, TOKENIZER.pad)


# --- what is kept -------------------------------------------------------------------------------------


def test_a_quiet_private_run_keeps_no_number_of_private_text(tmp_path):
    plan = DpPlan(1.0, 1.0, 0.5, 4, 1e-5, "document", 6.0, 8.0)
    tracked = []
    journal = Journal(tmp_path, plan, quiet=True, track=lambda step, numbers: tracked.append(numbers))
    loop.train(small_model(), some_units(), TOKENIZER, recipe(steps=4), journal, plan, device=CPU)
    assert set(journal.curves) == {"loss", "rate", "gradient_norm"} and journal.losses == []
    assert all(set(numbers) == {"rate", "gradient_norm"} for numbers in tracked) and len(tracked) == 4
