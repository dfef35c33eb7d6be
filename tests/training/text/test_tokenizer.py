"""What a tokenizer is to a model: the same tokens under the same ids, however many and however stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertTokenizer, PreTrainedTokenizerFast

from mlmguard.errors import InputError
from mlmguard.training import models
from mlmguard.training.clipping.clip import distance_from_loop
from mlmguard.training.text import masking, tokens
from mlmguard.training.text.masking import Masking
from mlmguard.training.text.tokenizer import Tokenizer
from tests.fixtures.models import small

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["ward", "##s", "of", "the", "c", "##li", "##nic", "a", "##b", "."]


def saved(folder: Path, vocabulary: dict[str, int]) -> Path:
    BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    return folder


def plain(words: list[str] = WORDS) -> dict[str, int]:
    return {word: k for k, word in enumerate([*SPECIAL, *words])}


def vocab_txt(folder: Path, words: list[str]) -> Path:
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return folder


def test_gaps_in_the_ids_are_no_tokens_and_are_never_shown(tmp_path: Path) -> None:
    vocabulary = plain()
    vocabulary = {word: k if k < 8 else k + 40 for word, k in vocabulary.items()}
    read = Tokenizer.load(str(saved(tmp_path / "gap", vocabulary)))
    assert len(read) == 1 + max(vocabulary.values()) and read.gaps == frozenset(range(8, 48))
    assert read.gaps < read.special_ids and set(read.ids) == set(vocabulary.values())
    assert read.tokens([7, 8, 48]) == ["of", "", "the"]
    ids = np.array(read.encode(["the ward of the clinic ."] * 20)).ravel()
    rng = np.random.default_rng(0)
    for _ in range(50):
        shown, _ = masking.mask(ids, read, rng, Masking(rate=0.9, mix=masking.Mix(0.0, 1.0, 0.0)))
        assert not set(shown.tolist()) & read.gaps


def test_ids_that_no_two_bytes_hold_are_kept_as_they_are(tmp_path: Path) -> None:
    vocabulary = plain() | {"far": 70_000}
    read = Tokenizer.load(str(saved(tmp_path / "far", vocabulary)))
    text = tokens.Text("a", "the far ward")
    kept = tokens.kept(tmp_path / "kept", "key", lambda: tokens.tokenised(read, [text], False), len(read))
    assert kept[0].sequences[0].tolist() == [vocabulary["the"], 70_000, vocabulary["ward"]]


@pytest.mark.parametrize("words", [["a"], ["a", "b", "c"]])
def test_a_tiny_vocabulary_masks(tmp_path: Path, words: list[str]) -> None:
    read = Tokenizer.load(str(saved(tmp_path / "tiny", plain(words))))
    ids = np.array(read.encode(["a a a"])[0])
    _, labels = masking.mask(ids, read, np.random.default_rng(0), Masking())
    assert (labels != masking.IGNORED).any()


def test_a_vocabulary_of_special_tokens_alone_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 entries, all of them special"):
        Tokenizer.load(str(saved(tmp_path / "none", plain([]))))


# --- whose it is --------------------------------------------------------------------------------------


def test_a_tokenizer_is_compared_id_by_id_however_it_is_stored(tmp_path: Path) -> None:
    own = saved(tmp_path / "json", plain())
    listed = vocab_txt(tmp_path / "txt", WORDS)
    swapped = vocab_txt(tmp_path / "swapped", [WORDS[1], WORDS[0], *WORDS[2:]])
    longer = saved(tmp_path / "longer", plain([*WORDS, "more"]))
    read = Tokenizer.load(str(own))
    assert read.differs_from(str(listed)) == read.differs_from(str(longer)) == ""
    assert read.differs_from(str(swapped)) == "2 of 15 ids mean other tokens (the first is 5)"
    assert Tokenizer.load(str(swapped)).differs_from(str(listed)).startswith("2 of 15 ids")


def test_the_same_entries_with_another_mask_are_another_tokenizer(tmp_path: Path) -> None:
    engine = Tokenizer.load(str(saved(tmp_path / "own", plain()))).hugging_face.backend_tokenizer
    named = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=engine, **named).save_pretrained(tmp_path / "other")
    other = Tokenizer.load(str(tmp_path / "other"))
    assert other.differs_from(str(tmp_path / "own")) == "another token is its mask token"


def test_a_model_without_a_row_for_every_id_is_refused_with_the_number(tmp_path: Path) -> None:
    read = Tokenizer.load(str(saved(tmp_path / "own", plain())))
    model = small(read)
    models.refuse_too_few_rows(model, read, "x")
    grown = Tokenizer.load(str(saved(tmp_path / "gap", plain() | {"far": 99})))
    with pytest.raises(
        InputError, match=r"id of 99; .*less than the 15 rows.*resize_token_embeddings\(100\)"
    ):
        models.refuse_too_few_rows(model, grown, "x")
    other = Tokenizer.load(None)
    other.hugging_face.add_tokens(["newword"])
    with pytest.raises(InputError, match=r"\(1 tokens added to it\)"):
        models.refuse_too_few_rows(small(Tokenizer.load(None)), Tokenizer.of(other.hugging_face), "x")


# --- words of one's own -------------------------------------------------------------------------------


def test_added_words_are_entries_and_begin_as_their_pieces_do(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("clinic\nwards\n\nthe\nab\n")
    read = Tokenizer.load(str(saved(tmp_path / "own", plain())))
    grown = read.with_words(str(tmp_path / "words.txt"))
    assert (
        len(read) == 15
        and len(grown) == 18
        and dict(grown.added) == {15: (9, 10, 11), 16: (5, 6), 17: (12, 13)}
    )
    assert grown.encode(["the wards of the clinic."]) == [[8, 16, 7, 8, 15, 14]]
    assert grown.encode(["abc"]) == read.encode(["abc"])  # not inside another word
    model = small(read)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    before = model.get_input_embeddings().weight.detach().clone()
    bias = model.cls.predictions.bias.detach().clone()
    models.refuse_too_few_rows(model, grown, "x")
    models.add_rows(model, grown.added, 0)
    after = model.get_input_embeddings().weight
    assert torch.equal(after[:15], before) and torch.allclose(after[16], before[[5, 6]].mean(0))
    assert torch.allclose(model.cls.predictions.bias[15], bias[[9, 10, 11]].mean())
    assert model.config.vocab_size == 18
    assert (
        model.get_output_embeddings().weight is after
        and model.get_output_embeddings().bias is model.cls.predictions.bias
    )
    ids = torch.tensor([[2, 8, 16, 7, 15, 3], [2, 17, 8, 5, 6, 3]])
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.where(ids > 4, ids, -100),
    }
    assert distance_from_loop(model, batch) < 1e-4


@pytest.mark.parametrize(
    "text, said",
    [("the\nward\n", "no word that the tokenizer does not know"), ("two words\n", "line 1: more than")],
)
def test_a_file_of_words_that_adds_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "words.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        Tokenizer.load(str(saved(tmp_path / "own", plain()))).with_words(str(tmp_path / "words.txt"))
    with pytest.raises(InputError, match="no such file"):
        Tokenizer.load(None).with_words(str(tmp_path / "none.txt"))
