"""Texts drawn from a model, and what of the training documents is found in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmguard.leakage import generation, ngram_index
from mlmguard.leakage.generation import Split, edits_within, gibbs, regurgitated
from mlmguard.leakage.results import CONTROL

KEY = b"a key that only tests use, 32 b."
V = 500


def side(name, documents, folder, values=frozenset()):
    index = ngram_index.build(folder / name, documents, 6, KEY)
    ids = [f"{name}-{k}" for k in range(len(documents))]
    return Split(name, index, documents, ids, ids, values)


def documents_of(rng, count=40, length=60):
    return [rng.integers(10, V, length) for _ in range(count)]


@pytest.fixture
def sides(tmp_path):
    rng = np.random.default_rng(0)
    return side("train", documents_of(rng), tmp_path), side(CONTROL, documents_of(rng), tmp_path)


def values_of(result):
    return {(m.metric, m.slice): m.value for m in result.measurements}


def test_a_model_that_repeats_its_training_documents_is_caught(sides):
    trained, held_out = sides
    texts = [trained.tokens[k][10:34] for k in range(20)]
    found = regurgitated(texts, [0] * 20, trained, held_out)
    numbers = values_of(found)
    assert numbers["verbatim_rate", "train"] == numbers["near_verbatim_rate", "train"] == 1
    assert numbers["verbatim_rate", CONTROL] == 0 and numbers["documents_emitted", "train"] == 0.5
    assert found.tests[0].p < 1e-6
    assert {e.document_id for e in found.exposed} == {f"train-{k}" for k in range(20)}
    assert "seen once" in found.measurements[0].note


def test_documents_whose_words_are_drawn_as_often_as_those_of_held_out_ones_are_not_listed(sides):
    """A template: 8 of 40 documents are emitted and 6 of 40 that the model never saw."""
    trained, held_out = sides
    texts = [trained.tokens[k][10:34] for k in range(8)] + [held_out.tokens[k][10:34] for k in range(6)]
    found = regurgitated(texts, [0] * len(texts), trained, held_out)
    assert values_of(found)["documents_emitted", "train"] == 0.2 and found.exposed == ()
    few = regurgitated(texts[:8], [0] * 8, trained, held_out)  # and of no held-out one: suspicious
    assert len(few.exposed) == 8


def test_one_document_emitted_a_thousand_times_is_one_document(sides):
    """A phrase of one training document that everybody says is no evidence, however often it comes."""
    trained, held_out = sides
    found = regurgitated([trained.tokens[0][:24]] * 1000, [0] * 1000, trained, held_out)
    assert values_of(found)["verbatim_rate", "train"] == 1
    assert found.tests[0].p > 0.3


def test_what_was_given_as_a_beginning_is_not_counted(sides):
    trained, held_out = sides
    rng = np.random.default_rng(1)
    texts = [np.concatenate([trained.tokens[k][:8], rng.integers(10, V, 16)]) for k in range(20)]
    assert values_of(regurgitated(texts, [8] * 20, trained, held_out))["verbatim_rate", "train"] == 0
    assert values_of(regurgitated(texts, [0] * 20, trained, held_out))["verbatim_rate", "train"] == 1


def test_a_phrase_of_both_sides_is_nobodys(tmp_path):
    rng = np.random.default_rng(0)
    phrase = np.arange(100, 130)
    documents = [np.concatenate([phrase, d]) for d in documents_of(rng, 20)]
    trained, held_out = side("train", documents[:10], tmp_path), side(CONTROL, documents[10:], tmp_path)
    found = regurgitated([phrase[:24]] * 50, [0] * 50, trained, held_out)
    assert values_of(found)["verbatim_rate", "train"] == values_of(found)["documents_emitted", "train"] == 0


def test_nearly_verbatim_is_not_verbatim_and_a_stranger_is_neither(sides):
    trained, held_out = sides
    text = trained.tokens[3][5:29].copy()
    text[[7, 15]] = 9  # two of 24 changed: no more than a tenth
    worse = trained.tokens[3][5:29].copy()
    worse[6:24:3] = 9
    rates = [
        values_of(regurgitated([t], [0], trained, held_out))["near_verbatim_rate", "train"]
        for t in (text, worse, np.arange(300, 324))
    ]
    assert rates == [1, 0, 0]


def test_personal_values_count_where_one_side_alone_has_them(tmp_path):
    rng = np.random.default_rng(0)
    own, common = (21, 22, 23, 24), (31, 32, 33)
    trained = side("train", documents_of(rng), tmp_path, frozenset({own, common}))
    held_out = side(CONTROL, documents_of(rng), tmp_path, frozenset({common}))
    texts = [np.array([9, *own, 9]), np.array([9, *common, 9, 9]), np.array([9, 21, 22, 23, 9, 24])]
    found = values_of(regurgitated(texts, [0, 0, 0], trained, held_out))
    assert found["personal_rate", "train"] == pytest.approx(1 / 3) and found["personal_rate", CONTROL] == 0


@pytest.mark.statistical
def test_texts_that_know_neither_side_raise_no_alarm(tmp_path):
    """Documents made of few words, texts of the same: n-grams meet by chance, on both sides alike."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        made = [rng.integers(10, 16, 60) for _ in range(60)]
        trained = side("train", made[:30], tmp_path / str(seed))
        held_out = side(CONTROL, made[30:], tmp_path / str(seed))
        texts = [rng.integers(10, 16, 24) for _ in range(60)]
        alarms += regurgitated(texts, [0] * 60, trained, held_out).tests[0].p < 0.05
    assert alarms / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def fewest_edits(text, stretch):
    """Sellers by the book: every cell of the table."""
    table = [[0] * (len(stretch) + 1)]
    for i, a in enumerate(text, 1):
        row = [i]
        for j, b in enumerate(stretch, 1):
            row.append(min(table[-1][j - 1] + (a != b), table[-1][j] + 1, row[-1] + 1))
        table.append(row)
    return min(table[-1])


