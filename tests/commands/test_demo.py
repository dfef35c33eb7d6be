"""The demo is nobody's data: it starts anew and enters its run beside itself."""

import os

import pytest

from mlmguard.artifacts import RUNS
from mlmguard.commands import demo
from mlmguard.errors import InputError


@pytest.fixture
def reviews(monkeypatch):
    """What each review of a demo was called with, in place of the review."""
    seen = []

    def review(corpus, folder, **settings):
        seen.append((os.environ["MLMGUARD_STATE"], sorted(path.name for path in folder.iterdir())))
        (folder / RUNS).mkdir(parents=True)
        (folder / RUNS / "ledger.jsonl").write_text("of this demo")

    monkeypatch.setattr(demo, "review", review)
    monkeypatch.setattr(
        demo, "write_corpus", lambda corpus, gold, notes: (corpus.mkdir(), gold.write_text(""))
    )
    return seen


def test_a_second_demo_knows_nothing_of_the_first(tmp_path, reviews, monkeypatch):
    monkeypatch.delenv("MLMGUARD_STATE")
    (tmp_path / "notes of mine").mkdir()
    for _ in range(2):
        demo.demo(tmp_path)
    assert reviews == [(str(tmp_path / RUNS), ["corpus", "gold.jsonl", "notes of mine"])] * 2
    assert "MLMGUARD_STATE" not in os.environ


def test_a_state_folder_that_was_named_is_used(tmp_path, reviews, monkeypatch):
    monkeypatch.setenv("MLMGUARD_STATE", str(tmp_path / "named"))
    demo.demo(tmp_path)
    assert [state for state, _ in reviews] == [str(tmp_path / "named")]


def test_a_corpus_of_somebody_else_is_left_alone(tmp_path, reviews):
    (tmp_path / "corpus").mkdir()
    with pytest.raises(InputError, match="not the demo's corpus"):
        demo.demo(tmp_path)
    assert not reviews
