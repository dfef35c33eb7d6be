"""Say what a rule, metric, entity type or hazard means and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from mlmguard import console
from mlmguard.commands.options import Page
from mlmguard.corpus.detect.entities import Entity
from mlmguard.corpus.detect.installed import entities, recognisers
from mlmguard.errors import InputError
from mlmguard.hazards import HAZARDS, MECHANISM_CHECKS
from mlmguard.policy.reading import load, shipped
from mlmguard.policy.rule import Attestation, Policy, Rule, known_metrics
from mlmguard.types import Metric


@dataclass(frozen=True)
class Explanation:
    """A title and lines to read, as (label, text)."""

    id: str
    title: str
    lines: tuple[tuple[str, str], ...]


def explain(name: str, policy: str | Policy | None = None) -> Explanation:
    """Return what ``name`` stands for, in ``policy`` or in every shipped one.

    Raises:
        InputError: nothing has that name; the nearest is named.
    """
    if isinstance(policy, Policy):
        policies = [policy]
    else:
        policies = [load(one) for one in ([policy] if policy else shipped())]
    known: dict[str, Explanation] = {}
    for page in pages(policies):
        known.setdefault(page.id, page)  # a child's rule of the same name is the parent's
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    rules = dict.fromkeys(rule.id for one in policies for rule in one.rules)
    hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(rules)}"
    raise InputError(
        f"explain {name[:60]!r}", "no rule, metric, entity type, hazard or test of that name", do=hint
    )


def pages(policies: Sequence[Policy]) -> Iterator[Explanation]:
    """Yield the page of every rule, metric, entity type, hazard, test of the mechanism and attestation."""
    metrics = known_metrics()  # once: it looks through every installed package
    for policy in policies:
        yield from (_rule(rule, policy, metrics[rule.metric]) for rule in policy.rules)
    yield from (_metric(metric, policies) for metric in metrics.values())
    yield from (_entity(row, policies) for row in entities().values())
    for name, (what, do) in HAZARDS.items():
        yield Explanation(name, f"Hazard {name}", (("what", what), ("do", do)))
    for check, (compares, blind) in MECHANISM_CHECKS.items():
        lines = ("compares", compares), ("cannot see", blind), ("judged by", "dp-mechanism")
        yield Explanation(f"mechanism.{check}", f"Test of the mechanism: {check}", lines)
    for policy in policies:
        yield from (_attestation(attestation, policy) for attestation in policy.attestations)


def _rule(rule: Rule, policy: Policy, metric: Metric) -> Explanation:
    narrowed = f" of {rule.slice}" if rule.slice else ""
    lines = (
        ("policy", f"{policy.id} {policy.version}"),
        ("metric", f"{rule.metric}{narrowed}: {metric.says}"),
        ("required", rule.required),
        ("fails when", rule.fail or "never"),
        ("warns when", rule.warn or "never"),
        ("needs", f"{rule.min_n:,} examples" if rule.min_n else "any number of examples"),
        ("when unknown", rule.on_inconclusive),
        ("severity", f"{rule.severity}, {'can' if rule.waivable else 'cannot'} be waived"),
        ("why", rule.why),
        ("do", rule.do),
    )
    control = (("control", rule.control),) if rule.control else ()
    return Explanation(rule.id, rule.title, (*control, *lines))


def _metric(metric: Metric, policies: Sequence[Policy]) -> Explanation:
    users = [rule.id for one in policies for rule in one.rules if rule.metric == metric.name]
    lines = (("says", metric.says), ("rules", ", ".join(users) or "none"))
    return Explanation(metric.name, f"Metric {metric.name}", lines)


def _attestation(attestation: Attestation, policy: Policy) -> Explanation:
    lines = (
        ("policy", f"{policy.id} {policy.version}"),
        ("control", attestation.control),
        ("to be signed by", f"the {attestation.role}"),
        ("statement", attestation.statement),
        ("when unsigned", attestation.on_missing),
        ("do", policy.advice[attestation.id][1]),
    )
    return Explanation(attestation.id, attestation.title, lines)


def _entity(row: Entity, policies: Sequence[Policy]) -> Explanation:
    """An entity type with its own texts: what our recognisers must find stands between « and »."""
    name = row.name
    ours = [one for one in recognisers() if one.type == name]
    lines = [("what", row.what), ("why", row.why)]
    lines += [("found in", text) for one in ours for text in one.finds[:3]]
    lines += [("left alone", text) for one in ours for text in one.leaves[:2]]
    if not row.looked_for:
        what = "no pattern: a network (--ner) can find it; mlmguard doctor says whether one looks for it"
        lines.append(("detector", what))
    else:
        lines.append(("detector", "mlmguard doctor names it and its version"))
    asking = [f"{rule.id} ({one.id})" for one in policies for rule in one.rules if rule.slice == name]
    lines.append(("rules", ", ".join(asking) or "none names it"))
    return Explanation(name, f"Entity type {name}", tuple(lines))


# --- the command ----------------------------------------------------------------------------------------


@click.command("explain", cls=Page)
@click.argument("name")
@click.option("--policy", metavar="NAME|FILE", help="Look in this policy only.")
def command(name: str, policy: str | None) -> None:
    found = explain(name, policy)
    console.explanation(found.title, found.lines)
