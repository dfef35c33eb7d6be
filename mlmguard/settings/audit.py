"""The dials of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlmguard.settings.dial import dial

SPENDING = "How much to spend"


@dataclass(frozen=True)
class AuditSettings:
    """How much an audit spends. The defaults take about a minute for a small model on two cores."""

    documents: int = dial(
        400,
        "Members, and as many non-members, for membership, n-grams and generation.",
        group=SPENDING,
        least=2,
    )
    probed: int = dial(4000, "Findings of each kind with one token masked.", flag="", least=1)
    spans: int = dial(60, "Findings of each kind to search for as a whole.", group=SPENDING, least=1)
    searched: int = dial(
        40, "Planted canaries, and as many unplanted ones, to search for as a whole.", flag="", least=1
    )
    restarts: int = dial(24, "Random starts of a search.", group=SPENDING, least=1)
    samples: int = dial(400, "Texts drawn from the model.", group=SPENDING, least=4)
    windows: int = dial(
        60_000,
        "Windows of all documents together in which leaked ones are looked for.",
        group=SPENDING,
        least=1,
    )
    minutes: float | None = dial(
        None,
        "Begin no attack after this many minutes; attacks that were not run are listed.",
        group=SPENDING,
        above=0,
    )
    queries: int | None = dial(
        None,
        "Begin no attack once the models were shown this many windows; attacks that were not run are listed.",
        group=SPENDING,
        least=1,
        metavar="N",
    )
    stop_early: bool = dial(
        False,
        "End a search that a quarter of its findings decides; both looks share the level.",
        flag="--sequential",
        group=SPENDING,
    )
    workers: int = dial(
        1,
        "Processes that attack side by side, each with the models and the data in its memory.",
        group=SPENDING,
        derived="one a core, at most 4",
        least=1,
    )
    seed: int = dial(0, "Seed of samples and searches.", group=SPENDING)

    #: Processes of an audit where nobody says how many: a fifth finds little left to do.
    MOST_WORKERS: ClassVar = 4
    #: The order of ``--help``: what most people need, then the groups.
    MOST_USED: ClassVar = ()
    GROUPS: ClassVar = (SPENDING,)
