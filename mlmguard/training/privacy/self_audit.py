"""Dirac canaries through the private mechanism: what its weights would tell an observer of every step.

Canary j has the gradient C·e_j, all on a coordinate of its own, so nothing but the mechanism's own noise
hides it; a fair coin says whether it takes part. Sampler, clip factor, ledger and noise are the functions
that train (Nasr et al. 2023, section 4; Steinke, Nasr and Jagielski 2023, section 6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mlmguard.training import mechanism
from mlmguard.training.clipping import unit_batch
from mlmguard.training.journal import Journal
from mlmguard.types import SILENT, DpPlan, LedgerEntry, Watcher


@dataclass(frozen=True)
class DiracRun:
    """One full plan over m canaries."""

    planted: NDArray[np.bool_] = field(repr=False)  # (m,) the coins
    scores: NDArray[np.float64] = field(repr=False)  # (m,) sum of each canary's coordinate over all releases
    ledger: tuple[LedgerEntry, ...]
    sampler: mechanism.SamplerCheck


def dirac_run(
    plan: DpPlan,
    planted: NDArray[np.bool_],
    folder: Path,
    *,
    norm: float | None = None,
    watcher: Watcher = SILENT,
) -> DiracRun:
    """Run every step of ``plan`` over the ``planted`` canaries, each a unit with gradient ``norm``·e_j.

    ``norm`` is C when not given. The ledger is written to ``folder``. Noise comes from the operating
    system's entropy as in training, so no two runs are equal.
    """
    norm = plan.max_grad_norm if norm is None else norm
    where = torch.from_numpy(np.flatnonzero(planted))
    rng, noise = mechanism.private_rng(), mechanism.noise_source()
    journal = Journal(folder, plan)
    scores = torch.zeros(len(planted), dtype=torch.float64)
    for step in range(plan.steps):
        drawn = torch.from_numpy(mechanism.draw(len(where), plan, step, journal, rng))
        norms = torch.full((len(drawn),), norm)
        factors = unit_batch.clip_factors(norms, torch.zeros_like(norms), plan.max_grad_norm)
        clipped_sum = torch.zeros(len(planted))
        clipped_sum[where[drawn]] = factors * norms
        scores += mechanism.noisy_mean(clipped_sum, plan, noise)
        watcher.progress("private step", step + 1, plan.steps)
    return DiracRun(
        planted,
        scores.numpy(),
        journal.entries(),
        mechanism.check_sampler(journal.drawn, len(where), plan.sample_rate),
    )
