"""Opacus' accountants, beside our own: PRV and RDP. No torch here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

_HIGH_ORDERS = (80, 128, 256, 512, 1024)  # of Rényi divergence: Opacus' own end at 63, too low for a small ε


def epsilon(steps: list[tuple[float, float, int]], delta: float, name: str) -> float:
    """ε of ``steps`` (noise multiplier, sample rate, how many) at ``delta`` by ``name``, "prv" or "rdp"."""
    accountants = _accountants()
    accountant = accountants.PRVAccountant() if name == "prv" else accountants.RDPAccountant()
    orders = {"alphas": [*accountants.RDPAccountant.DEFAULT_ALPHAS, *_HIGH_ORDERS]} if name == "rdp" else {}
    accountant.history = steps
    # PRV takes log(1 − q) at q = 1 and masks it afterwards; RDP warns where a still higher order were tighter
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the largest alpha")
        return float(accountant.get_epsilon(delta=delta, **orders))


@lru_cache(maxsize=1)
def _accountants() -> Any:
    """``opacus.accountants`` without the rest of Opacus.

    All of it takes over a second, torch not counted, for the name of an optimizer in an annotation. Where
    another version needs more than that, all of it is imported.
    """
    found = importlib.util.find_spec("opacus") if "opacus" not in sys.modules else None
    if found is None or found.submodule_search_locations is None:
        return importlib.import_module("opacus.accountants")
    package, optimizers = ModuleType("opacus"), ModuleType("opacus.optimizers")
    package.__path__ = list(found.submodule_search_locations)
    optimizers.DPOptimizer = object  # type: ignore[attr-defined]
    sys.modules |= {"opacus": package, "opacus.optimizers": optimizers}
    try:
        ours = importlib.import_module("opacus.accountants")
        rdp: Any = importlib.import_module("opacus.accountants.analysis.rdp")
        # a hundred orders, each a series: PRV asks for all of them twice before RDP does
        rdp._compute_rdp = lru_cache(maxsize=4096)(rdp._compute_rdp)
        return ours
    except (ImportError, AttributeError):
        pass
    finally:  # who wants Opacus gets all of it
        for name in [name for name in sys.modules if name.split(".")[0] == "opacus"]:
            del sys.modules[name]
    return importlib.import_module("opacus.accountants")
