"""The example of alerts for Prometheus: it asks for what the report writes, and fires where it must."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load
from mlmguard.report.clearance import case
from mlmguard.report.formats import render
from mlmguard.types import Evidence, Status
from tests.fixtures.evidence import clean, extractable

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "alerts.yaml"
GROUPS = YAML(typ="safe", pure=True).load(EXAMPLE.read_text("utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
LINE = re.compile(r"^(?P<name>\w+)(?P<labels>\{.*\})? (?P<value>\S+)$", re.MULTILINE)


def lines(evidence: Evidence) -> list[re.Match[str]]:
    judgement = judge(load("base"), evidence)
    return list(LINE.finditer(render("prometheus", case(evidence, judgement))))


def test_every_rule_has_what_prometheus_and_a_reader_need() -> None:
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)
    assert len(ALERTS) == sum("alert" in rule for rule in RULES)
    for rule in RULES:
        assert rule.keys() <= {"alert", "record", "expr", "for", "labels", "annotations"}
        assert ("alert" in rule) != ("record" in rule) and rule["expr"]
    for alert in ALERTS.values():
        assert alert["annotations"].keys() == {"summary", "action"}
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["action"].endswith(".")


def test_the_rules_ask_for_what_is_written() -> None:
    there = {found["name"] for found in lines(clean())} | {"node_textfile_mtime_seconds"}
    there |= {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        asked = set(re.findall(r"\b(?:mlmguard|node)[\w:]+", re.sub(r'"[^"]*"', "", rule["expr"])))
        assert asked and asked <= there, rule["expr"]
        for status in re.findall(r'status="(\w+)"', rule["expr"]):
            assert status in list(Status)
    labels = set(re.findall(r'(\w+)="', " ".join(found["labels"] or "" for found in lines(clean()))))
    for alert in ALERTS.values():
        for name in re.findall(r"\$labels\.(\w+)", str(alert["annotations"])):
            assert name in labels | {"file"}, name


# --- by Prometheus itself -----------------------------------------------------------------------------

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: it comes with Prometheus")


def promtool(*arguments: object) -> None:
    done = subprocess.run(
        [str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", EXAMPLE)


def fired(folder: Path, series: dict[str, str], at: str, expected: set[str], interval: str = "1m") -> None:
    """Have Prometheus say which alerts fire ``at`` that time, and hold them against ``expected``."""
    told = [
        {
            "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)',
            "eval_time": at,
            "exp_samples": [{"labels": "{}", "value": int(name in expected)}],
        }
        for name in ALERTS
    ]
    test = {
        "rule_files": [str(EXAMPLE)],
        "evaluation_interval": interval,
        "tests": [
            {
                "interval": interval,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": told,
            }
        ],
    }
    path = folder / "test.yaml"
    with path.open("w") as file:
        YAML().dump(test, file)
    promtool("test", "rules", path)


@needs_promtool
@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (clean(), set()),
        (extractable(), {"ReleasedModelFailsItsPolicy", "AllowanceBurnsFast", "AllowanceBurnsSlowly"}),
    ],
    ids=["clean", "extractable"],
)
def test_what_the_report_writes_fires_what_it_must(
    tmp_path: Path, evidence: Evidence, expected: set[str]
) -> None:
    series = {f"{one['name']}{one['labels'] or ''}": f"{one['value']}+0x1800" for one in lines(evidence)}
    if any(v.status == Status.INCONCLUSIVE for v in judge(load("base"), evidence).verdicts):
        expected = expected | {"ReleasedModelIsNotJudged"}
    fired(tmp_path, series, "25h", expected)


EPSILON = 'mlmguard_epsilon{run="r",unit="u"}'
BURNT = "0+0x60 3 3 0+0x120"  # two minutes of an hour are 3.3 %: fast; an hour later they are slow
FAST, SLOWLY = "AllowanceBurnsFast", "AllowanceBurnsSlowly"
RULES_LINE = 'mlmguard_rules{run="r",policy="p",status="fail"}'
INFO = 'mlmguard_policy_info{run="r",policy="p",version="1",digest="d"}'

DRIFT, DRIFT_INFO = RULES_LINE.replace('"p"', '"drift"'), INFO.replace('"p"', '"drift"').replace('"d"', '"e"')


@needs_promtool
@pytest.mark.parametrize(
    ("series", "at", "expected"),
    [
        ({}, "2h", {"NoEvidence"}),
        ({INFO: "1+0x200"}, "2h", set()),
        ({INFO: "1+0x200", INFO.replace('"d"', '"e"'): "1+0x200"}, "2h", {"PolicyIsAnother"}),
        ({INFO: "1+0x200", EPSILON: "8.1+0x200"}, "2h", {"MoreEpsilonThanAllowed"}),
        ({INFO: "1+0x200", EPSILON: "8+0x200"}, "2h", set()),
        ({INFO: "1+0x200", DRIFT: "1+0x200", DRIFT_INFO: "1+0x200"}, "2h", {"TextHasMoved"}),
        ({INFO: "1+0x200", DRIFT: "0+0x200", DRIFT_INFO: "1+0x200"}, "2h", set()),
        ({INFO: "1+0x200", RULES_LINE: BURNT}, "63m", {FAST, SLOWLY}),
        ({INFO: "1+0x200", RULES_LINE: BURNT}, "80m", {SLOWLY}),
        ({INFO: "1+0x200", RULES_LINE: BURNT}, "110m", set()),
    ],
)
def test_each_alert_fires_where_it_must_and_nowhere_else(
    tmp_path: Path, series: dict[str, str], at: str, expected: set[str]
) -> None:
    fired(tmp_path, series, at, expected)


@needs_promtool
def test_old_evidence_is_told(tmp_path: Path) -> None:
    written = 'node_textfile_mtime_seconds{file="/var/lib/node_exporter/mlmguard.prom"}'
    hours = {INFO: "1+0x1000", written: "0+0x1000"}
    fired(tmp_path, hours, "34d", set(), "1h")
    fired(tmp_path, hours, "36d", {"EvidenceIsOld"}, "1h")
