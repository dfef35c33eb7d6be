"""What people meet with checkpoints, kind by kind, each in variations of its own: by the command line, or as
closely below it as is quick."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, PreTrainedTokenizerFast

from mlmguard.errors import InputError
from mlmguard.training import adapt, checkpoint, models
from mlmguard.training.text import masking
from mlmguard.training.text.masking import IGNORED, Masking
from mlmguard.training.text.tokenizer import Tokenizer
from tests.fixtures.commands import FEW, PRIVATE, SHIPPED, SIZE, TRAIN, Change, Run, saved, used
from tests.fixtures.folders import edit
from tests.training.test_encoders import DISTILBERT, ROWS, SIZES, built


def model_of(name: str, **more: object) -> Any:
    """A fresh model of a row of the table, with other settings."""
    row, options = ROWS[name]
    torch.manual_seed(1)
    sizes = {"vocab_size": SIZE, **(DISTILBERT if name == "distilbert" else SIZES), **options, **more}
    auto: Any = AutoModelForMaskedLM
    return auto.from_config(CONFIG_MAPPING[row.model_type](**sizes))


def folder_of(folder: Path, name: str, **more: object) -> Path:
    checkpoint.save_weights(folder, model_of(name, **more), SHIPPED)
    return folder


def window(size: int, options: tuple[object, ...]) -> list[object]:
    return [size if before == "--window" else one for before, one in zip(("", *options), options)]


# --- positions that do not begin at 0 -----------------------------------------------------------------

OFFSET = ["roberta", "xlm-roberta", "camembert", "xmod", "data2vec-text", "longformer", "ibert", "mpnet",
          "luke", "esm", "roberta-prelayernorm"]  # fmt: skip


@pytest.mark.parametrize("name", OFFSET)
def test_a_window_of_the_whole_table_of_positions_is_too_long_by_those_before_the_first(
    name: str, run: Run, tmp_path: Path
) -> None:
    start = folder_of(tmp_path / "start", name, max_position_embeddings=26)
    for options in (TRAIN, PRIVATE):
        code, line = run("train", "--init", start, *window(26, options))
        assert code == 2 and "--window: 26; expected at most the model's 24 positions" in line
    assert not list(Path(".mlmguard/runs").glob("train-*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFSET)
def test_a_window_of_all_positions_there_are_is_trained_and_audited(
    name: str, run: Run, place: Path, tmp_path: Path
) -> None:
    start = folder_of(tmp_path / "start", name, max_position_embeddings=26)
    assert [code for code, _ in used(run, place, start)] == [0, 0, 0]


@pytest.mark.parametrize("own, room", [(-1, 0), (40, 1), (38, 3)])
def test_a_table_of_positions_without_room_for_text_is_named(own: int, room: int) -> None:
    model = model_of("roberta", pad_token_id=max(own, 1))
    if own < 0:  # counted from the end
        model = model_of("roberta", pad_token_id=own)
    with pytest.raises(InputError, match=f"room for {room} tokens behind its padding_idx"):
        models.refuse_unusable(model, SHIPPED, "x")


@pytest.mark.parametrize("size, how", [(12, "block_sparse"), (28, "block_sparse"), (29, "original_full")])
def test_a_window_longer_than_its_blocks_makes_bigbird_attend_to_all(size: int, how: str) -> None:
    model = model_of("big_bird")
    told = models.full_attention(model, size, "x")
    assert model.config.attention_type == how and len(told) == (how == "original_full")
    models.masked_logits(model, *[torch.ones(1, 12).long()] * 2, torch.ones(1, 12).bool())
    assert model.bert.attention_type == "original_full"  # after a short text it is, whatever its blocks
    assert not models.full_attention(model_of("bert"), size, "x")


# --- a model that pads with a word of its tokenizer ---------------------------------------------------


@pytest.mark.parametrize(
    "name", ["roberta", "xlm-roberta", "camembert", "xmod", "data2vec-text", "longformer"]
)
@pytest.mark.parametrize("own", [30, SHIPPED.mask_id])
def test_a_padding_id_that_takes_the_places_of_a_word_is_refused_with_the_word(name: str, own: int) -> None:
    (word,) = SHIPPED.tokens([own])
    with pytest.raises(InputError, match=rf"pads with id {own}, .*would have no place in a text") as refused:
        models.padding_of(model_of(name, pad_token_id=own), SHIPPED, "x")
    assert repr(word) in str(refused.value) and "set pad_token_id to 0" in str(refused.value)


@pytest.mark.parametrize("name", ["bert", "electra", "distilbert", "modernbert", "fnet"])
def test_a_padding_id_that_is_a_word_and_takes_no_places_is_told(name: str) -> None:
    (told,) = models.padding_of(model_of(name, pad_token_id=300), SHIPPED, "x")
    assert "pads with id 300" in told and "is not learnt where it is read" in told
    assert not models.padding_of(model_of(name, pad_token_id=SHIPPED.pad), SHIPPED, "x")


def test_a_padding_word_stops_train_and_audit_before_anything(run: Run, place: Path, tmp_path: Path) -> None:
    start = folder_of(tmp_path / "start", "roberta", pad_token_id=30)
    for code, line in used(run, place, start):
        assert code == 2 and "pads with id 30" in line
    assert not list(Path(".mlmguard/runs").glob("train-*"))


# --- other tokenizers ---------------------------------------------------------------------------------


def unigram(size: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer as Engine
    from tokenizers import models as engines
    from tokenizers import pre_tokenizers

    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *(f"▁w{k}" for k in range(size - 5))]
    engine = Engine(engines.Unigram([(name, -3.0) for name in names], unk_id=3))
    engine.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=engine, cls_token="<s>", pad_token="<pad>", sep_token="</s>", unk_token="<unk>",
        mask_token="<mask>",
    )  # fmt: skip


def bytes_of_text() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer as RoBERTa's, learnt from a few lines."""
    from tokenizers import ByteLevelBPETokenizer

    engine = ByteLevelBPETokenizer()
    lines = ["the patient was admitted with headache and pharmacokinetics were reviewed"] * 20
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    engine.train_from_iterator(lines, vocab_size=400, special_tokens=special, show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=engine._tokenizer, cls_token="<s>", pad_token="<pad>", sep_token="</s>",
        unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip


def vocabulary(change: Callable[[list[str]], list[str]]) -> Change:
    """The entries in another order."""

    def how(folder: Path) -> None:
        def edited(told: dict[str, Any]) -> None:
            vocab = told["model"]["vocab"]
            entries = change(sorted(vocab, key=lambda word: vocab[word]))
            told["model"]["vocab"] = {word: k for k, word in enumerate(entries)}

        edit(folder / "tokenizer.json", edited)

    return how


def swapped(entries: list[str]) -> list[str]:
    return [*entries[:-2], entries[-1], entries[-2]]


def normalised(**more: object) -> Change:
    return lambda folder: edit(folder / "tokenizer.json", lambda told: told["normalizer"].update(more))


OTHERS: dict[str, Change] = {
    "two words swapped": vocabulary(swapped),
    "words in another order": vocabulary(lambda entries: [*entries[:5], *entries[5:][::-1]]),
    "one word replaced": vocabulary(lambda entries: [*entries[:-1], "zorb"]),
    "letters as they are": normalised(lowercase=False),
    "accents as they are": normalised(strip_accents=False),
    "ideographs together": normalised(handle_chinese_chars=False),
    "numbers in one": lambda folder: edit(
        folder / "tokenizer.json", lambda told: told.update(pre_tokenizer={"type": "BertPreTokenizer"})
    ),
    "another token masks": lambda folder: edit(
        folder / "tokenizer_config.json", lambda told: told.update(mask_token="[UNK]")
    ),
    "another token begins": lambda folder: edit(
        folder / "tokenizer_config.json", lambda told: told.update(cls_token="[UNK]")
    ),
    "a unigram of as many entries": lambda folder: unigram(SIZE).save_pretrained(folder),
    "bytes": lambda folder: bytes_of_text().save_pretrained(folder),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_tokenizer_that_reads_otherwise_than_the_models_is_refused(
    name: str, run: Run, tmp_path: Path
) -> None:
    start, other = saved(tmp_path / "start"), tmp_path / "other"
    SHIPPED.save(other)
    assert not Tokenizer.load(str(other)).differs_from(str(start))
    OTHERS[name](other)
    code, line = run("train", "--init", start, "--tokenizer", other, *TRAIN)
    assert code == 2 and "not the tokenizer of" in line, line
    assert not list(Path(".mlmguard/runs").glob("train-*"))


# --- parameters that no forward pass reaches ----------------------------------------------------------

UNREACHED: dict[str, tuple[int, str]] = {
    "big_bird": (2, "bert.pooler.weight"),
    "longformer": (12, "longformer.encoder.layer.0.attention.self.query_global.weight"),
    "luke": (25, "luke.entity_embeddings.entity_embeddings.weight"),
    "layoutlm": (2, "layoutlm.pooler.dense.weight"),
    "fnet": (2, "fnet.pooler.dense.weight"),
    "squeezebert": (2, "transformer.pooler.dense.weight"),
    "esm": (2, "esm.contact_head.regression.weight"),
}


@pytest.mark.parametrize("name", UNREACHED)
def test_parameters_that_no_forward_pass_reaches_are_named_and_left(name: str) -> None:
    model = model_of(name)
    before = adapt.trained_parameters(model)
    lost = adapt.freeze_unreached(model, SHIPPED)
    count, first = UNREACHED[name]
    assert first in lost and len(lost) == count
    frozen = {one for one, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == set(lost) and adapt.trained_parameters(model) < before
    assert not adapt.freeze_unreached(model, SHIPPED)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNREACHED)
def test_a_private_run_goes_on_without_them_and_they_stay(name: str, run: Run, tmp_path: Path) -> None:
    start = folder_of(tmp_path / "start", name)
    code, line = run("train", "--init", start, *PRIVATE)
    assert code == 0, line
    before, after = (load_file(one / "model.safetensors") for one in (start, Path("ckpt")))
    lost = adapt.freeze_unreached(model_of(name), SHIPPED)
    stored = [one for one in lost if one in before]
    assert all(torch.equal(before[one], after[one]) for one in stored)
    moved = [one for one in before if one not in lost and not torch.equal(before[one], after[one])]
    assert moved


@pytest.mark.parametrize(
    "settings", [("--adapt", "lora"), ("--freeze", "*encoder*", "--freeze", "*emb*", "--freeze", "cls*")]
)
@pytest.mark.parametrize("kind", ["plain", "private"])
def test_a_run_that_could_move_no_answer_ends_before_its_first_step(
    settings: tuple[str, ...], kind: str, run: Run, tmp_path: Path
) -> None:
    """SqueezeBERT's only linear layer is its pooler's, which an MLM does not use."""
    start = folder_of(tmp_path / "start", "squeezebert")
    code, line = run("train", "--init", start, *(TRAIN if kind == "plain" else PRIVATE), *settings)
    assert code == 2 and "no forward pass reaches what is left to train" in line
    assert not list(Path(".mlmguard/runs").glob("train-*"))


# --- the slow engine, and low-rank updates, by the command --------------------------------------------

SLOWLY = ["ibert", "deberta", "longformer", "bart", "mpnet", "modernbert", "convbert", "fnet", "roc_bert"]
LOW_RANK = ["convbert", "mobilebert", "roformer", "longformer", "big_bird", "deberta", "deberta-v3", "bart",
            "modernbert", "esm", "fnet"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOWLY)
def test_the_slow_engine_trains_what_it_is_asked_for(name: str, run: Run, tmp_path: Path) -> None:
    code, line = run(
        "train", "--init", folder_of(tmp_path / "start", name), *PRIVATE, "--dp-engine", "opacus"
    )
    assert code == 0, line


@pytest.mark.slow
@pytest.mark.parametrize("name", LOW_RANK)
def test_low_rank_updates_are_private_and_leave_a_plain_checkpoint(
    name: str, run: Run, tmp_path: Path
) -> None:
    start = folder_of(tmp_path / "start", name)
    code, line = run("train", "--init", start, *PRIVATE, "--adapt", "lora", "--lora-rank", 2)
    assert code == 0, line
    before, after = (load_file(one / "model.safetensors") for one in (start, Path("ckpt")))
    assert before.keys() == after.keys()
    moved = {one for one in before if not torch.equal(before[one], after[one])}
    assert moved and all(before[one].ndim == 2 for one in moved)


# --- encoders that cannot be used ---------------------------------------------------------------------

UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "nystromformer": ({**SIZES, "num_landmarks": 8, "segment_means_seq_len": 40}, "fails on windows"),
    "mra": ({**SIZES}, "no token sees another"),
    "funnel": ({"block_sizes": [1, 1], "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64},
               "the padding behind a text changes its answers"),
    "reformer": ({**SIZES, "attn_layers": ["local", "local"], "is_decoder": False, "attention_head_size": 16,
                  "feed_forward_size": 64, "axial_pos_embds": False, "local_attn_chunk_length": 4},
                 "the padding behind a text changes its answers"),
    "perceiver": ({"num_latents": 4, "d_latents": 32, "d_model": 32, "num_blocks": 1,
                   "num_self_attends_per_block": 1, "num_self_attention_heads": 2,
                   "num_cross_attention_heads": 2, "max_position_embeddings": 42}, "fails on windows"),
}  # fmt: skip


@pytest.mark.parametrize("model_type", UNUSABLE)
def test_an_encoder_that_cannot_be_used_ends_every_command_with_one_line(
    model_type: str, run: Run, place: Path, tmp_path: Path
) -> None:
    options, said = UNUSABLE[model_type]
    torch.manual_seed(1)
    auto: Any = AutoModelForMaskedLM
    model = auto.from_config(CONFIG_MAPPING[model_type](vocab_size=SIZE, **options))
    checkpoint.save_weights(tmp_path / "start", model, SHIPPED)
    for code, line in used(run, place, tmp_path / "start"):
        assert code == 2 and line.startswith("error: ") and said in line
    assert not list(Path(".mlmguard/runs").glob("train-*"))


# --- numbers that are none, and files that are filled up ----------------------------------------------


def weights(change: Callable[[str, torch.Tensor], torch.Tensor]) -> Change:
    def how(folder: Path) -> None:
        read = load_file(folder / "model.safetensors")
        new = {name: change(name, weight) for name, weight in read.items()}
        save_file(new, folder / "model.safetensors", {"format": "pt"})

    return how


def emptied(folder: Path) -> None:
    """As a file that was given its length before its bytes came."""
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))


