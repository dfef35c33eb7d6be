"""Getting spans back: decodings, the beam, and exact ranks against trying every candidate."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmguard.leakage import extraction
from mlmguard.leakage.answers import Answer, Probe, pseudo_log_likelihood
from mlmguard.leakage.extraction import Target


class Chain:
    """Knows a secret only from its neighbour: the token after k is k + 1, all else is equally likely."""

    def __init__(self, size, mask=-1):
        self.size, self.mask_id, self.queries = size, mask, 0

    def scores(self, probe, position):
        hidden = set(probe.positions)
        values = np.zeros(self.size)
        if position - 1 not in hidden:
            values[(probe.ids[position - 1] + 1) % self.size] = 5.0
        return values - np.log(np.exp(values).sum())

    def answer(self, probes, top=1, moments=False):
        out = []
        for p in probes:
            self.queries += 1
            rows = np.stack([self.scores(p, q) for q in p.positions])
            order = np.argsort(-rows, axis=1, kind="stable")[:, :top]
            truth = rows[np.arange(len(rows)), p.ids[list(p.positions)]]
            rank = 1 + (rows > truth[:, None]).sum(1)
            out.append(Answer(truth, rank, order, np.take_along_axis(rows, order, 1)))
        return out


def chain_target(length=4, size=10):
    ids = np.arange(3, 3 + length + 2) % size
    return Target(ids, tuple(range(1, length + 1)), (0,) * length)


def test_a_secret_known_from_its_neighbour_is_found():
    target, alphabet = chain_target(), [np.arange(10)]
    found = extraction.search(Chain(10), [target], alphabet, np.random.default_rng(0), restarts=2)
    assert found[0].recovered and found[0].correct_tokens == 4


def test_a_search_asks_nothing_twice_and_scores_as_if_it_had(monkeypatch):
    asked = []

    class Listening(Chain):
        def answer(self, probes, top=1, moments=False):
            for probe in probes:
                ids = probe.ids.copy()
                ids[list(probe.positions)] = self.mask_id
                asked.append((probe.positions, ids.tobytes()))
            return super().answer(probes, top, moments)

    for decoding in (
        "_parallel",
        "_sequential",
        "_surest_first",
    ):  # the last place of a beam is a sweep's too
        monkeypatch.setattr(extraction, decoding, lambda *_: [])
    model, targets, rng = Listening(10), [chain_target(), chain_target(3)], np.random.default_rng(0)
    found = extraction.search(model, targets, [np.arange(10)], rng, restarts=8)
    assert len(set(asked)) == len(asked) > 0
    settled = [one for one in found if one.recovered]
    assert settled
    for target, one in zip(targets, found):
        whole = pseudo_log_likelihood(Chain(10), [target.ids], [target.positions])
        assert not one.recovered or one.score == pytest.approx(whole[0])


def test_targets_searched_for_a_few_at_a_time_are_found_as_together(monkeypatch):
    targets = [chain_target(length) for length in (2, 3, 4, 3, 2)]

    def found():
        return extraction.search(Chain(10), targets, [np.arange(10)], np.random.default_rng(1), restarts=3)

    together = found()
    monkeypatch.setattr(extraction, "AT_ONCE", 2)
    assert found() == together


def test_the_beam_fills_the_surest_place_first_and_finds_the_chain_alone():
    beams = extraction._surest_first(Chain(10), [chain_target(), chain_target(2)])
    assert beams[0][0] == (4, 5, 6, 7) and beams[1][0] == (4, 5)
    assert all(len(beam) == extraction.BEAM for beam in beams)


def test_the_beam_copes_with_an_alphabet_smaller_than_itself():
    class Two(Chain):
        def answer(self, probes, top=1, moments=False):
            answers = super().answer(probes, top, moments)
            for answer in answers:
                answer.confidence[:, 2:] = -np.inf  # as a scorer does where nothing else is allowed
            return answers

    (beam,) = extraction._surest_first(Two(10), [chain_target(3)])
    assert beam[0] == (4, 5, 6)


values = st.lists(
    st.lists(st.integers(-20, 0).map(float), min_size=1, max_size=4).map(np.array), min_size=1, max_size=5
)


@settings(max_examples=150, deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_the_additive_rank_is_that_of_trying_every_candidate(choices, random):
    truth = np.array([random.choice(list(row)) for row in choices])
    better = sum(sum(candidate) > truth.sum() for candidate in itertools.product(*choices))
    assert extraction.additive_rank(choices, truth) == 1 + better


def test_exact_ranks_are_refused_where_there_are_too_many_candidates(monkeypatch):
    alphabets = [np.arange(10), np.arange(10)]
    small, large = chain_target(2), chain_target(6)
    monkeypatch.setattr(extraction, "MOST_HALVES", 100)
    ranks = extraction.exact_ranks(Chain(10), [small, large], alphabets)
    assert ranks[1] is None
    # the first token is known from its neighbour, the second is one of ten that are equally likely
    assert ranks[0] == 1


def test_the_rank_of_a_secret_among_a_million_is_exact():
    rng = np.random.default_rng(0)
    choices = [np.log(rng.dirichlet(np.ones(10))) for _ in range(6)]
    truth = np.array([row[3] for row in choices])
    total = sum(np.meshgrid(*choices, indexing="ij"))
    assert extraction.additive_rank(choices, truth) == 1 + int((total > truth.sum() + 1e-9).sum())


@pytest.mark.parametrize("length", [1, 2])
def test_probes_of_the_rest_hide_what_is_not_known(length):
    target = chain_target(4)
    partial = extraction._Partial(dict.fromkeys(range(length), 9), 0.0)
    probe = extraction._rest(target, partial)
    assert isinstance(probe, Probe) and probe.positions == target.positions[length:]
    assert probe.ids[list(target.positions[:length])].tolist() == [9] * length
