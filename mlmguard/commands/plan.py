"""Compute noise, ε and what an audit can refute, before any training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from mlmguard import accounting, console
from mlmguard.commands import leading_on, scale
from mlmguard.commands.options import Pages, options, shared, show
from mlmguard.measures import DERIVED
from mlmguard.policy.rule import Policy, Rule, Threshold
from mlmguard.settings import TrainSettings, UnitChoice, check, dials
from mlmguard.showing import show_epsilon
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
    leaked_units: tuple[Reach, ...]
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Reach:
    """How few leaked units an audit can show beside a share of held-out ones; None: no number of them."""

    held_out: float
    units: int | None


@dataclass(frozen=True)
class Size:
    """How many examples a rule of the policy needs before its number can pass."""

    rule: str
    metric: str
    examples: int


def plan(settings: TrainSettings, policy: Policy) -> Plan:
    """Plan as `mlmguard train` does; say what an audit could refute, and what ``policy`` needs.

    ``settings`` names the target ε and the public size. Raises :class:`InputError` for what ``train`` refuses
    by its numbers.
    """
    check(settings)

    from mlmguard.leakage import metrics
    from mlmguard.train import planning

    assert settings.dp_epsilon is not None and settings.public_size is not None
    dp = planning.private_plan(settings, settings.public_size, (), str(UnitChoice.DOCUMENT))
    sigma, rate, steps, delta, batch = dp.noise_multiplier, dp.sample_rate, dp.steps, dp.delta, dp.normaliser
    ledger = [LedgerEntry("poisson-gaussian", sigma, rate, steps)]
    canaries = settings.canaries
    guesses = max(2, canaries // 2)
    return Plan(
        epsilon=settings.dp_epsilon,
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
        canaries_to_refute=metrics.canaries_to_refute(settings.dp_epsilon, delta),
        leaked_units=tuple(_reach(settings.public_size)),
        sizes=tuple(_sizes(policy)),
    )


HELD_OUT = (0.1, 0.3, 0.5)


def _reach(trained: int) -> Iterator[Reach]:
    """What an audit could show of ``trained`` units and a tenth held out, and with more of them held out."""
    from mlmguard.leakage import records

    total = round(trained / (1 - HELD_OUT[0]))
    for share in HELD_OUT:
        held_out = round(total * share)
        found = records.detectable(total - held_out, held_out)
        yield Reach(share, found if found <= total - held_out else None)


def _sizes(policy: Policy) -> Iterator[Size]:
    """What each rule of the audit needs: its own minimum, and enough for an interval without hits to pass."""
    from mlmguard.leakage.metrics import EXPECTED_FALSE_POSITIVES, FALSE_POSITIVE_RATES, probes_for_zero

    for rule in policy.rules:
        if rule.stage != "audit" or rule.metric in DERIVED:
            continue
        needed = rule.min_n or 0
        limit = _upper_limit(rule)
        if limit is not None:
            needed = max(needed, probes_for_zero(limit))
        for label, false_positives in FALSE_POSITIVE_RATES.items():
            if rule.metric == f"membership.{label}":
                needed = max(needed, round(EXPECTED_FALSE_POSITIVES / false_positives))
        if needed:
            yield Size(rule.id, rule.metric + (f" {rule.slice}" if rule.slice else ""), needed)


def _upper_limit(rule: Rule) -> float | None:
    """The rate that the upper end of an interval may not pass, where the rule sets one."""
    text = rule.fail or rule.warn
    threshold = Threshold.parse(text) if text else None
    if threshold is None or threshold.sign != ">" or rule.bound not in (None, "upper_ci"):
        return None
    return threshold.limit if threshold.limit is not None and 0 < threshold.limit < 1 else None


# --- the command ----------------------------------------------------------------------------------------


@click.group(
    "plan",
    cls=Pages,
    invoke_without_command=True,
    renamed={"--epsilon": "--dp-epsilon", "--units": "--public-size"},
)
@options(TrainSettings, only=("dp_epsilon", "public_size", "delta", "steps", "batch_units", "canaries"))
@click.option(
    "--policy", metavar="NAME|FILE", default="base", show_default=True, help="Whose thresholds need how much."
)
@shared
@click.pass_context
def command(context: click.Context, /, quiet: bool, as_json: bool, policy: str, **settings: Any) -> None:
    from mlmguard.policy.reading import load

    if context.invoked_subcommand:
        return
    needed = {
        "dp_epsilon": "--dp-epsilon, the target",
        "public_size": "--public-size, how many units there are",
    }
    if missing := [said for name, said in needed.items() if settings[name] is None]:
        raise click.UsageError(f"a plan reads no corpus: name {' and '.join(missing)}")
    found = plan(TrainSettings(**settings), load(policy))
    rows = [
        ("noise", f"σ = {found.noise_multiplier:.3f}; {found.noise_per_unit:.2g} C in a step's mean"),
        (
            "claim",
            f"ε = {show_epsilon(found.epsilon)} at δ = {found.delta:g}, "
            f"sample rate {found.sample_rate:.3g}, {found.steps} steps",
        ),
        (
            "no amplification",
            f"ε = {show_epsilon(found.epsilon_without_amplification)} if the draws were known",
        ),
        (
            "membership",
            f"at most {found.true_positives_at_1_percent:.1%} true positives at 1 % false positives",
        ),
        ("audit ceiling", f"{found.canaries} canaries can show at most ε = {found.ceiling:.2f}"),
        ("to refute", _canaries(found.canaries_to_refute)),
        *(
            (
                f"leaks, {reach.held_out:.0%} held out",
                f"{reach.units:,} units known by heart fail four audits of five by comparison"
                if reach.units
                else "too few units for a comparison",
            )
            for reach in found.leaked_units
        ),
        *((size.rule, f"{size.examples:,} examples of {size.metric}, at least") for size in found.sizes),
    ]
    show(found, as_json, lambda: console.explanation("Plan", rows))
    leading_on.then("train", *_as_typed(settings), quiet=quiet)


command.add_command(scale.command)


def _as_typed(settings: Mapping[str, Any]) -> list[str]:
    """What was planned, as options of ``train``; whether the size is public is for who trains to say."""
    known = {one.name: one for one in dials(TrainSettings)}
    words = []
    for name in ("dp_epsilon", "delta", "steps", "batch_units", "canaries"):
        if settings[name] not in (None, known[name].default):
            words += [known[name].flag, f"{settings[name]:g}"]
    return words


def _canaries(needed: int | None) -> str:
    return f"{needed:,} canaries, every guess right" if needed else "no audit of practical size"
