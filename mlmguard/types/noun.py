"""What every noun is, and who watches a verb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def noun(cls: type[_T]) -> type[_T]:
    """A frozen dataclass whose file form refuses keys it does not know."""
    cls.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return dataclass(frozen=True)(cls)


Progress = Callable[[str, int, int | None], None]
"""How far a verb is: ``progress(stage, done, total)``; ``total`` is None if unknown."""


@dataclass(frozen=True)
class Watcher:
    """Whoever watches a verb. ``stop()`` is called between two steps of work that can go on later."""

    progress: Progress = lambda stage, done, total: None
    tell: Callable[[str], None] = lambda line: None
    stop: Callable[[], bool] = bool

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report stage ``name`` as begun, and as done where its block ends without an error."""
        self.progress(name, 0, 1)
        yield
        self.progress(name, 1, 1)


SILENT = Watcher()
"""The :class:`Watcher` that nobody is."""
