"""The dials of a comparison over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlmguard.settings.dial import dial

SPENDING = "How much to spend"


@dataclass(frozen=True)
class DriftSettings:
    """How much a comparison looks at. Memory is bounded by them, not by the texts."""

    documents: int = dial(
        1000,
        "Documents of each side, drawn at random while the texts are read.",
        group=SPENDING,
        least=40,
        most=20_000,
    )
    resamples: int = dial(
        999, "Deals of the documents that the null of a test is made of.", group=SPENDING, least=99
    )
    text_key: str = dial("text", "The column of a row that holds its text.", group=SPENDING)
    seed: int = dial(0, "Seed of samples and deals.", group=SPENDING, least=0)

    #: The order of ``--help``: what most people need, then the groups.
    MOST_USED: ClassVar = ()
    GROUPS: ClassVar = (SPENDING,)
