"""Numbers for Prometheus, as a text file for node_exporter's textfile collector.

One gauge a number, in the text exposition format 0.0.4: ``mlmguard_measurement{attack=…, metric=…, slice=…}``
with its interval as ``_low`` and ``_high``, the claim, and how many rules of the policy are in each status.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from mlmguard.report.clearance import Case
from mlmguard.types import Status

_HELP = {
    "mlmguard_epsilon": "claimed epsilon; absent where none is claimed",
    "mlmguard_delta": "delta of the claim",
    "mlmguard_policy_info": "the policy and its digest; always 1",
    "mlmguard_rules": "rules of the policy by status",
    "mlmguard_measurement": "a number of an attack",
    "mlmguard_measurement_low": "lower end of its interval",
    "mlmguard_measurement_high": "upper end of its interval",
}


def render(case: Case) -> str:
    """All gauges of ``case``, sorted by name."""
    lines: dict[str, list[str]] = {}
    for name, labels, value in _gauges(case):
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.setdefault(name, []).append(f"{name}{{{shown}}} {value!r}" if shown else f"{name} {value!r}")
    return "".join(
        f"# HELP {name} {_HELP[name]}\n# TYPE {name} gauge\n" + "".join(f"{line}\n" for line in lines[name])
        for name in sorted(lines)
    )


def _gauges(case: Case) -> Iterator[tuple[str, Mapping[str, str], float]]:
    evidence = case.evidence
    run = {"run": evidence.run_id}
    statement = evidence.statement
    if statement is not None and statement.epsilon is not None and statement.delta is not None:
        claim = {**run, "unit": statement.unit}
        yield "mlmguard_epsilon", claim, float(statement.epsilon)
        yield "mlmguard_delta", claim, float(statement.delta)
    if case.judgement is not None:
        judged = {**run, "policy": case.judgement.policy}
        policy = {"version": case.judgement.policy_version, "digest": case.judgement.policy_hash}
        yield "mlmguard_policy_info", {**judged, **policy}, 1.0
        counts = Counter(verdict.status for verdict in case.judgement.verdicts)
        for status in Status:
            yield "mlmguard_rules", {**judged, "status": status.value}, float(counts[status])
    for number in evidence.measurements:
        labels = {**run, "attack": number.attack, "metric": number.metric, "slice": number.slice}
        ends = (("", number.value), ("_low", number.low), ("_high", number.high))
        for end, value in ends:
            if value is not None:
                yield f"mlmguard_measurement{end}", labels, float(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
