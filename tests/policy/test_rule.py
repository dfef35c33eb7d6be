"""What a rule may say, and when it is looser than another."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from mlmguard.policy.rule import Rule, Threshold, looser, written


def test_thresholds() -> None:
    assert Threshold.parse(">= 1e-3") == Threshold(">=", 0.001)
    assert Threshold.parse("<-2") == Threshold("<", -2.0)
    assert not Threshold(">", None).crossed(3.0, None)


BASE_RULE = {
    "id": "r",
    "title": "R",
    "stage": "audit",
    "metric": "pii.extraction_rate",
    "fail": "> 0.1",
    "warn": "> 0.05",
    "severity": "high",
    "min_n": 20,
    "why": "w",
    "do": "d",
}


@pytest.mark.parametrize(
    ("change", "less"),
    [
        ({"fail": "> 0.2"}, True),
        ({"fail": "> 0.09"}, False),
        ({"fail": ">= 0.1"}, False),
        ({"fail": None}, True),
        ({"warn": None}, True),
        ({"fail": "> 0.05", "warn": None}, False),  # what warned fails now
        ({"min_n": 19}, True),
        ({"min_n": 200}, False),
        ({"bound": "value"}, True),
        ({"bound": "upper_ci"}, False),
        ({"slice": "kept"}, True),
        ({"metric": "pii.top1_excess"}, True),
        ({"on_inconclusive": "warn"}, True),
        ({"on_inconclusive": "fail"}, False),
        ({"on_low_ceiling": "warn"}, True),
        ({"void_if": "membership.shift"}, True),
        ({"severity": "medium"}, True),
        ({"waivable": False}, False),
        ({"title": "Another"}, False),
    ],
)
def test_asking_less(change: dict[str, object], less: bool) -> None:
    old, new = Rule.model_validate(BASE_RULE), Rule.model_validate({**BASE_RULE, **change})
    assert bool(looser(old, new)) is less
    if less:
        assert looser(old, old) == ""


@pytest.mark.parametrize(
    "value", ["> 6", "high", "*", "", "no", "true", "null", "1.0", "pii.top1", None, True, False, 1000, 0.5]
)
@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_a_value_is_written_so_that_yaml_reads_it_back(value: object, version: tuple[int, int]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    assert yaml.load(written(value)) == value
