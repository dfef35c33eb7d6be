"""Explain: everything has one page of its own that says why and what to do; an unknown name the nearest."""

from __future__ import annotations

from collections import Counter

import pytest

from mlmguard.commands.explain import explain, pages
from mlmguard.corpus.detect.entities import ENTITIES
from mlmguard.corpus.detect.finder import coverage
from mlmguard.errors import InputError
from mlmguard.hazards import HAZARDS, MECHANISM_CHECKS
from mlmguard.measures import METRICS
from mlmguard.policy.reading import load, shipped


def test_everything_has_a_page() -> None:
    policies = [load(name) for name in shipped()]
    rules = {rule.id for policy in policies for rule in policy.rules}
    asked = {one.id for policy in policies for one in policy.attestations}
    entities = set(ENTITIES)  # more than what is looked for unasked: those of countries too
    assert {detector.entity for detector in coverage()} <= entities
    named = {page.id for page in pages(policies)}
    checks = {f"mechanism.{check}" for check in MECHANISM_CHECKS}
    assert named == rules | asked | entities | set(METRICS) | set(HAZARDS) | checks


@pytest.mark.parametrize("name", list(shipped()))
def test_no_two_pages_are_the_same_and_none_is_empty(name: str) -> None:
    found = list(pages([load(name)]))
    for what in ([page.id for page in found], [page.title for page in found], [page.lines for page in found]):
        assert [one for one, times in Counter(what).items() if times > 1] == []
    assert all(label and text for page in found for label, text in page.lines)


@pytest.mark.parametrize("name", list(shipped()))
def test_every_rule_and_statement_of_every_policy_is_explained(name: str) -> None:
    policy = load(name)
    found = {page.id: dict(page.lines) for page in pages([policy])}
    for rule in policy.rules:
        assert (found[rule.id]["why"], found[rule.id]["do"]) == (rule.why, rule.do)
        assert rule.metric in found[rule.id]["metric"]
    for attestation in policy.attestations:
        assert found[attestation.id]["statement"] == attestation.statement


def test_metrics() -> None:
    found = {page.id: dict(page.lines) for page in pages([load("base")])}
    for metric, row in METRICS.items():
        assert found[metric]["says"] == row.says
    assert "membership-auc" in dict(explain("membership.auc").lines)["rules"]


def test_entity_types() -> None:
    assert "a network (--ner) can find it" in dict(explain("PERSON").lines)["detector"]
    assert "«" in dict(explain("STREET_ADDRESS").lines)["found in"]
    assert "a-names (hipaa-safe-harbor)" in dict(explain("PERSON").lines)["rules"]


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'canary-extracted'"):
        explain("canary-extractd")
    with pytest.raises(InputError, match="one of: head-loaded"):
        explain("zzzz")


def test_a_policy_can_be_named() -> None:
    assert explain("dp-epsilon", "base").id == "dp-epsilon"
    with pytest.raises(InputError):
        explain("dp-epsilon", "nowhere.yaml")
