"""What a rule, a metric, an entity type or a hazard means, why it matters and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from mlmguard.commands.glossary import ENTITIES, HAZARDS
from mlmguard.corpus.detect.builtin import RULES, WITHOUT_DETECTOR
from mlmguard.errors import InputError
from mlmguard.measures import METRICS
from mlmguard.policy.reading import load, shipped
from mlmguard.policy.rule import Policy


@dataclass(frozen=True)
class Explanation:
    """A title and lines to read, as (label, text)."""

    id: str
    title: str
    lines: tuple[tuple[str, str], ...]


def explain(name: str, policy: str | Policy | None = None) -> Explanation:
    """What ``name`` stands for; :class:`InputError` with the nearest name otherwise."""
    if isinstance(policy, Policy):
        policies = [policy]
    else:
        policies = [load(one) for one in ([policy] if policy else shipped())]
    known: list[str] = [*METRICS, *ENTITIES, *HAZARDS]
    for one in policies:
        for rule in one.rules:
            known.append(rule.id)
            if rule.id == name:
                narrowed = f" of {rule.slice}" if rule.slice else ""
                lines = [
                    ("policy", f"{one.id} {one.version}"),
                    ("metric", f"{rule.metric}{narrowed}: {METRICS[rule.metric]}"),
                    ("required", rule.required),
                    ("fails when", rule.fail or "never"),
                    ("warns when", rule.warn or "never"),
                    ("needs", f"{rule.min_n:,} examples" if rule.min_n else "any number of examples"),
                    ("when unknown", rule.on_inconclusive),
                    ("severity", f"{rule.severity}, {'can' if rule.waivable else 'cannot'} be waived"),
                    ("why", rule.why),
                    ("do", rule.do),
                ]
                control = [("control", rule.control)] if rule.control else []
                return Explanation(rule.id, rule.title, (*control, *lines))
    if name in METRICS:
        users = [rule.id for one in policies for rule in one.rules if rule.metric == name]
        lines = [("says", METRICS[name]), ("rules", ", ".join(users) or "none")]
        return Explanation(name, f"Metric {name}", tuple(lines))
    if name in ENTITIES:
        return _entity(name, policies)
    if name in HAZARDS:
        what, do = HAZARDS[name]
        return Explanation(name, f"Hazard {name}", (("what", what), ("do", do)))
    for one in policies:
        for asked in one.attestations:
            known.append(asked.id)
            if asked.id == name:
                lines = [
                    ("policy", f"{one.id} {one.version}"),
                    ("control", asked.control),
                    ("asked of", f"the {asked.role}"),
                    ("statement", asked.statement),
                    ("when unsigned", asked.on_missing),
                    ("do", one.advice[asked.id][1]),
                ]
                return Explanation(name, asked.title, tuple(lines))
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    rules = dict.fromkeys(
        rule.id for policy in policies for rule in policy.rules
    )  # children inherit: once each
    hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(rules)}"
    raise InputError(f"explain {name[:60]!r}", "no rule, metric, entity type or hazard of that name", do=hint)


def _entity(name: str, policies: Sequence[Policy]) -> Explanation:
    """An entity type with its own texts: what our rules must find stands between « and »."""
    what, why = ENTITIES[name]
    ours = [rule for rule in RULES.values() if rule.entity == name]
    lines = [("what", what), ("why", why)]
    lines += [("found in", text) for rule in ours for text in rule.finds[:3]]
    lines += [("left alone", text) for rule in ours for text in rule.leaves[:2]]
    if name in WITHOUT_DETECTOR:
        lines.append(("detector", "none: values of this type stay in the text, unseen"))
    else:
        lines.append(("detector", "mlmguard doctor names it and its version"))
    asking = [f"{rule.id} ({one.id})" for one in policies for rule in one.rules if rule.slice == name]
    lines.append(("rules", ", ".join(asking) or "none asks for it by name"))
    return Explanation(name, f"Entity type {name}", tuple(lines))
