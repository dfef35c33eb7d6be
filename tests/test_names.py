"""Names through a model of the user's, or by the words before them; and by nobody unless asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlmguard.corpus import pii
from mlmguard.corpus.names import CUED_NAME, _pieces
from mlmguard.errors import InputError

BY_CUE = pii.Names(cues=True)


def persons(text: str, names: pii.Names) -> list[tuple[int, int]]:
    return [(s.start, s.end) for s in pii.finder(names=names).find_all(text) if s.rule == "PERSON"]


@pytest.mark.parametrize("marked", CUED_NAME.finds)
def test_a_cue_finds(marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    assert (marked.index("«"), marked.index("»") - 1) in persons(text, BY_CUE)


@pytest.mark.parametrize("text", CUED_NAME.leaves)
def test_a_cue_leaves(text: str) -> None:
    assert persons(text, BY_CUE) == []


@pytest.fixture(scope="module")
def spacy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spacy = pytest.importorskip("spacy")
    model = spacy.blank("en")
    ruler = model.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "PERSON", "pattern": "Quillfeather"}, {"label": "GPE", "pattern": "Erewhon"}]
    )
    folder = tmp_path_factory.mktemp("spacy")
    model.to_disk(folder)
    return folder


def test_a_spacy_folder_finds_names_and_the_coverage_says_so(spacy_folder: Path) -> None:
    names = pii.Names(str(spacy_folder))
    text = "far away " * 300 + "Quillfeather of Erewhon, 536-90-4399"
    found = {(s.rule, text[s.start : s.end]) for s in pii.finder(names=names).find(text)}
    assert found == {("PERSON", "Quillfeather"), ("LOCATION", "Erewhon"), ("US_SSN", "536-90-4399")}
    coverage = {d.entity: d for d in pii.coverage(names=names)}
    assert coverage["PERSON"].name == "spaCy model" and coverage["PERSON"].version.startswith("files ")
    assert coverage["ORGANIZATION"].status == "no detector"
    assert {d.entity: d for d in pii.coverage()}["PERSON"].status == "no detector"


def test_a_token_classifier_is_read(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(["[UNK]", "[PAD]", "Quillfeather", "went", "home"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    config = BertConfig(
        vocab_size=len(words), id2label=labels, label2id={v: k for k, v in labels.items()}, **sizes
    )
    model = BertForTokenClassification(config)
    model.classifier.bias.data[1] = 100.0  # everything is the beginning of a person
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text = "Quillfeather went home"
    assert (0, len("Quillfeather")) in persons(text, pii.Names(str(tmp_path)))


def test_pieces_are_the_text() -> None:
    for text in ("", "x" * 2500, "word " * 900, "a\n" * 1200):
        assert "".join(piece for _, piece in _pieces(text)) == text
        assert all(text[start:].startswith(piece) and len(piece) <= 1000 for start, piece in _pieces(text))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model"):
        pii.Finder(names=pii.Names(str(tmp_path)))