short = st.lists(st.integers(0, 3), max_size=12)


@settings(max_examples=200, deadline=None)
@given(short, short)
def test_edits_are_those_of_the_whole_table(text, stretch):
    found = edits_within(np.array(text, dtype=np.int64), np.array(stretch, dtype=np.int64))
    assert found == fewest_edits(text, stretch)


class Parrot:
    """Says 7 after anything, and remembers what it was shown."""

    mask_id = 3

    def __init__(self):
        self.seen = []

    def sampler(self, seed, allowed):
        def draw(windows, positions):
            self.seen.append((windows.copy(), positions.copy()))
            return np.full(len(windows), 7)

        return draw


def test_every_free_position_is_drawn_in_each_sweep_and_beginnings_stay():
    parrot = Parrot()
    prompts = [np.array([11, 12, 13]), np.zeros(0, dtype=np.int64), np.arange(20, 40)]
    texts = gibbs(parrot, prompts, 6, (1, 2), np.ones(V, dtype=bool), seed=0, sweeps=2)
    assert [t.tolist() for t in texts] == [[11, 12, 13, 7, 7, 7], [7] * 6, [20, 21, 22, 23, 24, 25]]
    visited = [p for _, positions in parrot.seen for p in positions.tolist()]
    assert sorted(visited) == sorted([*range(4, 7), *range(1, 7)] * 2)
    first = parrot.seen[0][0]
    assert first[0].tolist() == [1, 11, 12, 13, 3, 3, 3, 2] and first[1].tolist() == [1, *[3] * 6, 2]


def test_the_same_seed_draws_the_same_texts():
    class Fair:
        mask_id = 3

        def sampler(self, seed, allowed):
            rng = np.random.default_rng(seed)
            return lambda windows, positions: rng.integers(10, V, len(windows))

    draws = [
        gibbs(Fair(), [np.zeros(0, dtype=np.int64)] * 4, 8, (1, 2), np.ones(V, bool), s) for s in (5, 5, 6)
    ]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    assert gibbs(Fair(), [], 8, (1, 2), np.ones(V, bool), 0) == []
    assert generation.SLACK >= (1 - generation.NEAR) * 32
