"""ε and σ against published numbers, closed forms and mechanisms that must not be composed away."""

import math
import subprocess
import sys

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.pld import privacy_loss_mechanism
from scipy import stats

from mlmguard import accounting
from mlmguard.accounting import losses
from mlmguard.errors import InputError
from mlmguard.types import LedgerEntry

# ANCHORS: (σ, q, T, δ) -> RDP, PRV, PLD
REFERENCE = [
    ((1.5, 0.04, 2250, 1e-5), (7.3291, 6.7791, 6.7688)),
    ((3.0, 0.1, 512, 1e-6), (4.0510, 3.7799, 3.7697)),
    ((1.0, 1.0, 1, 1e-5), (4.7285, 4.3874, 4.3772)),
]


@pytest.mark.parametrize(
    ("sigma", "rate", "group", "grid"),
    [
        (1.387, 0.1, 1, 1e-3),
        (1.0, 1.0, 1, 1e-3),
        (0.8, 0.05, 10, 1e-2),
        (5.5, 0.5, 5, 1e-2),
        (30.0, 0.9, 1, 1e-3),
    ],
)
@pytest.mark.parametrize("removed", [True, False])
def test_the_privacy_loss_is_that_of_dp_accounting_dot_by_dot(sigma, rate, group, grid, removed):
    adjacency = (
        privacy_loss_mechanism.AdjacencyType.REMOVE if removed else privacy_loss_mechanism.AdjacencyType.ADD
    )
    if group == 1:
        shares = np.array([1 - rate, rate])
        slow = privacy_loss_mechanism.GaussianPrivacyLoss(sigma, sampling_prob=rate, adjacency_type=adjacency)
    else:
        shares = stats.binom.pmf(np.arange(group + 1), group, rate)
        slow = privacy_loss_mechanism.MixtureGaussianPrivacyLoss(
            sigma, range(group + 1), shares, adjacency_type=adjacency
        )
    bounds = slow.connect_dots_bounds()
    epsilons = np.linspace(bounds.epsilon_lower, bounds.epsilon_upper, 300)[1:-1]
    found = losses.hockey_stick(epsilons, sigma, shares, removed)
    assert found == pytest.approx(slow.get_delta_for_epsilon(epsilons), rel=1e-7, abs=1e-14)


@pytest.mark.parametrize("plan, expected", REFERENCE)
def test_three_accountants_give_the_published_numbers(plan, expected):
    for accountant, value in zip(("rdp", "prv", "pld"), expected):
        assert accounting.epsilon(*plan, accountant=accountant) == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize("plan, expected", REFERENCE)
def test_the_reported_value_is_never_below_pld_nor_far_above(plan, expected):
    reported = accounting.epsilon(*plan)
    assert expected[2] - 1e-3 <= reported <= 1.02 * expected[2] + 0.02


def test_calibration_gives_the_published_noise_and_keeps_the_target():
    sigma = accounting.noise_multiplier(8, 1e-5, 0.04, 2250)
    assert sigma == pytest.approx(1.3477, rel=2e-3)
    assert accounting.epsilon(sigma, 0.04, 2250, 1e-5) <= 8
    assert accounting.epsilon(sigma / 1.003, 0.04, 2250, 1e-5) > 8


def test_calibration_leaves_room_for_what_is_spent():
    spent = [LedgerEntry("discrete-laplace", epsilon=0.5)]
    sigma = accounting.noise_multiplier(2, 1e-5, 0.1, 50, spent)
    steps = LedgerEntry("poisson-gaussian", sigma, 0.1, 50)
    assert accounting.compose([*spent, steps], 1e-5) <= 2 < accounting.compose([*spent, steps, steps], 1e-5)


def test_pure_releases_add_up():
    ledger = [LedgerEntry("discrete-laplace", epsilon=0.3), LedgerEntry("discrete-laplace", epsilon=0.4)]
    assert accounting.compose(ledger, 1e-9) == pytest.approx(0.7, abs=1e-3)
    assert accounting.compose(ledger, 1e-9, "rdp") == pytest.approx(0.7)


