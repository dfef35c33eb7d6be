"""From a ledger of what ran to an ε, and from a target ε to a noise level. No torch here.

The reported value is the privacy-loss-distribution (PLD) accountant's, rounded up: it is a proven upper
bound and the tightest of the three. Opacus' PRV and RDP accountants are shown beside it.

Adjacency everywhere: one unit added or removed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np

from mlmguard.accounting import losses, peers
from mlmguard.errors import InputError
from mlmguard.types import AccountantReading, LedgerEntry, PrivacyStatement

# Grids of the PLD in nats, the widest first; 1e-4 is the default of dp_accounting. On it the reported ε lies
# less than 1e-3 above the least one for the plans here.
_GRIDS = (1e-3, 5e-4, 2e-4)
_INTERVAL = 1e-4
_WIDENED = 1e-6  # of the variance of the loss: what a wider grid than the finest may add
# For searching, ceilings and groups, which are orientation: connected dots keep all of them upper bounds.
_COARSE_SEARCH, _COARSE, _WIDEST = 1e-3, 1e-2, 1e-1
_SMALL = 5.0  # ε below which a wide grid would show in the digits


def epsilon(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float, accountant: str = "pld"
) -> float:
    """ε of ``steps`` Poisson-subsampled Gaussian sums, at ``delta``, by ``accountant`` (pld, prv or rdp).

    >>> round(epsilon(1.5, 0.04, 2250, 1e-5), 2)  # ANCHORS: PLD 6.7688
    6.77
    >>> round(epsilon(1.0, 1.0, 1, 1e-5), 3)
    4.377
    """
    _check(delta=delta, sample_rate=sample_rate, steps=steps)
    entry = LedgerEntry("poisson-gaussian", noise_multiplier, sample_rate, steps)
    return compose([entry], delta, accountant)


def compose(ledger: Sequence[LedgerEntry], delta: float, accountant: str = "pld") -> float:
    """ε of everything in ``ledger`` together, at ``delta``; ``inf`` if a step had no noise.

    Raises :class:`InputError` for an accountant that is not known or a mechanism it cannot compose.
    """
    _check(delta=delta)
    if any(entry.noise_multiplier <= 0 and _gaussian_steps(entry) for entry in ledger):
        return math.inf
    left = delta - sum(entry.delta for entry in ledger)  # spent outright, whatever the ε
    if left <= 0:
        return math.inf
    if accountant == "pld":
        return _epsilon_by_pld(tuple(ledger), left)
    if accountant in ("prv", "rdp"):
        return _opacus(tuple(ledger), left, accountant)
    raise InputError(f"accountant {accountant!r}", "not known", "pld, prv or rdp")


def readings(ledger: Sequence[LedgerEntry], delta: float) -> tuple[AccountantReading, ...]:
    """ε of ``ledger`` by every accountant, PLD first."""
    return tuple(AccountantReading(name, compose(ledger, delta, name)) for name in ("pld", "prv", "rdp"))


def noise_multiplier(
    epsilon: float, delta: float, sample_rate: float, steps: int, spent: Sequence[LedgerEntry] = ()
) -> float:
    """The smallest σ (to 1e-3 relative) whose ``steps`` keep ε at or below ``epsilon``, ``spent`` included.

    >>> round(noise_multiplier(8, 1e-5, 0.04, 2250), 2)  # ANCHORS: 1.3477 by PRV
    1.35
    """
    _check(delta=delta, sample_rate=sample_rate, steps=steps)
    if not epsilon > 0 or not math.isfinite(epsilon):
        raise InputError("--dp-epsilon", f"{epsilon:g}", "a number above 0")
    if compose(spent, delta) >= epsilon:
        raise InputError(
            "the privacy ledger",
            f"ε = {compose(spent, delta):.3f} is spent already",
            f"less than the target {epsilon:g}",
        )

    left = delta - sum(entry.delta for entry in spent)
    sigma = _least_noise(epsilon, left, sample_rate, steps, tuple(spent))
    if math.isinf(sigma):
        raise InputError(
            "--dp-epsilon", f"{epsilon:g} at δ = {delta:g} needs noise above 10⁵·C", "a larger ε"
        )
    return sigma


@lru_cache(maxsize=128)
def _least_noise(
    epsilon: float, left: float, sample_rate: float, steps: int, spent: tuple[LedgerEntry, ...]
) -> float:
    def reached(sigma: float, grid: float | None) -> float:
        ledger = (*spent, LedgerEntry("poisson-gaussian", sigma, sample_rate, steps))
        return _epsilon_by_pld(ledger, left, grid=grid)

    # a coarse grid is ten times faster and lies a little above: found there, then followed down
    low = high = 1.0
    for grid, stride in ((_COARSE_SEARCH, 2.0), (None, 1.0009)):
        while reached(high, grid) > epsilon:
            low, high = high, high * stride
            if high > 1e5:
                return math.inf
        low = min(low, high / stride)
        while reached(low, grid) <= epsilon:
            low, high, stride = low / stride, low, stride**2
        while high / low > 1.001:
            # ε is close to a power of σ: interpolate in logarithms, kept off the ends so that both move
            # (where δ alone covers everything the PLD is 0, which has no logarithm)
            above, below = reached(low, grid), max(reached(high, grid), epsilon * 1e-3)
            share = math.log(above / epsilon) / math.log(above / below)
            middle = low * (high / low) ** min(max(share, 0.02), 0.98)
            for sigma in (middle * 0.9996, middle * 1.0004):
                if low < sigma < high:
                    low, high = (low, sigma) if reached(sigma, grid) <= epsilon else (sigma, high)
        low = high
    return high


def epsilon_without_amplification(noise_multiplier: float, steps: int, delta: float) -> float:
    """ε if the adversary knew which units every step drew: no credit for sampling."""
    return epsilon(noise_multiplier, 1.0, steps, delta)


def gaussian_mu(noise_multiplier: float, sample_rate: float, steps: int) -> float:
    """μ of the Gaussian-DP limit q·sqrt(T(e^{1/σ²} − 1)) (Bu, Dong, Long and Su 2020, section 3).

    A central-limit approximation, for orientation; no claim rests on it.

    >>> round(gaussian_mu(1.0, 1.0, 1), 3)
    1.311
    """
    return sample_rate * math.sqrt(steps * math.expm1(min(noise_multiplier**-2, 700.0)))


def true_positive_ceiling(ledger: Sequence[LedgerEntry], false_positive_rate: float) -> float:
    """The largest true-positive rate any membership test can have at ``false_positive_rate``.

    Both halves of the hockey-stick bound: TPR ≤ e^ε·FPR + δ(ε) and TPR ≤ 1 − e^{−ε}(1 − δ(ε) − FPR), over
    all ε (Kairouz, Oh and Viswanath 2015, theorem 2.1).

    >>> plan = [LedgerEntry("poisson-gaussian", 1.0, 1.0, 1)]
    >>> round(true_positive_ceiling(plan, 0.01), 3)  # Gaussian, μ = 1: Φ(Φ⁻¹(.01) + 1)
    0.092
    """
    found = _compose_pld(tuple(ledger), grid=_COARSE_SEARCH)
    if found is None:
        return false_positive_rate
    eps = np.linspace(0.0, 20.0, 401)
    delta = losses.delta(found, eps) + sum(entry.delta for entry in ledger)
    ends = np.exp(eps) * false_positive_rate + delta, 1 - np.exp(-eps) * (1 - delta - false_positive_rate)
    return float(np.clip(np.min(ends), false_positive_rate, 1.0))


def least_epsilon(entry: LedgerEntry, points: int = 4001) -> float:
    """An ε that the Gaussian sums of ``entry`` exceed at every δ below 1/2: quick, and far from tight.

    By Chebyshev's inequality the loss of all steps is, with probability 8/9, above its mean less three
    deviations, L; so δ(L − 1) ≥ 8/9·(1 − 1/e) > 1/2.

    >>> plan = LedgerEntry("poisson-gaussian", 1.0, 1.0, 10_000)
    >>> 4_000 < least_epsilon(plan) < compose([LedgerEntry("poisson-gaussian", 1.0, 1.0, 400)], 1e-5) * 25
    True
    """
    sigma, rate, steps = entry.noise_multiplier, entry.sample_rate, _gaussian_steps(entry)
    if steps == 0 or rate == 0:
        return 0.0
    x = np.linspace(-12 * sigma, 1 + 12 * sigma, points)
    missed = math.log1p(-rate) if rate < 1 else -math.inf
    loss = np.logaddexp(missed, math.log(rate) + (2 * x - 1) / (2 * sigma**2))
    drawn = np.exp(loss - x**2 / (2 * sigma**2))
    drawn /= drawn.sum()
    mean = float((drawn * loss).sum())
    variance = float((drawn * (loss - mean) ** 2).sum())
    return steps * mean - 3 * math.sqrt(steps * variance) - 1


GROUPS = (2, 5, 10)
"""Sizes of the groups for which a statement says what remains of its claim."""

NO_GROUP_BOUND = 50.0
"""A group ε above this says nothing (odds of e^50), and is given as None."""

FALSE_POSITIVE_RATES = (0.001, 0.01)


def group_epsilon(ledger: Sequence[LedgerEntry], size: int, delta: float) -> float | None:
    """ε for ``size`` units added or removed together, at the same δ; None where no useful bound exists.

    A Poisson draw holds Binomial(size, q) of the group, each moving the sum by at most C: a mixture of
    Gaussians, composed exactly (Choquette-Choo et al. 2024, "Privacy amplification for matrix mechanisms",
    section 4), and not the textbook size·ε at a δ that has grown by e^{(size−1)ε}.

    >>> one = [LedgerEntry("poisson-gaussian", 2.0, 1.0, 1)]
    >>> abs(group_epsilon(one, 2, 1e-5) - epsilon(1.0, 1.0, 1, 1e-5)) < 0.01
    True
    """
    _check(delta=delta)
    if size < 1:
        raise InputError("the group", str(size), "at least 1 unit")
    if size > 1 and any(entry.mechanism == "gaussian-threshold" for entry in ledger):
        return None  # the threshold hides what one unit alone says; what a group says in chorus passes it
    # a step is off by at most half the grid and in practice by a hundredth of it: few steps can have a wide
    # one, ten times faster where a group's loss spreads over hundreds of nats; a small ε keeps its digits
    wide = min(_WIDEST, max(_COARSE, _WIDEST / max(1, sum(map(_gaussian_steps, ledger)))))
    found = _epsilon_by_pld(tuple(ledger), delta, size, wide)
    if found < _SMALL:
        found = _epsilon_by_pld(tuple(ledger), delta, size, _COARSE)
    return found if found <= NO_GROUP_BOUND else None


def canonical(statement: PrivacyStatement) -> str:
    """Every field of ``statement`` but digest and seal, as canonical JSON.

    A field that a version has added is left out where it is empty, so that older statements keep theirs.
    """
    fields = {name: value for name, value in asdict(statement).items() if name not in ("digest", "seal")}
    for name in _ADDED:
        if not fields[name]:
            del fields[name]
    for release in fields["corpus_releases"]:
        if not release["unit_kind"]:
            del release["unit_kind"]
    if statement.plan is not None and not statement.plan.grid:
        del fields["plan"]["grid"]
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


_ADDED = ("unit_kind", "corpus_epsilon_reason", "digests", "guesses", "mechanism_checks", "warnings")


def statement_digest(statement: PrivacyStatement) -> str:
    """SHA-256 over :func:`canonical`."""
    return hashlib.sha256(canonical(statement).encode()).hexdigest()


def refuse_edited(statement: PrivacyStatement, thing: str) -> None:
    """Raise :class:`InputError` when a statement is not the one its digest was made of.

    Statements older than the digest have none and pass. A digest catches accidents: whoever edits a claim on
    purpose can compute another, which only a signature would show.
    """
    if statement.digest and statement.digest != statement_digest(statement):
        raise InputError(
            thing, "the statement does not match its digest", "the file as training wrote it", "train again"
        )


def default_delta(public_size: int) -> float:
    """A power of ten at most a tenth of 1/n: δ is the chance that the guarantee fails outright.

    >>> default_delta(3600), default_delta(50_000)
    (1e-05, 1e-06)
    """
    return float(f"1e-{math.ceil(math.log10(max(public_size, 1)) + 1)}")


@lru_cache(maxsize=4096)  # numbers: a run's plan, its statement and its ledger come back to the same ones
def _epsilon_by_pld(
    ledger: tuple[LedgerEntry, ...], delta: float, group: int = 1, grid: float | None = None
) -> float:
    found = _compose_pld(ledger, group, grid)
    return 0.0 if found is None else losses.epsilon(found, delta)


@lru_cache(maxsize=16)  # some 10 MB each: what one search for σ comes back to, and no more
def _compose_pld(
    ledger: tuple[LedgerEntry, ...], group: int = 1, grid: float | None = None
) -> losses.Losses | None:
    grid = grid or _fine(ledger)
    releases = [(_release_pld(entry, group, grid), times) for entry, times in _alike(ledger).items()]
    return losses.composed(releases) if releases else None


def _fine(ledger: Sequence[LedgerEntry]) -> float:
    """The widest grid on which ε is that of the finest to five digits and more.

    Connected dots add about grid²/6 to the variance of each step's loss, which is μ² of the Gaussian limit a
    step: under little noise a grid ten times as wide, and as much faster, says the same.
    """
    steps = sum(map(_gaussian_steps, ledger))
    if not steps:
        return _INTERVAL
    variance = sum(
        gaussian_mu(entry.noise_multiplier, entry.sample_rate or 1.0, _gaussian_steps(entry)) ** 2
        for entry in ledger
        if _gaussian_steps(entry)
    )
    wide = math.sqrt(6 * _WIDENED * variance / steps)
    return next((grid for grid in _GRIDS if grid <= wide), _INTERVAL)


def _alike(ledger: Sequence[LedgerEntry]) -> dict[LedgerEntry, int]:
    """Entries of one release each, and how often it was made: composing does not depend on the order."""
    found: dict[LedgerEntry, int] = {}
    for entry in ledger:
        times = _gaussian_steps(entry) if entry.mechanism == "poisson-gaussian" else 1
        if times:
            one = replace(entry, steps=min(1, entry.steps), what="", delta=0.0)
            found[one] = found.get(one, 0) + times
    return found


@lru_cache(maxsize=32)  # of the runs on one corpus each is composed alone and with the others
def _release_pld(entry: LedgerEntry, group: int, grid: float) -> losses.Losses:
    """The privacy loss of one release, for ``group`` units added or removed at once."""
    if entry.mechanism == "discrete-laplace":
        if not 0 < entry.epsilon < math.inf:
            raise InputError(
                "a ledger entry of discrete-laplace", f"ε = {entry.epsilon:g}", "a number above 0"
            )
        return losses.laplace(entry.epsilon, group, grid)
    if entry.mechanism not in ("poisson-gaussian", "gaussian-threshold"):
        raise InputError(
            f"ledger entry {entry.mechanism!r}",
            "not known",
            "poisson-gaussian, discrete-laplace or gaussian-threshold",
        )
    rate = entry.sample_rate if entry.mechanism == "poisson-gaussian" else 1.0
    return losses.gaussian(entry.noise_multiplier, rate, group, grid)


def _gaussian_steps(entry: LedgerEntry) -> int:
    """How many noised sums an entry stands for."""
    if entry.mechanism == "gaussian-threshold":
        return 1
    return entry.steps if entry.mechanism == "poisson-gaussian" and entry.sample_rate > 0 else 0


@lru_cache(maxsize=4096)
def _opacus(ledger: tuple[LedgerEntry, ...], delta: float, name: str) -> float:
    """Opacus' accountant; a Laplace release is added by basic composition, which is always valid."""
    steps = [
        (entry.noise_multiplier, entry.sample_rate, _gaussian_steps(entry))
        for entry in ledger
        if _gaussian_steps(entry)
    ]
    pure = sum(entry.epsilon for entry in ledger if entry.mechanism == "discrete-laplace")
    return pure + peers.epsilon(steps, delta, name) if steps else pure


def _check(delta: float, sample_rate: float = 1.0, steps: int = 0) -> None:
    if not 0 < delta < 1:
        raise InputError("δ", f"{delta:g}", "a number between 0 and 1")
    if not 0 <= sample_rate <= 1:
        raise InputError("the sample rate", f"{sample_rate:g}", "a number between 0 and 1")
    if steps < 0:
        raise InputError("steps", str(steps), "0 or more")
