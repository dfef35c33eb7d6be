"""Every weight of a model comes from its file, or nothing loads: prefixes, parts, shapes, types, names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.loading import loader
from mlmguard.training import models
from tests.fixtures.folders import edit

Weights = dict[str, Tensor]


def change(ckpt: Path, how: Callable[[Weights], Weights]) -> Path:
    save_file(how(load_file(ckpt / folders.WEIGHTS)), ckpt / folders.WEIGHTS, {"format": "pt"})
    return ckpt


def named(how: Callable[[str], str]) -> Callable[[Weights], Weights]:
    return lambda weights: {how(name): tensor for name, tensor in weights.items()}


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def encoder_only(weights: Weights) -> Weights:
    return {name.removeprefix("bert."): w for name, w in weights.items() if name.startswith("bert.")}


PREFIXED: dict[str, Callable[[str], str]] = {
    "_orig_mod.": lambda name: f"_orig_mod.{name}",
    "module.": lambda name: f"module.{name}",
    "model.": lambda name: f"model.{name}",
    "of a compiled layer": lambda name: name.replace("layer.0.", "layer.0._orig_mod."),
    "of sharding": lambda name: f"_fsdp_wrapped_module.{name}",
    "two of them": lambda name: f"module._orig_mod.{name}",
    "of a name nobody knows": lambda name: f"net.{name}",
    "three of data parallelism": lambda name: f"module.module.module.{name}",
    "of a trainer in data parallelism": lambda name: f"model.module.{name}",
    "of PEFT": lambda name: f"base_model.model.{name}",
    "of three parts that nobody knows": lambda name: f"net.lm.student.{name}",
    "the encoder's own": lambda name: f"bert.{name}",
    "of a trainer around the encoder": lambda name: (
        f"model.bert.{name.removeprefix('bert.')}" if name.startswith("bert.") else f"model.{name}"
    ),
}


@pytest.mark.parametrize("which", PREFIXED)
def test_a_prefix_is_taken_off_and_told(made: Path, ckpt: Path, which: str) -> None:
    loaded = models.load(change(ckpt, named(PREFIXED[which])))
    assert loaded.head and same(loaded.model, models.load(made).model)
    (told,) = loaded.told
    assert "is taken off the names" in told and str(ckpt) in told


def test_an_encoder_without_its_head_is_told_and_the_seed_gives_the_head(made: Path, ckpt: Path) -> None:
    change(ckpt, encoder_only)
    first, again, other = (models.load(ckpt, seed=seed) for seed in (3, 3, 4))
    assert not first.head and "drawn at random from seed 3" in first.told[0]
    assert same(first.model, again.model) and not same(first.model, other.model)
    assert same(first.model.bert, models.load(made).model.bert)
    before = torch.random.get_rng_state()
    models.load(ckpt, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())  # nobody else's draws are moved


def without(*parts: str) -> Callable[[Weights], Weights]:
    return lambda weights: {n: w for n, w in weights.items() if not any(part in n for part in parts)}


def more(name: str, *shape: int) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: torch.zeros(shape)}


FAULTS: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "a layer is missing": (without("layer.0.output"), r"4 of \d+ weights of the encoder are missing"),
    "one weight is missing": (without("position_embeddings"), r"1 of \d+ weights of the encoder are missing"),
    "names of another architecture": (
        named(lambda name: name.replace("bert.encoder.layer", "bert.transformer.h")),
        "weights of the encoder are missing",
    ),
    "half a head": (without("transform.dense"), r"2 of \d+ weights of the head are missing"),
    "a layer too many": (
        more("bert.encoder.layer.7.output.dense.bias", 16),
        "1 weights that config.json has no place for",
    ),
    "another width": (
        lambda weights: {**weights, "bert.embeddings.LayerNorm.weight": torch.ones(8)},
        "LayerNorm.weight is 16 by it and 8 in the weights",
    ),
    "twice": (
        lambda weights: weights | {f"_orig_mod.{n}": w.clone() for n, w in weights.items()},
        "with a prefix and without",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_are_not_the_models_are_refused_by_name(ckpt: Path, fault: str) -> None:
    how, said = FAULTS[fault]
    with pytest.raises(InputError, match=said) as refused:
        models.load(change(ckpt, how))
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)


def test_weights_of_other_heads_are_left_out_and_told(made: Path, ckpt: Path) -> None:
    change(ckpt, more("cls.seq_relationship.weight", 2, 16))
    change(ckpt, more("bert.pooler.dense.weight", 16, 16))
    loaded = models.load(ckpt)
    assert loaded.head and same(loaded.model, models.load(made).model)
    assert "2 weights of other heads are left out (bert.pooler.dense.weight and 1 more)" in loaded.told[0]


def test_a_vocabulary_unlike_the_weights_says_both_numbers(ckpt: Path) -> None:
    rows = load_file(ckpt / folders.WEIGHTS)["bert.embeddings.word_embeddings.weight"].shape[0]
    for asked in (rows + 7, rows - 7, 10 * rows):
        edit(ckpt / "config.json", lambda c, asked=asked: c.update(vocab_size=asked))  # type: ignore[misc]
        with pytest.raises(InputError, match=rf"vocab_size of {asked:,}, and {rows:,} rows"):
            models.load(ckpt)


@pytest.mark.parametrize("short", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("said", [True, False], ids=["said by config.json", "unsaid"])
def test_weights_in_16_bits_are_read_as_fp32(ckpt: Path, short: torch.dtype, said: bool) -> None:
    change(ckpt, lambda weights: {name: w.to(short) for name, w in weights.items()})
    edit(
        ckpt / "config.json",
        lambda c: c.update(dtype=str(short).partition(".")[2]) if said else c.pop("dtype"),
    )
    loaded = models.load(ckpt)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert loaded.model.config.dtype == torch.float32
    stored = load_file(ckpt / folders.WEIGHTS)["bert.embeddings.LayerNorm.weight"]
    assert torch.equal(loaded.model.bert.embeddings.LayerNorm.weight, stored.float())
    assert "are read as fp32" in loaded.told[0]


def test_weights_of_8_bits_are_refused(ckpt: Path) -> None:
    def how(weights: Weights) -> Weights:
        return {name: w.to(torch.float8_e4m3fn) for name, w in weights.items()}

    with pytest.raises(InputError, match="quantised weights"):
        models.load(change(ckpt, how))


def sharded(ckpt: Path, seed: int = 0) -> None:
    model = models.load(ckpt, seed=seed).model
    (ckpt / folders.WEIGHTS).unlink()
    model.save_pretrained(ckpt, max_shard_size="40KB")


def test_parts_load_as_one_and_a_part_that_is_missing_or_lacks_a_weight_is_named(
    made: Path, ckpt: Path
) -> None:
    sharded(ckpt)
    parts = sorted(ckpt.glob("model-*.safetensors"))
    assert len(parts) > 1
    assert same(models.load(ckpt).model, models.load(made).model)
    kept = load_file(parts[0])
    lost = sorted(kept)[0]
    save_file(
        {n: w for n, w in kept.items() if n != lost} or {"x": torch.zeros(1)}, parts[0], {"format": "pt"}
    )
    with pytest.raises(InputError, match=f"{parts[0].name}: no {lost}"):
        models.load(ckpt)
    parts[0].unlink()
    with pytest.raises(InputError, match=f"{parts[0].name}: no such file"):
        models.load(ckpt)


NO_WEIGHTS = {
    "pytorch_model.bin": "convert it: python -c .*AutoModelForMaskedLM",
    "pytorch_model-00001-of-00002.bin": "convert it: python -c .*AutoModelForMaskedLM",
    "model.pth": "convert it, there: python -c .*torch.load",
    "weights.pt": "convert it, there: python -c .*torch.load",
    "last.ckpt": "convert it, there: python -c .*torch.load",
    "tf_model.h5": "save the model again where it was made",
    "flax_model.msgpack": "save the model again where it was made",
    "model.onnx": "save the model again where it was made",
    "model.gguf": "save the model again where it was made",
    "weights.safetensors": "rename it to model.safetensors",
    "adapter_model.safetensors": "an adapter, and no model.*merge it with the model that it adapts",
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_weights_in_another_form_are_named_with_the_remedy(ckpt: Path, name: str) -> None:
    (ckpt / folders.WEIGHTS).rename(ckpt / name)
    with pytest.raises(InputError, match=NO_WEIGHTS[name]) as refused:
        models.load(ckpt)
    assert name in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "last.ckpt"])
def test_the_remedy_for_another_form_works(
    made: Path, ckpt: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(models.load(ckpt).model.state_dict(), ckpt / name)
    (ckpt / folders.WEIGHTS).unlink()
    with pytest.raises(InputError) as refused:
        models.load(ckpt)
    command = re.search(r'python -c "(.*)"', str(refused.value))
    assert command is not None
    monkeypatch.chdir(ckpt if "there" in str(refused.value) else ckpt.parent)
    exec(command[1], {})
    assert same(models.load(ckpt).model, models.load(made).model)


def test_an_adapter_is_refused_with_the_model_it_adapts(ckpt: Path) -> None:
    told = {"peft_type": "LORA", "base_model_name_or_path": "someone/some-bert"}
    (ckpt / "adapter_config.json").write_text(json.dumps(told), "utf-8")
    with pytest.raises(InputError, match=r"an adapter of 'someone/some-bert'.*merge the two first"):
        models.load(ckpt)
    (ckpt / "config.json").unlink()
    with pytest.raises(InputError, match="merge the two first"):
        models.load(ckpt)


def test_the_remedy_for_an_adapter_works(
    made: Path, ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForMaskedLM

    torch.manual_seed(2)
    low_rank: Any = get_peft_model(
        models.load(made).model, LoraConfig(r=2, target_modules=["query", "dense"], init_lora_weights=False)
    )
    low_rank.save_pretrained(tmp_path / "tuned")
    with pytest.raises(InputError) as refused:
        models.load(tmp_path / "tuned")
    command = re.search(r"first: (.*), and the tokenizer beside it", str(refused.value))
    assert command is not None
    monkeypatch.chdir(tmp_path)
    exec(
        command[1].replace("BASE", repr(str(made))),
        {"PeftModel": PeftModel, "AutoModelForMaskedLM": AutoModelForMaskedLM},
    )
    merged = models.load(tmp_path / "merged")
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        expected, found = (one.eval()(input_ids=ids).logits for one in (low_rank, merged.model))
        assert torch.allclose(expected, found, atol=1e-5)
        assert not torch.allclose(expected, models.load(made).model.eval()(input_ids=ids).logits, atol=1e-2)


def test_a_model_without_architectures_loads(ckpt: Path) -> None:
    edit(ckpt / "config.json", lambda c: c.pop("architectures"))
    assert models.load(ckpt).head and not models.predicts_next(ckpt)


def test_a_tagger_without_its_classifier_finds_nothing_and_is_refused(ckpt: Path) -> None:
    with pytest.raises(InputError, match="an encoder without a classifier"):
        loader.model(ckpt, loader.TAGGER)


@pytest.mark.parametrize(
    "name, causal", [("XLMWithLMHeadModel", False), ("BertForMaskedLM", False), ("GPT2LMHeadModel", True)]
)
def test_what_a_model_predicts_is_not_read_from_the_end_of_its_name(
    ckpt: Path, name: str, causal: bool
) -> None:
    edit(ckpt / "config.json", lambda c: c.update(architectures=[name]))
    assert models.predicts_next(ckpt) is causal


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.txt", "model.safetensors"])
def test_a_pointer_of_git_lfs_is_named_whatever_file_it_stands_for(ckpt: Path, name: str) -> None:
    (ckpt / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(InputError, match=f"{name}: a pointer of Git LFS.*git lfs pull"):
        models.load(ckpt), loader.tokenizer(ckpt)


def test_an_architecture_of_another_kind_is_named(ckpt: Path) -> None:
    edit(ckpt / "config.json", lambda c: c.update(model_type="gpt2"))
    with pytest.raises(InputError, match="gpt2, of which there is no masked language model"):
        models.load(ckpt)


def test_a_folder_in_the_place_of_weights_is_named(ckpt: Path) -> None:
    (ckpt / folders.WEIGHTS).unlink()
    (ckpt / folders.WEIGHTS).mkdir()
    with pytest.raises(InputError, match=r"model.safetensors: a folder"):
        models.load(ckpt)
