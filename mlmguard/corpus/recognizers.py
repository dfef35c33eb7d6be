"""The old place of :mod:`mlmguard.corpus.detect`: its names still come from here, for one version."""

from __future__ import annotations

import warnings
from typing import Any

_NOW = {
    "Pattern": ("mlmguard.corpus.detect.recogniser", "Pattern"),
    "RULES": ("mlmguard.corpus.detect.builtin", "RECOGNISERS"),
    "Rule": ("mlmguard.corpus.detect.recogniser", "Recogniser"),
}


def __getattr__(name: str) -> Any:
    """Give ``name`` from where it is now, with a warning that says where that is."""
    if name not in _NOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, new = _NOW[name]
    warnings.warn(f"{__name__}.{name} is now {module}.{new}", DeprecationWarning, stacklevel=2)
    return getattr(import_module(module), new)