def test_a_step_without_noise_has_no_finite_epsilon():
    assert accounting.compose([LedgerEntry("poisson-gaussian", 0.0, 0.1, 1)], 1e-5) == math.inf


def test_an_unknown_mechanism_is_an_error_and_not_free():
    with pytest.raises(InputError, match="not known"):
        accounting.compose([LedgerEntry("shuffled", 1.0, 0.1, 10)], 1e-5)


@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.1])
def test_true_positive_ceiling_of_one_gaussian_is_its_trade_off_curve(fpr):
    exact = stats.norm.cdf(stats.norm.ppf(fpr) + 1.0)
    found = accounting.true_positive_ceiling([LedgerEntry("poisson-gaussian", 1.0, 1.0, 1)], fpr)
    assert exact - 1e-6 <= found <= exact * 1.02 + 1e-4


def test_nothing_spent_is_epsilon_zero_and_a_ceiling_at_chance():
    assert accounting.compose([], 1e-5) == 0
    assert accounting.true_positive_ceiling([], 0.01) == 0.01


def test_amplification_only_helps():
    assert accounting.epsilon_without_amplification(1.5, 100, 1e-5) > accounting.epsilon(1.5, 0.04, 100, 1e-5)


@pytest.mark.parametrize("n", [1, 10, 11, 999, 1000, 1001, 3600, 10**7])
def test_default_delta_is_at_most_a_tenth_of_one_over_n(n):
    assert accounting.default_delta(n) <= 0.1 / n * (1 + 1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: accounting.epsilon(1, 0.1, 10, 0),
        lambda: accounting.epsilon(1, 1.5, 10, 1e-5),
        lambda: accounting.epsilon(1, 0.1, -1, 1e-5),
        lambda: accounting.noise_multiplier(0, 1e-5, 0.1, 10),
        lambda: accounting.noise_multiplier(-3, 1e-5, 0.1, 10),
        lambda: accounting.noise_multiplier(1, 1e-5, 0.1, 10, [LedgerEntry("discrete-laplace", epsilon=2.0)]),
        lambda: accounting.epsilon(1, 0.1, 10, 1e-5, "moments"),
        lambda: accounting.compose([LedgerEntry("discrete-laplace", epsilon=-0.1)], 1e-5),
        lambda: accounting.compose([LedgerEntry("discrete-laplace", epsilon=math.inf)], 1e-5),
        lambda: accounting.compose([LedgerEntry("discrete-laplace", epsilon=math.nan)], 1e-5),
    ],
)
def test_impossible_questions_are_refused(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("sigma", [4.0, 16.0])
def test_a_group_of_few_steps_is_as_on_a_fine_grid(sigma, size):
    """To the rounding with which `verify` compares a statement of an older version."""
    step = LedgerEntry("poisson-gaussian", sigma, 0.5, 2)
    fine = accounting._epsilon_by_pld((step,), 1e-5, size, 1e-2)
    assert accounting.group_epsilon([step], size, 1e-5) == pytest.approx(fine, rel=1e-3)


def test_the_ceiling_is_the_least_of_a_loop_over_epsilons():
    ledger = [LedgerEntry("poisson-gaussian", 3.0, 0.1, 20), LedgerEntry("discrete-laplace", epsilon=0.3)]
    loss, rate = accounting._compose_pld(tuple(ledger), grid=1e-4), 0.01
    ends = [1.0]
    for eps in (step * 0.05 for step in range(401)):
        delta = float(losses.delta(loss, np.array([eps]))[0])
        ends += [math.exp(eps) * rate + delta, 1 - math.exp(-eps) * (1 - delta - rate)]
    found = accounting.true_positive_ceiling(ledger, rate)  # on a grid ten times as wide: a little above
    assert min(ends) <= found == pytest.approx(min(ends), rel=1e-3)


def test_ten_runs_alike_cost_what_they_cost_one_by_one() -> None:
    """Equal releases are composed at once: the same ε, whatever their order and names, and no search anew."""
    one = [
        LedgerEntry("discrete-laplace", epsilon=0.05, what="number of units"),
        LedgerEntry("poisson-gaussian", 1.2, 0.02, 3, what="training"),
    ]
    other = LedgerEntry("poisson-gaussian", 1.3, 0.02, 40, what="training")
    mixed = [*one, other, *one, *one]
    steps = LedgerEntry("poisson-gaussian", 1.2, 0.02, 9, what="all steps at once")
    together = accounting.compose([other, steps, *[one[0]] * 3], 1e-5)
    assert accounting.compose(mixed, 1e-5) == pytest.approx(together, rel=1e-9)
    by_hand = accounting.compose([other, steps], 1e-5)
    assert by_hand < together < by_hand + 3 * 0.05 + 1e-3


# --- the losses, beside dp_accounting's own classes -----------------------------------------------------


def _of_dp_accounting(ledger, grid):
    """What its own classes make of a ledger, pair by pair."""
    total = pld.identity(grid)
    for entry in ledger:
        if entry.mechanism == "discrete-laplace":
            one = pld.from_discrete_laplace_mechanism(
                entry.epsilon, value_discretization_interval=grid, use_connect_dots=True
            )
            total = total.compose(one)
            continue
        one = pld.from_gaussian_mechanism(
            entry.noise_multiplier,
            sampling_prob=entry.sample_rate,
            value_discretization_interval=grid,
            use_connect_dots=True,
        )
        total = total.compose(one.self_compose(entry.steps))
    return total


COUNTED = LedgerEntry("discrete-laplace", epsilon=0.0537)  # not a multiple of any grid
LEDGERS = {
    "little noise": [LedgerEntry("poisson-gaussian", 0.41, 0.035, 2)],
    "a count and 120 steps": [COUNTED, LedgerEntry("poisson-gaussian", 2.2, 0.28, 120)],
    "much noise": [LedgerEntry("poisson-gaussian", 40.0, 0.9, 300)],
    "everybody in every draw": [COUNTED, LedgerEntry("poisson-gaussian", 1.7, 1.0, 3)],
    "counts alone": [COUNTED] * 5,
    "runs that differ": [
        entry
        for k in range(4)
        for entry in (COUNTED, LedgerEntry("poisson-gaussian", 1.1 + 0.01 * k, 0.05 + 0.01 * k, 1 + 7 * k))
    ],
}


@pytest.mark.parametrize("name", LEDGERS)
@pytest.mark.parametrize("delta", [1e-8, 1e-5, 0.1])
def test_whole_arrays_say_what_dp_accounting_says_dot_by_dot(name, delta):
    ledger, grid = LEDGERS[name], 1e-3
    slow = _of_dp_accounting(ledger, grid)
    found = accounting._compose_pld(tuple(ledger), 1, grid)
    expected = slow.get_epsilon_for_delta(delta)
    assert losses.epsilon(found, delta) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    epsilons = np.linspace(0, 12, 40)
    assert losses.delta(found, epsilons) == pytest.approx(
        slow.get_delta_for_epsilon(epsilons), rel=1e-6, abs=1e-12
    )


@pytest.mark.parametrize("name", LEDGERS)
def test_the_grid_that_is_chosen_says_what_the_finest_says(name):
    """Never below, and above by less than the digits that are shown."""
    finest = accounting._epsilon_by_pld(tuple(LEDGERS[name]), 1e-6, 1, 1e-4)
    chosen = accounting.compose(LEDGERS[name], 1e-6)
    assert finest - 1e-9 <= chosen <= finest * (1 + 1e-5) + 1e-9


def test_a_wide_grid_is_chosen_where_it_says_the_same_and_only_there():
    assert accounting._fine(LEDGERS["little noise"]) == 1e-3
    assert accounting._fine(LEDGERS["much noise"]) == accounting._fine(LEDGERS["counts alone"]) == 1e-4


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 8.0, 60.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 17])
def test_steps_without_a_draw_are_never_below_their_closed_form(sigma, steps):
    """Balle and Wang 2018: δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ) with μ = √T / σ."""
    mu, delta = math.sqrt(steps) / sigma, 1e-6

    def exact(eps):
        return stats.norm.cdf(mu / 2 - eps / mu) - math.exp(
            min(eps + stats.norm.logcdf(-mu / 2 - eps / mu), 0.0)
        )

    found = accounting.epsilon(sigma, 1.0, steps, delta)
    assert exact(found) <= delta * (1 + 1e-6)
    assert exact(found * 0.998 - 1e-4) > delta


