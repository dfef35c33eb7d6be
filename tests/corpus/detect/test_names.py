"""Names through a model of the user's, or by the words before them; and by nobody unless asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.models import recognizer
from mlmguard.corpus.detect.names import CUED_NAME
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
    model.classifier.bias.data[1] = 100.0  # everything is the beginning of a person, and so one
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text = "Quillfeather went home"
    assert persons(text, pii.Names(str(tmp_path))) == [(0, len(text))]


@pytest.fixture
def gliner_folder(tmp_path: Path) -> Path:
    """A GLiNER model of one layer that knows nothing, saved as its package saves one."""
    gliner = pytest.importorskip("gliner")
    from transformers import BertConfig, BertModel, BertTokenizerFast

    encoder, folder = tmp_path / "encoder", tmp_path / "model"
    encoder.mkdir()
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "person",
        "location",
        "quillfeather",
        "went",
        "home",
    ]
    (encoder / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizerFast(str(encoder / "vocab.txt")).save_pretrained(encoder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(encoder)
    settings = json.loads((encoder / "config.json").read_text("utf-8"))
    config = gliner.GLiNERConfig(
        model_name=str(encoder), hidden_size=8, max_width=2, dropout=0.0, encoder_config=settings
    )
    gliner.GLiNER.from_config(config).save_pretrained(str(folder), safe_serialization=True)
    shutil.rmtree(encoder)
    return folder


def test_a_gliner_folder_is_read(gliner_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlmguard.corpus.detect import models

    monkeypatch.setattr(models, "_GLINER_SCORE", 0.0)  # random weights: every place has some score
    model = recognizer(str(gliner_folder))
    assert model.name == "GLiNER model" and {"LOCATION", "PERSON"} < set(model.supported_entities)
    text = "Quillfeather went home"
    found = model.analyze(text, [])
    assert found and {text[f.start : f.end].split()[0] for f in found} <= set(text.split())
    coverage = {d.entity: d for d in pii.coverage(names=pii.Names(str(gliner_folder)))}
    assert coverage["PERSON"].name == "GLiNER model" and coverage["PERSON"].recall == "not measured"


def test_gliner_weights_are_no_pickles_and_bring_no_code(tmp_path: Path) -> None:
    (tmp_path / "gliner_config.json").write_text('{"model_name": "x"}', "utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        recognizer(str(tmp_path))
    (tmp_path / "gliner_config.json").write_text('{"encoder_config": {"auto_map": {}}}', "utf-8")
    with pytest.raises(InputError, match="code of its own"):
        recognizer(str(tmp_path))
