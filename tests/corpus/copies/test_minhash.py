"""Whole batches against one text at a time, against regular expressions, and against datasketch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmguard.corpus.copies import minhash, stock
from mlmguard.corpus.copies.dedup import jaccard

TEXTS = st.lists(
    st.lists(
        st.sampled_from(
            ["a", "B", "b", "one", "One", "ΟΔΟΣ", "οδος", "İx", "straße", "x_1", "_", "e\u0301", "\u0301",
             "٣", "²", "𝒳", "漢字", "x漢字2かなカナy", "กข",
             "\ud800", "don't", "-", "...", "\n", "\u2028", "\0", "a" * 70]
        )
    ).map(" ".join)
    | st.text(max_size=40),
    max_size=8,
)  # fmt: skip


@given(TEXTS)
def test_words_are_those_of_the_regular_expression(texts: list[str]) -> None:
    of = minhash.words(texts)
    assert np.diff(of.bounds).tolist() == [len(stock.words(text)) for text in texts]
    named: dict[int, str] = {}
    for text, first, last in zip(texts, of.bounds, of.bounds[1:]):
        for place in range(first, last):
            word = minhash.lower(text)[of.starts[place] : of.ends[place]]
            assert word == stock.words(text)[place - first]
            assert named.setdefault(int(of.fingerprints[place]), word) == word
    assert len(set(named.values())) == len(named)


@given(TEXTS)
def test_a_batch_is_its_texts_one_by_one(texts: list[str]) -> None:
    together, bounds = minhash.shingles(minhash.words(texts))
    sketches = minhash.signatures(together, bounds)
    for place, text in enumerate(texts):
        alone, ends = minhash.shingles(minhash.words([text]))
        assert alone.tolist() == together[bounds[place] : bounds[place + 1]].tolist()
        assert len(set(alone.tolist())) == len(stock.shingle_set(text))
        assert (minhash.signatures(alone, ends)[:, 0] == sketches[:, place]).all()


@given(TEXTS, TEXTS)
def test_jaccard_is_that_of_the_definition(some: list[str], others: list[str]) -> None:
    a, b = " ".join(some), " ".join([*some[1:], *others])
    left, right = stock.shingle_set(a), stock.shingle_set(b)
    exact = len(left & right) / len(left | right) if left & right else 0.0
    arrays = [np.unique(minhash.shingles(minhash.words([text]))[0]) for text in (a, b)]
    assert jaccard(*arrays) == exact


@pytest.mark.parametrize("permutations", [16, 128, 200])
def test_signatures_are_datasketchs_bit_for_bit(permutations: int) -> None:
    texts = ["one two three four five six seven eight", "", "short", "x " * 400 + "y z"]
    fingerprints, bounds = minhash.shingles(minhash.words(texts))
    ours = minhash.signatures(fingerprints, bounds, permutations)
    for place in range(len(texts)):
        of = fingerprints[bounds[place] : bounds[place + 1]].tolist()
        assert (stock.signature(of, permutations) == ours[:, place]).all()


def test_estimates_are_unbiased() -> None:
    """Over 60 pairs of Jaccard index 0.8 the mean estimate is within four standard errors."""
    estimates = []
    for pair in range(60):
        words = [f"p{pair}w{i}" for i in range(94)]  # 90 shingles; 80 shared of 100 with the other
        other = words[10:] + [f"p{pair}x{i}" for i in range(10)]
        fingerprints, bounds = minhash.shingles(minhash.words([" ".join(words), " ".join(other)]))
        a, b = minhash.signatures(fingerprints, bounds).T
        estimates.append(float(np.mean(a == b)))
    assert abs(np.mean(estimates) - 0.8) < 4 * (0.8 * 0.2 / 128 / 60) ** 0.5


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_miss_two_pairs_in_a_thousand_at_most(threshold: float) -> None:
    count, rows = minhash.bands(threshold, 128)
    assert count * rows <= 128 and (1 - threshold**rows) ** count <= 0.002


def test_texts_share_a_band_key_just_when_they_share_its_rows() -> None:
    chance = np.random.default_rng(0)
    signatures = chance.integers(0, 2, (128, 300)).astype(np.uint32)
    keys = minhash.band_keys(signatures, 0.5)
    count, rows = minhash.bands(0.5, 128)
    for band in range(count):
        of_band = signatures[band * rows : (band + 1) * rows]
        assert len(np.unique(keys[band])) == len(np.unique(of_band, axis=1).T)


def test_lower_case_moves_no_character() -> None:
    letters = "".join(map(chr, range(0x110000)))
    assert len(minhash.lower(letters)) == len(letters)
