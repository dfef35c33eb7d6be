"""What the entries of a vocabulary say of the texts it was learnt from, and what kinds of token there are."""

import numpy as np
import pytest

from mlmguard.leakage import formats, results, vocabulary
from mlmguard.leakage.extraction import Target


def words(counts, unit=str):
    """Each word in a document of its own, or in the ``unit`` of it."""
    return vocabulary.Words(counts, {word: unit(word) for word in counts})


RNG = np.random.default_rng(0)


def test_a_vocabulary_learnt_from_the_training_rows_is_told_from_a_public_one():
    trained = words({f"train{k}": 1 for k in range(300)} | {"shared": 1})
    held_out = words({f"other{k}": 1 for k in range(100)} | {"shared": 1})
    public = vocabulary.vocabulary({"the", "shared", "train7", "other9"}, trained, held_out, RNG)
    private = vocabulary.vocabulary({f"train{k}" for k in range(0, 300, 5)}, trained, held_out, RNG)
    assert public.tests[0].p > 0.2
    assert private.tests[0].p < 0.001 and private.measurements[0].value == pytest.approx(0.2)
    entries = {f"##train{k}" for k in range(0, 300, 5)}  # part of a word in the vocabulary, whole in the text
    assert vocabulary.vocabulary(entries, trained, held_out, RNG).tests[0].p < 0.001
    learnt = {m.slice: m.value for m in private.measurements}[vocabulary.LEARNT]
    assert learnt == pytest.approx(0.6)  # its sixty most frequent words, ties by the alphabet


def test_one_document_of_many_known_words_is_no_proof():
    """Thirty rare words of one training document are entries: a list of names, say. It is one document."""
    trained = words({f"train{k}": 1 for k in range(300)}, lambda word: f"d{int(word[5:]) // 30}")
    held_out = words({f"other{k}": 1 for k in range(300)}, lambda word: f"h{int(word[5:]) // 30}")
    found = vocabulary.vocabulary({f"train{k}" for k in range(30)}, trained, held_out, RNG)
    assert found.tests[0].p > 0.3  # ten units against ten: half of all deals have it on this side


def test_personal_values_that_are_one_entry_of_the_vocabulary_are_told_from_common_names():
    def span(kind, document, *tokens):
        ids = np.array([2, *tokens, 3])
        return results.Span(
            str(document), "PERSON", Target(ids, tuple(range(1, len(tokens) + 1)), (0,) * len(tokens)), kind
        )

    in_parts = [span("held-out", k, 100 + k, 7) for k in range(60)]
    common = [span(kind, k, 50) for k, kind in enumerate(("kept", "held-out"))]  # on both sides: says nothing
    learnt = vocabulary.findings(
        [*in_parts, *common, *(span("kept", k, 900 + k) for k in range(40))], ("kept",), RNG
    )
    assert learnt.tests[0].p < 1e-6
    assert {m.slice: (m.value, m.examples) for m in learnt.measurements} == {
        "kept": (1, 40),
        "held-out": (0, 60),
    }
    public = vocabulary.findings(
        [*in_parts, *(span("kept", k, 900 + k, 8) for k in range(40))], ("kept",), RNG
    )
    assert public.tests[0].p == 1


def test_alphabets_cover_every_ordinary_token_once():
    classes = formats.token_classes(["[PAD]", "7", "##ing", "ward", "-", "Ġ12"], {0})
    found = formats.alphabets(classes)
    assert sorted(np.concatenate(found).tolist()) == [1, 2, 3, 4, 5]
    assert found[formats.DIGIT].tolist() == [1, 5]
