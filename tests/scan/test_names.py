"""Names in a scan: out of the box, everywhere in a document, and not where somebody says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlmguard.errors import InputError
from tests.scan.places import Place

LETTER = (
    "Dear Ann Quillfeather,\nyour son is well. Quillfeather is a fine name.\nRegards,\nDr. Björn Svensson\n"
)


def test_a_plain_scan_finds_persons_at_every_mention(place: Place) -> None:
    place.put("1.txt", LETTER)
    place.scan()
    (row,) = place.rows()
    assert "Quillfeather" not in row["text"] and "Svensson" not in row["text"]
    assert row["text"].count("<PERSON>") == 3


def test_one_person_has_one_pseudonym(place: Place) -> None:
    place.put(
        "1.txt", "Patient: Zoë Quillfeather\nSIGNED BY ZOË QUILLFEATHER\nDear Dr. Zoe A. Quillfeather,\n"
    )
    place.put("2.txt", "Patient: Ann Quillfeather\n")
    place.scan(mode="pseudonym")
    first, second = (set(re.findall(r"<PERSON_\w+>", row["text"])) for row in place.rows())
    assert len(first) == len(second) == 1 and first != second
    assert sorted(row["text"].count("<PERSON_") for row in place.rows()) == [1, 3]


def test_without_names_none_is_looked_for(place: Place) -> None:
    place.put("1.txt", LETTER)
    manifest = place.scan(no_names=True)
    assert place.rows()[0]["text"] == LETTER
    status = {one.entity: one.status for one in manifest.coverage}
    assert status["PERSON"] == "no detector" == status["LOCATION"]


def test_a_model_and_none_at_once_are_refused(place: Place, tmp_path: Path) -> None:
    place.put("1.txt", LETTER)
    with pytest.raises(InputError, match="--no-names"):
        place.scan(no_names=True, ner=tmp_path)


def test_a_persons_name_in_a_path_is_not_shown(place: Place) -> None:
    place.put("notes/Ann_Thompson.txt", "a note of some length")
    place.scan()
    assert "Thompson" not in "".join(path.read_text() for path in place.reports.rglob("*.json*"))
    assert "Thompson" not in place.rows()[0]["id"]
