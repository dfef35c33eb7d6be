"""Look for personal data in single files, as a pre-commit hook does.

What `scan` would read of a file is looked at, and the file as it stands, by patterns: names of persons and
places are not looked for. Exit code 10 where there is any, 1 where a file could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mlmguard import console
from mlmguard.commands.options import FILE, Page
from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect.entities import SEVERITIES
from mlmguard.corpus.detect.installed import entity
from mlmguard.corpus.read import documents as readers
from mlmguard.errors import InputError
from mlmguard.types import Document


@dataclass(frozen=True)
class Place:
    """A line with a value of a type."""

    path: Path
    line: int
    entity: str
    severity: str


@dataclass(frozen=True)
class Unread:
    """A file, or a part of one, that was not looked at, and why."""

    path: Path
    line: int
    reason: str


def check(files: Sequence[Path], least: str = "medium") -> tuple[tuple[Place, ...], tuple[Unread, ...]]:
    """Every place of at least this severity, and what was not looked at."""
    grave = SEVERITIES[SEVERITIES.index(least) :]
    places: list[Place] = []
    unread: list[Unread] = []
    for path in files:
        if not path.is_file():
            raise InputError(str(path), "no such file")
        raw = _as_it_stands(path)
        spans = detect.finder().find(raw or "")
        found = dict.fromkeys((1 + (raw or "").count("\n", 0, s.start), s.rule) for s in spans)
        seen = {(raw or "")[s.start : s.end] for s in spans}
        for item in readers.read_file(path, path.name, _HOW, lambda passed: None):
            if isinstance(item, Document):
                found |= _found_in(item, seen)
            elif raw is None or path.suffix.lower() in _ENCODED:
                unread.append(Unread(path, item.line, item.reason))
        places += [
            Place(path, line, rule, entity(rule).severity)
            for line, rule in sorted(found, key=lambda one: one[0])
            if entity(rule).severity in grave
        ]
    return tuple(places), tuple(unread)


_HOW = readers.Settings(mail_headers=True)
_ENCODED = (".eml", ".mbox")  # text that says nothing before it is decoded


def _as_it_stands(path: Path) -> str | None:
    """The file as text; None if it is none."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _found_in(document: Document, seen: Collection[str]) -> dict[tuple[int, str], None]:
    """(line, type) of what the reader shows and the file as it stands does not: behind an escape, in a
    column. A line is that of the row; 1 where the document is the whole file."""
    named = _ROW.search(document.id)
    texts = (document.text, *(f"{column}: {value}" for column, value in document.metadata.items()))
    return dict.fromkeys(
        (int(named[1]) if named else 1, span.rule)
        for text in texts
        for span in detect.finder().find(text)
        if text[span.start : span.end] not in seen
    )


_ROW = re.compile(r"#L(\d+)\Z")


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
    places, unread = check(files, least)
    for place in places:
        console.tell(f"{place.path}:{place.line}: {place.entity} ({place.severity})")
    for one in unread:
        console.tell(f"{one.path}{f':{one.line}' if one.line else ''}: not looked at ({one.reason})")
    return 1 if unread else 10 if places else 0
