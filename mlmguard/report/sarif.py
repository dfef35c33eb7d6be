"""The verdicts as SARIF 2.1.0, for code-scanning pages and their like.

A model has no line of code. Each result therefore points at the line of the policy that requires it: that
is where a reader goes next, and some hosts refuse a whole file when one result has no place. A rule that was
met is no result, because hosts that ignore ``kind`` would show it as a problem; it is named in the run's
properties.
"""

from __future__ import annotations

from typing import Any

from mlmguard.artifacts import to_json
from mlmguard.report import words
from mlmguard.report.clearance import Case
from mlmguard.report.tables import gravest_first
from mlmguard.types import Status, Verdict

#: Hosts take at most 25,000 results; a policy has some dozens of rules.
_KIND = {
    Status.FAIL: "fail",
    Status.WARN: "fail",
    Status.WAIVED: "fail",
    Status.INCONCLUSIVE: "open",
    Status.OUT_OF_REACH: "informational",
    Status.NOT_APPLICABLE: "notApplicable",
}
_LEVEL = {Status.FAIL: "error", Status.WARN: "warning", Status.WAIVED: "error"}
#: What GitHub reads as a CVSS-like number to sort by.
_SEVERITY = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}


def render(case: Case) -> str:
    """One run with one result for every rule that is not met, and one for a verdict that none gives."""
    judgement = case.judgement
    verdicts = gravest_first(judgement) if judgement else []
    results = [_result(case, i, v) for i, v in enumerate(verdicts) if v.status is not Status.PASS]
    if words.said_by_no_rule(case):
        results.insert(0, _held_back(case))
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "mlmguard",
                "semanticVersion": _semantic(case.evidence.tool_version),
                "rules": [_rule(case, verdict) for verdict in verdicts],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {
            "run": case.evidence.run_id,
            "verdict": words.headline(case)[0],
            "met": [verdict.rule for verdict in verdicts if verdict.status is Status.PASS],
            "limits": list(words.LIMITS),
        },
    }
    if judgement:
        run["automationDetails"] = {"id": f"mlmguard/{judgement.policy}/"}
        run["invocations"] = [{"executionSuccessful": True, "exitCode": case.exit_code or 0}]
        run["properties"] |= {
            "policy": f"{judgement.policy} {judgement.policy_version}",
            "policySha256": judgement.policy_hash,
        }
    return to_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def _rule(case: Case, verdict: Verdict) -> dict[str, Any]:
    why, do = case.advice.get(verdict.rule, ("", ""))
    text = f"{why} {do}".strip() or verdict.title or verdict.rule
    return {
        "id": verdict.rule,
        "shortDescription": {"text": verdict.title or verdict.rule},
        "fullDescription": {"text": why or verdict.title or verdict.rule},
        "help": {"text": text},
        "properties": {
            "security-severity": _SEVERITY.get(verdict.severity, "5.5"),
            "tags": ["privacy", *([verdict.control] if verdict.control else [])],
        },
    }


def _result(case: Case, position: int, verdict: Verdict) -> dict[str, Any]:
    message = f"{verdict.title or verdict.rule}: {verdict.reason}. Required: {verdict.required}. "
    result: dict[str, Any] = {
        "ruleId": verdict.rule,
        "ruleIndex": position,
        "kind": _KIND[verdict.status],
        "level": _LEVEL.get(verdict.status, "none"),
        "message": {"text": f"{message}Observed: {verdict.observed}."},
        "locations": [_location(case, verdict.file, verdict.line)],
        "partialFingerprints": {"mlmguardRule/v1": verdict.fingerprint or verdict.rule},
    }
    if verdict.status is Status.WAIVED:
        uses = [use for use in case.judgement.waivers if use.rule == verdict.rule] if case.judgement else []
        live = [use for use in uses if use.state in ("in force", "expires soon")]
        accepted = [
            f"{use.reason} ({use.ticket}; owner {use.owner}, approved by {use.approver}, until {use.expires})"
            for use in live
        ]
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": text}
            for text in accepted or [verdict.reason]
        ]
    return result


def _location(case: Case, file: str = "", line: int = 1) -> dict[str, Any]:
    """A line of the policy; some hosts refuse a whole file when one result has no place."""
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": (file or "policy.yaml").replace(" ", "%20")},
            "region": {"startLine": max(1, line)},
        },
        "logicalLocations": [{"name": case.evidence.model.architecture, "kind": "resource"}],
    }


def _held_back(case: Case) -> dict[str, Any]:
    """The verdict as a result of its own, where no rule's says it."""
    return {
        "ruleId": "verdict",
        "kind": "fail",
        "level": "error",
        "message": {"text": ". ".join(words.headline(case))},
        "locations": [_location(case)],
        "partialFingerprints": {"mlmguardRule/v1": "verdict"},
    }


def _semantic(version: str) -> str:
    """Three numbers: what SARIF calls a semantic version has no two."""
    parts = version.split(".")
    return version if len(parts) >= 3 else ".".join([*parts, "0", "0"][:3])
