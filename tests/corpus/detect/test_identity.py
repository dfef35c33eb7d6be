# ruff: noqa: E501 (a table is read across)
"""However a value is written, it has one fingerprint; another value has another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlmguard.corpus.detect.identity import fingerprint, identity
from tests.scan.places import KEY, Place

ALIKE = (
    ("EMAIL_ADDRESS", ("Kim@Old-Mill.example.org", "kim@old-mill.example.org", "kim (at) old-mill.example.org",
                       "kim@old-\n> mill.example.org")),
    ("CREDIT_CARD", ("4539 7712 0486 3151", "4539-7712-0486-3151", "4539771204863151", "4539\u202f7712\n04863151")),
    ("PHONE_NUMBER", ("+1 (312) 555-0142", "312.555.0142", "001 312 555 0142", "13125550142", "312\u2011555\u20110142")),
    ("PHONE_NUMBER", ("+44 20 7946 0123", "0044 20 7946 0123", "011 44 2079460123")),
    ("IBAN_CODE", ("DE57 1002 0030 0417 7293 81", "de57100200300417729381")),
    ("US_SSN", ("512-46-7183", "512 46 7183", "512467183", "512-46-\n7183")),
)  # fmt: skip


@pytest.mark.parametrize(("rule", "values"), ALIKE)
def test_ways_to_write_a_value_are_one(rule: str, values: tuple[str, ...]) -> None:
    assert len({fingerprint(KEY, rule, value) for value in values}) == 1


def test_others_stay_apart() -> None:
    others = ("312-555-0142", "312-555-0143", "312-555-0142 ext. 7", "20 7946 0123")
    assert len({identity("PHONE_NUMBER", value) for value in others}) == len(others)
    assert identity("EMAIL_ADDRESS", "a.b@c.org") != identity("EMAIL_ADDRESS", "ab@c.org")
    assert identity("API_KEY", "tR9m") != identity("API_KEY", "tr9M")


def test_pseudonyms_of_one_person_agree_over_documents(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put(
        "a.txt", "the first kettle: write to Kim@Old-Mill.example.org, card 4539 7712 0486 3151 is hers"
    )
    place.put(
        "b.txt", "another hall altogether: kim@old-mill.example.org paid by card 4539771204863151 today"
    )
    place.scan(mode="pseudonym")
    first, second = (re.findall(r"<[A-Z_]+>", row["text"]) for row in place.rows())
    assert len(first) == 2 and first == second
