"""Explain: every rule says why and what to do; an unknown name gets the nearest one."""

from __future__ import annotations

import pytest

from mlmguard.commands.explain import explain
from mlmguard.errors import InputError
from mlmguard.measures import METRICS
from mlmguard.policy.reading import load


def test_every_rule_of_base_is_explained() -> None:
    for rule in load("base").rules:
        told = dict(explain(rule.id).lines)
        assert told["why"] == rule.why
        assert told["do"] == rule.do
        assert rule.metric in told["metric"]


def test_every_metric_is_explained() -> None:
    for metric, says in METRICS.items():
        assert dict(explain(metric).lines)["says"] == says
    assert "membership-auc" in dict(explain("membership.auc").lines)["rules"]


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'canary-extracted'"):
        explain("canary-extractd")
    with pytest.raises(InputError, match="one of: head-loaded"):
        explain("zzzz")


def test_a_policy_can_be_named() -> None:
    assert explain("dp-epsilon", "base").id == "dp-epsilon"
    with pytest.raises(InputError):
        explain("dp-epsilon", "nowhere.yaml")
