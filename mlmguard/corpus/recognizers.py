"""The old place of :mod:`mlmguard.corpus.detect`: its names still come from here, for one version."""

from __future__ import annotations

import warnings
from typing import Any

_NOW = {
    "Pattern": "mlmguard.corpus.detect.recogniser",
    "RULES": "mlmguard.corpus.detect.builtin",
    "Rule": "mlmguard.corpus.detect.recogniser",
    "severity": "mlmguard.corpus.detect.builtin",
}


def __getattr__(name: str) -> Any:
    """Give ``name`` from where it is now, with a warning that says where that is."""
    if name not in _NOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    warnings.warn(f"{__name__}.{name} is now {_NOW[name]}.{name}", DeprecationWarning, stacklevel=2)
    return getattr(import_module(_NOW[name]), name)
