"""Distributions of the privacy loss on a grid, whole arrays at once.

The method is dp_accounting's: connected dots (Doroshenko et al. 2022, "Connect the Dots"), composed by
Fourier transforms between Chernoff bounds on the tails (Koskela, Jälkö and Honkela 2020). Its own classes
pass the dots through dictionaries and loops of Python, and compose a ledger pair by pair: most of the time
that a short private run took. What is rounded here is rounded upwards, as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TAIL = 1e-15  # mass that a composition may lose on either side together; it is counted as infinite loss
_BLOCK = 64  # dots that a bound on the tails takes as one: 64 times faster, and a little wider
_ORDERS = 2.0 ** np.arange(-3, 9)  # of the Chernoff bound, in one over the deviation of the sum
_NEWTON, _SOLVED = 50, 1e-12  # steps at most; nats
_LARGEST = 700.0  # nats; e to the power of more is no number


@dataclass(frozen=True)
class Loss:
    """The loss under one adjacency: ``mass`` on the multiples of ``grid`` from ``lowest`` on, or infinite."""

    grid: float  # nats
    lowest: int
    mass: Array
    infinite: float

    def epsilon(self, delta: float) -> float:
        """The smallest ε ≥ 0 with δ(ε) ≤ ``delta``; ``inf`` where there is none."""
        if self.infinite > delta:
            return math.inf
        losses, upper, lower = self._above()
        # δ at each dot, by all that lies above it; beyond the largest power by their mass, which is more
        power = np.exp(np.minimum(losses, _LARGEST))
        at = upper[1:] - np.where(losses < _LARGEST, power * lower[1:], 0.0)
        reached = np.flatnonzero(at <= delta)
        k = int(reached[0]) if len(losses) else 0
        if upper[k] <= delta + lower[k]:
            return 0.0
        if lower[k] == 0:
            return float(losses[k])
        return float(min(math.log((upper[k] - delta) / lower[k]), losses[k]))

    def delta(self, epsilons: Array) -> Array:
        """δ at each of ``epsilons``, which are at least 0."""
        losses, upper, lower = self._above()
        k = np.searchsorted(losses, epsilons, side="right")
        return np.maximum(upper[k] - np.exp(epsilons) * lower[k], 0.0)

    def _above(self) -> tuple[Array, Array, Array]:
        """The positive losses; from each on (and from beyond the last) the sums of p and of p·e^−loss."""
        first = max(0, 1 - self.lowest)
        losses = self.grid * np.arange(self.lowest + first, self.lowest + len(self.mass), dtype=np.float64)
        mass = self.mass[first:][::-1]
        upper: Array = np.cumsum(np.concatenate([[self.infinite], mass]))[::-1]
        lower: Array = np.cumsum(np.concatenate([[0.0], mass * np.exp(-losses[::-1])]))[::-1]
        return losses, upper, lower


Losses = tuple[Loss, ...]
"""The loss where a unit is removed and where one is added; a single one where both are alike."""


def epsilon(losses: Losses, delta: float) -> float:
    """ε at ``delta`` under either adjacency."""
    return max(one.epsilon(delta) for one in losses)


def delta(losses: Losses, epsilons: Array) -> Array:
    """δ at each of ``epsilons`` under either adjacency."""
    return np.asarray(np.max([one.delta(epsilons) for one in losses], axis=0))


# --- one release --------------------------------------------------------------------------------------


def gaussian(sigma: float, rate: float, group: int, grid: float) -> Losses:
    """The loss of one step when ``group`` units are removed, or added; each is in the draw at ``rate``."""
    from dp_accounting.pld import privacy_loss_mechanism as mechanism

    found = []
    for removed in (True,) if rate == 1 else (True, False):  # without a draw one is the other's mirror
        adjacency = mechanism.AdjacencyType.REMOVE if removed else mechanism.AdjacencyType.ADD
        if group == 1 or rate == 1:
            scale, shares = sigma / group, np.array([1 - rate, rate])
            loss: Any = mechanism.GaussianPrivacyLoss(scale, sampling_prob=rate, adjacency_type=adjacency)
        else:
            drawn = range(group + 1)
            shares = np.array([math.comb(group, k) * rate**k * (1 - rate) ** (group - k) for k in drawn])
            scale = sigma
            loss = mechanism.MixtureGaussianPrivacyLoss(
                sigma, drawn, shares.tolist(), adjacency_type=adjacency
            )
        bounds = loss.connect_dots_bounds()
        low, high = math.floor(bounds.epsilon_lower / grid), math.ceil(bounds.epsilon_upper / grid)
        deltas = hockey_stick(np.arange(low, high + 1) * grid, scale, shares, removed)
        found.append(_connected(deltas, low, grid))
    return tuple(found)


def laplace(parameter: float, group: int, grid: float) -> Losses:
    """The loss of discrete Laplace noise, ε = ``parameter`` for one unit, when ``group`` units change.

    It has an atom for every whole number between the two counts. Each is shared out to the dots beside it so
    that its mass and its mass times e^−loss stay what they are, which is to connect the dots.
    """
    between = np.arange(group + 1)
    atoms = parameter * (group - 2.0 * between)
    mass = np.exp(-parameter * between) * math.tanh(parameter / 2)
    mass[[0, -1]] = 1 / (1 + math.exp(-parameter)), math.exp(-parameter * group) / (1 + math.exp(-parameter))
    dots = np.floor(atoms / grid).astype(np.int64)
    above = mass * np.expm1(atoms - dots * grid) / math.expm1(grid) * np.exp(grid * (dots + 1) - atoms)
    lowest = int(dots.min())
    placed = np.zeros(int(dots.max()) - lowest + 2)
    np.add.at(placed, dots - lowest, mass - above)
    np.add.at(placed, dots - lowest + 1, above)
    return (Loss(grid, lowest, np.maximum(placed, 0.0), 0.0),)


def _connected(deltas: Array, lowest: int, grid: float) -> Loss:
    """The loss whose δ is ``deltas`` at the dots from ``lowest`` on, and above the true one between them."""
    falls = np.diff(np.minimum.accumulate(deltas))
    mass = np.zeros_like(deltas)
    mass[0] = 1 - deltas[0]
    mass[:-1] += falls / math.expm1(grid)
    mass[1:] -= falls * math.exp(grid) / math.expm1(grid)
    return Loss(grid, lowest, np.maximum(mass, 0.0), float(deltas.min()))


def hockey_stick(epsilons: Array, sigma: float, shares: Array, removed: bool) -> Array:
    """δ(ε), (E,), of N(0, σ²) and the mixture Σ sₖ N(−k, σ²), or N(k, σ²) for units added; ``shares`` s.

    The loss falls with x, so δ(ε) = P(x ≤ t) − e^ε Q(x ≤ t) for the t at which it is ε.
    """
    from scipy.special import log_ndtr, logsumexp, ndtr  # no help text waits for it

    steps = np.arange(len(shares))[shares > 0]
    logs = np.log(shares[shares > 0])
    # log of the mixture over the noise alone: Σ sₖ e^{k(∓x) / σ² − k²/2σ²} rises with y = −x, or x for added
    constant = logs - steps**2 / (2 * sigma**2)
    wanted = epsilons if removed else -epsilons
    least = logs[0] if steps[0] == 0 else -np.inf
    inside = wanted > least
    y = np.full(len(epsilons), -np.inf)
    y[inside] = _where_mixture_is(wanted[inside], constant, steps, sigma)
    if removed:  # P: the mixture; x ≤ −y
        upper = (np.exp(logs)[:, None] * ndtr((steps[:, None] - y) / sigma)).sum(0)
        lower = log_ndtr(-y / sigma)
    else:  # Q: the mixture; x ≤ y
        upper = ndtr(y / sigma)
        lower = logsumexp(logs[:, None] + log_ndtr((y - steps[:, None]) / sigma), axis=0)
    return np.asarray(np.clip(upper - np.exp(epsilons + lower), 0.0, 1.0))


def _where_mixture_is(wanted: Array, constant: Array, steps: NDArray[np.int64], sigma: float) -> Array:
    """The y at which log Σ e^{constant + steps·y / σ²} is ``wanted``: solved for one unit, else by Newton.

    Without the term of an empty draw, which is taken to the other side, the sum is convex in y and nowhere
    flat: from above, where its largest term alone is what is wanted, every step comes nearer.
    """
    if steps[0] == 0:
        wanted = wanted + np.log1p(-np.exp(constant[0] - wanted))
        constant, steps = constant[1:], steps[1:]
    slopes = steps[:, None] / sigma**2
    y: Array = np.min((wanted - constant[:, None]) / slopes, axis=0)
    for _ in range(_NEWTON if len(steps) > 1 else 0):
        terms = constant[:, None] + slopes * y
        top = terms.max(0)
        shares = np.exp(terms - top)
        total = shares.sum(0)
        over = top + np.log(total) - wanted
        y -= over * total / (slopes * shares).sum(0)
        if over.max(initial=0.0) < _SOLVED:
            break
    return y


# --- many ---------------------------------------------------------------------------------------------


def composed(releases: Sequence[tuple[Losses, int]]) -> Losses:
    """The loss of all ``releases`` together, each made so many times; all are on one grid."""
    sides = max(len(losses) for losses, _ in releases)
    return tuple(
        _sum([(losses[side % len(losses)], times) for losses, times in releases]) for side in range(sides)
    )


def _sum(parts: Sequence[tuple[Loss, int]]) -> Loss:
    """The loss of independent ``parts``: one transform for each that differs, and one back."""
    from scipy import fft

    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    lowest = sum(times * one.lowest for one, times in parts)
    low, high = _range(parts)
    size = fft.next_fast_len(max(high - low + 1, *(len(one.mass) for one, _ in parts)), real=True)
    spectrum = np.ones(size // 2 + 1, dtype=np.complex128)
    for one, times in parts:
        spectrum *= _power(fft.rfft(one.mass, size), times)
    around = fft.irfft(spectrum, size)  # what lies outside the range comes round to the other side
    infinite = _TAIL - math.expm1(sum(times * math.log1p(-one.infinite) for one, times in parts))
    return Loss(parts[0][0].grid, lowest + low, np.roll(around, -low)[: high - low + 1], infinite)


def _power(base: Any, times: int) -> Any:
    """``base`` to the power of ``times`` by squaring: numpy's own takes ten times longer for large ones."""
    found = None
    while times:
        if times % 2:
            found = base if found is None else found * base
        times //= 2
        base = base * base if times else base
    return found


