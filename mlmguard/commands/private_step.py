"""The private step audits itself: a lower bound on ε from what it released, beside the ε it claims.

A claim is a theorem about a mechanism; this tests whether the code is that mechanism. The bound cannot prove
the claim, and a plan with a small sample rate is too weak a test to refute it (at q = 0.01 a quarter of the
noise still passes): the default plan draws half of the units a step.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlmguard import accounting, console
from mlmguard.commands.watching import interruptible
from mlmguard.errors import InputError
from mlmguard.leakage import metrics
from mlmguard.training.mechanism import GRID, SamplerCheck, private_rng
from mlmguard.training.privacy.self_audit import dirac_run
from mlmguard.types import SILENT, DpPlan, LedgerEntry, Watcher


@dataclass(frozen=True)
class PrivateStepAudit:
    """A claim, and what 10,000 canaries say of it at 95 % confidence."""

    plan: DpPlan
    ledger: tuple[LedgerEntry, ...]
    claimed: float  # ε of the ledger
    lower_bound: float
    ceiling: float  # the bound if every guess were right
    canaries: int
    guesses: int
    right: int
    sampler: SamplerCheck

    @property
    def refuted(self) -> bool:
        """The step gives away more than it claims."""
        return self.lower_bound > self.claimed

    @property
    def conclusive(self) -> bool:
        """The design could have refuted the claim."""
        return self.ceiling > self.claimed


def audit_private_step(
    epsilon: float = 4.0,
    delta: float = 1e-5,
    sample_rate: float = 0.5,
    steps: int = 100,
    canaries: int = 10_000,
    guesses: int = 1_000,
    *,
    canary_norm: float = 1.0,
    watcher: Watcher = SILENT,
) -> PrivateStepAudit:
    """Calibrate noise to ``epsilon``, run the whole plan over coin-tossed canaries, guess the coins.

    ``guesses`` is fixed before anything is drawn: the highest half of them is guessed "took part", the lowest
    "did not" (Steinke, Nasr and Jagielski 2023, theorem 5.2). ``canary_norm`` is in units of C.

    Raises :class:`InputError` for a plan that cannot be run.
    """
    if not 2 <= guesses <= canaries:
        raise InputError("the number of guesses", str(guesses), f"between 2 and {canaries} canaries")
    sigma = accounting.noise_multiplier(epsilon, delta, sample_rate, steps)
    plan = DpPlan(sigma, 1.0, sample_rate, steps, delta, "canary", sample_rate * canaries / 2, epsilon, GRID)
    planted = private_rng().random(canaries) < 0.5
    with tempfile.TemporaryDirectory(prefix="mlmguard-") as folder:
        ran = dirac_run(plan, planted, Path(folder), guesses, length=canary_norm, watcher=watcher)
    right = ran.audit.right()
    return PrivateStepAudit(
        plan=plan,
        ledger=ran.ledger,
        claimed=accounting.compose(ran.ledger, delta),
        lower_bound=metrics.one_run_epsilon_lower_bound(canaries, guesses, right, delta),
        ceiling=metrics.one_run_ceiling(canaries, guesses, delta),
        canaries=canaries,
        guesses=guesses,
        right=right,
        sampler=ran.sampler,
    )


def show_private_step(quiet: bool) -> int:
    """Audit the private step, print what was found, and return 1 where its claim is refuted."""
    with interruptible(quiet) as watcher:
        found = audit_private_step(watcher=watcher)
    plan, sizes = found.plan, found.sampler
    sampled = "as claimed" if sizes.agrees else "NOT those of Poisson sampling"
    rows = [
        ("plan", f"σ = {plan.noise_multiplier:.3f}, sample rate {plan.sample_rate:g}, {plan.steps} steps"),
        ("claim", f"ε = {found.claimed:.3f} at δ = {plan.delta:g}, from the ledger"),
        ("lower bound", f"ε = {found.lower_bound:.3f} at 95 %; it could show at most {found.ceiling:.2f}"),
        ("guesses", f"{found.right} of {found.guesses} right, over {found.canaries:,} canaries"),
        ("batch sizes", f"{sampled}: {sizes.variance_ratio:.2f} × binomial variance, p {sizes.p_value:.2g}"),
        ("verdict", "REFUTED: do not train with this installation" if found.refuted else "not refuted"),
    ]
    console.explanation("The private step", rows)
    return 1 if found.refuted or not sizes.agrees else 0
