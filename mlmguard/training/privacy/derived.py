"""What of a statement plan and ledger alone decide: training writes it, and verify computes it anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlmguard import accounting
from mlmguard.settings import LEARNT_TOKENIZERS, TrainSettings
from mlmguard.training.privacy import claim
from mlmguard.types import DpPlan, LedgerEntry, MechanismCheck

WARMED_UP = "warmed up on public text"
SHIPPED_TOKENIZER = "public, shipped with mlmguard"
"""What the facts of a training say of a start and a tokenizer of our own."""

UNPROTECTED = "losses, held-out metrics and counts of the training text"


def steps_of(ledger: Sequence[LedgerEntry]) -> int:
    """How many steps of training a ledger has charged."""
    return sum(entry.steps for entry in ledger if entry.mechanism == "poisson-gaussian")


def fields(ledger: Sequence[LedgerEntry], plan: DpPlan) -> dict[str, Any]:
    """The fields of a private statement that need nothing but its ledger and plan, by name."""
    readings = accounting.readings(ledger, plan.delta)
    steps = steps_of(ledger)
    return {
        "epsilon": readings[0].epsilon,
        "delta": plan.delta,
        "accountants": readings,
        "adjacency": "one unit added or removed",
        "sampler": "Poisson: every unit independently at every step",
        "contribution": {"windows_a_draw": 1.0, "gradient_norm": plan.max_grad_norm},
        "epsilon_without_amplification": accounting.epsilon_without_amplification(
            plan.noise_multiplier, steps, plan.delta
        ),
        "gaussian_mu": accounting.gaussian_mu(plan.noise_multiplier, plan.sample_rate, steps),
        "true_positive_ceilings": {
            f"{rate:g}": accounting.true_positive_ceiling(ledger, rate)
            for rate in accounting.FALSE_POSITIVE_RATES
        },
        "group_epsilon": {
            str(size): accounting.group_epsilon(ledger, size, plan.delta) for size in accounting.GROUPS
        },
        "raw_corpus": claim.RAW_CORPUS,
    }


def tokenizer_of(settings: TrainSettings) -> str:
    """What the facts of a training say of its tokenizer."""
    return settings.tokenizer or settings.starts_from or SHIPPED_TOKENIZER


def tokenizer_kind(named: str) -> str:
    """A key of :data:`claim.TOKENIZERS`, from what the facts of a training say of its tokenizer."""
    if named in LEARNT_TOKENIZERS:
        return "dp" if named == "dp" else "private"
    return "shipped" if named == SHIPPED_TOKENIZER else "named"


def failed(checks: Sequence[MechanismCheck], name: str) -> bool:
    """Whether the check of this name was made and failed."""
    return any(check.id == name and check.outcome == "failed" for check in checks)


def covers(tokenizer: str, left_out: bool) -> str:
    """What ε covers; ``tokenizer`` is a key of :data:`claim.TOKENIZERS`."""
    covered = "weights, but not the tokenizer" if tokenizer == "private" else "weights and tokenizer"
    return f"{covered}, for the rows of clean/train" + (" that were read" if left_out else "")


def data_accesses(ledger: Sequence[LedgerEntry], quiet: bool) -> tuple[str, ...]:
    """Every way in which a private run has touched the text."""
    return (
        *(f"{entry.what} ({entry.mechanism}, in the ledger)" for entry in ledger),
        "self-check of the clipping on the first units, and on units drawn at random steps (steers nothing)",
        *(() if quiet else ("held-out metrics (unprotected)",)),
        "audit (unprotected)",
    )


def unprotected(quiet: bool) -> tuple[str, ...]:
    """Numbers that no ε covers."""
    return (*(() if quiet else (UNPROTECTED,)), "every number of an audit report")
