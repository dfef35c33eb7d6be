"""What every noun is, and who watches a verb."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, dataclass_transform

_T = TypeVar("_T")


def later(*, default: Any) -> Any:
    """A field that came after files of its noun were sealed, and the value that it has in those."""
    return field(default=default, metadata={"later": True})


def sealable(value: Any) -> Any:
    """Return plain data of a noun for a seal: later fields are left out where they say nothing, so that the
    seals of files from before hold."""
    if is_dataclass(value):
        return {
            one.name: sealable(found)
            for one in fields(value)
            if (found := getattr(value, one.name)) != one.default or "later" not in one.metadata
        }
    if isinstance(value, Mapping):
        return {name: sealable(found) for name, found in value.items()}
    return [sealable(found) for found in value] if isinstance(value, tuple | list) else value


@dataclass_transform(frozen_default=True, field_specifiers=(field, later))
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
