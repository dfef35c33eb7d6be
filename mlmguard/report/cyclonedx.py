"""The checkpoint as a CycloneDX 1.7 bill of materials: its model card, and what was declared and judged.

The policy is a standard, its rules are requirements, the verdicts are an attestation by this tool, and the
numbers behind them are the model card's quantitative analysis.
"""

from __future__ import annotations

import uuid
from typing import Any

from mlmguard.artifacts import to_json
from mlmguard.measures import refuted
from mlmguard.report import words
from mlmguard.report.clearance import Case
from mlmguard.tiers import tier
from mlmguard.types import Judgement, Measurement, Status, Verdict

_MODEL, _TOOL = "model", "mlmguard"
_KIND = "machine-learning-model"
#: A waived rule does not conform: somebody accepted that.
_CONFORMS = (Status.PASS, Status.WARN)
_UNKNOWN = (Status.INCONCLUSIVE, Status.OUT_OF_REACH, Status.NOT_APPLICABLE)


def render(case: Case) -> str:
    """One component, with declarations where a policy judged it."""
    evidence, judgement = case.evidence, case.judgement
    named = f"{evidence.model.digest} {evidence.run_id} {judgement.policy_hash if judgement else ''}"
    bom: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        # of what is described, so that the same evidence and policy give the same bytes
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, named)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "mlmguard", "version": evidence.tool_version}]
            },
            "component": _component(case),
        },
    }
    if judgement:
        bom["declarations"] = _declarations(case, judgement)
        bom["definitions"] = {"standards": [_standard(judgement)]}
    return to_json(bom)


def _component(case: Case) -> dict[str, Any]:
    model = case.evidence.model
    return {
        "type": _KIND,
        "bom-ref": _MODEL,
        "name": model.architecture,
        "version": model.digest[:16] or "unknown",
        "properties": [
            {"name": "mlmguard:weightsDigest", "value": model.digest},
            {"name": "mlmguard:parameters", "value": str(model.parameters)},
            {"name": "mlmguard:vocabulary", "value": str(model.vocabulary)},
            *_claim(case),
        ],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "self-supervised"},
                "task": "fill-mask" if words.kind(case) == "masked" else "text-generation",
                "modelArchitecture": model.architecture,
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [_metric(m) for m in case.evidence.measurements if m.value is not None]
            },
            "considerations": {
                "technicalLimitations": [*words.LIMITS, *case.evidence.notes],
                "ethicalConsiderations": [
                    {"name": sentence}
                    for sentence in (words.exposure(case), words.roc(case), words.personal_data(case))
                ],
            },
        },
    }


def _metric(m: Measurement) -> dict[str, Any]:
    metric: dict[str, Any] = {"type": f"{m.attack}.{m.metric}", "value": f"{m.value:.6g}"}
    if m.slice:
        metric["slice"] = m.slice
    if m.low is not None and m.high is not None:
        metric["confidenceInterval"] = {"lowerBound": f"{m.low:.6g}", "upperBound": f"{m.high:.6g}"}
    return metric


def _claim(case: Case) -> list[dict[str, str]]:
    """The privacy claim as properties: CycloneDX has no field of its own for one."""
    statement = case.evidence.statement
    if statement is None or not statement.private or statement.epsilon is None:
        return [{"name": "mlmguard:differentialPrivacy", "value": "none is claimed"}]
    facts = {
        "epsilon": f"{statement.epsilon:.6g}",
        "delta": f"{statement.delta:.6g}" if statement.delta is not None else "not given",
        "unit": f"{statement.unit}: {statement.unit_definition}",
        "adjacency": statement.adjacency,
        "sampler": statement.sampler,
        "covers": statement.covers,
        **({"claimRefuted": fault} if (fault := refuted(case.evidence)) else {}),
        "disclosureTier": f"{tier(statement)[0]} of 3",
    }
    return [{"name": f"mlmguard:{name}", "value": value} for name, value in facts.items()]


def _standard(judgement: Judgement) -> dict[str, Any]:
    return {
        "bom-ref": "policy",
        "name": judgement.policy,
        "version": judgement.policy_version,
        "description": f"mlmguard policy, SHA-256 {judgement.policy_hash}",
        "owner": "mlmguard",
        "requirements": [
            {
                "bom-ref": f"rule-{v.rule}",
                "identifier": v.rule,
                "title": v.title or v.rule,
                "text": v.required,
                **({"descriptions": [v.control]} if v.control else {}),
            }
            for v in judgement.verdicts
        ],
    }


def _declarations(case: Case, judgement: Judgement) -> dict[str, Any]:
    return {
        # what ran was the tool; who ran it is for the signature to say
        "assessors": [{"bom-ref": _TOOL, "thirdParty": False, "organization": {"name": "mlmguard"}}],
        "attestations": [
            {
                "summary": " ".join(words.headline(case)),
                "assessor": _TOOL,
                "map": [_mapped(verdict) for verdict in judgement.verdicts],
            }
        ],
        "claims": [
            {
                "bom-ref": f"claim-{v.rule}",
                "target": _MODEL,
                "predicate": f"{v.title or v.rule}: {v.required}",
                "reasoning": v.reason,
                "evidence": [f"evidence-{v.rule}"],
            }
            for v in judgement.verdicts
        ],
        "evidence": [
            {"bom-ref": f"evidence-{v.rule}", "description": f"observed: {v.observed}"}
            for v in judgement.verdicts
        ],
        "targets": {
            "components": [{"type": "machine-learning-model", "name": case.evidence.model.architecture}]
        },
    }


def _mapped(verdict: Verdict) -> dict[str, Any]:
    """A rule that fails is a counter-claim; one that is unknown is claimed with no confidence."""
    kind = "counterClaims" if verdict.status is Status.FAIL else "claims"
    return {
        "requirement": f"rule-{verdict.rule}",
        kind: [f"claim-{verdict.rule}"],
        "conformance": {"score": float(verdict.status in _CONFORMS), "rationale": verdict.reason},
        "confidence": {
            "score": 0.0 if verdict.status in _UNKNOWN else 1.0,
            "rationale": words.WORD[verdict.status],
        },
    }
