"""The report for programs: evidence, judgement and exit code in one versioned object."""

from __future__ import annotations

from dataclasses import asdict

from mlmguard.artifacts import to_json
from mlmguard.report.clearance import Case
from mlmguard.report.words import LIMITS

SCHEMA = "mlmguard/report/v1"


def render(case: Case) -> str:
    """``gate`` and ``report`` read this form as well as bare evidence."""
    return to_json(
        {
            "schema": SCHEMA,
            "evidence": asdict(case.evidence),
            "judgement": asdict(case.judgement) if case.judgement else None,
            "advice": {rule: {"why": why, "do": do} for rule, (why, do) in case.advice.items()},
            "exit_code": case.exit_code,
            "limits": list(LIMITS),
        }
    )
