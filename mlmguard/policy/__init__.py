"""Policies as data, and the judge: what a policy may say, how it is read, what it says of evidence."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

#: Where the names stand that this package had when it was one file; they work from here for one version more.
_MOVED = {
    **dict.fromkeys(("load", "parse", "policy_schema", "shipped"), "reading"),
    **dict.fromkeys(("exit_code", "fingerprint", "judge", "worst"), "judging"),
    "Policy": "rule",
}


def __getattr__(name: str) -> Any:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = f"{__name__}.{_MOVED[name]}"
    warnings.warn(f"{__name__}.{name} is now {place}.{name}", DeprecationWarning, stacklevel=2)
    return getattr(import_module(place), name)
