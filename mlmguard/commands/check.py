"""Look for personal data in single files, as a pre-commit hook does.

Exit code 10 where there is any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mlmguard import console
from mlmguard.commands.options import FILE, Page
from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect.entities import SEVERITIES
from mlmguard.corpus.detect.installed import entity
from mlmguard.errors import InputError


@dataclass(frozen=True)
class Place:
    """A line with a value of a type."""

    path: Path
    line: int
    entity: str
    severity: str


def check(files: Sequence[Path], least: str = "medium") -> tuple[tuple[Place, ...], tuple[Path, ...]]:
    """Every place of at least this severity, and the files that are no text and were not looked at."""
    grave = SEVERITIES[SEVERITIES.index(least) :]
    finder = detect.finder()
    places, skipped = [], []
    for path in files:
        if not path.is_file():
            raise InputError(str(path), "no such file")
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            skipped.append(path)
            continue
        for span in finder.find(text):
            if entity(span.rule).severity in grave:
                line = text.count("\n", 0, span.start) + 1
                places.append(Place(path, line, span.rule, entity(span.rule).severity))
    return tuple(places), tuple(skipped)


# --- the command ----------------------------------------------------------------------------------------


@click.command("check", cls=Page)
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option(
    "--least",
    type=click.Choice(["low", "medium", "high"]),
    default="medium",
    show_default=True,
    help="Least severity that counts.",
)
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def command(files: tuple[Path, ...], least: str, quiet: bool) -> int:
    places, skipped = check(files, least)
    for place in places:
        console.tell(f"{place.path}:{place.line}: {place.entity} ({place.severity})")
    if skipped:
        console.say(f"{len(skipped)} files are no UTF-8 text and were not looked at", quiet)
    return 10 if places else 0
