"""Every statistic against a naive oracle, a published number and its own null."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlmguard.leakage import metrics

# --- published numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "design, bound",
    [((1000, 100, 95, 1e-5), 2.165176), ((1000, 1000, 600, 1e-5), 0.297227), ((1000, 4, 4, 0), 0.0)],
)
def test_one_run_bound_gives_the_published_values(design, bound):
    assert metrics.one_run_epsilon_lower_bound(*design) == pytest.approx(bound, abs=1e-5)


def test_canaries_to_refute_gives_the_published_ceilings():
    assert [metrics.canaries_to_refute(e, 1e-5) for e in (1, 2, 3, 4, 5, 8)] == [10, 24, 62, 166, 452, 12977]


def test_rule_of_three_sizes():
    for n, shown in ((299, 0.01), (2995, 0.001)):
        assert metrics.clopper_pearson(0, n, alpha=0.10)[1] <= shown
        assert metrics.clopper_pearson(0, n - 1, alpha=0.10)[1] > shown


def test_two_sample_bound_on_a_published_style_case():
    # 500 of 1000 against 0 of 1000: ln((lower(.5) − δ)/upper(0))
    low, high = metrics.clopper_pearson(500, 1000)[0], metrics.clopper_pearson(0, 1000)[1]
    assert metrics.two_sample_epsilon_lower_bound(500, 1000, 0, 1000, 1e-5) == pytest.approx(
        math.log((low - 1e-5) / high)
    )
    assert metrics.two_sample_epsilon_lower_bound(10, 1000, 10, 1000, 1e-5) == 0


# --- naive oracles ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "m, r, v, epsilon, delta", [(50, 20, 15, 0.5, 1e-3), (30, 30, 25, 1.0, 1e-2), (9, 4, 4, 0.2, 0.05)]
)
def test_one_run_p_value_against_sums_written_out(m, r, v, epsilon, delta):
    q = 1 / (1 + math.exp(-epsilon))
    pmf = [math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    beta = sum(pmf[v:])
    alpha = max(sum(pmf[k] for k in range(v - i, v)) / i for i in range(1, v + 1))
    assert metrics.one_run_p_value(m, r, v, epsilon, delta) == pytest.approx(
        min(1, beta + 2 * m * delta * alpha)
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_against_the_definition(p_values):
    n = len(p_values)
    order = sorted(range(n), key=lambda k: p_values[k])
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for rank, k in enumerate(order):
            if p_values[k] * (n - rank) > level:
                break
            rejected.add(k)
        adjusted = metrics.holm(p_values)
        assert {k for k in range(n) if adjusted[k] <= level} == rejected


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12)
)
def test_auc_against_all_pairs(members, others):
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(members, others)]
    found = metrics.auc(members, others)
    assert found.value == pytest.approx(np.mean(pairs))
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12)
)
def test_roc_area_is_the_auc(members, others):
    fpr, tpr = metrics.roc(members, others)
    assert np.trapezoid(tpr, fpr) == pytest.approx(metrics.auc(members, others).value)


def test_exposure_ranks_and_ties():
    assert metrics.exposure(3, [1, 2]) == pytest.approx(math.log2(3))
    assert metrics.exposure(2, [1, 2]) == pytest.approx(math.log2(3) - 1)
    assert metrics.exposure(0, [1, 2]) == 0


def test_mcnemar_is_the_sign_test():
    assert metrics.mcnemar(9, 1) == pytest.approx(stats.binomtest(9, 10, alternative="greater").pvalue)


def test_tpr_at_fpr_is_refused_below_ten_expected_false_positives():
    assert metrics.tpr_at_fpr(np.ones(100), np.zeros(999), 0.01) is None
    assert metrics.tpr_at_fpr(np.ones(100), np.zeros(1000), 0.01).value == 1


def test_tpr_never_allows_more_false_positives_than_asked():
    rng = np.random.default_rng(1)
    others = rng.integers(0, 4, 1000)  # many ties
    found = metrics.tpr_at_fpr(others, others, 0.05)
    assert found.value <= 0.05


# --- nulls and coverage -------------------------------------------------------------------------------


def test_extrapolated_exposure_is_the_tail_where_a_skew_normal_fits_and_refused_where_not():
    rng = np.random.default_rng(0)
    references = stats.skewnorm(3, loc=-2, scale=1.5).rvs(1000, random_state=rng)
    null = stats.skewnorm(3, loc=-2, scale=1.5).rvs(4000, random_state=rng)
    bits = metrics.extrapolated_exposure(null, references, rng)
    assert bits is not None and np.mean(bits) == pytest.approx(1.443, abs=0.1)  # exponential, 1 / ln 2
    # beside ranks where ranks can see, and beyond them where they cannot
    tail = stats.skewnorm(3, loc=-2, scale=1.5).isf([2.0**-4, 2.0**-20])
    near, far = metrics.extrapolated_exposure(tail, references, rng)
    assert near == pytest.approx(metrics.exposure(tail[0], references), abs=0.6)
    assert far == pytest.approx(20, rel=0.25) and metrics.exposure(tail[1], references) < 10
    assert metrics.extrapolated_exposure([1e6], references, rng)[0] == 1000
    two_humps = np.concatenate([rng.normal(-5, 0.3, 500), rng.normal(5, 0.3, 500)])
    assert metrics.extrapolated_exposure([6.0], two_humps, rng) is None
    assert metrics.extrapolated_exposure([6.0], references[:30], rng) is None


def test_exposure_of_a_null_canary_averages_1_443_bits():
    rng = np.random.default_rng(0)
    bits = [metrics.exposure(rng.random(), rng.random(999)) for _ in range(4000)]
    assert np.mean(bits) == pytest.approx(1.443, abs=0.1)


def test_auc_interval_covers_one_half_under_the_null():
    rng = np.random.default_rng(0)
    intervals = [metrics.auc(rng.normal(size=64), rng.normal(size=64)) for _ in range(400)]
    missed = np.mean([not i.low <= 0.5 <= i.high for i in intervals])
    assert missed <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.statistical
def test_one_run_bound_exceeds_the_truth_in_at_most_alpha_of_null_audits():
    rng = np.random.default_rng(0)
    limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    wrong = 0
    for _ in range(400):
        coins, scores = rng.integers(0, 2, 1000).astype(bool), rng.random(1000)
        order = np.argsort(scores)
        right = coins[order[-250:]].sum() + (~coins[order[:250]]).sum()
        wrong += metrics.one_run_epsilon_lower_bound(1000, 500, int(right), 0) > 0
    assert wrong / 400 <= limit


@pytest.mark.statistical
def test_one_run_bound_on_exact_randomised_response():
    rng = np.random.default_rng(0)
    truth = 1.0
    q = 1 / (1 + math.exp(-truth))
    bounds = [
        metrics.one_run_epsilon_lower_bound(1000, 1000, int(rng.binomial(1000, q)), 0) for _ in range(400)
    ]
    assert np.mean(np.array(bounds) > truth) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    assert np.median(bounds) >= 0.85


def test_a_p_value_by_dealing_units_anew_is_that_of_all_deals():
    """Against every deal of seven units, written out."""
    units = [[1.0, 1.0, 1.0], [0.0], [1.0, 0.0], [0.0, 0.0], [1.0], [0.0, 0.0, 0.0], [1.0, 1.0]]
    own, other = units[:3], units[3:]

    def mean(side):
        return sum(map(sum, side)) / sum(map(len, side))

    found = mean(own) - mean(other)
    deals = [
        mean([units[k] for k in picked]) - mean([units[k] for k in range(7) if k not in picked])
        for picked in itertools.combinations(range(7), 3)
    ]
    exact = np.mean([deal >= found - 1e-12 for deal in deals])
    p = metrics.redealt_p(own, other, np.random.default_rng(0))
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / metrics.DEALS))
    assert metrics.redealt_p([], other, np.random.default_rng(0)) == 1.0


@pytest.mark.parametrize("trained, held_out, level", [(90, 10, 0.01), (40, 40, 0.001), (20, 5, 0.3)])
def test_fewer_leaked_units_than_the_reach_give_no_smaller_p(trained, held_out, level):
    """The clearest leak there is, k units of score 1 and all others 0, by the exact test."""
    fewest = metrics.fewest_leaked(trained, held_out, level)
    p = [stats.hypergeom.sf(k - 1, trained + held_out, k, trained) for k in (fewest - 1, fewest)]
    assert p[0] > level >= p[1]


def test_without_enough_held_out_units_nothing_is_in_reach():
    assert metrics.fewest_leaked(50, 0, 0.01) == 51
    assert metrics.fewest_leaked(5, 1, 0.001) == 6


@pytest.mark.parametrize("n", [1, 5, 6, 9, 40])
def test_a_median_has_ends_only_where_they_hold_it(n):
    rng = np.random.default_rng(n)
    found = [metrics.median(rng.random(n)) for _ in range(2000)]
    if n < metrics.FEWEST_FOR_A_MEDIAN:
        assert all(math.isnan(i.low) and math.isnan(i.high) and 0 <= i.value <= 1 for i in found)
    else:
        missed = np.mean([not i.low <= 0.5 <= i.high for i in found])
        assert missed <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize("share", [0.02, 0.1, 1.0])
def test_the_rank_sum_keeps_its_level_where_most_scores_are_equal(share):
    """Votes are: a model that has learnt something beats its random start on nearly every text."""
    rng, p = np.random.default_rng(3), []
    for _ in range(2000):
        sides = [np.where(rng.random(80) < share, rng.normal(size=80), 0.0) for _ in range(2)]
        p.append(metrics.rank_sum_p(*sides))
    for level in (0.05, 0.005):
        assert np.mean(np.array(p) < level) <= level + 3 * math.sqrt(level * (1 - level) / 2000)
