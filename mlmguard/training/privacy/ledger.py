"""Ledgers: files that only grow, and the one that all runs on a corpus share.

Every line carries a digest of itself and of everything before it. That catches accidents: a file edited, cut
short or copied from elsewhere. It does not catch deceit, since whoever edits a line can compute its digest.

No torch here: ``mlmguard ledger`` must not wait for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlmguard import accounting
from mlmguard.artifacts import as_noun, made_state_folder, state_folder
from mlmguard.errors import InputError
from mlmguard.types import DpPlan, LedgerEntry, UnitKind

_DIGITS = 32


SEED = "corpus ledger"
_ADDED = ("folder", "taken_from")  # to a line that was taken over from the old place


class ChainedFile:
    """JSON lines, each followed by a digest of the chain so far. ``seed`` ties the file to what it is about.

    Raises :class:`InputError` when a line does not match its digest.
    """

    def __init__(self, path: Path, seed: str) -> None:
        self.path = path
        self.lines: list[dict[str, Any] | None] = []  # None: cut short by a power cut, its content lost
        self._chains = [_digest("", seed)]
        text = path.read_text("utf-8") if path.exists() else ""
        for line in text.splitlines():
            payload, _, chain = line.partition("\t")
            whole = len(chain) == _DIGITS
            self._chains.append(_digest(self.chain, payload if whole else line))
            if whole and chain != self.chain:
                raise self.foreign(f"line {len(self._chains) - 1} does not match its digest")
            self.lines.append(json.loads(payload) if whole else None)
        self._torn = bool(text) and not text.endswith("\n")  # mended before the next line, not by a reader

    @property
    def chain(self) -> str:
        """The digest over all lines."""
        return self._chains[-1]

    def chain_after(self, lines: int) -> str | None:
        """The digest over the first ``lines`` lines; None if there are not that many."""
        return self._chains[lines] if lines < len(self._chains) else None

    def append(self, line: dict[str, Any]) -> None:
        """Add one line and wait until the disk has it."""
        payload = json.dumps(line, sort_keys=True)
        chain = _digest(self.chain, payload)
        self._write("\n" * self._torn + f"{payload}\t{chain}\n")
        self._torn = False
        self.lines.append(line)
        self._chains.append(chain)

    def foreign(self, found: str) -> InputError:
        """The error for a file that is not what was written here."""
        return InputError(
            f"{self.path.parent.name}/{self.path.name}",
            found,
            "the ledger as it was written, its digests intact",
            "restore it from a copy, or move the folder away and start anew",
        )

    def _write(self, text: str) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())


def seed_of(plan: DpPlan | None) -> str:
    """What ties the journal of a run to its plan."""
    return json.dumps(asdict(plan), sort_keys=True) if plan else "plain"


def _digest(before: str, line: str) -> str:
    return hashlib.sha256(f"{before}\n{line}".encode()).hexdigest()[:_DIGITS]


# --- the corpus ledger --------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunOnCorpus:
    """One run as the corpus ledger knows it. ``entries`` is everything it has charged so far."""

    run_id: str
    corpus: str  # the commitment of the scan it read
    raw: str  # where the raw corpus lies, as the scan wrote it down; "" if unknown
    private: bool
    unit: str
    delta: float | None
    entries: tuple[LedgerEntry, ...]
    finished: bool
    unit_kind: str = ""  # a UnitKind; "": not known, as in lines older than this field
    cut: str = ""  # of pieces: the window and the tokenizer that cut them
    weights: str = ""  # digest of the weights it released; "": none, or not known
    statement: str = ""  # digest of the statement it released; "": none, or not known
    started_from: str = ""  # the run whose weights it began with, "public" or "unknown"; "": not known

    @property
    def unit_of_privacy(self) -> tuple[str, ...]:
        """What tells its unit from another's; () where that is not known."""
        if not self.unit_kind or (self.unit_kind == UnitKind.PIECE and not self.cut):
            return ()
        pieces = (self.corpus, self.cut) if self.unit_kind == UnitKind.PIECE else ()
        return (self.unit_kind, self.unit, *pieces)


