"""mlmguard: decide whether a masked language model trained on people's text may be released."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

__version__ = "0.1.0"


class _OldPlaces:
    """Asked by Python, after all others, for a module that nobody has found: has it moved?"""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith("mlmguard."):
            return None
        from mlmguard.moved import spec_of

        return spec_of(name)


sys.meta_path.append(_OldPlaces)