CORRUPTED: dict[str, tuple[Change, str]] = {
    "zeros from the middle on": (emptied, "are all zero; .*get the file again"),
    "zeros alone": (weights(lambda name, w: torch.zeros_like(w)), "are all zero"),
    "one matrix of zeros": (weights(lambda name, w: w * ("query" not in name)), "query.weight are all zero"),
    "one norm of zeros": (
        weights(lambda name, w: w * ("0.output.LayerNorm.weight" not in name)),
        "LayerNorm.weight are all",
    ),
    "numbers too large to add": (weights(lambda name, w: w * 1e30), "its answers are not finite"),
    "one bias too large": (
        weights(lambda name, w: w + 3e38 if name.endswith("0.output.LayerNorm.bias") else w),
        "its answers are not finite",
    ),
    "whole numbers": (weights(lambda name, w: (100 * w).to(torch.int32)), "quantised weights \\(I32\\)"),
    "biases in 8 bits": (
        weights(lambda name, w: w.to(torch.int8) if name.endswith("bias") else w),
        "quantised weights \\(I8\\)",
    ),
}


@pytest.mark.parametrize("name", CORRUPTED)
def test_a_corrupted_start_never_trains(name: str, run: Run, place: Path, tmp_path: Path) -> None:
    change, said = CORRUPTED[name]
    start = saved(tmp_path / "start")
    change(start)
    for code, line in used(run, place, start):
        assert code == 2 and re.search(said, line), line
    assert not Path("ckpt").exists() and not list(Path(".mlmguard/runs").glob("train-*"))