def test_a_loss_beyond_the_largest_power_has_a_bound():
    """Two hundred nats a step and more: e to the power of the loss is no number, and the bound still one."""
    found = accounting.epsilon(0.02, 1.0, 1, 1e-5)
    assert found == pytest.approx(0.5 / 0.02**2 + stats.norm.isf(1e-5) / 0.02, rel=1e-2)


def test_what_is_lost_of_the_tails_is_counted_as_infinite():
    one = losses.Loss(0.1, 0, np.array([0.25, 0.5]), 0.25)
    both = losses.composed([((one,), 2)])[0]
    assert both.infinite == pytest.approx(1 - 0.75**2)
    assert both.mass == pytest.approx([0.0625, 0.25, 0.25])
    assert both.epsilon(0.4) == math.inf
    assert both.epsilon(0.99) == 0.0
    # mass of the finite losses above ε: 0.25·(1 − e^{ε − 0.2}) is what is left of δ
    assert both.epsilon(both.infinite + 0.01) == pytest.approx(0.2 + math.log(1 - 0.01 / 0.25))


def test_ten_runs_that_differ_cost_less_than_their_sum_and_more_than_any():
    runs = [
        [COUNTED, LedgerEntry("poisson-gaussian", 3 + 0.01 * k, 0.1, 20 + k, what="training")]
        for k in range(10)
    ]
    alone = [accounting.compose(run, 1e-5) for run in runs]
    together = accounting.compose([entry for run in runs for entry in run], 1e-5)
    assert max(alone) < together < sum(alone)
    assert together == pytest.approx(
        _of_dp_accounting([entry for run in runs for entry in run], 1e-3).get_epsilon_for_delta(1e-5),
        rel=1e-3,
    )


