"""Every rule proves itself: it finds the texts it says it must find, and leaves the others."""

from __future__ import annotations

import pytest

from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.builtin import RULES, Rule, severity

FINDS = [(rule, text) for rule in RULES.values() for text in rule.finds]
LEAVES = [(rule, text) for rule in RULES.values() for text in rule.leaves]


@pytest.mark.parametrize(("rule", "marked"), FINDS, ids=[f"{r.name}-{i}" for i, (r, _) in enumerate(FINDS)])
def test_finds(rule: Rule, marked: str) -> None:
    start, end = marked.index("«"), marked.index("»") - 1
    text = marked.replace("«", "").replace("»", "")
    found = {(s.start, s.end) for s in pii.finder().find_all(text) if s.rule == rule.entity}
    assert (start, end) in found


@pytest.mark.parametrize(("rule", "text"), LEAVES, ids=[f"{r.name}-{i}" for i, (r, _) in enumerate(LEAVES)])
def test_leaves(rule: Rule, text: str) -> None:
    assert [s for s in pii.finder().find_all(text) if s.rule == rule.entity] == []


def test_every_rule_carries_proof_and_has_a_severity() -> None:
    for rule in RULES.values():
        assert len(rule.finds) >= 1 and len(rule.leaves) >= 2
        assert all(text.count("«") == text.count("»") == 1 for text in rule.finds)
        assert severity(rule.entity) in ("high", "medium", "low")
