"""How many documents hold the same value: counted by fingerprint, in fixed-width records on disk.

Repetition is what models memorise. The values themselves are never here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlmguard.corpus.records import Parts

_RECORD = np.dtype([("fingerprint", "<u8"), ("document", "<u4"), ("rule", "<u2")])
_PARTS = 16  # by fingerprint
_TOGETHER = 4096  # findings that are written together


@dataclass(frozen=True)
class Repeated:
    """Values that at least two documents hold, in the order of their fingerprints."""

    rules: tuple[str, ...]  # names of the numbers in ``rule``
    fingerprint: np.ndarray  # uint64: fingerprints
    rule: np.ndarray  # uint16
    findings: np.ndarray  # uint32
    documents: np.ndarray  # uint32

    def holders(self, fingerprint: str) -> int:
        """Return how many documents hold this value."""
        place = int(np.searchsorted(self.fingerprint, np.uint64(int(fingerprint, 16))))
        there = place < len(self.fingerprint) and int(self.fingerprint[place]) == int(fingerprint, 16)
        return int(self.documents[place]) if there else 1

    def most(self, count: int) -> list[dict[str, object]]:
        """The ``count`` values that most documents hold, the most frequent first, then by type and name."""
        by_name = np.argsort(np.argsort(self.rules))[self.rule] if self.rules else self.rule
        order = np.lexsort((self.fingerprint, by_name, -self.documents.astype(np.int64)))[:count]
        return [
            {
                "rule": self.rules[int(self.rule[i])],
                "fingerprint": f"{int(self.fingerprint[i]):016x}",
                "findings": int(self.findings[i]),
                "documents": int(self.documents[i]),
            }
            for i in order
        ]


class Values:
    """Every finding's fingerprint, as it comes."""

    def __init__(self, folder: Path) -> None:
        self._parts = Parts(_RECORD, _PARTS, folder)
        self._waiting: list[tuple[int, int, int]] = []
        self._rules: dict[str, int] = {}

    def __enter__(self) -> Values:
        return self

    def __exit__(self, *exception: object) -> None:
        self._parts.__exit__(*exception)

    def add(self, document: int, found: Iterable[tuple[str, str]]) -> None:
        """(rule, fingerprint) of the findings of one document."""
        for rule, fingerprint in found:
            number = self._rules.setdefault(rule, len(self._rules))
            self._waiting.append((int(fingerprint, 16), document, number))
        if len(self._waiting) >= _TOGETHER:
            self._flush()

    def _flush(self) -> None:
        records = np.array(self._waiting, _RECORD)
        self._parts.append(records, records["fingerprint"])
        self._waiting.clear()

    def repeated(self) -> Repeated:
        """Return what more than one document holds."""
        self._flush()
        kept = [_often(piece) for piece in self._parts.pieces("fingerprint")]
        fingerprint, rule, findings, documents = (np.concatenate(column) for column in zip(*kept))
        order = np.argsort(fingerprint)
        return Repeated(
            tuple(self._rules), fingerprint[order], rule[order], findings[order], documents[order]
        )


def _often(records: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fingerprint, rule, findings and documents of what at least two documents hold."""
    records = records[np.lexsort((records["document"], records["fingerprint"]))]
    fingerprint, document = records["fingerprint"], records["document"]
    if not len(fingerprint):
        return fingerprint, records["rule"], np.zeros(0, np.uint32), np.zeros(0, np.uint32)
    new_value = np.concatenate([[True], fingerprint[1:] != fingerprint[:-1]])
    new = new_value | np.concatenate([[True], document[1:] != document[:-1]])
    first = np.flatnonzero(new_value)
    documents = np.add.reduceat(new.astype(np.uint32), first)
    findings = np.diff(np.append(first, len(fingerprint))).astype(np.uint32)
    often = documents > 1
    return fingerprint[first][often], records["rule"][first][often], findings[often], documents[often]
