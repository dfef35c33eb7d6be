"""The private mechanism of a step: draw, charge, (clip,) add noise, divide.

Training (``loop``) and the audit of the step itself (``self_audit``) call the same functions, so that what
is audited is what trains. Clipping stands in ``unit_batch.clip_factors``.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from mlmguard.training.journal import Journal
from mlmguard.training.text.units import poisson_draw
from mlmguard.types import DpPlan

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


def noisy_mean(clipped_sum: Tensor, plan: DpPlan, noise: torch.Generator) -> Tensor:
    """(``clipped_sum`` + :func:`gaussian`) / normaliser, in fp32."""
    return (clipped_sum + gaussian(clipped_sum, plan, noise)) / plan.normaliser


def gaussian(like: Tensor, plan: DpPlan, noise: torch.Generator) -> Tensor:
    """Fresh N(0, (σC(1 + margin))²) in fp32, of the shape and on the device of ``like``."""
    spread = plan.noise_multiplier * plan.max_grad_norm * (1 + plan.precision_margin)
    return torch.empty(like.shape, dtype=torch.float32, device=like.device).normal_(
        0, spread, generator=noise
    )


def entropy_rng() -> np.random.Generator:
    """A generator seeded by the operating system. Its state is never saved: noise must not repeat."""
    return np.random.default_rng(secrets.randbits(256))


def entropy_generator(device: torch.device) -> torch.Generator:
    """The same for noise on ``device``; 63 bits are what torch takes as a seed."""
    return torch.Generator(device=device).manual_seed(secrets.randbits(63))


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
    if not len(sizes) or variance <= 0:  # nothing ran, or every unit is in every step: nothing to tell apart
        return SamplerCheck(len(sizes), 0.0, 1.0, 1.0)
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
