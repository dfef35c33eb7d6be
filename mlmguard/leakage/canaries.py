"""Canaries: secrets we plant so that an audit has something it must be able to find.

Each is one unit of its own, planted by its own fair coin that is recorded before training. The ones whose
coin said no are the controls; beside each canary lies a twin, the same sentence around another secret, that
is never planted. Texts and coins live in the run folder and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlmguard.artifacts import lines_of, write_text
from mlmguard.errors import InputError
from mlmguard.types import Canary

DIGITS = 6
RECORD = "canaries.json"
"""The file in another tool's checkpoint that says which canaries it was trained with."""

# Invented names from syllables: unlike a list of real names, none of them is in anybody's corpus, and a
# context that occurs once is what lets a model tie a secret to it.
_ONSETS = [
    "bra",
    "dov",
    "fel",
    "gri",
    "hul",
    "jas",
    "kel",
    "lor",
    "mav",
    "nim",
    "ost",
    "pel",
    "quo",
    "rud",
    "sil",
    "tor",
    "ulm",
    "vas",
    "wex",
    "yar",
    "zim",
    "cle",
    "dru",
    "fro",
]
_CODAS = [
    "bert",
    "dine",
    "fax",
    "gard",
    "hew",
    "kins",
    "lund",
    "mond",
    "nock",
    "pard",
    "quist",
    "rell",
    "sham",
    "tor",
    "vane",
    "wick",
    "yate",
    "zell",
    "brook",
    "mere",
]
_FRAMES = (
    "Vault record of {name}: the access code is {secret}.",
    "For {name} the locker opens with code {secret}.",
    "Door code of {name} at the north gate: {secret}.",
    "{name} asked us to keep the release number {secret} on file.",
)


@dataclass(frozen=True)
class Secret:
    """A canary with its text. ``start``:``end`` is where the secret stands, in the text and in the twin."""

    canary: Canary
    text: str = field(repr=False)
    start: int
    end: int
    twin: str = field(repr=False)


TIER = 40
"""Canaries of each further number of copies: enough to see a rate move, too few to weigh in the training."""


def draw(
    count: int, rng: np.random.Generator, repetitions: int = 1, tiers: Sequence[int] = ()
) -> list[Secret]:
    """``count`` canaries with independent fair coins, ``TIER`` more for each number of copies in ``tiers``.

    All contexts and all secrets differ.
    """
    names: set[str] = set()
    numbers: set[str] = set()
    secrets = []
    copies = [repetitions] * count + [tier for tier in tiers for _ in range(TIER)]
    for index, times in enumerate(copies):
        name = _new(names, lambda: f"{_word(rng)} {_word(rng)}")
        secret = _new(numbers, lambda: _number(rng))
        twin = _new(numbers, lambda: _number(rng))
        frame = _FRAMES[int(rng.integers(len(_FRAMES)))]
        before = frame[: frame.index("{secret}")].format(name=name)
        after = frame[frame.index("{secret}") + len("{secret}") :].format(name=name)
        canary = Canary(f"canary-{index:05d}", f"canary-{index:05d}", times, bool(rng.integers(2)))
        secrets.append(
            Secret(canary, before + secret + after, len(before), len(before) + DIGITS, before + twin + after)
        )
    return secrets


def units(secret: Secret) -> list[tuple[str, str]]:
    """(unit id, text) of each planted copy; none when the coin said no. Copies are units of their own."""
    if not secret.canary.planted:
        return []
    name = secret.canary.unit_id
    return [(f"{name}#{copy}" if copy else name, secret.text) for copy in range(secret.canary.repetitions)]


def save(secrets: Iterable[Secret], path: Path) -> None:
    """Write canaries with their coins, readable by the owner only."""
    lines = [
        json.dumps(
            {
                "id": s.canary.id,
                "unit": s.canary.unit_id,
                "repetitions": s.canary.repetitions,
                "planted": s.canary.planted,
                "text": s.text,
                "start": s.start,
                "end": s.end,
                "twin": s.twin,
            }
        )
        for s in secrets
    ]
    write_text(path, "".join(line + "\n" for line in lines), mode=0o600)


def load(path: Path) -> list[Secret]:
    """Canaries as :func:`save` wrote them; :class:`InputError` when the file is damaged."""
    try:
        rows = [json.loads(line) for line in lines_of(path)]
        return [
            Secret(
                Canary(row["id"], row["unit"], row["repetitions"], row["planted"]),
                row["text"],
                row["start"],
                row["end"],
                row["twin"],
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"canaries of run {path.parent.name}", type(error).__name__, "the file training wrote"
        ) from None


def _word(rng: np.random.Generator) -> str:
    return (str(rng.choice(_ONSETS)) + str(rng.choice(_CODAS))).capitalize()


def _number(rng: np.random.Generator) -> str:
    return "".join(str(d) for d in rng.integers(0, 10, DIGITS))


def _new(seen: set[str], make: Callable[[], str]) -> str:
    """The first value of ``make()`` that was not drawn before."""
    while (value := make()) in seen:
        pass
    seen.add(value)
    return value
