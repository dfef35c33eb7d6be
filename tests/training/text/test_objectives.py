"""Pairs of passages: where they come from, how the answer is asked for, and what one unit can do."""

import numpy as np
import pytest
import torch

from mlmguard.errors import InputError
from mlmguard.settings import TrainSettings, check
from mlmguard.training import gradients, loop, mechanism
from mlmguard.training.examples import example
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import masking, objectives, units
from mlmguard.training.text.masking import Masking
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan
from tests.fixtures.models import small

TOKENIZER = Tokenizer.load(None)
UNIT = units.Unit("u", (np.arange(100, 400),))
OTHER = units.Unit("o", (np.arange(1000, 1400),))


def framed(objective, rng, unit=UNIT, window=32):
    return objectives.OBJECTIVES[objective](unit, window, TOKENIZER, rng, lambda: OTHER)


def parts_of(ids):
    cuts = np.flatnonzero(ids == TOKENIZER.sep)
    assert ids[0] == TOKENIZER.cls and len(cuts) == 2 and cuts[1] == len(ids) - 1
    return ids[1 : cuts[0]], ids[cuts[0] + 1 : -1]


def test_sentence_order_swaps_two_halves_of_one_passage_half_of_the_time():
    rng, swapped = np.random.default_rng(0), 0
    for _ in range(400):
        one = framed("mlm+sop", rng)
        a, b = parts_of(one.ids)
        first, second = (a, b) if one.answer == TOKENIZER.cls else (b, a)
        assert (np.concatenate([first, second]) == np.arange(first[0], first[0] + 29)).all()
        assert one.answer in (TOKENIZER.cls, TOKENIZER.sep) and len(one.ids) == 32
        swapped += one.answer == TOKENIZER.sep
    assert swapped == pytest.approx(200, abs=50)


def test_next_sentence_takes_the_second_half_from_another_unit_half_of_the_time():
    rng, follows = np.random.default_rng(0), 0
    for _ in range(400):
        one = framed("mlm+nsp", rng)
        a, b = parts_of(one.ids)
        together = bool(b[0] == a[-1] + 1)
        assert together == (one.answer == TOKENIZER.cls) and (together or b[0] >= 1000)
        follows += together
    assert follows == pytest.approx(200, abs=50)


def test_a_passage_too_short_for_a_pair_is_asked_no_question():
    one = framed("mlm+sop", np.random.default_rng(0), units.Unit("s", (np.array([77]),)))
    assert one.answer is None and (one.ids == [TOKENIZER.cls, 77, TOKENIZER.sep]).all()


def test_words_keep_their_place_through_the_swap():
    notes = masking.Notes(np.arange(300) // 3, np.arange(300) % 2 == 0)
    unit = units.Unit("u", (np.arange(100, 400),), (notes,))
    rng = np.random.default_rng(3)
    for _ in range(20):
        one = framed("mlm+sop", rng, unit)
        inner = ~np.isin(one.ids, [TOKENIZER.cls, TOKENIZER.sep])
        assert (one.notes.words[inner] == (one.ids[inner] - 100) // 3).all()
        assert (one.notes.personal[inner] == ((one.ids[inner] - 100) % 2 == 0)).all()
        assert (one.notes.words[~inner] == masking.NO_WORD).all()


def test_the_answer_is_a_label_at_the_first_position_and_no_token_shows_it():
    recipe = Recipe(4, 2, 1e-3, 1, 32, objective="mlm+sop")
    rng = np.random.default_rng(0)
    ids, labels = example(UNIT, TOKENIZER, recipe, rng)
    assert ids[0] == TOKENIZER.cls and labels[0] in (TOKENIZER.cls, TOKENIZER.sep)


def test_pairs_of_two_units_are_refused_under_epsilon():
    with pytest.raises(InputError, match=r"mlm\+nsp.*mlm\+sop"):
        check(TrainSettings(objective="mlm+nsp", dp_epsilon=8.0))
    check(TrainSettings(objective="mlm+nsp"))
    check(TrainSettings(objective="mlm+sop", dp_epsilon=8.0))
    with pytest.raises(InputError, match="--objective"):
        check(TrainSettings(objective="clm"))


def test_one_unit_moves_the_private_sum_by_at_most_c_with_the_question():
    model = small(TOKENIZER)
    recipe = Recipe(1, 4, 1e-3, 1, 32, objective="mlm+sop", masking=Masking(rate=0.3))
    plan = DpPlan(0.0, 1.0, 0.5, 1, 1e-5, "document", 1.0, 8.0)
    draw = np.random.default_rng(0)
    members = [units.Unit(f"u{k}", (draw.integers(10, len(TOKENIZER), 40),)) for k in range(6)]

    def summed(chosen):
        rng, noise = np.random.default_rng(1), mechanism.noise_source()
        examples = [example(unit, TOKENIZER, recipe, rng) for unit in chosen]
        cpu = torch.device("cpu")
        gradients.private_gradient(model, examples, TOKENIZER.pad, plan, noise, "one-pass", 8192, cpu)
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    moved = float((summed(members) - summed(members[:-1])).norm())
    assert 0.5 < moved <= 1.0 + 1e-3


def test_the_order_of_passages_can_be_learnt(tmp_path):
    """Units whose halves are told apart by their tokens: the question is answered after some steps."""
    from mlmguard.training.journal import Journal

    model = small(TOKENIZER, hidden=32)
    rng = np.random.default_rng(0)
    corpus = [
        units.Unit(f"u{k}", (np.concatenate([rng.integers(100, 200, 14), rng.integers(1000, 1100, 15)]),))
        for k in range(64)
    ]
    recipe = Recipe(120, 32, 5e-3, 5, 32, objective="mlm+sop")
    loop.train(model, corpus, TOKENIZER, recipe, Journal(tmp_path))
    framing = [framed("mlm+sop", rng, unit) for unit in corpus]
    tokens = torch.from_numpy(np.stack([one.ids for one in framing]))
    said = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[:, 0]
    right = (said[:, TOKENIZER.cls] > said[:, TOKENIZER.sep]) == torch.tensor(
        [one.answer == TOKENIZER.cls for one in framing]
    )
    assert float(right.float().mean()) > 0.9