def _range(parts: Sequence[tuple[Loss, int]]) -> tuple[int, int]:
    """Dots above the lowest sum between which all but ``_TAIL`` of the mass of the sum lies."""
    most = sum(times * (len(one.mass) - 1) for one, times in parts)
    tops, bottoms, variance = [], [], 0.0
    for one, times in parts:
        mass = np.add.reduceat(one.mass, np.arange(0, len(one.mass), _BLOCK))
        first = np.arange(len(mass)) * _BLOCK
        last = np.minimum(first + _BLOCK, len(one.mass)) - 1
        mean = mass @ first / mass.sum()
        variance += times * (mass @ (first - mean) ** 2)
        held = mass > 0
        tops.append((last[held], mass[held], times))
        bottoms.append((-first[held], mass[held], times))
    orders = _ORDERS / max(math.sqrt(variance), 1.0)

    def bound(places: list[tuple[Any, Array, int]]) -> float:
        """The least b with P(sum > b) ≤ half of the tail, by log E e^{order·sum} ≤ order·b + log of it."""
        logs = np.zeros(len(orders))
        for place, mass, times in places:
            top = int(place.max())
            logs += times * (orders * top + np.log(np.exp(np.outer(orders, place - top)) @ mass))
        return float(np.min((logs + math.log(2 / _TAIL)) / orders))

    return max(0, math.floor(-bound(bottoms))), min(most, math.ceil(bound(tops)))
