"""Personal data in single files, for a hook before a commit: places and types, never the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.builtin import severity
from mlmguard.errors import InputError

SEVERITIES = ("low", "medium", "high")


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
    finder = pii.finder()
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
            if severity(span.rule) in grave:
                line = text.count("\n", 0, span.start) + 1
                places.append(Place(path, line, span.rule, severity(span.rule)))
    return tuple(places), tuple(skipped)
