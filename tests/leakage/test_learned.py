"""The learnt score: what it finds, what it does not, and that its test keeps its level."""

import numpy as np
import pytest
from scipy import stats

from mlmguard.leakage import learned, metrics

COLUMNS = 19


def _units(rng, count, shift=0.0, column=12):
    """Units whose numbers have much in common, as scores of one text have."""
    numbers = rng.normal(size=(count, COLUMNS)) + rng.normal(size=(count, 1))
    numbers[:, column] += shift
    return numbers


def _naive(trained, held_out, fold):
    """The scores of the docstring, one fold at a time: a ridge regression of labels less the first guess."""
    units = np.concatenate([trained, held_out])
    labels = np.r_[np.ones(len(trained)), np.zeros(len(held_out))]
    scores = np.empty(len(units))
    for k in range(learned.FOLDS):
        learnt = fold != k
        centre, spread = units[learnt].mean(0), units[learnt].std(0)
        known = (units[learnt] - centre) / spread
        guess = np.zeros(COLUMNS)
        guess[3] = learned.FIRST_GUESS
        left = labels[learnt] - labels[learnt].mean() - known @ guess
        root = np.sqrt(learned.BELIEVED) * np.eye(COLUMNS)
        more = np.linalg.lstsq(np.r_[known, root], np.r_[left, np.zeros(COLUMNS)], rcond=None)[0]
        found = (units[~learnt] - centre) / spread @ (guess + more)
        scores[~learnt] = stats.rankdata(found) / (len(found) + 1)
    return scores


def test_the_scores_are_those_of_a_ridge_regression_that_never_sees_what_it_judges():
    rng = np.random.default_rng(1)
    trained, held_out = _units(rng, 120, 0.5), _units(rng, 90)
    found = learned.learned(trained, held_out, np.random.default_rng(7))
    fold = np.random.default_rng(7).permutation(210) % learned.FOLDS
    expected = _naive(trained, held_out, fold)
    assert np.allclose(np.r_[found.trained, found.held_out], expected)


def test_what_no_single_score_shows_is_learnt():
    """Two columns of which only the difference tells: each alone is near chance."""
    rng = np.random.default_rng(2)
    sides = []
    for sign in (1, -1):
        numbers = rng.normal(size=(600, COLUMNS))
        common = 3 * rng.normal(size=600)
        numbers[:, 9], numbers[:, 15] = common + sign * 0.4, common - sign * 0.4
        sides.append(numbers)
    found = learned.learned(*sides, rng)
    alone = max(metrics.auc(sides[0][:, k], sides[1][:, k]).value for k in range(COLUMNS))
    assert found.auc.low > alone + 0.03 and found.p == 1 / (metrics.DEALS + 1)


def test_too_few_units_teach_nothing():
    rng = np.random.default_rng(3)
    assert learned.learned(_units(rng, 20), _units(rng, 19), rng) is None
    assert learned.learned(_units(rng, 60), _units(rng, 4), rng) is None


def test_units_that_nothing_tells_apart_are_at_chance():
    """Letterheads: most units of both sides have the same numbers, and none is told from another."""
    rng = np.random.default_rng(4)
    alike = np.ones((60, COLUMNS))
    same = learned.learned(alike, alike, rng)
    assert same.auc.value == 0.5 and same.p == 1
    some = learned.learned(np.r_[alike, _units(rng, 40)], np.r_[alike, _units(rng, 40)], rng)
    assert some.auc.low < 0.5 < some.auc.high


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_numbers_that_are_none_pass_nothing(odd):
    rng = np.random.default_rng(5)
    trained, held_out = _units(rng, 60, 3.0), _units(rng, 60)
    trained[7, 2] = odd
    found = learned.learned(trained, held_out, rng)
    assert np.isnan(found.auc.value) and found.p == 1


@pytest.mark.statistical
@pytest.mark.parametrize("trained, held_out", [(200, 200), (150, 40)])
def test_where_nothing_was_learnt_the_level_holds_and_the_interval_covers_chance(
    trained, held_out, monkeypatch
):
    """The rank-sum test of the same scores raises more alarms: it counts them as independent."""
    monkeypatch.setattr(metrics, "DEALS", 1000)
    times, alarms, naive, covered = 300, 0, 0, 0
    for seed in range(10_000, 10_000 + times):
        rng = np.random.default_rng(seed)
        found = learned.learned(_units(rng, trained), _units(rng, held_out), rng)
        alarms += found.p < 0.05
        naive += metrics.rank_sum_p(found.trained, found.held_out) < 0.05
        covered += found.auc.low <= 0.5 <= found.auc.high
    allowed = 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)
    assert alarms / times <= allowed and naive > alarms
    assert covered / times >= 1 - allowed
