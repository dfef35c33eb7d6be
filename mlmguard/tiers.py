"""How much a privacy statement discloses, by the tiers of the OpenDP deployments registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlmguard.types import PrivacyStatement

#: What a statement must say for each tier of the registry of differential-privacy deployments
#: (registry.opendp.org/transparency-tiers). Curator, purpose and date are nobody's number: the policy
#: ``dp-release`` requires them as signed statements.
_TIERS: tuple[Mapping[str, Callable[[PrivacyStatement], bool]], ...] = (
    {
        "what is covered": lambda s: bool(s.covers),
        "the tool and its version": lambda s: bool(s.tool_version),
    },
    {
        "ε and δ": lambda s: s.epsilon is not None and s.delta is not None,
        "the unit of privacy": lambda s: bool(s.unit),
        "the neighbouring relation": lambda s: bool(s.adjacency),
        "the mechanism and its parameters": lambda s: s.plan is not None,
    },
    {
        "a definition of the unit": lambda s: bool(s.unit_definition),
        "the sampler": lambda s: bool(s.sampler),
        "the ledger of every release": lambda s: bool(s.ledger),
        "two accountants": lambda s: len(s.accountants) >= 2,
        "every access to the data": lambda s: bool(s.data_accesses),
        "what is not protected": lambda s: bool(s.unprotected),
        "known hazards": lambda s: bool(s.hazards),
    },
)


def tier(statement: PrivacyStatement | None) -> tuple[int, tuple[str, ...]]:
    """The tier a statement reaches, 0 to 3, and what is missing for the next."""
    for below, needs in enumerate(_TIERS):
        missing = tuple(what for what, says in needs.items() if statement is None or not says(statement))
        if missing:
            return below, missing
    return len(_TIERS), ()


def disclosure(statement: PrivacyStatement | None) -> str:
    """Return the tier a statement reaches and what the next one needs, as a reader says it."""
    reached, missing = tier(statement)
    sentence = f"tier {reached} of {len(_TIERS)} of the OpenDP deployments registry"
    return f"{sentence}; {next_tier(reached, missing)}" if missing else sentence


def next_tier(reached: int, missing: tuple[str, ...]) -> str:
    """Return what the next tier needs, as a reader says it."""
    return f"tier {reached + 1} needs {', '.join(missing)}"
