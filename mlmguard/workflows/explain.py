"""What a rule or a metric means, and what to do about it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mlmguard.errors import InputError
from mlmguard.measures import METRICS
from mlmguard.policy import Policy, load, shipped


@dataclass(frozen=True)
class Explanation:
    """A title and lines to read, as (label, text)."""

    id: str
    title: str
    lines: tuple[tuple[str, str], ...]


def explain(name: str, policy: str | Policy | None = None) -> Explanation:
    """The explanation of a rule or a metric; :class:`InputError` with the nearest name otherwise."""
    if isinstance(policy, Policy):
        policies = [policy]
    else:
        policies = [load(one) for one in ([policy] if policy else shipped())]
    known: list[str] = [*METRICS]
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
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else f"one of: {', '.join(r.id for p in policies for r in p.rules)}"
    )
    raise InputError(f"explain {name[:60]!r}", "no rule or metric of that name", do=hint)
