"""Training a part of the parameters: the same exact sums, and a plain checkpoint in the end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from mlmguard.errors import InputError
from mlmguard.training import adapt, loop, models
from mlmguard.training.clipping.clip import clipped_gradient_sum
from mlmguard.training.clipping.per_sample import one_record_sum
from mlmguard.training.clipping.unit_batch import read_batch
from mlmguard.training.examples import collate, example
from mlmguard.training.journal import Journal
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import units
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan
from tests.fixtures.models import small
from tests.train.test_units import QUICK, scanned, trained

TOKENIZER = Tokenizer.load(None)
RECIPE = Recipe(3, 6, 1e-2, 1, 32)
CPU = torch.device("cpu")


@pytest.fixture
def model():
    return small(TOKENIZER, layers=2)


def corpus(count=8):
    rng = np.random.default_rng(0)
    return [units.Unit(f"u{k}", (rng.integers(10, len(TOKENIZER), 12 + k),)) for k in range(count)]


@pytest.mark.parametrize("kind", adapt.KINDS)
def test_clipped_sums_are_those_of_a_one_record_loop(model, kind):
    adapt.adapt(model, kind, seed=0)
    with torch.no_grad():  # zero to start with: the gradient of A would be, too
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    rng = np.random.default_rng(0)
    examples = [example(unit, TOKENIZER, RECIPE, rng) for unit in corpus()]
    (batch,) = collate(examples, TOKENIZER.pad, 8192, CPU)
    ours = clipped_gradient_sum(model, batch, 0.1)
    truth = one_record_sum(model, read_batch(model, batch), 0.1)
    assert ours.gradients.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    assert float((ours.norms / truth.norms - 1).abs().max()) < 1e-4
    flat = [torch.cat([g.flatten() for _, g in sorted(s.gradients.items())]) for s in (ours, truth)]
    assert float((flat[0] - flat[1]).norm() / flat[1].norm()) < 1e-4


@pytest.mark.parametrize("kind", adapt.KINDS)
def test_frozen_parameters_get_neither_gradient_nor_noise(model, kind, tmp_path):
    adapt.adapt(model, kind, seed=0)
    before = {name: p.clone() for name, p in model.named_parameters()}
    plan = DpPlan(1.0, 1.0, 0.5, 3, 1e-5, "document", 6.0, 8.0)
    loop.train(model, corpus(), TOKENIZER, RECIPE, Journal(tmp_path, plan), plan)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


def test_each_kind_trains_fewer_parameters_than_the_whole(model):
    whole = adapt.trained_parameters(model)
    for kind in ("lora", "bitfit", "head"):
        part = small(TOKENIZER, layers=2)
        adapt.adapt(part, kind, seed=0)
        assert 0 < adapt.trained_parameters(part) < whole / 2
        assert not part.bert.embeddings.word_embeddings.weight.requires_grad


def test_what_a_pattern_freezes_gets_neither_gradient_nor_noise(model, tmp_path):
    adapt.freeze(model, ("*.embeddings.*", "*.layer.0.*"))
    before = {name: p.clone() for name, p in model.named_parameters()}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert "bert.embeddings.word_embeddings.weight" in frozen and any(".layer.0." in name for name in frozen)
    assert not any(".layer.1." in name for name in frozen)
    plan = DpPlan(1.0, 1.0, 0.5, 3, 1e-5, "document", 6.0, 8.0)
    loop.train(model, corpus(), TOKENIZER, RECIPE, Journal(tmp_path, plan), plan)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in frozen), name


@pytest.mark.parametrize(
    ("patterns", "found"), [(("*.nothing.*",), "no parameter of that name"), (("*",), "nothing is left")]
)
def test_patterns_that_freeze_nothing_or_everything_are_refused(model, patterns, found):
    with pytest.raises(InputError, match=found):
        adapt.freeze(model, patterns)


def test_low_rank_updates_have_the_rank_and_the_layers_that_were_asked_for(model):
    adapt.adapt(model, "lora", seed=0, rank=3, targets=("*.query", "*.value"))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    assert shapes and all(".query." in name or ".value." in name for name in shapes)
    assert {min(shape) for shape in shapes.values()} == {3} and len(shapes) == 2 * 2 * 2


def test_merged_weights_answer_as_the_adapters_did(model):
    names = {name for name, _ in model.named_parameters()}
    adapt.adapt(model, "lora", seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    ids = torch.randint(10, len(TOKENIZER), (2, 9))
    before = model.eval()(input_ids=ids).logits
    adapt.merge(model)
    assert {name for name, _ in model.named_parameters()} == names
    assert torch.allclose(model(input_ids=ids).logits, before, atol=1e-4)


def test_a_private_run_with_adapters_leaves_a_plain_checkpoint(tmp_path):
    folder = scanned(tmp_path)
    result = trained(folder, replace(QUICK, adapt="lora"))
    model, told = AutoModelForMaskedLM.from_pretrained(folder / "ckpt", output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    trained_of, all_of = result.facts["trained_parameters"], result.facts["parameters"]
    assert trained_of < all_of == sum(p.numel() for p in model.parameters())
    assert result.statement.adaptation.startswith("lora")
    initial = folder / ".mlmguard" / "runs" / result.statement.run_id / "initial"
    start = AutoModelForMaskedLM.from_pretrained(initial)
    changed = {
        name for (name, a), b in zip(model.named_parameters(), start.parameters()) if not torch.equal(a, b)
    }
    assert changed and all("attention" in name or "dense" in name for name in changed)


def test_unknown_kinds_are_refused(model):
    with pytest.raises(InputError, match="--adapt"):
        adapt.adapt(model, "prefix", seed=0)


def test_a_private_run_from_a_checkpoint_steps_by_its_width(tmp_path):
    start = tmp_path / "start"
    models.fresh("tiny", TOKENIZER, 32, 0.0, 0).save_pretrained(start)
    TOKENIZER.save(start)
    assert models.size_of(start) == "tiny"
    folder = scanned(tmp_path)
    private = replace(QUICK, init=str(start), steps=1)
    assert trained(folder, private).facts["learning_rate"] == 4e-3
    assert trained(folder, replace(private, adapt="lora")).facts["learning_rate"] == pytest.approx(1.2e-2)
    plain = replace(private, dp_epsilon=None, batch_units=None)
    assert trained(folder, plain).facts["learning_rate"] == 5e-4
    with pytest.raises(InputError, match="no such folder, nor does a hub give it"):
        models.size_of(tmp_path / "nothing")
