"""One function: find what outsiders registered under an entry point ``mlmguard.<kind>``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from mlmguard.errors import InputError


def find(kind: str, name: str, builtin: Mapping[str, Any]) -> Any:
    """The built-in or the plug-in called ``name``; a plug-in that does not load is an error, never a gap."""
    if name in builtin:
        return builtin[name]
    for point in entry_points(group=f"mlmguard.{kind}"):
        if point.name == name:
            try:
                return point.load()
            except Exception as error:
                raise InputError(
                    f"plug-in {name}", f"it does not load ({type(error).__name__})", f"a {kind}"
                ) from error
    known = ", ".join([*builtin, *(point.name for point in entry_points(group=f"mlmguard.{kind}"))])
    raise InputError(f"{kind} {name!r}", "not known", f"one of: {known}")
