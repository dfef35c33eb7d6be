"""What masking does to a sentence, what a checkpoint predicts there, and the page of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mlmguard import cli
from mlmguard.commands.mask import mask
from mlmguard.report import masks
from mlmguard.train import warm
from mlmguard.training import checkpoint, models
from mlmguard.training.guesses import guesses
from mlmguard.training.text.masking import IGNORED
from mlmguard.training.text.tokenizer import Tokenizer

TEXT = "The function returns a list of the names of all files."


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped start as a folder."""
    folder, tokenizer = tmp_path_factory.mktemp("start"), Tokenizer.load(None)
    checkpoint.save_weights(folder, warm._shipped("nano", tokenizer, warm.WINDOW), tokenizer)
    return folder


def test_the_guesses_are_those_of_the_plain_forward_pass(start: Path) -> None:
    model, tokenizer = models.load(start)[0], Tokenizer.load(None)
    ids = np.array(tokenizer.encode([TEXT])[0], dtype=np.int64)
    labels, shown = np.full_like(ids, IGNORED), ids.copy()
    for place in (1, 4):
        labels[place], shown[place] = ids[place], tokenizer.mask_id
    found = guesses(model, tokenizer, shown, labels, 64)
    framed = torch.tensor(np.r_[tokenizer.cls, shown, tokenizer.sep])[None]
    with torch.no_grad():
        shares = model(framed).logits[0].softmax(-1)
    assert set(found) == {1, 4}
    for place, guess in found.items():
        assert guess.probability == pytest.approx(float(shares[place + 1, ids[place]]), rel=1e-4)
        best = shares[place + 1].topk(5)
        assert [token for token, _ in guess.likeliest] == tokenizer.tokens(best.indices.tolist())
    assert guesses(model, tokenizer, ids, np.full_like(ids, IGNORED), 64) == {}


def test_only_what_is_to_be_predicted_has_a_guess(start: Path) -> None:
    for one in mask(TEXT, model=str(start)):
        assert all((piece.guess is not None) == bool(piece.fate) for piece in one.pieces)
    assert all(piece.guess is None for one in mask(TEXT) for piece in one.pieces)


def test_names_are_underlined_as_a_scan_finds_them() -> None:
    found = mask("The patient of room 12 asked Mary Jones for the list of names.")
    assert all(any(piece.personal for piece in one.pieces) for one in found)


def test_the_page_holds_no_script_escapes_what_was_typed_and_names_no_folder(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "masks.html"
    text = 'List <img src="http://x.example/a.png"> of files & names'
    assert cli.run(["mask", text, "--model", str(start), "--out", str(page)]) == 0
    html = page.read_text("utf-8")
    assert "<img" not in html and "<script" not in html and "http://x" not in html.replace("&#34;", "")
    assert "default-src 'none'" in html and str(start.parent) not in html and start.name in html
    assert html.count('class="way"') == len(mask(text)) and html.count("<details") > 0
    assert "wrote" in capsys.readouterr().err
    assert masks.render(mask(text), "").count("<details") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["word " * 400, "--model", "START"], "at most 62 for this model"),
        (["a word", "--model", "nowhere"], "nowhere"),
        (["", "--model", "START"], "no token"),
    ],
)
def test_wrong_input_is_one_line(
    start: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["mask", *(str(start) if one == "START" else one for one in arguments)]) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1
