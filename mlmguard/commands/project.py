"""The project file: ``mlmguard.toml`` or ``[tool.mlmguard]``, a table a command and one of the release."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from mlmguard.errors import InputError
from mlmguard.report.clearance import DECLARED

RELEASE = "release"
"""The table of what no program can know of a release: who publishes it, for what, on which ground."""


def tables() -> tuple[Path, Mapping[str, Any]]:
    """Read every table; empty where there is no project file. Raises :class:`InputError` for no TOML."""
    for path, table in ((Path("mlmguard.toml"), ()), (Path("pyproject.toml"), ("tool", "mlmguard"))):
        if not path.is_file():
            continue
        try:
            found: Any = tomllib.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as problem:
            if not table:
                why = f" ({problem})" if isinstance(problem, tomllib.TOMLDecodeError) else ""
                raise InputError(str(path), f"not TOML{why}") from None
            continue  # somebody else's pyproject.toml is not ours to judge
        for part in table:
            found = found.get(part, {}) if isinstance(found, dict) else {}
        if found:
            return path, found
    return Path("mlmguard.toml"), {}


def declared() -> dict[str, str]:
    """Read what people declare of the release; a list is joined, a key that nobody asks for is refused."""
    path, found = tables()
    release = found.get(RELEASE, {})
    if not isinstance(release, dict):
        raise InputError(str(path), f"[{RELEASE}]", "a table")
    facts: dict[str, str] = {}
    for key, value in release.items():
        if key not in DECLARED:
            expected = f"one of: {', '.join(DECLARED)}.{nearest(key, DECLARED)}"
            raise InputError(f"{path}: [{RELEASE}]", f"unknown key {key!r}", expected)
        several = value if isinstance(value, list) else [value]
        if not several or not all(isinstance(one, str | date) and str(one).strip() for one in several):
            raise InputError(f"{path}: [{RELEASE}] {key}", type(value).__name__, "text, or a list of texts")
        facts[key] = ", ".join(str(one) for one in several)
    return facts


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the question whether the nearest of ``known`` was meant, or "" where none is near."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f" Did you mean {close[0]!r}?" if close else ""
