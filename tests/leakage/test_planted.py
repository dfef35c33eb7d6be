"""Canaries and ε from below, on scores whose truth is known."""

import numpy as np
import pytest

from mlmguard.leakage import canaries, epsilon, exposure, metrics
from mlmguard.leakage.answers import Answer
from mlmguard.leakage.exposure import CanaryScores
from mlmguard.leakage.extraction import Target


def test_one_run_bound_finds_a_model_that_gives_every_coin_away():
    rng = np.random.default_rng(0)
    coins = rng.integers(0, 2, 1000).astype(bool)
    scores = CanaryScores(coins, coins + rng.normal(0, 0.01, 1000), np.zeros(1000))
    found = {m.metric: m for m in epsilon.one_run_epsilon(scores, 500, 1e-5, 2.0).measurements}
    assert found["one_run_lower_bound"].value == pytest.approx(found["one_run_lower_bound"].ceiling)
    assert found["one_run_lower_bound"].value > 2 and found["refutable"].value == 1


def test_one_run_bound_says_when_it_could_never_refute_the_claim():
    scores = CanaryScores(np.ones(100, bool), np.zeros(100), np.zeros(100))
    found = {m.metric: m for m in epsilon.one_run_epsilon(scores, 50, 1e-5, 8.0).measurements}
    assert found["refutable"].value == 0 and "12,977" in found["refutable"].note


def test_exposure_of_exchangeable_canaries_is_near_the_null_mean():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(200):
        scores = CanaryScores(
            rng.integers(0, 2, 200).astype(bool), rng.normal(size=200), rng.normal(size=200)
        )
        found = exposure.exposure(scores, rng)
        p_values.append(found.tests[0].p)
    assert found.measurements[0].value == pytest.approx(1.443, abs=0.5)
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


@pytest.mark.parametrize("planted", [1, 2, 9, 10])
def test_the_mean_exposure_of_a_handful_has_no_ends(planted):
    rng = np.random.default_rng(0)
    scores = CanaryScores(np.arange(20) < planted, rng.normal(size=20), rng.normal(size=20))
    mean = exposure.exposure(scores, rng).measurements[0]
    assert mean.value is not None
    assert [end is None for end in (mean.low, mean.high)] == [planted < exposure.FEWEST_FOR_ENDS] * 2


class Says:
    """The same log-probability at every position of a window, from a table by the window's first token."""

    queries = 0

    def __init__(self, table):
        self.table = table

    def answer(self, probes, top=1, moments=False):
        one = lambda p: np.full(len(p.positions), self.table[int(p.ids[0])])  # noqa: E731
        return [Answer(one(p), np.ones(len(p.positions)), np.zeros((1, 1)), np.zeros((1, 1))) for p in probes]


def test_a_reference_is_taken_off_by_as_much_as_it_explains():
    """A reference that knows how hard each text is helps; one of random weights must not drown the signal."""
    rng = np.random.default_rng(0)
    m = 400
    secrets = canaries.draw(m, rng)
    planted = np.array([s.canary.planted for s in secrets])
    hard = rng.normal(-5, 2, 2 * m)  # of the m secrets and their m twins
    own = Says(hard + np.concatenate([1.0 * planted, np.zeros(m)]) + rng.normal(0, 0.3, 2 * m))
    windows = [Target(np.array([k, 7, 7, 1]), (1, 2), (0, 0)) for k in range(2 * m)]

    def area(reference):
        scores = exposure.score_canaries(own, reference, secrets, windows[:m], windows[m:])
        return metrics.auc(scores.scores[planted], scores.scores[~planted]).value

    knowing, random_weights = Says(hard), Says(rng.normal(-7, 3, 2 * m))
    alone = metrics.auc(own.table[:m][planted], own.table[:m][~planted]).value
    assert alone < 0.75 and area(knowing) > 0.97
    assert area(random_weights) == pytest.approx(alone, abs=0.02)
