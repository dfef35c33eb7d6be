"""One person is one identity, however the name is written; two persons are two."""

from __future__ import annotations

import pytest

from mlmguard.corpus.detect.identity import identity

SAME = [
    "Zoë Quillfeather", "Zoe Quillfeather", "ZOË QUILLFEATHER", "Quillfeather, Zoë", "Dr. Zoë Quillfeather",
    "Zoë A. Quillfeather",
    "Ms Zoë Quillfeather", "zoë quillfeather", "Zoë\nQuillfeather", "Zoë Quillfeather's",
]  # fmt: skip


@pytest.mark.parametrize("written", SAME)
def test_one_person(written: str) -> None:
    assert identity("PERSON", written) == identity("PERSON", SAME[0])


@pytest.mark.parametrize("other", ["Zoë", "Quillfeather", "Ann Quillfeather", "Zoë Quillfeder", "Z. Q.", ""])
def test_another(other: str) -> None:
    assert identity("PERSON", other) != identity("PERSON", SAME[0])


def test_a_title_or_initials_alone_are_what_they_are() -> None:
    assert identity("PERSON", "Dr.") != identity("PERSON", "Mr.")
    assert identity("PERSON", "J. R.") != identity("PERSON", "A. B.")
