"""The n-gram index against counting by hand, and what it must not give away."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmguard.leakage import ngram_index

KEY = b"a key that only tests use, 32 b."

texts = st.lists(
    st.lists(st.integers(0, 5), max_size=30).map(lambda row: np.array(row, dtype=np.int64)), max_size=8
)


def by_hand(documents, n):
    """In how many documents each n-gram stands."""
    return Counter(
        gram for ids in documents for gram in {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}
    )


@settings(max_examples=60, deadline=None)
@given(texts, st.lists(st.integers(0, 5), max_size=20), st.integers(1, 6))
def test_counts_are_those_of_counting_by_hand(tmp_path_factory, documents, asked, n):
    index = ngram_index.build(tmp_path_factory.mktemp("index") / "index", documents, n, KEY)
    ids = np.array(asked, dtype=np.int64)
    expected = by_hand(documents, n)
    wanted = [expected[tuple(ids[i : i + n])] for i in range(len(ids) - n + 1)]
    assert index.counts(ids).tolist() == wanted
    assert index.confirmed(ids, lambda k: documents[k]).tolist() == wanted
    for start, holder in enumerate(index.holders(ids)):
        assert (holder == -1) == (wanted[start] == 0)
        assert holder == -1 or tuple(ids[start : start + n]) in by_hand([documents[holder]], n)


def test_many_buffers_make_one_index(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 40, rng.integers(1, 200)) for _ in range(60)]
    whole = ngram_index.build(tmp_path / "whole", iter(documents), 3, KEY)
    monkeypatch.setattr(ngram_index, "BUFFERED", 50)
    pieces = ngram_index.build(tmp_path / "pieces", iter(documents), 3, KEY)
    for name in ("hashes", "documents", "first"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))
    assert (np.diff(whole.hashes.astype(object)) > 0).all()
    assert sorted(path.name for path in (tmp_path / "pieces").iterdir()) == ["documents", "first", "hashes"]


def test_a_hash_that_two_ngrams_share_is_not_a_hit(tmp_path, monkeypatch):
    monkeypatch.setattr(ngram_index, "_mixed", lambda x: x & np.uint64(0))  # everything collides
    index = ngram_index.build(tmp_path / "index", [np.arange(10)], 3, KEY)
    strange = np.array([90, 91, 92])
    assert index.counts(strange).tolist() == [1]
    assert index.confirmed(strange, lambda k: np.arange(10)).tolist() == [0]
    assert index.confirmed(np.array([4, 5, 6]), lambda k: np.arange(10)).tolist() == [1]


def test_another_key_makes_another_index(tmp_path):
    ids = np.arange(50)
    index = ngram_index.build(tmp_path / "index", [ids], 4, KEY)
    stranger = ngram_index.NgramIndex(4, b"another key", index.hashes, index.documents, index.first)
    assert index.counts(ids).sum() == 47 and stranger.counts(ids).sum() == 0
    assert KEY.decode() not in repr(index) and "hashes" not in repr(index)


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_corpus_holds_nothing(tmp_path, count):
    index = ngram_index.build(tmp_path / "index", [np.arange(2)] * count, 3, KEY)
    assert index.counts(np.arange(8)).tolist() == [0] * 6


def test_hashes_of_different_ngrams_differ():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 30_000, 200_000)
    hashes = ngram_index.ngram_hashes(ids, 4, KEY)
    different = len({tuple(ids[i : i + 4]) for i in range(len(ids) - 3)})
    assert len(np.unique(hashes)) == different
