"""What a private run and its audit can come to, before any GPU time is spent."""

from __future__ import annotations

from dataclasses import dataclass

from mlmguard import accounting
from mlmguard.errors import InputError
from mlmguard.leakage import metrics
from mlmguard.types import LedgerEntry


@dataclass(frozen=True)
class Plan:
    """A plan in numbers: noise, what it costs without amplification, what an attacker is left with."""

    epsilon: float
    delta: float
    sample_rate: float
    steps: int
    noise_multiplier: float
    noise_per_unit: float  # noise of the mean, in units' clipped gradients
    epsilon_without_amplification: float
    mu: float
    true_positives_at_1_percent: float
    canaries: int
    ceiling: float
    canaries_to_refute: int | None


def plan(
    units: int, epsilon: float, steps: int, batch_units: int, delta: float | None, canaries: int
) -> Plan:
    """Calibrate σ for ``units`` and say what an audit with ``canaries`` could refute."""
    if units < 1:
        raise InputError("--public-size", str(units), "at least 1")
    delta = accounting.default_delta(units) if delta is None else delta
    batch = min(batch_units, units)
    rate = batch / units
    sigma = accounting.noise_multiplier(epsilon, delta, rate, steps)
    ledger = [LedgerEntry("poisson-gaussian", sigma, rate, steps)]
    guesses = max(2, canaries // 2)
    return Plan(
        epsilon=epsilon,
        delta=delta,
        sample_rate=rate,
        steps=steps,
        noise_multiplier=sigma,
        noise_per_unit=sigma / batch,
        epsilon_without_amplification=accounting.epsilon_without_amplification(sigma, steps, delta),
        mu=accounting.gaussian_mu(sigma, rate, steps),
        true_positives_at_1_percent=accounting.true_positive_ceiling(ledger, 0.01),
        canaries=canaries,
        ceiling=metrics.one_run_ceiling(canaries, min(guesses, canaries), delta) if canaries else 0.0,
        canaries_to_refute=metrics.canaries_to_refute(epsilon, delta),
    )
