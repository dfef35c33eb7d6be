"""What was left out of files: the first records of each by their lines, the others counted by reason.

A file of 300,000 broken lines is one mistake: it must not fill a manifest, nor take as long as a corpus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from mlmguard.types import Skipped

LISTED = 20
"""Records of a file that are named one by one, and reasons by which its others are counted."""
OTHER = "other reasons"


class LeftOut:
    """Records left out, in the order in which they were met. Every one of them is counted."""

    def __init__(self) -> None:
        self._listed: list[Skipped] = []
        self._counted: dict[tuple[str, str], Skipped] = {}
        self._lines, self._reasons = Counter[str](), Counter[str]()  # by file

    def add(self, item: Skipped) -> bool:
        """Whether ``item`` is listed by itself; otherwise it is counted with others of its file."""
        if item.records == 1 and self._lines[item.source] < LISTED:
            self._lines[item.source] += 1
            self._listed.append(item)
            return True
        before = self._counted.get((item.source, item.reason))
        if before is None and self._reasons[item.source] >= LISTED:
            item = replace(item, reason=OTHER)
            before = self._counted.get((item.source, OTHER))
        if before is None:
            self._reasons[item.source] += 1
            before = replace(item, records=0)
        self._counted[item.source, item.reason] = replace(before, records=before.records + item.records)
        return False

    def counted(self) -> tuple[Skipped, ...]:
        """What is not listed: an entry for each file and reason."""
        return tuple(self._counted.values())

    def __iter__(self) -> Iterator[Skipped]:
        return iter((*self._listed, *self._counted.values()))

    @property
    def records(self) -> int:
        """How many were left out."""
        return sum(one.records for one in self)

    def by_reason(self) -> Counter[str]:
        """How many were left out for each reason."""
        total = Counter[str]()
        for one in self:
            total[one.reason] += one.records
        return total
