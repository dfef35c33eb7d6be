"""The public starts that the package ships."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mlmguard.artifacts import sha256_file
from mlmguard.corpus.synthetic import public_documents
from mlmguard.settings import TrainSettings
from mlmguard.train import train, warm
from mlmguard.training import models
from mlmguard.training.evaluation import gain, held_out, unigram_log_probabilities
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Watcher
from tests.fixtures.places import scanned


def test_every_file_that_is_shipped_is_pinned_and_every_pin_has_its_file() -> None:
    found = {path.stem: sha256_file(path) for path in warm.FOLDER.iterdir()}
    assert found == dict(warm.SHIPPED) and {"nano", "tiny"} <= set(found)


@pytest.mark.parametrize("size", sorted(warm.SHIPPED))
def test_a_shipped_start_knows_english_better_than_a_fresh_model_and_than_word_frequencies(size: str) -> None:
    tokenizer = Tokenizer.load(None)
    model = warm._shipped(size, tokenizer, warm.WINDOW)
    assert model is not None
    texts = [ids[:64] for ids in tokenizer.encode(d.text for d in public_documents()[:40])]
    counts = torch.bincount(torch.tensor([i for ids in texts for i in ids]), minlength=len(tokenizer)).numpy()
    frequencies = unigram_log_probabilities(counts)
    device = torch.device("cpu")
    known = held_out(model, texts, frequencies, tokenizer, warm.WINDOW, device)
    fresh = models.fresh(size, tokenizer, warm.WINDOW, 0.0, 0)
    unknown = held_out(fresh, texts, frequencies, tokenizer, warm.WINDOW, device)
    assert gain(unknown.loss, known.loss, known.tokens)[1] > 0.5
    assert gain(known.unigram, known.loss, known.tokens)[1] > 0


def test_another_window_tokenizer_or_file_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.load(None)
    assert warm._shipped("nano", tokenizer, 32) is None
    assert warm._shipped("base", tokenizer, warm.WINDOW) is None
    (tmp_path / "words.txt").write_text("quaverly\n")
    assert warm._shipped("nano", tokenizer.with_words(str(tmp_path / "words.txt")), warm.WINDOW) is None
    (tmp_path / "nano.safetensors").write_bytes((warm.FOLDER / "nano.safetensors").read_bytes()[:-1] + b"x")
    monkeypatch.setattr(warm, "FOLDER", tmp_path)
    assert warm._shipped("nano", tokenizer, warm.WINDOW) is None


def test_a_default_run_begins_at_once(tmp_path: Path) -> None:
    place, stages = scanned(tmp_path, rows=60), set()
    watcher = Watcher(lambda stage, done, total: stages.add(stage))
    settings = TrainSettings(steps=1, batch_units=4, canaries=0)
    train(
        place / "clean",
        place / "ckpt",
        place / "reports",
        settings,
        runs=place / "runs",
        overwrite=True,
        watcher=watcher,
    )
    assert "train" in stages and "warm up on public text" not in stages
