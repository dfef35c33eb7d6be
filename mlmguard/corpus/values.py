"""How many documents hold the same value: counted by fingerprint, in fixed-width records on disk.

Repetition is what models memorise. The values themselves are never here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_RECORD = np.dtype([("mark", "<u8"), ("document", "<u4"), ("rule", "<u2")])
_PARTS = 16  # by the first hexadecimal digit: one sixteenth at a time is in memory


@dataclass(frozen=True)
class Repeated:
    """Values that at least two documents hold, in the order of their fingerprints."""

    rules: tuple[str, ...]  # names of the numbers in ``rule``
    mark: np.ndarray  # uint64: fingerprints
    rule: np.ndarray  # uint16
    findings: np.ndarray  # uint32
    documents: np.ndarray  # uint32

    def holders(self, fingerprint: str) -> int:
        """How many documents hold this value."""
        place = int(np.searchsorted(self.mark, np.uint64(int(fingerprint, 16))))
        there = place < len(self.mark) and int(self.mark[place]) == int(fingerprint, 16)
        return int(self.documents[place]) if there else 1

    def most(self, count: int) -> list[dict[str, object]]:
        """The ``count`` values that most documents hold, the most frequent first, then by type and name."""
        by_name = np.argsort(np.argsort(self.rules))[self.rule] if self.rules else self.rule
        order = np.lexsort((self.mark, by_name, -self.documents.astype(np.int64)))[:count]
        return [
            {
                "rule": self.rules[int(self.rule[i])],
                "fingerprint": f"{int(self.mark[i]):016x}",
                "findings": int(self.findings[i]),
                "documents": int(self.documents[i]),
            }
            for i in order
        ]


class Values:
    """Every finding's fingerprint, as it comes."""

    def __init__(self, folder: Path) -> None:
        self._parts = [tempfile.TemporaryFile(dir=folder) for _ in range(_PARTS)]  # noqa: SIM115
        self._rules: dict[str, int] = {}

    def __enter__(self) -> Values:
        return self

    def __exit__(self, *exception: object) -> None:
        for part in self._parts:
            part.close()

    def add(self, document: int, found: Iterable[tuple[str, str]]) -> None:
        """(rule, fingerprint) of the findings of one document."""
        for rule, fingerprint in found:
            number = self._rules.setdefault(rule, len(self._rules))
            record = np.array([(int(fingerprint, 16), document, number)], _RECORD)
            self._parts[int(fingerprint[0], 16)].write(record.tobytes())

    def repeated(self) -> Repeated:
        """What more than one document holds."""
        kept = []
        for part in self._parts:
            part.seek(0)
            records = np.frombuffer(part.read(), _RECORD)
            order = np.lexsort((records["document"], records["mark"]))
            mark, document = records["mark"][order], records["document"][order]
            first = np.flatnonzero(np.concatenate([[True], mark[1:] != mark[:-1]])) if len(mark) else order
            new = np.concatenate([[True], (mark[1:] != mark[:-1]) | (document[1:] != document[:-1])])
            documents = np.add.reduceat(new[: len(mark)].astype(np.uint32), first) if len(mark) else first
            findings = np.diff(np.append(first, len(mark)))
            often = documents > 1
            kept.append(
                (mark[first][often], records["rule"][order][first][often], findings[often], documents[often])
            )
        mark, rule, findings, documents = (np.concatenate(column) for column in zip(*kept))
        return Repeated(tuple(self._rules), mark, rule, findings, documents)
