"""Tokens on disk: the units they are in memory, read when drawn, private, and rebuilt when they differ."""

import itertools

import numpy as np
import pytest

from mlmguard.training.examples import example
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import masking, tokens, units
from mlmguard.training.text.masking import Notes
from mlmguard.training.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.load(None)


def some_rows(count=40, noted=True):
    """Rows of four people, some of them empty."""
    rng = np.random.default_rng(0)
    for k in range(count):
        ids = rng.integers(10, len(TOKENIZER), rng.integers(0, 30))
        notes = Notes(np.arange(len(ids)) // 2, rng.random(len(ids)) < 0.2) if noted else None
        yield units.Row(f"pérson {k * k % 7}", ids, notes)


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("vocabulary", [len(TOKENIZER), 1 << 17])
def test_units_on_disk_are_those_gathered_in_memory(tmp_path, noted, vocabulary):
    kept = tokens.kept(tmp_path / "tokens", "k", lambda: some_rows(noted=noted), vocabulary)
    gathered = units.group(some_rows(noted=noted))
    assert len(kept) == len(gathered) and kept.sequences.tolist() == [len(u.sequences) for u in gathered]
    for one, other in zip(kept, gathered, strict=True):
        assert one.id == other.id
        for a, b in itertools.zip_longest(one.sequences, other.sequences):
            assert a.tolist() == b.tolist()
        for a, b in itertools.zip_longest(one.notes, other.notes):
            assert a.words.tolist() == b.words.tolist() and a.personal.tolist() == b.personal.tolist()
    every = np.concatenate([ids for unit in gathered for ids in unit.sequences])
    assert kept.counts(vocabulary).tolist() == np.bincount(every, minlength=vocabulary).tolist()


def test_an_example_of_a_unit_on_disk_is_the_one_of_the_unit_in_memory(tmp_path):
    kept = tokens.kept(tmp_path / "tokens", "k", some_rows, len(TOKENIZER))
    for strategy, objective in itertools.product(masking.STRATEGIES, ("mlm", "mlm+sop", "mlm+nsp")):
        recipe = Recipe(4, 6, 1e-3, 1, 16, masking=masking.Masking(strategy), objective=objective)
        said = []
        for whole in (kept, units.group(some_rows())):
            drawn = [example(unit, TOKENIZER, recipe, np.random.default_rng(3), 0, whole) for unit in whole]
            said.append([(ids.dtype, ids.tolist(), labels.tolist()) for ids, labels in drawn])
        assert said[0] == said[1]


def test_only_the_owner_may_read_them_and_no_text_is_told(tmp_path):
    kept = tokens.kept(tmp_path / "tokens", "k", some_rows, len(TOKENIZER))
    assert (tmp_path / "tokens").stat().st_mode & 0o077 == 0
    assert repr(kept) == "Tokens(4 units)" and "person" not in repr(kept[0].sequences)


def test_what_lies_there_is_read_again_only_under_the_same_key_and_when_it_is_whole(tmp_path):
    read = []

    def rows():
        read.append(1)
        return some_rows()

    folder = tmp_path / "tokens"
    for key, times in (("a", 1), ("a", 1), ("b", 2), ("a", 3)):
        tokens.kept(folder, key, rows, len(TOKENIZER))
        assert len(read) == times
    (folder / "key.json").unlink()  # killed before all was written
    tokens.kept(folder, "a", rows, len(TOKENIZER))
    assert len(read) == 4


def test_texts_are_tokenised_in_batches_that_change_nothing(monkeypatch):
    texts = [
        tokens.Text(str(k), "some words " * (k % 5) + f"and q{k}@example.org", ((0, 4),)) for k in range(9)
    ]
    whole = list(tokens.tokenised(TOKENIZER, texts, noted=True))
    monkeypatch.setattr(tokens, "TEXTS", 2)
    batched = list(tokens.tokenised(TOKENIZER, iter(texts), noted=True))
    assert [row.unit for row in batched] == [str(k) for k in range(9)]
    for a, b in zip(whole, batched, strict=True):
        assert a.ids.tolist() == b.ids.tolist() == TOKENIZER.encode([texts[int(a.unit)].text])[0]
        assert a.notes.personal.tolist() == b.notes.personal.tolist()


def test_no_row_with_a_token_is_no_unit(tmp_path):
    empty = tokens.kept(tmp_path / "tokens", "k", lambda: [units.Row("u", np.zeros(0, np.int64))], 100)
    assert len(empty) == 0 and not list(empty) and empty.counts(100).sum() == 0
