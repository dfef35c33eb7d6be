"""What a private run found out about its own mechanism: passed or failed, and the numbers for its owner.

The statement says the outcome and what a check cannot see. Numbers stay in the run folder: the sizes of the
draws give the number of records away, and the noise that was measured would help to subtract it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from safetensors.torch import save_file

from mlmguard import accounting
from mlmguard.artifacts import write_json
from mlmguard.hazards import MECHANISM_CHECKS
from mlmguard.leakage import metrics
from mlmguard.train.run import Run
from mlmguard.training.journal import Journal
from mlmguard.training.mechanism import SamplerCheck, check_sampler
from mlmguard.training.privacy.self_audit import (
    COINS,
    LEVEL,
    LOOP_TOLERANCE,
    NUMBERS,
    ON_CANARIES,
    SCORES,
    SelfAudit,
    planned_noise,
    simulated_share,
)
from mlmguard.types import DpPlan, LedgerEntry, MechanismCheck

DESIGNS = (500, 1000, 2000, 5000, 10_000, 20_000)
"""Numbers of canaries to choose from. All guesses right of 20,000 give a bound of 5.9 at δ = 1e-5; 30,000 add
0.1 to it (docs/decisions/0009-mechanism.md)."""
GUESSED = 0.1  # of the canaries: the surest twentieth on either side


def design(plan: DpPlan) -> tuple[int, int]:
    """Return how many canaries and guesses show most of noise cut to a quarter: fewer at a large δ."""
    share = simulated_share(plan, planned_noise(plan) / 4, 1.0, GUESSED)

    def bound(m: int) -> float:
        guesses = round(GUESSED * m)
        return metrics.one_run_epsilon_lower_bound(m, guesses, int(share * guesses), plan.delta)

    best = max(DESIGNS, key=bound)
    return best, round(GUESSED * best)


def opened(run: Run, plan: DpPlan) -> SelfAudit | None:
    """Return the canaries of the run, in the first process of a team.

    None for a run that an earlier version began: its first steps drew no canaries, and sizes of draws with
    and without them are not those of one sampler.
    """
    if not run.team.first:
        return None
    if (run.folder / COINS).exists():
        return SelfAudit.read(run.folder)
    return None if run.has_steps else SelfAudit.draw(run.folder, plan, *design(plan))


def sampler_check(journal: Journal, audit: SelfAudit | None, units: int, plan: DpPlan) -> SamplerCheck:
    """Compare the sizes of all draws, canaries included, with independent draws."""
    return check_sampler(journal.drawn, units + (audit.taking_part if audit else 0), plan.sample_rate)


def tested(
    run: Run,
    audit: SelfAudit | None,
    sampler: SamplerCheck,
    plan: DpPlan,
    charged: Sequence[LedgerEntry],
) -> tuple[MechanismCheck, ...]:
    """Judge what the run has measured, and write the numbers to its folder."""
    if audit is None or not audit.steps:
        return ()
    claimed = accounting.compose(charged, plan.delta)
    m, right = len(audit.planted), audit.right()
    # at 95 %, unlike the other tests: at 99.9 % all guesses right would show 1.5 (docs/decisions/0009)
    bound = metrics.one_run_epsilon_lower_bound(m, audit.guesses, right, plan.delta)
    noise_p, tensor = audit.noise_p()
    draws_p = audit.draws_p(plan)
    passed = {
        "sampler": sampler.agrees and draws_p >= LEVEL,
        "noise": noise_p >= LEVEL,
        "clipping": max(audit.apart, default=0.0) <= LOOP_TOLERANCE,
        "canaries": bound <= claimed,
    }
    write_json(
        run.folder / NUMBERS,
        {
            "canaries": m,
            "guesses": audit.guesses,
            "right": right,
            "length": audit.length,
            "steps": audit.steps,
            "sampler": asdict(sampler),
            "draws_p": draws_p,
            "noise_p": noise_p,
            "least_noise": tensor,
            "noise": {name: square / count for name, (square, count) in audit.noise.items()},
            "noise_counts": {name: count for name, (_, count) in audit.noise.items()},
            "clipping": audit.apart,
            "passed": passed,
        },
        mode=0o600,
    )
    save_file({"log_ratios": audit.log_ratios, "sums": audit.sums}, run.folder / SCORES)
    (run.folder / SCORES).chmod(0o600)
    outcomes = {name: "passed" if found else "failed" for name, found in passed.items()}
    if not audit.apart:
        outcomes["clipping"] = "not run"
    if audit.noise.keys() <= {ON_CANARIES} and passed["noise"]:
        outcomes["noise"] = "not run"  # no step whose tensors were to be measured
    return tuple(
        MechanismCheck(name, outcomes[name], what, blind) for name, (what, blind) in MECHANISM_CHECKS.items()
    )
