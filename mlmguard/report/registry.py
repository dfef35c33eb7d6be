"""An entry for the OpenDP registry of differential-privacy deployments, as YAML by its schema.

Tiers 2 and 3 come from the privacy statement; who publishes what for whom is declared under ``[release]`` in
mlmguard.toml, and a gap says so where it is not. Schema: opendp/deployments-registry-data.
"""

from __future__ import annotations

import io
import re
from typing import Any

from ruamel.yaml import YAML

from mlmguard.errors import InputError
from mlmguard.measures import charged_steps, claim, refuted
from mlmguard.report import words
from mlmguard.report.annex import said
from mlmguard.report.clearance import Case
from mlmguard.showing import rounded_up, show_checks, show_epsilon
from mlmguard.tiers import disclosure, tier
from mlmguard.types import PrivacyStatement

_SECTORS = ("Technology", "Healthcare", "Education", "Government", "Energy", "Finance")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def render(case: Case) -> str:
    """The entry, a draft until somebody has filled its gaps.

    Raises:
        InputError: no differential privacy is claimed, or the declared sector or day is none of the schema's.
    """
    statement = claim(case.evidence)
    if statement is None or statement.epsilon is None:
        what = "no differential privacy is claimed"
        raise InputError("--out registry", what, "a checkpoint trained with --dp-epsilon")
    if fault := refuted(case.evidence):
        raise InputError("--out registry", f"the claim does not hold: {fault}", "a claim that stands")
    if not tier(statement)[0]:
        raise InputError("--out registry", disclosure(statement), "tier 1 at least")
    entry = {
        "url_slug": re.sub(r"[^a-z0-9]+", "-", case.evidence.run_id.lower()).strip("-"),
        "status": "Draft",
        "tier": tier(statement)[0],
        "deployment": {
            "basic": _basic(case),
            "dp_variant": {
                "variant_name": "Approximate DP",
                "data_domain": f"documents of text; {statement.covers}",
                "unprotected_quantities": "; ".join(statement.unprotected) or "none is told",
            },
            "privacy_loss": {
                "privacy_unit": statement.unit,
                "privacy_unit_details": f"{statement.unit_definition}; neighbours: {statement.adjacency}",
                "privacy_parameters": {
                    "epsilon": rounded_up(statement.epsilon),
                    "delta": statement.delta or 0.0,
                },
                "privacy_parameters_details": _accountants(statement),
            },
            "deployment_model": {
                "model_name": "Central",
                "actors": said(case, "actors"),
                "release_type": "One release",
                "release_type_details": _releases(statement),
                "data_source_type": "Static",
                "access_type": "Non-interactive",
                "access_type_details": said(case, "access"),
            },
            "accounting": {
                "post_processing": "none inside the claim; whatever is done with the weights costs nothing",
                "composition": _composition(statement),
            },
            "implementation": {
                "preprocessing_and_hyperparameter_tuning": " ".join(
                    f"{hazard.id}: {hazard.status}, {hazard.detail}."
                    for hazard in statement.hazards
                    if hazard.id in ("preprocessing", "tuning", "validation", "size-dependence")
                ),
                "mechanisms": _mechanisms(statement),
                "justification": " ".join(
                    filter(None, (words.epsilon(case), words.mechanism(case), words.judged(case)))
                ),
            },
            "administrative": {"registry_authors": [said(case, "authors")]},
        },
    }
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # the order of the schema
    yaml.dump(entry, out)
    return out.getvalue()


def _basic(case: Case) -> dict[str, Any]:
    model, declared = case.evidence.model, case.declared
    size = f"{model.architecture}, {model.parameters:,} parameters"
    basic: dict[str, Any] = {
        "name": said(case, "name"),
        "data_curators": [said(case, "curators")],
        "intended_use": said(case, "intended-use"),
        "data_product_type": "Machine learning model",
        "data_product_region": said(case, "region"),
        "description": declared.get("description", f"a {words.kind(case)} language model: {size}"),
        "publication_date": said(case, "publication-date"),
    }
    day, sector = declared.get("publication-date"), declared.get("sector")
    if day is not None and not _DAY.fullmatch(day):
        raise InputError("mlmguard.toml: [release] publication-date", day, "a day as YYYY-MM-DD")
    if sector is not None and sector not in _SECTORS:
        raise InputError("mlmguard.toml: [release] sector", sector, f"one of {', '.join(_SECTORS)}")
    if sector is not None:
        basic["data_product_sector"] = sector
    return basic


def _accountants(statement: PrivacyStatement) -> str:
    read = ", ".join(f"{one.name} {show_epsilon(one.epsilon)}" for one in statement.accountants)
    groups = ", ".join(
        f"{size}: {'no bound' if epsilon is None else show_epsilon(epsilon)}"
        for size, epsilon in sorted(statement.group_epsilon.items(), key=lambda item: int(item[0]))
    )
    return f"accountants: {read or 'none told'}; ε of a group of units: {groups or 'not told'}"


def _releases(statement: PrivacyStatement) -> str:
    if statement.corpus_epsilon is None:
        return statement.corpus_epsilon_reason or "other runs on the corpus are not told"
    return f"all private runs on the corpus together: ε = {show_epsilon(statement.corpus_epsilon)}"


def _composition(statement: PrivacyStatement) -> str:
    entries = "; ".join(
        f"{entry.mechanism}{f', {entry.steps} steps' if entry.steps else ''}: {entry.what}"
        for entry in statement.ledger
    )
    return f"privacy-loss distributions of {len(statement.ledger)} ledger entries ({entries})"


def _mechanisms(statement: PrivacyStatement) -> str:
    plan = statement.plan
    text = f"mlmguard {statement.tool_version}: subsampled Gaussian, {statement.sampler}"
    if plan is not None:
        text += (
            f"; σ = {plan.noise_multiplier:g}, C = {plan.max_grad_norm:g}, sample rate {plan.sample_rate:g}, "
            f"{charged_steps(statement.ledger):,} steps"
        )
    if statement.mechanism_checks:
        text += f"; tests of the mechanism: {show_checks(statement.mechanism_checks)}"
    return text
