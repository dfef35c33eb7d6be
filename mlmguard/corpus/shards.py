"""Which files of a corpus belong to which shard, and what is on record of a shard that was examined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlmguard.corpus.read.files import digest
from mlmguard.types import Skipped

Found = tuple[str, Path | Skipped]
"""A file of a corpus by its name, or why it is not followed."""


@dataclass(frozen=True)
class Seen:
    """A file as it was when its shard was begun."""

    size: int
    modified: int  # nanoseconds
    sha256: str


@dataclass(frozen=True)
class ShardRecord:
    """What a job leaves beside its spool, last of all: of what it is a function, and a digest of it."""

    number: int
    of: int
    tool_version: str
    detectors: str  # a digest of what looked, and of its versions
    key_id: str
    settings: dict[str, str]  # those that decide what a job leaves
    files: dict[str, Seen | None] = field(repr=False)  # None: a name that is not followed
    against: tuple[dict[str, str], ...] = field(repr=False)  # the last shard has the evaluation sets, too
    frames: int
    digest: str
    schema: str = "mlmguard/shard/v1"

    @property
    def name(self) -> str:
        """What it is called in a message."""
        return f"shard {self.number}/{self.of}"

    @property
    def bytes(self) -> int:
        """Bytes of the files in it."""
        return sum(seen.size for seen in self.files.values() if seen)


def slice_of(found: Sequence[Found], number: int, of: int) -> list[Found]:
    """Give shard ``number`` (from 1) of ``of``: files that follow each other, with about as many bytes as any
    other's. A file belongs to the shard in which its middle lies."""
    sizes = [path.stat().st_size if isinstance(path, Path) else 0 for _, path in found]
    total = sum(sizes)
    if not total:  # nothing to read: they are dealt by their places
        sizes, total = [1] * len(found), len(found)
    chosen, before = [], 0
    for one, size in zip(found, sizes):
        if min(of, (2 * before + size) * of // (2 * total) + 1) == number:
            chosen.append(one)
        before += size
    return chosen


def look(found: Sequence[Found]) -> dict[str, Seen | None]:
    """Digest the files of a shard."""
    return {name: _seen(path) if isinstance(path, Path) else None for name, path in found}


def _seen(path: Path) -> Seen:
    before = path.stat()
    return Seen(before.st_size, before.st_mtime_ns, digest(path))


def changed(found: Sequence[Found], then: Mapping[str, Seen | None]) -> int:
    """Count the files that are not what they were. One of the same size and time is taken for the same."""
    return sum(not _is_still(path, then.get(name)) for name, path in found)


def _is_still(path: Path | Skipped, then: Seen | None) -> bool:
    if isinstance(path, Skipped) or then is None:
        return isinstance(path, Skipped) and then is None
    now = path.stat()
    if (now.st_size, now.st_mtime_ns) == (then.size, then.modified):
        return True
    return now.st_size == then.size and digest(path) == then.sha256  # a copy, or written anew
