"""What the entries of a vocabulary say of the texts it was learnt from, and what kinds of token there are."""

from dataclasses import replace

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


def value(kind, document, *tokens):
    ids = np.array([2, *tokens, 3])
    target = Target(ids, tuple(range(1, len(tokens) + 1)), (0,) * len(tokens))
    return results.Span(str(document), "PERSON", target, kind, str(document))


def test_personal_values_that_are_one_entry_of_the_vocabulary_are_told_from_common_names():
    in_parts = [value("held-out", f"h{k}", 100 + k, 7) for k in range(60)]
    # on both sides: says nothing
    common = [value(kind, f"c{k}", 50) for k, kind in enumerate(("kept", "held-out"))]
    learnt = vocabulary.findings(
        [*in_parts, *common, *(value("kept", k, 900 + k) for k in range(40))], ("kept",), RNG
    )
    assert learnt.tests[0].p < 1e-6
    assert {m.slice: (m.value, m.examples) for m in learnt.measurements} == {
        "kept": (1, 40),
        "held-out": (0, 60),
    }
    public = vocabulary.findings(
        [*in_parts, *(value("kept", k, 900 + k, 8) for k in range(40))], ("kept",), RNG
    )
    assert public.tests[0].p == 1


def test_one_known_value_where_units_bring_unequally_many_is_no_proof():
    """Findings are drawn: 3,000 units bring one each, 370 held-out ones four or five."""
    rng = np.random.default_rng(1)
    known = [value("kept", k, 5000 + k, *(() if k == 7 else (8,))) for k in range(3000)]
    others = [value("held-out", f"h{k}", 9000 + 5 * k + j, 8) for k in range(370) for j in range(4 + k % 2)]
    (test,) = vocabulary.findings([*known, *others], ("kept",), rng).tests
    assert test.p == pytest.approx(3000 / 3370, abs=0.01)


def test_values_of_several_units_are_not_tested():
    """A name that two bear is likelier an entry, and likelier to stand in the larger set alone."""
    shared = [value("kept", 2 * k + j, 5000 + k) for k in range(60) for j in (0, 1)]
    alone = [value("kept", f"a{k}", 7000 + k, 8) for k in range(60)]
    others = [value("held-out", f"h{k}", 9000 + k, 8) for k in range(60)]
    (test,) = vocabulary.findings([*shared, *alone, *others], ("kept",), np.random.default_rng(1)).tests
    assert test.p == 1


def test_values_left_in_are_compared_with_held_out_ones_that_would_have_been_left_in():
    """States are left in the text, and half of them are entries; addresses are taken out, and none is."""
    rng, spans = np.random.default_rng(0), []
    for unit in range(400):
        side = ("kept", "redacted") if unit % 10 < 7 else ("held-out", "held-out")
        for j, (kind, fate) in enumerate(zip(side, ("kept", "redacted"))):
            parts = () if fate == "kept" and rng.random() < 0.5 else (8,)
            spans.append(replace(value(kind, unit, 5000 + 10 * unit + j, *parts), fate=fate))
    found = vocabulary.findings(spans, ("kept", "redacted"), rng)
    assert {test.slice: test.p for test in found.tests}["kept"] > 0.05


@pytest.mark.statistical
def test_the_level_is_kept_where_few_values_are_entries_and_units_bring_unequally_many():
    alarms = 0
    for seed in range(400):
        rng = np.random.default_rng([5, seed])
        spans = []
        for unit in range(600):
            held = rng.random() < 0.1
            for j in range(5 if held else 1 + int(rng.random() < 0.3)):
                parts = () if rng.random() < 0.01 else (8,)
                spans.append(value("held-out" if held else "kept", unit, 5000 + 10 * unit + j, *parts))
        (test,) = vocabulary.findings(spans, ("kept",), rng).tests
        alarms += test.p < 0.05
    assert alarms / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_alphabets_cover_every_ordinary_token_once():
    classes = formats.token_classes(["[PAD]", "7", "##ing", "ward", "-", "Ġ12"], {0})
    found = formats.alphabets(classes)
    assert sorted(np.concatenate(found).tolist()) == [1, 2, 3, 4, 5]
    assert found[formats.DIGIT].tolist() == [1, 5]
