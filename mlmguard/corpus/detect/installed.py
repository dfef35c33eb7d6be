"""All recognisers and entity types that are there: ours, and those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points

from mlmguard import plugins
from mlmguard.corpus.detect.builtin import RECOGNISERS
from mlmguard.corpus.detect.entities import ENTITIES, Entity
from mlmguard.corpus.detect.recogniser import Recogniser
from mlmguard.errors import InputError

KIND = "recognizers"
"""Of the entry point ``mlmguard.recognizers``."""


def recognisers() -> tuple[Recogniser, ...]:
    """List ours, then those of installed packages.

    Raises :class:`InputError` by the name of a plug-in that does not load or is no recogniser.
    """
    return (*RECOGNISERS.values(), *outside().values())


@lru_cache(maxsize=1)
def outside() -> Mapping[str, Recogniser]:
    """Entry point -> recogniser of an installed package."""
    return {point.name: _loaded(point.name) for point in entry_points(group=f"mlmguard.{KIND}")}


def _loaded(name: str) -> Recogniser:
    found = plugins.find(KIND, name, {})
    if not isinstance(found, Recogniser):
        raise InputError(
            f"recogniser {name!r} of a plug-in", f"a {type(found).__name__}",
            "a mlmguard.corpus.detect.recogniser.Recogniser",
        )  # fmt: skip
    return found


@lru_cache(maxsize=1)
def entities() -> Mapping[str, Entity]:
    """Entity type -> its row: ours, and those that recognisers of installed packages bring.

    A row of ours stands: a plug-in cannot lower the severity of a type that others know.
    """
    theirs = {one.entity.name: one.entity for one in outside().values() if isinstance(one.entity, Entity)}
    return {**theirs, **ENTITIES}


def entity(name: str) -> Entity:
    """Give the row of entity type ``name``; one of medium severity where nobody has described it."""
    return entities().get(name) or Entity(name)
