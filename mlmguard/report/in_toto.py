"""The verdicts as an in-toto statement (v1) with the test-result predicate, for whoever signs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlmguard.artifacts import to_json
from mlmguard.report.clearance import Case
from mlmguard.report.tables import UNMET
from mlmguard.types import Status

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
#: Not "sha256": it is over the names and digests of all weight files, and no file has it.
WEIGHTS = "mlmguardWeights"


def render(case: Case) -> str:
    """The judgement of the weights. What is not known counts as failed: the predicate has no third word.

    What does not apply, or is out of reach where the policy can do without it, is named in no list.
    """
    judgement = case.judgement
    passed: list[str] = []
    warned: list[str] = []
    failed: list[str] = []
    for verdict in judgement.verdicts if judgement else ():
        if verdict.status is Status.PASS:
            passed.append(verdict.rule)
        elif verdict.status is Status.WAIVED:
            warned.append(verdict.rule)  # failed, and let through by name: no test that passed
        elif verdict.status in UNMET:
            (warned if verdict.status is Status.WARN else failed).append(verdict.rule)
    policy: dict[str, Any] = {"name": "no policy"}
    if judgement:
        policy = {
            "name": f"{judgement.policy} {judgement.policy_version}",
            "digest": {"sha256": judgement.policy_hash},
        }
        if judgement.status is Status.INCONCLUSIVE and not failed:
            failed.append("verdict")
    subject = {"name": case.evidence.model.architecture, "digest": {WEIGHTS: case.evidence.model.digest}}
    return statement([subject], [policy], passed, warned, failed if judgement else ["verdict"])


def statement(
    subjects: Sequence[Mapping[str, Any]],
    configuration: Sequence[Mapping[str, Any]],
    passed: Sequence[str],
    warned: Sequence[str],
    failed: Sequence[str],
) -> str:
    """A statement about ``subjects`` with the outcome of named checks."""
    return to_json(
        {
            "_type": STATEMENT,
            "subject": list(subjects),
            "predicateType": PREDICATE,
            "predicate": {
                "result": "FAILED" if failed else "WARNED" if warned else "PASSED",
                "configuration": list(configuration),
                "passedTests": list(passed),
                "warnedTests": list(warned),
                "failedTests": list(failed),
            },
        }
    )
