"""ε from inside: what the canaries of a private run show of its mechanism, and what they could have shown.

A checkpoint shows what an outsider can learn; the run itself saw every release. Its canaries (``training.
privacy.self_audit``) give a bound with the power of that knowledge: a test of the code, beside the claim that
is a theorem about it. It makes no claim conclusive; it can only contradict one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.numpy import load_file

from mlmguard.leakage import metrics
from mlmguard.showing import show_epsilon
from mlmguard.training.privacy.self_audit import (
    COINS,
    SCORES,
    SelfAudit,
    planned_noise,
    simulated_share,
)
from mlmguard.types import AttackRun, DpPlan, Measurement, PrivacyStatement

NAME = "mechanism"


def white_box(run: Path | None, statement: PrivacyStatement | None) -> tuple[Measurement, ...]:
    """Return the bound from inside and its power against named faults; nothing without scores."""
    if run is None or statement is None or _missing(run, statement):
        return ()
    assert statement.plan is not None and statement.delta is not None and statement.epsilon is not None
    audit = SelfAudit.read(run)  # the coins' file, which the statement names by digest
    audit.log_ratios = torch.from_numpy(load_file(run / SCORES)["log_ratios"])
    m, guesses, delta, right = len(audit.planted), audit.guesses, statement.delta, audit.right()
    bound = metrics.one_run_epsilon_lower_bound(m, guesses, right, delta)
    ceiling = metrics.one_run_ceiling(m, guesses, delta)
    note = f"{right} of {guesses} guesses right over {m} canaries of the run itself"
    lower = Measurement("epsilon", "white_box_lower_bound", bound, bound, None, 0.95, m, ceiling, note=note)
    return (lower, *_power(statement.plan, statement.epsilon, delta, m, guesses, audit.length))


def coverage(run: Path | None, statement: PrivacyStatement | None) -> tuple[AttackRun, ...]:
    """Return the line that says whether the mechanism was tested; none for a run that is not private."""
    if statement is None or not statement.private:
        return ()
    why = "its run folder is not at hand" if run is None else _missing(run, statement)
    if why:
        return (AttackRun(NAME, "not run", why),)
    return (AttackRun(NAME, "run", "canaries of the run itself, scored at every release; no window scored"),)


def _missing(run: Path, statement: PrivacyStatement) -> str:
    """Why there is nothing to read; "" where there is."""
    if not statement.private or statement.plan is None:
        return "this run is not private"
    if not (run / COINS).is_file() or not (run / SCORES).is_file():
        return "its run folder holds no scores: it was trained before runs tested themselves"
    return ""


# --- what it could have found -------------------------------------------------------------------------

Fault = Callable[[DpPlan, float], tuple[float, float]]
"""(noise, contribution) of one canary under a fault, in units of C, from the plan and a canary's length."""

FAULTS: dict[str, Fault] = {
    "noise / 4": lambda plan, length: (planned_noise(plan) / 4, 1.0),
    "clipping off": lambda plan, length: (planned_noise(plan), length),
    "no fault": lambda plan, length: (planned_noise(plan), 1.0),
}


def _power(
    plan: DpPlan, claimed: float, delta: float, m: int, guesses: int, length: float
) -> list[Measurement]:
    """The bound that each fault would give, by simulation from a fixed seed."""
    found = []
    for name, fault in FAULTS.items():
        noise, contribution = fault(plan, length)
        right = int(simulated_share(plan, noise, contribution, guesses / m) * guesses)
        bound = metrics.one_run_epsilon_lower_bound(m, guesses, right, delta)
        refutes = bound > claimed
        note = (
            f"would refute the claim of {show_epsilon(claimed)}"
            if refutes
            else f"cannot refute {show_epsilon(claimed)} at δ = {delta:g} and a sample rate of "
            f"{plan.sample_rate:.3g}"
        )
        found.append(
            Measurement("epsilon", "white_box_if", bound, None, None, 0.95, m, slice=name, note=note)
        )
    return found
