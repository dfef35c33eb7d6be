"""The private mechanism of a step: draw, charge, (clip,) add noise, divide.

Training (``loop``) and the audit of the step itself (``self_audit``) call the same functions, so that what
is audited is what trains. Clipping stands in ``unit_batch.clip_factors``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from mlmguard.errors import InputError
from mlmguard.training.journal import Journal
from mlmguard.training.privacy.randomness import NoiseSource, noise_source, private_rng
from mlmguard.training.text.units import poisson_draw
from mlmguard.types import DpPlan

__all__ = [
    "GRID",
    "NoiseSource",
    "SamplerCheck",
    "check_sampler",
    "draw",
    "noise_source",
    "noisy_mean",
    "private_rng",
]

SAMPLER_LEVEL = 1e-4
"""Below this p-value realised batch sizes are not those of the claimed sampler: one false alarm in 10,000."""


def draw(
    count: int, plan: DpPlan, step: int, journal: Journal, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of the units that ``step`` uses; when this returns, the step is paid for on disk.

    Charged before any noise exists: a step that is lost afterwards has still been spent.
    """
    drawn = poisson_draw(count, plan.sample_rate, rng)
    journal.charge(step, len(drawn))
    return drawn


GRID = 2.0**-24
"""Spacing of the grid that sums are rounded to and noise is drawn on, as a share of C."""
MOST_PARAMETERS = 2**28
GRID_MARGIN = GRID * MOST_PARAMETERS**0.5
"""By what share of C rounding may carry one unit past it: one spacing in each coordinate, in L2. The noise is
wider by as much (docs/decisions/0007-noise.md)."""


def refuse_too_many(parameters: int) -> None:
    """Raise :class:`InputError` where rounding could carry a unit further than the noise allows for."""
    if parameters > MOST_PARAMETERS:
        raise InputError(
            "--adapt",
            f"{parameters:,} trained parameters in a private run",
            f"at most {MOST_PARAMETERS:,}, which is what the noise allows rounding for",
            "train fewer with --adapt lora or bitfit",
        )


def spread(plan: DpPlan) -> float:
    """Return the standard deviation of the noise on a sum: σC, wider by what rounding may add to C."""
    on_grid = 1 + (GRID_MARGIN if plan.grid else 0.0)
    return plan.noise_multiplier * plan.max_grad_norm * (1 + plan.precision_margin) * on_grid


def gaussian(like: Tensor, plan: DpPlan, noise: NoiseSource) -> Tensor:
    """Return fresh N(0, spread²) in float64 on the CPU, of the shape of ``like``."""
    return noise.gaussian(like.numel()).mul_(spread(plan)).reshape(like.shape)


def noisy_mean(clipped_sum: Tensor, plan: DpPlan, noise: NoiseSource) -> Tensor:
    """Return (``clipped_sum`` + N(0, spread²)) / normaliser in fp32, on the device of ``clipped_sum``.

    With a grid, sum and noise are rounded to whole numbers of spacings before they are added, so that the
    last bits of what is released tell nothing of the sum: they are those of whole numbers, exactly added.
    """
    drawn = gaussian(clipped_sum, plan, noise)
    total = clipped_sum.double().cpu()
    if plan.grid:
        # of the power of two below C, so that dividing by it is exact
        spacing = plan.grid * 2.0 ** math.floor(math.log2(plan.max_grad_norm))
        total = total.div_(spacing).round_().add_(drawn.div_(spacing).round_()).mul_(spacing)
    else:
        total = total.add_(drawn)
    return total.div_(plan.normaliser).to(torch.float32).to(clipped_sum.device)


# --- did the sampler do what was claimed? -------------------------------------------------------------


@dataclass(frozen=True)
class SamplerCheck:
    """Realised batch sizes against Binomial(n, q), standardised so that they do not give n away."""

    steps: int
    mean_z: float  # standard errors between the mean size and n·q
    variance_ratio: float  # realised variance about n·q over n·q·(1 − q); 0 for batches of a fixed size
    p_value: float  # two-sided, of the variance ratio
    histogram: Mapping[str, int] = field(default_factory=dict)  # steps by standardised size

    @property
    def agrees(self) -> bool:
        """The sizes are what independent draws give."""
        return self.p_value >= SAMPLER_LEVEL


def check_sampler(sizes: Sequence[int], count: int, rate: float) -> SamplerCheck:
    """Compare the ``sizes`` of all steps with ``count`` units drawn independently with probability ``rate``.

    Σ (size − nq)² / nq(1 − q) is χ² with one degree of freedom a step, nearly, from a dozen expected units
    on. A shuffled sampler has no variance; one that draws by groups or correlates its ranks has too much.
    """
    variance = count * rate * (1 - rate)
    if not len(sizes):
        return SamplerCheck(0, 0.0, 1.0, 1.0)
    if variance <= 0:  # every unit is in every step, or none in any
        return SamplerCheck(len(sizes), 0.0, 1.0, float(all(size == count * rate for size in sizes)))
    away = np.asarray(sizes, dtype=float) - count * rate
    squares = float((away**2).sum() / variance)
    tail = min(stats.chi2.cdf(squares, len(sizes)), stats.chi2.sf(squares, len(sizes)))
    return SamplerCheck(
        steps=len(sizes),
        mean_z=float(away.mean() / (variance / len(sizes)) ** 0.5),
        variance_ratio=squares / len(sizes),
        p_value=float(min(1.0, 2 * tail)),
        histogram=_histogram(away / variance**0.5),
    )


def _histogram(z: NDArray[np.float64]) -> dict[str, int]:
    """How many sizes lie in each standard deviation; of a hundred 2, 14, 34, 34, 14 and 2 are expected."""
    edges = (-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, np.inf)
    counts = np.histogram(z, edges)[0]
    return {f"z_{low:g}_to_{high:g}": int(n) for low, high, n in zip(edges, edges[1:], counts)}
