"""What passes compute in: what is chosen by itself, what is refused, and that compiled layers are undone."""

import pytest
import torch

from mlmguard.errors import InputError
from mlmguard.training import models, numerics
from mlmguard.training.text.tokenizer import Tokenizer
from tests.fixtures.models import small

TOKENIZER = Tokenizer.load(None)
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_computes_in_32_bits_unless_told_otherwise():
    assert numerics.chosen("auto", CPU, False) == numerics.chosen("auto", CPU, True) == "fp32"
    assert numerics.chosen("bf16", CPU, True) == "bf16"
    assert not numerics.autocast(CPU)._enabled and numerics.autocast(CPU, "bf16")._enabled


@pytest.mark.parametrize(
    "capability, plain, private",
    [((9, 0), "bf16", "bf16"), ((8, 0), "bf16", "bf16"), ((7, 5), "fp16", "fp32")],
)
def test_a_gpu_takes_the_shortest_that_it_computes_itself(monkeypatch, capability, plain, private):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert (numerics.chosen("auto", GPU, False), numerics.chosen("auto", GPU, True)) == (plain, private)


@pytest.mark.parametrize(
    "asked, device, private, said",
    [
        ("fp16", GPU, True, "--precision fp16: a private run"),
        ("fp16", CPU, False, "--precision fp16: no GPU"),
        ("int8", GPU, False, "--precision: 'int8'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(asked, device, private, said):
    with pytest.raises(InputError, match=said) as refused:
        numerics.chosen(asked, device, private)
    assert refused.value.exit_code == 2


def test_all_layers_but_the_last_are_compiled_and_none_afterwards():
    model = models.fresh("mini", TOKENIZER, 32, 0.0, 0)
    names = set(model.state_dict())
    with numerics.compiled(model):
        marked = [layer._compiled_call_impl is not None for layer in model.bert.encoder.layer]
        assert marked == [True, True, True, False] and set(model.state_dict()) == names
    assert not any(layer._compiled_call_impl for layer in model.bert.encoder.layer)


def test_a_model_of_one_layer_has_nothing_to_compile():
    with pytest.raises(InputError, match="--compile: BertForMaskedLM has less than two layers"):
        numerics.refuse_uncompilable(small(TOKENIZER), CPU)
