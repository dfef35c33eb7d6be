"""What outsiders registered under an entry point ``mlmguard.<kind>``: its names, one of them, all of them.

A plug-in that does not load is an error and never a gap, and none takes the name of what is built in.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mlmguard.errors import InputError
from mlmguard.types import Metric


def names(kind: str, builtin: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a kind, the built-in ones first; nothing is loaded."""
    return (*builtin, *_points(kind, builtin))


def find(kind: str, name: str, builtin: Mapping[str, Any]) -> Any:
    """Return the built-in or the plug-in called ``name``.

    Raises:
        InputError: nothing has that name, or the plug-in does not load.
    """
    if name in builtin:
        return builtin[name]
    points = _points(kind, builtin)
    if name not in points:
        raise InputError(f"{kind} {name!r}", "not known", f"one of: {', '.join([*builtin, *points])}")
    return _loaded(kind, points[name])


def every(kind: str, builtin: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything of a kind by name, built-in first.

    Raises:
        InputError: a plug-in does not load, or has a name that is taken.
    """
    outside = {name: _loaded(kind, point) for name, point in _points(kind, builtin).items()}
    return {**builtin, **outside}


def metrics() -> dict[str, Metric]:
    """Return what plug-ins measure, by name: the metrics that their attacks declare.

    Raises:
        InputError: a plug-in does not load, or has a name that is taken.
    """
    parts = (part for attack in every("attacks", {}).values() for part in getattr(attack, "parts", ()))
    return {metric.name: metric for part in parts for metric in part.metrics}


def _points(kind: str, builtin: Mapping[str, Any]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"mlmguard.{kind}"):
        # an installation seen twice (a checkout and its wheel) registers the same thing twice
        if point.name in builtin or found.get(point.name, point).value != point.value:
            raise InputError(f"plug-in {point.name}", f"there is another {kind} of that name", "its own name")
        found[point.name] = point
    return found


def _loaded(kind: str, point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise InputError(
            f"plug-in {point.name}",
            f"it does not load ({type(error).__name__})",
            f"{point.value} as a {kind}",
            "mend or uninstall it",
        ) from error
