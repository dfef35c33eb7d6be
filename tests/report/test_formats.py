"""Formats that other people's programs read, checked against the schemas those programs publish."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from referencing import Registry, Resource

from mlmguard.errors import InputError
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.report import csv as csv_format
from mlmguard.report import model_card
from mlmguard.report.clearance import Case, case
from mlmguard.report.formats import FORMATS, render, write
from mlmguard.report.markdown import escaped
from mlmguard.types import Evidence, Skipped, Status
from tests.fixtures.evidence import TODAY, clean, extractable, manifest, not_private, untrained

TESTS = Path(__file__).resolve().parent.parent
SCHEMAS = TESTS / "data" / "schemas"
EVIDENCE = {"clean": clean, "extractable": extractable, "untrained": untrained, "not private": not_private}
WAIVER = {
    "rule": "not-chance",
    "reason": "the corpus is public",
    "owner": "model owner",
    "approver": "privacy officer",
    "ticket": "PRIV-7",
    "created": date(2026, 1, 10),
    "expires": date(2026, 6, 1),
}


def judged(evidence: Evidence, policy: Policy | None = None) -> Case:
    rules = policy or load("base")
    judgement = judge(rules, evidence, TODAY)
    return case(evidence, judgement, rules.advice, exit_code(judgement))


def waived() -> Case:
    """The extractable model, one of whose failures is waived."""
    base = load("base")
    with_waiver = Policy.model_validate({**base.model_dump(exclude_defaults=True), "waivers": [WAIVER]})
    with_waiver.places.update(base.places)
    return judged(extractable(), with_waiver)


# --- SARIF --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sarif_schema() -> jsonschema.Draft4Validator:
    return jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0.json").read_text("utf-8")))


@pytest.mark.parametrize("which", [*EVIDENCE, "waived", "bare", "unjudged"])
def test_sarif_is_valid(sarif_schema: jsonschema.Draft4Validator, which: str) -> None:
    silent = replace(
        clean(), manifest=None, statement=None, measurements=(), curves=(), attacks=(), tool_version="2.0"
    )
    shown = {
        "waived": waived,
        "bare": lambda: judged(silent),
        "unjudged": lambda: case(clean()),
    }.get(which, lambda: judged(EVIDENCE[which]()))()
    sarif_schema.validate(json.loads(render("sarif", shown)))


def test_the_schema_is_one_that_can_refuse(sarif_schema: jsonschema.Draft4Validator) -> None:
    log = json.loads(render("sarif", judged(extractable())))
    log["runs"][0]["results"][0]["kind"] = "unsure"
    with pytest.raises(jsonschema.ValidationError):
        sarif_schema.validate(log)


def test_every_result_stands_at_the_line_of_its_rule() -> None:
    run = json.loads(render("sarif", judged(extractable())))["runs"][0]
    lines = (TESTS.parent / "policies" / "base.yaml").read_text("utf-8").splitlines()
    assert run["results"]
    for result in run["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "policies/base.yaml"
        assert lines[place["region"]["startLine"] - 1].strip() == f"- id: {result['ruleId']}"
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_what_is_not_known_is_open_and_what_is_met_is_no_result() -> None:
    run = json.loads(render("sarif", judged(untrained())))["runs"][0]
    assert {(r["kind"], r["level"]) for r in run["results"] if r["ruleId"].startswith("canary")} == {
        ("open", "none")
    }
    assert "dp-epsilon" in run["properties"]["met"]
    assert "dp-epsilon" not in {r["ruleId"] for r in run["results"]}
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 3}]


def test_no_results_is_said_of_a_judged_model_only() -> None:
    """A code-scanning page shows a file without results as clean."""
    (unjudged,) = json.loads(render("sarif", case(clean())))["runs"][0]["results"]
    assert (unjudged["ruleId"], unjudged["level"]) == ("verdict", "error")
    assert "No policy was applied" in unjudged["message"]["text"]
    shown = judged(clean())
    assert shown.judgement is not None
    held = replace(shown, judgement=replace(shown.judgement, status=Status.INCONCLUSIVE))
    first = json.loads(render("sarif", held))["runs"][0]["results"][0]
    assert first["ruleId"] == "verdict" and "not enough" in first["message"]["text"]
    assert "verdict" not in {r["ruleId"] for r in json.loads(render("sarif", shown))["runs"][0]["results"]}


def test_a_waiver_is_a_suppression_that_names_who_and_until_when() -> None:
    results = json.loads(render("sarif", waived()))["runs"][0]["results"]
    suppressed = [r for r in results if "suppressions" in r]
    assert [r["ruleId"] for r in suppressed] == ["not-chance"]
    (said,) = suppressed[0]["suppressions"]
    assert said["status"] == "accepted"
    for part in ("PRIV-7", "privacy officer", "2026-06-01", "public"):
        assert part in said["justification"]


def test_a_fingerprint_is_of_the_rule_and_the_weights() -> None:
    def marks(evidence: Evidence) -> dict[str, str]:
        results = json.loads(render("sarif", judged(evidence)))["runs"][0]["results"]
        return {r["ruleId"]: r["partialFingerprints"]["mlmguardRule/v1"] for r in results}

    other = replace(extractable(), model=replace(extractable().model, digest="ab" * 32))
    assert marks(extractable()) == marks(replace(extractable(), run_id="audit-other"))
    assert set(marks(extractable()).values()).isdisjoint(marks(other).values())


# --- JUnit --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def junit_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "junit.xsd"))


@pytest.mark.parametrize("which", [*EVIDENCE, "waived", "unjudged"])
def test_junit_is_valid(junit_schema: xmlschema.XMLSchema, which: str) -> None:
    shown = waived() if which == "waived" else case(clean()) if which == "unjudged" else None
    junit_schema.validate(render("junit", shown or judged(EVIDENCE[which]())))


def test_the_junit_schema_can_refuse(junit_schema: xmlschema.XMLSchema) -> None:
    broken = render("junit", judged(clean())).replace('hostname="localhost"', "")
    assert not junit_schema.is_valid(broken)


def test_junit_counts_what_it_lists_and_the_unknown_is_never_green() -> None:
    for shown in (judged(untrained()), judged(extractable()), waived(), case(clean())):
        suite = ElementTree.fromstring(render("junit", shown))[0]
        counted = {
            "tests": "testcase",
            "failures": ".//failure",
            "errors": ".//error",
            "skipped": ".//skipped",
        }
        for attribute, element in counted.items():
            assert int(suite.attrib[attribute]) == len(suite.findall(element)), attribute
        green = suite.attrib["failures"] == suite.attrib["errors"] == "0"
        assert green == (shown.exit_code == 0 and shown.judgement is not None)


def test_a_broken_model_is_an_error_although_no_rule_is() -> None:
    only_claim = Policy.model_validate(
        {
            "id": "p",
            "version": "1",
            "title": "P",
            "rules": [r.model_dump() for r in load("base").rules if r.id == "dp-epsilon"],
        }
    )
    suite = ElementTree.fromstring(render("junit", judged(untrained(), only_claim)))[0]
    assert suite.attrib["errors"] == "1"
    assert "no better than word frequencies" in suite.find(".//error").text  # type: ignore[union-attr, operator]


# --- CSV ----------------------------------------------------------------------------------------------


def test_csv_lists_every_row_and_is_not_computed_by_a_spreadsheet() -> None:
    scanned = replace(manifest(), skipped=(Skipped("=cmd|' /C calc'!A0", "@SUM(1+1)", 3),))
    shown = case(replace(clean(), manifest=scanned), judge(load("base"), clean(), TODAY))
    rows = list(csv.reader(io.StringIO(render("csv", shown))))
    assert tuple(rows[0]) == csv_format.COLUMNS
    assert {len(row) for row in rows} == {len(rows[0])}
    kinds = [row[0] for row in rows[1:]]
    assert kinds.count("finding") == len(manifest().findings)
    assert kinds.count("measurement") == len(clean().measurements)
    assert kinds.count("verdict") == len(load("base").rules)
    (skipped,) = (row for row in rows if row[0] == "skipped")
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)
    assert skipped[-1] == "'@SUM(1+1)"


@pytest.mark.parametrize("sign", "=+-@\t\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH COMMERCIAL AT}\N{MINUS SIGN}")
def test_a_sign_of_any_width_gets_an_apostrophe(sign: str) -> None:
    assert csv_format._cell(f"{sign}1") == f"'{sign}1"


def test_no_bare_address_becomes_a_link() -> None:
    """As GitHub finds them: a scheme or www. before, whatever its case."""
    given = "HTTPS://a.example http://b.example ftp://c.example Www.d.example e@f.example"
    text = escaped(given)
    assert not re.search(r"://|www\.|@[a-z]", text, re.IGNORECASE)
    assert text.replace("\u200b", "") == given


# --- the model card -----------------------------------------------------------------------------------


def test_a_model_card_keeps_what_is_somebody_elses(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    mine = "---\nlicense: mit\n---\n\n# Model\n\nWritten by hand.\n"
    card.write_text(mine, "utf-8")
    write("model-card", judged(clean()), card)
    once = card.read_text("utf-8")
    assert once.startswith(mine.rstrip())
    card.write_text(once + "\nMore by hand.\n", "utf-8")
    write("model-card", judged(extractable()), card)
    twice = card.read_text("utf-8")
    assert twice.startswith(mine.rstrip()) and twice.endswith("\nMore by hand.\n")
    assert twice.count(model_card.BEGIN) == twice.count(model_card.END) == 1
    assert "Fail" in twice and "Pass with warnings" not in twice


@pytest.mark.parametrize(
    "text",
    [
        model_card.BEGIN,
        model_card.END,
        f"{model_card.END} {model_card.BEGIN}",
        2 * (model_card.BEGIN + model_card.END),
    ],
)
def test_a_model_card_with_torn_fences_is_left_alone(tmp_path: Path, text: str) -> None:
    card = tmp_path / "README.md"
    card.write_text(text, "utf-8")
    with pytest.raises(InputError, match="one of each"):
        write("model-card", judged(clean()), card)
    assert card.read_text("utf-8") == text


# --- all of them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", list(FORMATS))
def test_one_evidence_file_renders_in_every_format_the_same_each_time(fmt: str) -> None:
    assert render(fmt, waived()) == render(fmt, waived()) != ""


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f not in ("csv", "model-card")])
def test_every_format_names_the_policy_it_was_judged_by(fmt: str) -> None:
    digest = load("base").digest
    assert digest[:16] in render(fmt, judged(clean()))


# --- in-toto and CycloneDX ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "result"),
    [
        (lambda: judged(clean()), "WARNED"),
        (lambda: judged(extractable()), "FAILED"),
        (lambda: judged(untrained()), "FAILED"),
        (lambda: case(clean()), "FAILED"),  # not judged is not passed
    ],
)
def test_in_toto_is_a_valid_statement_with_a_valid_predicate(make: Callable[[], Case], result: str) -> None:
    text = render("in-toto", make())
    Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement())).validate()
    data = json.loads(text)
    predicate = json_format.ParseDict(data["predicate"], test_result_pb2.TestResult())
    assert predicate.result == result
    assert data["subject"][0]["digest"] == {"mlmguardWeights": clean().model.digest}


def test_a_statement_that_is_none_is_refused() -> None:
    with pytest.raises(json_format.ParseError):
        json_format.Parse('{"_type": "x", "verdict": "good"}', statement_pb2.Statement())


@pytest.fixture(scope="module")
def cyclonedx_schema() -> jsonschema.Draft7Validator:
    """The schema that cyclonedx-python-lib carries, with the two it refers to."""
    folder = Path(str(files("cyclonedx.schema") / "_res"))
    schemas = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.schema.json"))]
    main = next(schema for schema in schemas if schema["$id"].endswith("bom-1.7.schema.json"))
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas
    )
    return jsonschema.Draft7Validator(main, registry=registry)


@pytest.mark.parametrize("which", [*EVIDENCE, "waived", "unjudged"])
def test_cyclonedx_is_valid(cyclonedx_schema: jsonschema.Draft7Validator, which: str) -> None:
    shown = waived() if which == "waived" else case(clean()) if which == "unjudged" else None
    bom = json.loads(render("cyclonedx", shown or judged(EVIDENCE[which]())))
    cyclonedx_schema.validate(bom)
    assert ("declarations" in bom) == (which != "unjudged")


def test_the_cyclonedx_schema_can_refuse(cyclonedx_schema: jsonschema.Draft7Validator) -> None:
    bom = json.loads(render("cyclonedx", judged(clean())))
    bom["declarations"]["attestations"][0]["map"][0]["conformance"]["score"] = 2
    with pytest.raises(jsonschema.ValidationError):
        cyclonedx_schema.validate(bom)


def test_every_reference_of_a_bill_of_materials_exists() -> None:
    bom = json.loads(render("cyclonedx", waived()))

    def walk(value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            yield from value.items()
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from walk(inner)

    known = {value for key, value in walk(bom) if key == "bom-ref"}
    referring = {"requirement", "assessor", "target"}
    for key, value in walk(bom):
        if key in referring:
            assert value in known, value
        if key in ("claims", "counterClaims", "evidence") and all(isinstance(one, str) for one in value):
            assert set(value) <= known
    mapped = {m["requirement"]: m for m in bom["declarations"]["attestations"][0]["map"]}
    assert mapped["rule-canary-extracted"]["counterClaims"] == ["claim-canary-extracted"]
    assert mapped["rule-not-chance"]["conformance"]["score"] == 0
    card = bom["metadata"]["component"]["modelCard"]
    assert {"type": "canary.extraction_rate", "value": "0.96"}.items() <= next(
        m for m in card["quantitativeAnalysis"]["performanceMetrics"] if m["type"] == "canary.extraction_rate"
    ).items()
