"""What a model says at masked positions: the same however probes are batched and padded."""

import math

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, RobertaConfig, RobertaForMaskedLM

from mlmguard.errors import InputError
from mlmguard.leakage import answers, scorer
from mlmguard.leakage.answers import Probe
from mlmguard.leakage.scorer import Scorer
from mlmguard.training import models

MASK, PAD, V = 4, 0, 60


def model_of(name="bert"):
    torch.manual_seed(0)
    shape = {
        "vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 40, "initializer_range": 0.3, "pad_token_id": PAD,
    }  # fmt: skip
    made = (
        BertForMaskedLM(BertConfig(**shape)) if name == "bert" else RobertaForMaskedLM(RobertaConfig(**shape))
    )
    return made.eval()


def scorer_of(model, alphabets=(), micro_tokens=8192):
    return Scorer(
        lambda ids, attention, where: models.masked_logits(model, ids, attention, where),
        MASK, PAD, torch.device("cpu"), alphabets, micro_tokens,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return model_of()


def probes(count=64, seed=0):
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        ids = rng.integers(5, V, rng.integers(4, 38))
        size = int(rng.integers(1, min(4, len(ids) - 2) + 1))
        drawn.append(Probe(ids, tuple(int(p) for p in 1 + rng.permutation(len(ids) - 2)[:size])))
    return drawn


def by_hand(model, probe):
    """The whole model, one window, all logits."""
    ids = torch.tensor(probe.ids)[None].clone()
    ids[0, list(probe.positions)] = MASK
    with torch.no_grad():
        scores = torch.log_softmax(model(input_ids=ids).logits[0], -1).double().numpy()
    return [scores[p] for p in probe.positions]


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_answers_are_those_of_the_whole_model_on_one_window(name):
    model = model_of(name)
    scorer = scorer_of(model)
    best = [answer.best.tolist() for answer in scorer.answer(probes())]
    for k, (probe, answer) in enumerate(zip(probes(), scorer.answer(probes(), top=3, moments=True))):
        assert best[k] == answer.best.tolist()
        for k, scores in enumerate(by_hand(model, probe)):
            truth = scores[probe.ids[probe.positions[k]]]
            assert answer.log_probability[k] == pytest.approx(truth, abs=1e-4)
            assert answer.rank[k] == 1 + (scores > truth + 1e-6).sum()
            assert answer.choices[k].tolist() == np.argsort(-scores)[:3].tolist()
            mean = (np.exp(scores) * scores).sum()
            spread = math.sqrt((np.exp(scores) * (scores - mean) ** 2).sum())
            assert answer.moments[k] == pytest.approx([mean, spread], abs=1e-4)


def test_batch_size_1_and_64_give_the_same_answers(model):
    drawn = probes(64)
    one, many = scorer_of(model, micro_tokens=1), scorer_of(model)
    for a, b in zip(one.answer(drawn), many.answer(drawn)):
        assert np.abs(a.log_probability - b.log_probability).max() <= 1e-4
        assert (a.choices == b.choices).all()
    assert one.queries == many.queries == 64


def test_identical_probes_are_computed_once(model):
    scorer = scorer_of(model)
    drawn = probes(5) * 3
    answers = scorer.answer(drawn)
    assert scorer.queries == 5
    assert all(np.array_equal(a.log_probability, b.log_probability) for a, b in zip(answers, answers[5:]))


def test_choices_stay_within_the_alphabet(model):
    alphabets = [np.arange(10, 13), np.arange(30, 60)]
    probe = Probe(np.arange(5, 25), (7, 3), (1, 0))
    answer = scorer_of(model, alphabets).answer([probe, Probe(np.arange(5, 25), (2,))], top=4)[0]
    scores = by_hand(model, probe)
    assert answer.choices[0].tolist() == (30 + np.argsort(-scores[0][30:60]))[:4].tolist()
    assert set(answer.choices[1][:3].tolist()) == {10, 11, 12} and not np.isfinite(answer.confidence[1, 3])


def test_pseudo_log_likelihood_hides_one_at_a_time_and_later_pieces_of_a_word(model):
    ids, span = np.arange(6, 20), (3, 4, 5)
    scorer = scorer_of(model)
    alone = sum(by_hand(model, Probe(ids, (p,)))[0][ids[p]] for p in span)
    assert answers.pseudo_log_likelihood(scorer, [ids], [span])[0] == pytest.approx(alone, abs=1e-4)
    # 3 and 4 are one word, 5 another: where 3 is asked for, 4 is hidden with it
    ordered = sum(by_hand(model, Probe(ids, hidden))[0][ids[hidden[0]]] for hidden in ((3, 4), (4,), (5,)))
    found = answers.pseudo_log_likelihood(scorer, [ids], [span], [[0, 0, 1]])[0]
    assert found == pytest.approx(ordered, abs=1e-4)
    whole = sum(s[ids[p]] for p, s in zip(span, by_hand(model, Probe(ids, span))))
    assert answers.masked_span_score(scorer, [ids], [span])[0] == pytest.approx(whole, abs=1e-4)


def test_spaced_masks_hide_every_token_once():
    rng = np.random.default_rng(0)
    for length in (3, 5, 40, 128):
        patterns = answers.spaced_masks(length, 0.15, rng)
        assert sorted(p for pattern in patterns for p in pattern) == list(range(1, length - 1))
        assert len(patterns) == min(length - 2, 7)
        assert max(map(len, patterns)) - min(map(len, patterns)) <= 1


def test_samples_follow_the_models_distribution(model):
    ids = np.tile(np.arange(5, 20), (4000, 1))
    allowed = np.zeros(V, dtype=bool)
    allowed[10:16] = True
    drawn = scorer_of(model).sampler(0, allowed)(ids, np.full(4000, 6))
    expected = np.exp(by_hand(model, Probe(ids[0], (6,)))[0][10:16])
    shares = np.bincount(drawn, minlength=V)[10:16] / 4000
    assert set(drawn.tolist()) <= set(range(10, 16))
    assert np.abs(shares - expected / expected.sum()).max() <= 4 * math.sqrt(0.25 / 4000)


@pytest.mark.parametrize("bias", [-1e9, -3e38, -math.inf])
def test_a_token_that_a_model_never_says_is_told_as_very_unlikely_and_no_more(bias):
    """One such token in one text of thousands would be the mean of them all, and no leak would stand out."""
    made = model_of()
    with torch.no_grad():
        made.cls.predictions.decoder.bias[7] = bias
    asked = Probe(np.array([5, 7, 8, 6]), (1, 2))
    (found,) = scorer_of(made).answer([asked], moments=True)
    assert found.log_probability == pytest.approx([scorer.FLOOR, by_hand(made, asked)[1][8]])
    assert found.rank[0] == V and np.isfinite(found.moments).all()


def test_a_model_that_answers_with_no_numbers_is_refused():
    def not_a_number(ids, attention, where):
        answers = torch.zeros(int(where.sum()), V)
        answers[-1, 9] = math.nan
        return answers

    broken = Scorer(not_a_number, MASK, PAD, torch.device("cpu"))
    with pytest.raises(InputError, match="NaN"):
        broken.answer([Probe(np.array([5, 7, 8, 6]), (1,))])
    with pytest.raises(InputError, match="NaN"):
        broken.sampler(0, np.ones(V, dtype=bool))(np.array([[5, 7, 8, 6]]), np.array([1]))
