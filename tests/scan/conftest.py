"""Folders to scan in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlmguard.corpus.synthetic import write_corpus
from tests.scan.places import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """300 notes in every format, scanned once by author."""
    place = Place(tmp_path_factory.mktemp("notes"))
    write_corpus(place.corpus, place.root / "gold.jsonl", notes=300)
    place.put("letters/readme.xyz", "?")
    place.scan()
    return place
