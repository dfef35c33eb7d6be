"""Shapes of files as they really come, all in one corpus: read, cleaned in text, columns and their names."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from mlmguard.types import Manifest
from tests.scan.places import Place, jsonl

CASES = [json.loads(line) for line in Path(__file__).with_name("cases.jsonl").open(encoding="utf-8")]
VALUES = (
    "512-46-7183", "512467183", "kim@old-mill.example.org", "4539771204863151", "4482913",
    "Quiet88River", "62704", '"95"',
)  # fmt: skip
LONG = "".join(f"row {number} ok\n" for number in range(2000)) + "kim@old-mill.example.org\n"


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Manifest]:
    place = Place(tmp_path_factory.mktemp("cases"))
    for case in CASES:
        for name, content in case["files"].items():
            raw = bytes.fromhex(content[5:]) if content.startswith("<hex>") else content
            place.put(f"{case['id']}/{name}", raw)
    place.put("C-207/a.txt", LONG)
    return place, place.scan(max_chars=10_000, cut_passages="everywhere")


@pytest.mark.parametrize("case", CASES, ids=[f"{case['id']} {case['kind'][:30]}" for case in CASES])
def test_a_shape_is_read_and_cleaned(scanned: tuple[Place, Manifest], case: dict[str, Any]) -> None:
    place, manifest = scanned
    rows = [row for row in place.rows() if row["id"].startswith(f"{case['id']}/")]
    if "skipped" in case:
        assert [s.reason for s in manifest.skipped if s.source.startswith(case["id"])] == [case["skipped"]]
        return
    assert rows
    assert not [value for value in VALUES if value in json.dumps(rows, ensure_ascii=False)]
    assert case.get("holds", "") in rows[0]["text"]
    if "documents" in case:
        assert len(rows) == case["documents"]
    if "shorter" in case:
        raw = sum(len(json.loads(line)["text"]) for line in case["files"]["a.jsonl"].splitlines())
        assert sum(len(row["text"]) for row in rows) < raw - case["shorter"]


def test_a_long_text_is_read_in_pieces_at_line_ends(scanned: tuple[Place, Manifest]) -> None:
    texts = {row["id"]: row["text"] for row in scanned[0].rows() if row["id"].startswith("C-207/")}
    assert len(texts) > 1 and all(text.endswith("ok\n") or "EMAIL" in text for text in texts.values())
    assert sum(text.count("row ") for text in texts.values()) == 2000


def test_personal_names_and_values_of_columns_are_counted(scanned: tuple[Place, Manifest]) -> None:
    place, manifest = scanned
    found = defaultdict(set)
    for finding in jsonl(place.reports / "findings.jsonl"):
        if finding["location"].get("column"):
            found[finding["location"]["document_id"].partition("/")[0]].add(finding["rule"])
    assert found["C-180"] == {"US_SSN"} and found["C-181"] == {"CREDIT_CARD"}
    assert found["C-187"] == {"US_ZIP_CODE", "AGE"}
    assert manifest.columns and all("512-46" not in one.column for one in manifest.columns)


def test_a_table_without_a_text_is_named_with_what_was_seen(place: Place) -> None:
    place.put("a.csv", "id;body;512-46-7183\n1;hello;x\n")
    place.put("b.txt", "the kettle was loud")
    manifest = place.scan()
    assert [s.reason for s in manifest.skipped] == [
        'no column "text" in the first row (3 columns between ";": id, body)'
    ]
