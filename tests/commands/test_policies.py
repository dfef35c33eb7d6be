"""Policies resolved and compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlmguard.commands.policy import differences, resolved
from mlmguard.policy.reading import load, parse, shipped
from mlmguard.policy.rule import Policy
from tests.policy.test_reading import CHILD, REASON
from tests.policy.test_rule import BASE_RULE


@pytest.mark.parametrize("name", list(shipped()))
def test_a_resolved_policy_has_the_digest_of_the_original(name: str) -> None:
    text = resolved(load(name))
    again = parse(text, f"{name}.yaml")
    assert again.digest == load(name).digest
    assert again.extends is None and YAML(typ="safe", pure=True).load(text)["rules"]


def test_the_digest_changes_with_what_is_asked_of_the_parent(tmp_path: Path) -> None:
    parent = tmp_path / "parent.yaml"
    child = tmp_path / "child.yaml"
    parent.write_text(resolved(load("base")), "utf-8")
    child.write_text(CHILD.replace("policy: base", "policy: parent.yaml"), "utf-8")
    before = load(child).digest
    parent.write_text(parent.read_text("utf-8").replace("fail: '> 0.3'", "fail: '> 0.29'"), "utf-8")
    assert load(child).digest != before


def test_differences() -> None:
    text = CHILD.replace('"> 6"', '"> 20"') + REASON
    text = text.replace("rules:", "drop: [{rule: detectors, owner: o, reason: r}]\nrules:")
    text += (
        '  - id: dp-delta\n    fail: "> 0.5"\n    warn: "> 0.1"\n  - id: beats-unigram\n    title: Learnt\n'
        "  - id: extra\n    title: E\n    stage: audit\n    metric: pii.top1_excess\n    fail: '> 0.5'\n"
        "    severity: low\n    why: w\n    do: d\n"
    )
    rows = dict(reversed(differences(load("base"), parse(text, "house.yaml"))))
    assert rows["left out"] == "detectors"
    assert rows["added"].startswith("extra: upper end ≤ 0.5")
    assert rows["looser"].endswith('is "> 20" (the corpus is public; privacy officer)')
    assert rows["stricter"] == 'dp-delta: fail was "> 1" and is "> 0.5", warn was "> 0.5" and is "> 0.1"'
    assert rows["reworded"] == "beats-unigram: title"
    assert differences(load("base"), load("base")) == ()


def test_differences_are_values_as_a_policy_writes_them() -> None:
    change = {"min_n": 2000, "waivable": False, "on_inconclusive": "fail", "fail": "> 0.01", "warn": None}
    whole = {"id": "one", "title": "One", "version": "1"}
    one, other = (
        Policy.model_validate({**whole, "rules": [rule]}) for rule in (BASE_RULE, {**BASE_RULE, **change})
    )
    seen = set()
    for old, new in ((one, other), (other, one)):
        for _, said in differences(old, new):
            for name, was, now in re.findall(r"(\w+) was (.+?) and is ([^,]+)", said):
                shown = tuple(YAML(typ="safe", pure=True).load(text) for text in (was, now))
                assert shown == (getattr(old.rules[0], name), getattr(new.rules[0], name)), said
                seen.add(name)
    assert "warn" in seen