def test_opacus_accountants_are_those_of_opacus_and_cost_no_torch():
    """In processes of their own: what is imported once is kept."""
    ours = (
        "import sys; from mlmguard.accounting import peers\n"
        "print([peers.epsilon(steps, 1e-5, name) for name in ('prv', 'rdp') for steps in CASES])\n"
        "assert 'torch' not in sys.modules and 'opacus' not in sys.modules\n"
        "from opacus import GradSampleModule"
    )
    theirs = (
        "from opacus.accountants import PRVAccountant, RDPAccountant\n"
        "def told(of, steps, **more):\n"
        "    one = of(); one.history = steps; return float(one.get_epsilon(1e-5, **more))\n"
        "from mlmguard.accounting.peers import _HIGH_ORDERS as high\n"
        "print([told(PRVAccountant, s) for s in CASES] + [told(RDPAccountant, s, "
        "alphas=[*RDPAccountant.DEFAULT_ALPHAS, *high]) for s in CASES])"
    )
    cases = "CASES = [[(0.8, 0.3, 4)], [(1.5, 0.04, 2250)], [(1.0, 0.1, 7), (2.0, 0.2, 9)]]\n"
    said = [
        subprocess.run([sys.executable, "-c", cases + one], capture_output=True, text=True, check=True).stdout
        for one in (ours, theirs)
    ]
    assert said[0] == said[1]