@pytest.mark.parametrize("scale, code", [(1.0, 0), (1e30, 2)])
def test_a_causal_model_is_audited_where_it_answers_with_numbers(
    scale: float, code: int, run: Run, place: Path, tmp_path: Path
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=SIZE, n_embd=32, n_layer=2, n_head=2, n_positions=32))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    checkpoint.save_weights(tmp_path / "start", model, SHIPPED)
    edit(
        tmp_path / "start" / "tokenizer_config.json",
        lambda told: told.update(bos_token="[CLS]", eos_token="[SEP]"),
    )
    data = ("--members", place / "members.jsonl", "--non-members", place / "others.jsonl")
    found, line = run("audit", tmp_path / "start", *data, *FEW)
    assert found == code and (not code or "its answers are not finite" in line)


# --- what a word is to a byte-level tokenizer, and texts of few tokens --------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "outpatients readmitted with headaches",
        "pharmacokinetics were reviewed, and zzyzx",
        "  two spaces and\ttab\nand lines",
        "naïve Größe señor 42mg/d",
        "don't re-read (the) patient's note: 12.5%",
    ],
)
def test_pieces_of_a_word_are_hidden_together_by_bytes(text: str) -> None:
    tokenizer = Tokenizer.of(bytes_of_text())
    (encoded,) = tokenizer.encode_with_places([text])
    ids, notes = np.array(encoded.ids), masking.notes_of(encoded, ())
    assert len(set(notes.words)) < len(ids)  # some words are of several pieces
    shares = []
    for seed in range(2000):
        _, labels = masking.mask(ids, tokenizer, np.random.default_rng(seed), Masking("word", 0.15), notes)
        hidden = labels != IGNORED
        for word in set(notes.words) if hidden.sum() > 1 else ():  # where no word is drawn, one token is
            if (notes.words == word).sum() <= min(masking.LONGEST_WORD, len(ids) // 2):
                assert len(set(hidden[notes.words == word])) == 1
        shares.append(hidden.mean())
    assert 0.13 < np.mean(shares) < 0.27  # of few words one is hidden at least


@pytest.mark.parametrize("texts", ["a", "a b", "7", "zorb", "the patient"])
def test_texts_of_one_or_two_words_are_trained_on_and_audited(
    texts: str, run: Run, place: Path, tmp_path: Path
) -> None:
    """A document of one token has one masked token, and a loss; an audit withholds or gives numbers."""
    _, labels = masking.mask_tokens(
        np.array([SHIPPED.cls, *SHIPPED.encode([texts])[0], SHIPPED.sep]), SHIPPED, np.random.default_rng(0)
    )
    assert (labels != IGNORED).sum() >= 1
    for name, more in (("few.jsonl", ""), ("others.jsonl", " or")):
        rows = [json.dumps({"id": f"{name}{k}", "text": f"{texts}{more}" * (1 + k % 2)}) for k in range(20)]
        (tmp_path / name).write_text("\n".join(rows))
    data = ("--members", tmp_path / "few.jsonl", "--non-members", tmp_path / "others.jsonl")
    code, line = run("audit", saved(tmp_path / "start"), *data, *FEW)
    assert code == 0, line
    assert "NaN" not in Path("reports/audit.json").read_text()


# --- the head that a seed draws -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "modernbert", "deberta-v3", "albert"])
def test_the_head_that_a_seed_draws_is_the_same_in_train_and_in_audit(name: str, tmp_path: Path) -> None:
    start = folder_of(tmp_path / "start", name)
    whole = load_file(start / "model.safetensors")
    model = built(name)[1]
    base = f"{model.base_model_prefix}."
    save_file(
        {one.removeprefix(base): weight for one, weight in whole.items() if one.startswith(base)},
        start / "model.safetensors", {"format": "pt"},
    )  # fmt: skip
    first, again, other = (models.load(start, seed=seed) for seed in (3, 3, 4))
    assert not first.head and "drawn at random from seed 3" in first.told[0]
    read = [one.model.state_dict() for one in (first, again, other)]
    assert all(torch.equal(read[0][one], read[1][one]) for one in read[0])
    assert any(not torch.equal(read[0][one], read[2][one]) for one in read[0])
