"""A name that was found once is found wherever it stands in the text."""

from __future__ import annotations

import pytest

from mlmguard.corpus.detect.mentions import mentions
from mlmguard.corpus.detect.spans import Span


def others(text: str, *known: str) -> list[str]:
    found = [Span(text.index(name), text.index(name) + len(name), "PERSON", 0.8) for name in known]
    return [text[span.start : span.end] for span in mentions(text, found)]


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("Ann Quillfeather came. Quillfeather left.", "Ann Quillfeather", ["Quillfeather"]),
        ("Ann Quillfeather. ANN QUILLFEATHER.", "Ann Quillfeather", ["ANN QUILLFEATHER"]),
        ("Ann Quillfeather. ann quillfeather.", "Ann Quillfeather", ["ann quillfeather"]),
        ("José Martínez; Jose Martinez", "José Martínez", ["Jose Martinez"]),
        ("Mark Hope spoke. Mark Hope sat. Mark the box, in hope.", "Mark Hope", ["Mark Hope"]),
        ("Quillfeather's dog, Quillfeathers", "Quillfeather", []),
        ("i met quillfeather and quillfeather met me", "quillfeather", ["quillfeather"]),
        ("Svensson said. the svensson method", "Svensson", []),
        ("J. Quillfeather, then Quillfeather", "J. Quillfeather", ["Quillfeather"]),
        ("nobody", "nobody", []),
    ],
)  # fmt: skip
def test_other_mentions(text: str, known: str, expected: list[str]) -> None:
    assert others(text, known) == expected


def test_a_short_name_at_the_end_beside_a_longer_one() -> None:
    text = "Zoe Quill wrote to Zoe Quill Obadele, and so did Zoe Quill"
    found = [Span(0, 9, "PERSON", 1.0), Span(19, 36, "PERSON", 1.0)]
    assert [text[one.start : one.end] for one in mentions(text, found)] == ["Zoe Quill"]


def test_places_and_organisations_are_not_looked_for_again() -> None:
    assert list(mentions("Uppsala, Uppsala", [Span(0, 7, "LOCATION", 0.9)])) == []
