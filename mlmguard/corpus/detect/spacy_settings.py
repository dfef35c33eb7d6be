"""What the settings of a stranger's spaCy model may ask for, before spaCy makes of them what they name.

They name functions that read files or load other models, parts of models that lie elsewhere, layers by the
thousand; and they may put texts into texts until none has an end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlmguard.artifacts import text_of
from mlmguard.errors import InputError
from mlmguard.loading import loader

_MOST_BYTES = 1 << 20
_MADE = ("@architectures", "@layers", "@tokenizers", "@vectors", "@scorers", "@misc")
"""What a pipeline is made of, and of the last only what reads no file:"""
_READS_NOTHING = re.compile(r"spacy\.(\w*suggester|levenshtein_compare|Candidate\w*Generator|EmptyKB)\.v\d+")
_CALLED = ("before_creation", "after_creation", "after_pipeline_creation")
_REFERENCE = re.compile(r"\$\{[\w.:-]+\}")  # and nothing beside it
_MOST = 10_000_000  # rows, widths
_DEEPEST = 100  # layers


def refuse_foreign(folder: Path) -> None:
    """Raise :class:`InputError` where ``config.cfg`` asks for more than a pipeline of its own folder."""
    path = folder / "config.cfg"
    text = text_of(path, "settings as spaCy writes them", _MOST_BYTES)

    def parsed() -> dict[str, Any]:
        from thinc.api import Config

        return dict(Config().from_str(text, interpolate=False))

    read = loader.guarded(parsed, str(path), "no settings of spaCy", "a file as it was saved")
    for key, value in _pairs(read):
        if isinstance(value, str) and "${" in value and not _REFERENCE.fullmatch(value):
            raise InputError(str(path), "a value with a reference in it", "a reference alone, or none")
        if type(value) in (int, float) and not abs(value) <= _MOST:
            raise InputError(str(path), f"{key[:40]} beyond every size", f"at most {_MOST:,}")
    for key, value in _pairs({name: read.get(name) for name in ("nlp", "components")}):
        if key.startswith("@") and (
            key not in _MADE or (key == "@misc" and not _READS_NOTHING.fullmatch(str(value)))
        ):
            raise InputError(str(path), f"{key[:40]}, which a model is not made of", "a pipeline of spaCy's")
        if key in _CALLED and value is not None:
            raise InputError(str(path), f"{key}, a function to call", "null")
        if key == "source":
            raise InputError(str(path), "a component of another model", "components of this folder")
        if key == "depth" and not (type(told := _told(read, value)) is int and told <= _DEEPEST):
            raise InputError(str(path), "a depth that is none", f"at most {_DEEPEST} layers")


def _told(read: Any, value: Any) -> Any:
    """``value``, or what it refers to."""
    if not (isinstance(value, str) and _REFERENCE.fullmatch(value)):
        return value
    for name in re.split(r"[.:]", value[2:-1]):
        read = read.get(name) if isinstance(read, dict) else None
    return read


def _pairs(data: Any) -> Iterator[tuple[str, Any]]:
    left = [data]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield from ((str(key), value) for key, value in one.items())
            left += one.values()
        elif isinstance(one, list):
            yield from (("", value) for value in one)
            left += one