def epsilon_together(runs: Iterable[RunOnCorpus], delta: float) -> tuple[float | None, str]:
    """ε of the private ones of ``runs``, all on one corpus, at ``delta``; None with the reason.

    Only over one unit: to substitute one document of an author is one change of the author's rows and two of
    the documents, so that what was proved for one does not compose with what was proved for the other.
    """
    private = [run for run in runs if run.private]
    units = {run.unit_of_privacy for run in private}
    if len(units) > 1:
        names = ", ".join(sorted({f"“{run.unit}”, {run.unit_kind or 'kind not known'}" for run in private}))
        return None, f"the private runs on this corpus have different units ({names})"
    if () in units and len(private) > 1:
        return None, "what the units of earlier private runs on this corpus are made of is not known"
    return accounting.compose([entry for run in private for entry in run.entries], delta), ""


class CorpusLedger:
    """``ledger.jsonl`` in the state folder: every run that read private text is in it before its first step.

    There is one for all working folders, or the next folder would know of nothing. Earlier versions kept one
    in each, beside its run folders ``runs``: what stands there is taken over.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs

    @property
    def old_place(self) -> Path:
        """Where earlier versions kept it."""
        return self.runs / "ledger.jsonl"

    def exists(self) -> bool:
        """Has any run been entered, here or in the old place?"""
        return (state_folder() / "ledger.jsonl").is_file() or self.old_place.is_file()

    def take_over(self) -> str:
        """Take over what stands in the old place alone; return a line that says so, "" for nothing.

        Raises :class:`InputError` where the state folder cannot be written, or a ledger is damaged.
        """
        with self._locked() as file:
            taken, lost = self._not_taken(file)
            for line in taken:
                file.append(line)
        if not taken:
            return ""
        cut_short = f"; {lost} lines that were cut short could not be read" if lost else ""
        return (
            f"{len(taken)} entries of {self.old_place} are taken over into the ledger of all working "
            f"folders, {state_folder() / 'ledger.jsonl'}{cut_short}"
        )

    def start(self, run_id: str, **facts: Any) -> None:
        """Enter a run by the fields of :class:`RunOnCorpus`, and ``planned``, the entries it may charge."""
        planned = [asdict(entry) for entry in facts.pop("planned")]
        folder = str((self.runs / run_id).resolve())
        with self._locked() as file:
            file.append({"event": "start", "run": run_id, "folder": folder, "planned": planned, **facts})

    def finish(self, run_id: str, entries: Sequence[LedgerEntry]) -> None:
        """Enter that a run has ended and released a checkpoint, and what it charged."""
        with self._locked() as file:
            file.append({"event": "finish", "run": run_id, "charged": [asdict(entry) for entry in entries]})

    def release(self, run_id: str, weights: str, statement: str = "") -> None:
        """Enter the digests of what a run released: weights, by which a copy is known, and statement."""
        with self._locked() as file:
            file.append({"event": "release", "run": run_id, "weights": weights, "statement": statement})

    def withdraw(self, run_id: str) -> None:
        """Enter that a run ended before its first step and released nothing."""
        with self._locked() as file:
            file.append({"event": "withdraw", "run": run_id})

    def read(self, until: str | None = None) -> list[RunOnCorpus]:
        """All runs in the order in which they started, each with what it has charged by now.

        ``until`` names a run: those that had started when it ended. What went on then has gone on since.
        """
        with self._locked() as file:
            lines = [line for line in file.lines if line is not None] + self._not_taken(file)[0]
        ends = [n for n, line in enumerate(lines, 1) if (line["event"], line["run"]) == ("finish", until)]
        if ends:  # who entered the old place knew what stood there, and no more
            place = lines[ends[-1] - 1].get("taken_from")
            lines = [line for line in lines[: ends[-1]] if place in (None, line.get("taken_from"))]
        ended = {line["run"]: line["charged"] for line in lines if line["event"] == "finish"}
        released = {line["run"]: line for line in lines if line["event"] == "release"}
        started: dict[str, dict[str, Any]] = {}
        for line in lines:
            if line["event"] == "start":
                started[line["run"]] = line
            elif line["event"] == "withdraw" and line["run"] not in ended:  # a finished one is out for good
                started.pop(line["run"], None)
        return [
            RunOnCorpus(
                run_id=run_id,
                corpus=line["corpus"],
                raw=line["raw"],
                private=line["private"],
                unit=line["unit"],
                delta=line["delta"],
                entries=_entries(ended[run_id]) if run_id in ended else self._charged(run_id, line),
                finished=run_id in ended,
                unit_kind=line.get("unit_kind", ""),
                cut=line.get("cut", ""),
                weights=released.get(run_id, {}).get("weights", ""),
                statement=released.get(run_id, {}).get("statement", ""),
                started_from=line.get("started_from", ""),
            )
            for run_id, line in started.items()
        ]

    def on_corpus_of(self, run_id: str, until: str | None = None) -> tuple[RunOnCorpus, list[RunOnCorpus]]:
        """``run_id`` and the other runs on its corpus: the same clean rows, or other scans of its folder."""
        known = {run.run_id: run for run in self.read(until)}
        if run_id not in known:
            raise InputError(
                "the corpus ledger",
                f"it does not know {run_id}, which entered itself when it started",
                "ledger.jsonl in the state folder as it was",
                "restore it from a copy, or name its folder with MLMGUARD_STATE",
            )
        own = known.pop(run_id)
        return own, [run for run in known.values() if same_corpus(own, run)]

    def _charged(self, run_id: str, line: dict[str, Any]) -> tuple[LedgerEntry, ...]:
        """What a run that has not ended has spent: its journal's steps, or all it planned if that is gone."""
        planned = _entries(line["planned"])
        places = [self.runs / run_id, *([Path(line["folder"])] if line.get("folder") else [])]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            return planned
        journal = folder / "ledger.jsonl"
        steps = len(journal.read_text("utf-8").splitlines()) if journal.exists() else 0
        return tuple(
            LedgerEntry(**{**asdict(entry), "steps": min(entry.steps, steps)})
            if entry.mechanism == "poisson-gaussian"
            else entry
            for entry in planned
        )

    @contextmanager
    def _locked(self) -> Iterator[ChainedFile]:
        """The file, with every other process kept out while it is read and written."""
        folder = made_state_folder()
        with (folder / ".ledger.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield ChainedFile(folder / "ledger.jsonl", SEED)

    def _not_taken(self, file: ChainedFile) -> tuple[list[dict[str, Any]], int]:
        """What stands in the old place and not in ``file``, and how many lines there cannot be read."""
        old = self.old_place
        if not old.is_file() or (file.path.exists() and old.samefile(file.path)):
            return [], 0
        place = str(old.resolve())

        def told(line: dict[str, Any]) -> str:
            """A line without what taking it over adds: one copied from a state folder has that already."""
            return json.dumps(
                {name: value for name, value in line.items() if name not in _ADDED}, sort_keys=True
            )

        known = {told(line) for line in file.lines if line is not None and line.get("taken_from") == place}
        found = ChainedFile(old, SEED).lines
        taken = [
            {**line, "folder": str((self.runs / line["run"]).resolve()), "taken_from": place}
            for line in found
            if line is not None and told(line) not in known
        ]
        return taken, sum(line is None for line in found)


def same_corpus(one: RunOnCorpus, other: RunOnCorpus) -> bool:
    """Did both read the same clean rows, or scans of one folder?"""
    return one.corpus == other.corpus or bool(one.raw and one.raw == other.raw)


def _entries(data: Sequence[Any]) -> tuple[LedgerEntry, ...]:
    return tuple(as_noun(entry, LedgerEntry, "the corpus ledger") for entry in data)
