"""Checkpoints as people have them, by the command line: trained, privately too, and audited; or one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from mlmguard.errors import InputError
from mlmguard.training import checkpoint, models
from tests.fixtures.commands import PRIVATE, SHIPPED, SIZE, TRAIN, Change, saved, used
from tests.fixtures.folders import edit
from tests.training.test_encoders import ROWS, built


def numbered(folder: Path, change: Callable[[int], int]) -> None:
    """Give the entries of the tokenizer other ids."""

    def how(told: dict[str, Any]) -> None:
        told["model"]["vocab"] = {word: change(k) for word, k in told["model"]["vocab"].items()}

    edit(folder / "tokenizer.json", how)


def gap(size: int, first: int) -> Change:
    return lambda folder: numbered(folder, lambda k: k + size * (k >= first))


def with_tokens(count: int, resized: bool = False, special: bool = False) -> Change:
    def change(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([f"zorb{k}" for k in range(count)], special_tokens=special)
        tokenizer.save_pretrained(folder)
        if resized:
            model = AutoModelForMaskedLM.from_pretrained(folder)
            model.resize_token_embeddings(len(tokenizer))
            model.save_pretrained(folder)

    return change


ROOM = SIZE + 200
WORK: dict[str, tuple[int, Change]] = {
    "rows that no token has": (ROOM, lambda folder: None),
    "a vocabulary filled up to a multiple of 512": (-(-(SIZE + 1) // 512) * 512, lambda folder: None),
    "a gap early": (ROOM, gap(100, 50)),
    "a gap in the middle": (ROOM, gap(37, 1000)),
    "a gap before the last entry": (ROOM, gap(1, SIZE - 1)),
    "a gap that ends with the rows": (ROOM, gap(200, SIZE - 3)),
    "a gap and a row": (SIZE + 6, gap(5, 100)),
    "added tokens in room that there was": (ROOM, with_tokens(10)),
    "added tokens and as many rows": (SIZE, with_tokens(10, resized=True)),
    "an added token and its row": (SIZE, with_tokens(1, resized=True)),
    "special tokens and their rows": (SIZE, with_tokens(4, resized=True, special=True)),
    "many added tokens": (SIZE, with_tokens(400, resized=True)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORK)
def test_a_tokenizer_of_gaps_and_added_tokens_is_trained_and_audited(name, run, place, tmp_path):
    rows, change = WORK[name]
    folder = saved(tmp_path / "start", rows)
    change(folder)
    assert [code for code, _ in used(run, place, folder)] == [0, 0, 0]


def test_a_model_with_rows_that_no_token_has_is_trained_and_measured(run, tmp_path):
    """As those whose vocabulary is filled up to a round number: what they guess then is no token."""
    folder = saved(tmp_path / "start", ROOM)
    weights = load_file(folder / "model.safetensors")
    weights["cls.predictions.bias"][SIZE:] = 50.0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert run("train", "--init", folder, *TRAIN)[0] == 0
    (metrics,) = Path(".mlmguard/runs").glob("train-*/metrics.json")
    assert {one["predicted"] for one in json.loads(metrics.read_text())["samples"]} == {"no token"}


def without(name: str) -> Change:
    return lambda folder: edit(folder / "tokenizer_config.json", lambda told: told.pop(name))


def set_to(name: str, value: float) -> Change:
    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        weights[name].view(-1)[5] = value
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return change


def adapter(*kept: str, **told: object) -> Change:
    def change(folder: Path) -> None:
        facts = {"peft_type": "LORA", "base_model_name_or_path": "someone/some-bert", **told}
        (folder / "adapter_config.json").write_text(json.dumps(facts))
        (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
        if "config.json" not in kept:
            (folder / "config.json").unlink()

    return change


def beside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


REFUSED: dict[str, tuple[Change, str]] = {
    "ids beyond the rows": (gap(5, 100), "resize_token_embeddings(2053)"),
    "one added token": (with_tokens(1), "resize_token_embeddings(2049)"),
    "ten added tokens": (with_tokens(10), "10 tokens added to it"),
    "special tokens added": (with_tokens(3, special=True), "3 tokens added to it"),
    "no mask token": (without("mask_token"), "no mask token"),
    "no token before a text": (without("cls_token"), "no [CLS], [SEP] or [PAD] token"),
    "no token behind a text": (without("sep_token"), "no [CLS], [SEP] or [PAD] token"),
    "no padding token": (without("pad_token"), "no [CLS], [SEP] or [PAD] token"),
    "a mask token that is null": (
        lambda folder: edit(folder / "tokenizer_config.json", lambda told: told.update(mask_token=None)),
        "no mask token",
    ),
    "a mask token without an entry": (
        lambda folder: edit(folder / "tokenizer_config.json", lambda told: told.update(mask_token="<no>")),
        "1 tokens added to it",
    ),
    **{
        f"{value} in {name}": (set_to(name, value), f"weights of {name} are not finite")
        for value in (float("nan"), float("inf"))
        for name in (
            "bert.encoder.layer.0.output.dense.weight",
            "bert.embeddings.LayerNorm.bias",
            "cls.predictions.bias",
        )
    },
    "an adapter": (adapter(), "an adapter of 'someone/some-bert', and no model"),
    "an adapter and the settings of its model": (adapter("config.json"), "merge the two first"),
    "an adapter of a path": (adapter(base_model_name_or_path="../../x"), "an adapter of '../../x'"),
    "an adapter of nothing": (adapter(base_model_name_or_path=None), "an adapter, and no model"),
    "an adapter of no kind": (adapter(peft_type=None), "merge the two first"),
    "an adapter beside a model": (beside, "an adapter, and no model"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_start_that_cannot_be_used_is_one_line_and_leaves_nothing(name, run, place, tmp_path):
    change, said = REFUSED[name]
    folder = saved(tmp_path / "start")
    change(folder)
    for code, line in used(run, place, folder):
        assert code == 2 and line.startswith("error: ") and said in line
    assert not Path("ckpt").exists() and not list(Path(".mlmguard/runs").glob("train-*"))


@pytest.mark.parametrize("own", [1, 3, 7])
def test_padding_by_another_token_than_the_tokenizers_is_named_with_the_remedy(own: int) -> None:
    """mBART begins to write with the last token that is no padding: by another id that is padding."""
    _, model = built("mbart")
    models.refuse_unusable(model, SHIPPED, "x")
    model.config.pad_token_id = own
    with pytest.raises(
        InputError, match=rf"pads with id {own}, its tokenizer with id 0; .*set pad_token_id to 0"
    ):
        models.refuse_unusable(model, SHIPPED, "x")


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_architecture_of_the_table_is_trained_audited_and_verified(name, run, place, tmp_path):
    checkpoint.save_weights(tmp_path / "start", built(name)[1], SHIPPED)
    few = ("--documents", 20, "--spans", 2, "--samples", 4, "--windows", 60, "--restarts", 1, "--quiet")
    for options in (TRAIN, PRIVATE):
        shutil.rmtree("ckpt", ignore_errors=True)
        code, line = run("train", "--init", tmp_path / "start", *options)
        assert code == 0, line
        assert run("verify", "ckpt")[0] == 0
    code, line = run("audit", "ckpt", *few)
    assert code == 0, line
    assert run("verify", "ckpt", "--evidence", "reports/audit.json")[0] == 0
