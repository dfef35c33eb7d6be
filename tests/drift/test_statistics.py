"""Each statistic of drift against a naive oracle and its own null."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import jensenshannon

from mlmguard.drift import statistics
from mlmguard.drift.comparing import told_apart
from mlmguard.drift.statistics import FEWEST_EARLIER, LEVEL, unusual_p


def documents(count: int, rng: np.random.Generator, shares: np.ndarray, burst: float = 0.0) -> np.ndarray:
    """(count, V) tokens of documents; with ``burst`` each holds to a few words of its own."""
    own = shares if not burst else rng.dirichlet(shares / burst, count)
    return np.array([rng.multinomial(40, own[k] if burst else own) for k in range(count)], dtype=float)


FLAT = np.full(30, 1 / 30)
TILTED = np.linspace(1, 3, 30) / np.linspace(1, 3, 30).sum()


def within(hits: int, trials: int, rate: float) -> bool:
    """No more than three deviations above ``rate``."""
    return hits <= rate * trials + 3 * math.sqrt(rate * (1 - rate) * trials)


# --- oracles ------------------------------------------------------------------------------------------


def test_divergence_is_the_square_of_scipys_distance_in_bits() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.poisson(3, (5, 30)).astype(float), rng.poisson(3, (5, 30)).astype(float)
    before[:, :4] = 0
    expected = [jensenshannon(p, q, base=2) ** 2 for p, q in zip(before, now)]
    assert statistics.divergence(before, now) == pytest.approx(expected)
    apart = statistics.divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 7.0]]))
    assert apart == pytest.approx([1.0])


def test_each_statistic_of_a_deal_is_what_loops_say() -> None:
    rng = np.random.default_rng(1)
    counts, now = documents(9, rng, FLAT), np.array([0, 1, 1, 0, 0, 1, 0, 1, 0], dtype=bool)
    labels = now[None].astype(float)
    sums, sizes = rng.random(9), rng.integers(1, 9, 9).astype(float)
    expected = jensenshannon(counts[~now].sum(0), counts[now].sum(0), base=2) ** 2
    assert statistics.of_tokens(sparse.csr_matrix(counts))(labels) == pytest.approx([expected])
    gap = abs(sums[now].sum() / sizes[now].sum() - sums[~now].sum() / sizes[~now].sum())
    assert statistics.of_ratios(sums, sizes)(labels) == pytest.approx([gap])
    vectors = rng.normal(size=(9, 3))
    kernel = statistics.gaussian_kernel(vectors)
    squares = [float(((a - b) ** 2).sum()) for a, b in itertools.combinations(vectors, 2)]
    assert kernel[2, 5] == pytest.approx(
        math.exp(-((vectors[2] - vectors[5]) ** 2).sum() / np.median(squares))
    )

    def mean(pairs: list[tuple[int, int]]) -> float:
        return float(np.mean([kernel[a, b] for a, b in pairs]))

    sides = [np.flatnonzero(side).tolist() for side in (~now, now)]
    own = [mean([(a, b) for a in side for b in side if a != b]) for side in sides]
    crossed = mean([(a, b) for a in sides[0] for b in sides[1]])
    found = statistics.of_kernel(kernel, now)(labels)
    assert found == pytest.approx([own[0] + own[1] - 2 * crossed])


def test_whitened_vectors_are_components_of_one_variance() -> None:
    rng = np.random.default_rng(11)
    vectors = rng.normal(size=(60, 4)) * [100.0, 3.0, 0.1, 0.0] + 7
    found = statistics.whitened(vectors)
    assert found.shape == (60, 3)
    assert np.cov(found.T, bias=True) == pytest.approx(np.eye(3), abs=1e-9)
    _, axes = np.linalg.eigh(np.cov(vectors.T))
    for k, axis in enumerate(axes.T[::-1][:3]):
        assert abs(np.corrcoef(found[:, k], vectors @ axis)[0, 1]) == pytest.approx(1)
    assert statistics.whitened(rng.normal(size=(35, 9))).shape == (35, 3)
    assert np.isfinite(statistics.whitened(np.ones((40, 3)))).all()


def test_a_permutation_p_is_the_share_of_all_deals() -> None:
    rng = np.random.default_rng(2)
    values = np.array([0.0, 0.1, 0.4, 0.2, 0.5, 0.9, 0.7, 1.3])
    now, one = np.arange(8) >= 4, np.ones(8)
    statistic = statistics.of_ratios(values, one)
    deals = np.zeros((70, 8))
    for row, chosen in zip(deals, itertools.combinations(range(8), 4)):
        row[list(chosen)] = 1
    exact = float((statistic(deals) >= statistic(now[None].astype(float)) - 1e-12).mean())
    found = statistics.permutation_p(statistic, now, 20_000, rng)
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))


def test_a_sign_flip_p_is_the_share_of_all_signs() -> None:
    gaps = np.array([0.3, 0.1, -0.2, 0.5, 0.4, -0.05, 0.2])
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=7)))
    exact = float((signs @ gaps >= gaps.sum() - 1e-12).mean())
    found = statistics.sign_flip_p(gaps, 20_000, np.random.default_rng(3))
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))
    assert statistics.sign_flip_p(np.zeros(30), 99, np.random.default_rng(0)) == 1.0


def test_cka_is_that_of_the_paper_and_does_not_see_rotations() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(12, 5)), rng.normal(size=(12, 7))

    def hsic(x: np.ndarray, y: np.ndarray) -> float:
        """Song et al. 2012, equation 5, written as it stands there."""
        n, ones = len(x), np.ones(len(x))
        k, q = (m - np.diag(np.diag(m)) for m in (x @ x.T, y @ y.T))
        crossed = (ones @ k @ ones) * (ones @ q @ ones) / ((n - 1) * (n - 2)) - 2 / (
            n - 2
        ) * ones @ k @ q @ ones
        return float((np.trace(k @ q) + crossed) / (n * (n - 3)))

    expected = hsic(first, second) / math.sqrt(hsic(first, first) * hsic(second, second))
    assert statistics.cka(first, second) == pytest.approx(expected)
    turned = first @ np.linalg.qr(rng.normal(size=(5, 5)))[0] * 3 + 5
    assert statistics.cka(first, turned) == pytest.approx(1.0)
    wide = [rng.normal(size=(60, 500)) for _ in range(2)]
    assert abs(statistics.cka(*wide)) < 0.1  # the biased estimate gives .9


def test_what_is_unusual_among_earlier_results() -> None:
    rng = np.random.default_rng(5)
    earlier, either = rng.normal(size=(39, 3)), np.array([True, False, False])
    assert unusual_p(earlier, np.array([0.0, 9.0, 0.0]), either)[1] == 1 / 40
    assert unusual_p(earlier, np.array([-9.0, 0.0, 0.0]), either)[0] == 1 / 40
    assert unusual_p(earlier, np.array([0.0, -9.0, 0.0]), either)[1] > 0.5  # smaller is no movement there
    few = earlier[:FEWEST_EARLIER]
    assert unusual_p(few, np.array([0.0, 9.0, 0.0]), either)[1] <= LEVEL
    assert unusual_p(few[1:], np.array([0.0, 9.0, 0.0]), either)[1] > LEVEL
    still = np.zeros((30, 2))
    assert (unusual_p(still, np.zeros(2), np.array([True, True])) == 1).all()


# --- nulls and coverage -------------------------------------------------------------------------------


def test_documents_are_dealt_and_never_tokens() -> None:
    """Words come in bursts: tokens dealt one by one would call two halves of one corpus two corpora."""
    rng, alarms, by_tokens = np.random.default_rng(6), 0, 0
    now = np.arange(60) >= 30
    for _ in range(60):
        counts = documents(60, rng, FLAT, burst=0.1)
        found = statistics.of_tokens(sparse.csr_matrix(counts))
        alarms += statistics.permutation_p(found, now, 99, rng) <= LEVEL
        before, after = (counts[side].sum(0) for side in (~now, now))
        observed = statistics.divergence(before[None], after[None])[0]
        shares = (before + after) / (before + after).sum()
        null = [rng.multinomial(int(side.sum()), shares, 99).astype(float) for side in (before, after)]
        by_tokens += (1 + (statistics.divergence(*null) >= observed).sum()) / 100 <= LEVEL
    assert within(alarms, 60, LEVEL) and by_tokens > 50


@pytest.mark.statistical
@pytest.mark.parametrize("moved", [False, True])
def test_each_test_keeps_its_level_and_finds_what_moved(moved: bool) -> None:
    rng = np.random.default_rng(7)
    now, alarms, times = np.arange(80) >= 40, np.zeros(3), 200
    for _ in range(times):
        counts = np.concatenate(
            [documents(40, rng, FLAT, 0.02), documents(40, rng, TILTED if moved else FLAT, 0.02)]
        )
        sums = rng.gamma(4.0, size=80) * (1 + 0.6 * moved * now)
        vectors = rng.normal(size=(80, 8)) + 0.7 * moved * now[:, None]
        for k, found in enumerate(
            (
                statistics.of_tokens(sparse.csr_matrix(counts)),
                statistics.of_ratios(sums, rng.integers(3, 5, 80).astype(float)),
                statistics.of_kernel(statistics.gaussian_kernel(vectors), now),
            )
        ):
            alarms[k] += statistics.permutation_p(found, now, 199, rng) <= LEVEL
    assert (alarms > 0.9 * times).all() if moved else all(within(int(n), times, LEVEL) for n in alarms)


@pytest.mark.statistical
def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    rng, times = np.random.default_rng(8), 200
    truth = statistics.divergence(FLAT[None], TILTED[None])[0]
    far = [rng.normal(size=(700, 6)) + shift for shift in (0.0, 0.8)]
    missed = {"js": 0, "change": 0, "mmd": 0}
    for _ in range(times):
        before, now = (sparse.csr_matrix(documents(80, rng, one, 0.01)) for one in (FLAT, TILTED))
        interval = statistics.divergence_interval(before, now, rng)
        missed["js"] += not interval.low <= truth <= interval.high
        sizes = [rng.integers(5, 50, 60).astype(float) for _ in range(2)]
        sums = [size * rng.gamma(5.0, mean / 5, 60) for size, mean in zip(sizes, (2.0, 3.0))]
        found = statistics.change_interval((sums[0], sizes[0]), (sums[1], sizes[1]), rng)
        missed["change"] += not found.low <= 1.0 <= found.high
    label = np.arange(1400) >= 700
    kernel = np.exp(-((np.concatenate(far)[:, None] - np.concatenate(far)[None]) ** 2).sum(-1) / 12)
    whole = statistics.of_kernel(kernel, label)(label[None].astype(float))[0]
    for _ in range(times):
        chosen = np.concatenate([rng.choice(700, 50, False), 700 + rng.choice(700, 50, False)])
        found = statistics.kernel_interval(kernel[np.ix_(chosen, chosen)], label[chosen], rng)
        missed["mmd"] += not found.low <= whole <= found.high
    assert all(count <= 0.05 * times + 3 * math.sqrt(0.0475 * times) for count in missed.values()), missed


@pytest.mark.statistical
def test_earlier_results_judge_at_their_level_whatever_depends_on_what() -> None:
    rng, alarms = np.random.default_rng(9), 0
    for _ in range(400):
        common = rng.standard_t(3, size=(40, 1))
        results = common + rng.gamma(1.0, size=(40, 6))
        alarms += unusual_p(results[:-1], results[-1], np.arange(6) < 3).min() <= LEVEL
    assert within(alarms, 400, LEVEL) and alarms > 0


def test_a_line_tells_apart_what_lies_apart_and_nothing_else() -> None:
    rng = np.random.default_rng(10)
    same = [told_apart(rng.normal(size=(60, 40)), rng.normal(size=(60, 40)), rng) for _ in range(40)]
    assert np.mean([one.value for one in same]) == pytest.approx(0.5, abs=0.04)
    assert sum(one.low > 0.5 or one.high < 0.5 for one in same) <= 7
    assert told_apart(rng.normal(size=(60, 40)), rng.normal(size=(60, 40)) + 1, rng).low > 0.9
