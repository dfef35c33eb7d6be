"""Rates over clusters: intervals that hold the truth, of many documents and of a handful."""

import math

import numpy as np
import pytest

from mlmguard.leakage import clustered, metrics


def test_a_difference_covers_zero_when_probes_of_a_document_agree():
    rng = np.random.default_rng(0)

    def clusters():  # one coin a document, ten probes that repeat it: ignoring clusters would miss often
        return [[float(coin)] * 10 for coin in rng.integers(0, 2, 60)]

    intervals = [clustered.difference(clusters(), clusters(), rng, resamples=400) for _ in range(200)]
    missed = np.mean([not i.low <= 0 <= i.high for i in intervals])
    assert missed <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_a_mean_covers_the_truth_when_probes_of_a_document_agree():
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        clusters = [
            [float(coin)] * int(size) for coin, size in zip(rng.random(80) < 0.3, rng.integers(1, 9, 80))
        ]
        found = clustered.mean(clusters, rng, resamples=400)
        missed += not found.low <= 0.3 <= found.high
    assert missed / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_a_mean_of_zeros_is_clopper_pearson_on_documents_not_on_probes():
    found = clustered.mean([[0.0] * 50] * 20, np.random.default_rng(0))
    assert (found.low, found.high) == metrics.clopper_pearson(0, 20)


def test_all_zero_clusters_do_not_claim_certainty():
    rng = np.random.default_rng(0)
    found = clustered.difference([[0.0] * 5] * 30, [[0.0] * 5] * 30, rng)
    assert found.low < 0 < found.high
    assert found.high == pytest.approx(metrics.clopper_pearson(0, 30)[1])


def coverage(found, truth):
    """Shares of intervals that end below, and that begin above, the truth."""
    return np.mean([i.high < truth for i in found]), np.mean([i.low > truth for i in found])


@pytest.mark.parametrize(
    "rate, documents, most", [(0.06, 60, 1), (0.02, 60, 4), (0.05, 80, 8), (0.97, 60, 3)]
)
def test_a_rate_near_an_end_is_not_claimed_by_a_few_documents(rate, documents, most):
    """One hit among sixty documents gave a lower upper end than none: 12 % of intervals ended below .06."""
    rng, found = np.random.default_rng(1), []
    for _ in range(1000):
        sizes = rng.integers(1, most + 1, documents)
        hits = rng.random(documents) < rate
        found.append(clustered.mean([[float(h)] * int(n) for h, n in zip(hits, sizes)], rng, resamples=200))
    assert max(coverage(found, rate)) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 1000)


def test_more_hits_never_rule_out_more():
    rng = np.random.default_rng(0)
    ends = [clustered.mean([[1.0]] * hits + [[0.0]] * (60 - hits), rng).high for hits in range(9)]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    "n, m, rates", [(3, 3, (0.5, 0.5)), (2, 2, (0.4, 0.4)), (8, 4, (0.3, 0.3)), (60, 60, (0.1, 0.02))]
)
def test_a_difference_of_few_documents_is_not_claimed(n, m, rates):
    """All of three beside none of three were told as an excess of .29 and more: by chance in one of 64."""
    rng, found = np.random.default_rng(2), []
    for _ in range(1000):
        sides = [[[float(rng.random() < p)] for _ in range(k)] for k, p in zip((n, m), rates)]
        found.append(clustered.difference(*sides, rng, resamples=200))
    assert max(coverage(found, rates[0] - rates[1])) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 1000)


def test_all_beside_none_is_an_excess_where_they_are_enough():
    rng = np.random.default_rng(0)
    low = [clustered.difference([[1.0]] * n, [[0.0]] * n, rng).low for n in (2, 3, 4, 8, 30)]
    assert low[0] < 0 and low[1] < 0.01 and low[2] > 0.1 and low[4] > 0.8 and low == sorted(low)


def test_without_an_outcome_on_one_side_nothing_is_known():
    found = clustered.difference([], [[1.0]], np.random.default_rng(0))
    assert math.isnan(found.value) and (found.low, found.high) == (-1.0, 1.0)
