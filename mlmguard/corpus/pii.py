"""Find what is personal in a text, and say what was not looked for.

Presidio does the finding (``presidio``, imported at first use: it takes seconds and brings torch), with
the recognisers it has for English and ours. Nothing here needs a model or the network.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points, version
from typing import Any

from mlmguard import plugins
from mlmguard.corpus.recognizers import RULES, WITHOUT_DETECTOR, Rule
from mlmguard.corpus.spans import Span, resolve
from mlmguard.errors import InputError
from mlmguard.types import Detector

THRESHOLD = 0.4
"""Presidio gives 0.4 to a weak match that a context word supports, and at most 0.3 to one that none does."""


def rules() -> list[Rule]:
    """Our rules and those of installed plug-ins."""
    outside = [
        plugins.find("recognizers", point.name, {}) for point in entry_points(group="mlmguard.recognizers")
    ]
    return [*RULES.values(), *outside]


@lru_cache(maxsize=1)
def _recognizers() -> list[Any]:
    from mlmguard.corpus import presidio

    return presidio.recognizers(rules())


@lru_cache(maxsize=8)
def _engine(entities: tuple[str, ...] | None) -> Any:
    """Those who look for at least one of ``entities``; None: everybody."""
    from mlmguard.corpus import presidio

    wanted = set(entities or supported_entities())
    return presidio.Engine(r for r in _recognizers() if wanted.intersection(r.supported_entities))


class Finder:
    """Finds personal spans; ``entities`` None means every type that has a detector."""

    def __init__(
        self, entities: tuple[str, ...] | None = None, threshold: float = THRESHOLD, language: str = "en"
    ) -> None:
        if language != "en":
            raise InputError(f"language {language!r}", "no detectors for it", '"en"')
        unknown = sorted(set(entities or ()) - set(supported_entities()))
        if unknown:
            raise InputError(
                f"entity {unknown[0]!r}", "no detector", f"one of: {', '.join(supported_entities())}"
            )
        self._entities = tuple(sorted(entities)) if entities else None
        self._threshold = threshold

    def find(self, text: str) -> list[Span]:
        """Spans in order of place, none overlapping (see :func:`mlmguard.corpus.spans.resolve`)."""
        return resolve(self.find_all(text))

    def find_all(self, text: str) -> list[Span]:
        """Everything at or over the threshold, overlaps and all: Presidio's own answer, in order of place."""
        found: list[Span] = _engine(self._entities).analyze(text, self._threshold)
        return [span for span in found if self._entities is None or span.rule in self._entities]


@lru_cache(maxsize=8)
def finder(
    entities: tuple[str, ...] | None = None, threshold: float = THRESHOLD, language: str = "en"
) -> Finder:
    """One :class:`Finder` a process and setting."""
    return Finder(entities, threshold, language)


def supported_entities() -> tuple[str, ...]:
    """Every entity type that something here can find."""
    return tuple(sorted({entity for r in _recognizers() for entity in r.supported_entities}))


def coverage(entities: tuple[str, ...] | None = None) -> tuple[Detector, ...]:
    """What looks for each entity type of interest: "available", "not run" if left out, or "no detector"."""
    stock, ours = version("presidio-analyzer"), {rule.name for rule in rules()}
    detectors: dict[str, list[str]] = {}
    versions: dict[str, set[str]] = {}
    for recognizer in _recognizers():
        own = recognizer.name in ours
        for entity in recognizer.get_supported_entities():
            detectors.setdefault(entity, []).append(recognizer.name)
            versions.setdefault(entity, set()).add(
                f"mlmguard rule {recognizer.version}" if own else f"presidio-analyzer {stock}"
            )
    known = [
        Detector(
            entity,
            "+".join(sorted(names)),
            ", ".join(sorted(versions[entity])),
            "available" if entities is None or entity in entities else "not run",
        )
        for entity, names in detectors.items()
    ]
    blind = [
        Detector(entity, "", "", "no detector") for entity in WITHOUT_DETECTOR if entity not in detectors
    ]
    return tuple(sorted(known + blind, key=lambda d: d.entity))
