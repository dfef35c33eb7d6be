"""Every kind of text as it really comes: found whole and gone, or left as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect.finder import Names
from mlmguard.corpus.redact import redact_fully
from tests.corpus.detect.variations import KINDS, Expected, drawn

SEED = int(os.environ.get("MLMGUARD_VARIATIONS", "18"))
COUNT = 40
ALIKE = {"US_PASSPORT": "PASSPORT"}  # two names of what the case asks for
CASES = [json.loads(line) for line in (Path(__file__).with_name("cases.jsonl")).open(encoding="utf-8")]


def fault(text: str, expected: Expected, names: Names = detect.NOBODY) -> str:
    """What is wrong with how ``text`` is cleaned; "" if nothing is."""
    finder = detect.finder(names=names)
    clean = redact_fully(text, finder.find)
    for rule, value in expected:
        at = text.find(value)
        whole = any(
            p.rule == rule and p.raw_start <= at and p.raw_end >= at + len(value) for p in clean.placed
        )
        if not whole:
            return f"{rule} is not found whole: {[(p.rule, p.raw_start, p.raw_end) for p in clean.placed]}"
        if value in clean.text:
            return f"{rule} stays"
    if not expected and clean.text != text:
        return f"flagged: {[p.rule for p in clean.placed]}"
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_every_variation_of_a_kind_is_right(kind: str) -> None:
    names = Names(cues=True) if kind == "names" else detect.NOBODY
    wrong = [
        (one.text, why) for one in drawn(kind, SEED, COUNT) if (why := fault(one.text, one.expected, names))
    ]
    assert wrong == [], f"seed {SEED}"


@pytest.mark.parametrize("case", CASES, ids=[case["kind"][:40] for case in CASES])
def test_a_case_of_the_tools_people_use_is_right(case: dict) -> None:
    names = Names(cues=True) if case.get("cues") else detect.NOBODY
    expected = tuple(map(tuple, case["expected"]))
    if not case.get("exact"):
        assert fault(case["text"], expected, names) == ""
        return
    spans = detect.finder(names=names).find(case["text"])
    found = [(ALIKE.get(s.rule, s.rule), case["text"][s.start : s.end]) for s in spans]
    assert found == list(expected)
