"""A scan on many machines: each job examines a shard of the corpus, and one that comes last does the rest.

    shards-ID/1-of-3/  shards-ID/2-of-3/  shards-ID/3-of-3/ ──merge──▶ the bytes of a scan at once

A job finds its shard by itself: it is a slice of the sorted files. What it leaves is a spool, on which a
killed job goes on, and when that is whole a record of what it is a function of. Nothing else is exchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mlmguard import __version__, artifacts
from mlmguard.corpus import shards
from mlmguard.corpus.read import documents
from mlmguard.corpus.shards import Found, ShardRecord
from mlmguard.corpus.spool import Finished, Spool, Spools
from mlmguard.engine import Engine
from mlmguard.errors import InputError, PartialRun
from mlmguard.scan.examining import batches
from mlmguard.scan.job import (
    Inputs,
    check_places,
    check_settings,
    examining,
    made_by,
    one_line_for_the_usual_failures,
    reading,
    shown,
    workers,
)
from mlmguard.settings import ScanSettings, check
from mlmguard.types import SILENT, Watcher

_AFTERWARDS = ("near_threshold", "keep", "cut_passages", "splits", "left_out")
"""Settings that matter only once everything is examined: those of the merge count."""
_RECORD = "shard.json"
_FOLDER = re.compile(r"([1-9]\d*)-of-([1-9]\d*)")
_NAMED = 8  # shards that a message lists


@dataclass(frozen=True)
class _How:
    """What a shard depends on beside its files."""

    tool_version: str
    detectors: str
    key_id: str
    settings: dict[str, str]

    @classmethod
    def of(cls, settings: ScanSettings, key: artifacts.Key) -> _How:
        detectors = hashlib.sha256(made_by(settings).encode()).hexdigest()
        chosen = {n: v for n, v in shown(settings, key).items() if n not in _AFTERWARDS}
        return cls(__version__, detectors, key.id, chosen)

    def refuse_other(self, there: ShardRecord, do: str) -> None:
        """Raise :class:`InputError` where a shard was examined in another way."""
        if there.tool_version != self.tool_version:
            found, expected = f"made by mlmguard {there.tool_version}", f"{self.tool_version} for all"
        elif there.key_id != self.key_id:
            found = f"made under the key {there.key_id}, and the key at hand is {self.key_id}"
            expected = "one key for all: MLMGUARD_KEY_FILE says where it lies"
        elif there.settings != self.settings:
            names = sorted(there.settings.keys() | self.settings.keys())
            other = [n for n in names if there.settings.get(n) != self.settings.get(n)]
            found = f"made with other settings ({', '.join(other).replace('_', ' ')})"
            expected = "the same for every shard and the merge"
        elif there.detectors != self.detectors:
            found, expected = "made with other detectors", "the same packages on every machine"
        else:
            return
        raise InputError(there.name, found, expected, do)


# --- one shard ----------------------------------------------------------------------------------------


def examine_shard(
    corpus: Path,
    clean: Path,
    reports: Path,
    *,
    key: artifacts.Key,
    settings: ScanSettings,
    runs: Path = artifacts.RUNS,
    engine: Engine | None = None,
    overwrite: bool = False,
    watcher: Watcher = SILENT,
) -> ShardRecord:
    """Examine the shard that ``settings`` names, and keep in ``runs`` what the merge needs of it.

    One that is there already is left as it is; one of other settings is refused unless ``overwrite`` is set.
    ``clean`` and ``reports`` are those of the merge: what lies there is no part of the corpus. Raises
    :class:`InputError` before anything is written, :class:`PartialRun` after.
    """
    check(settings)
    if settings.part is None:
        raise InputError("--shard", "none", "which part of how many, as in 2/8")
    check_places(corpus, clean)
    engine = engine or workers(settings)
    with one_line_for_the_usual_failures():
        check_settings(settings)
        number, of = settings.part
        found = shards.slice_of(list(documents.files(corpus, (clean, reports, runs.parent))), number, of)
        base = artifacts.run_folder(_id(corpus), runs)
        folder = base / f"{number}-of-{of}"
        folder.mkdir(mode=0o700, exist_ok=True)
        job = f"--shard {number}/{of}"
        with (
            _held(base, job, "a merge reads these shards", shared=True),
            _held(folder, job, "another job works on this shard"),
        ):
            return _examined(found, folder, key, settings, engine, overwrite, watcher)


def _examined(
    found: Sequence[Found],
    folder: Path,
    key: artifacts.Key,
    settings: ScanSettings,
    engine: Engine,
    overwrite: bool,
    watcher: Watcher,
) -> ShardRecord:
    number, of = settings.part or (1, 1)
    how, last = _How.of(settings, key), settings.against if number == of else ()
    against = tuple(documents.digests(place) for place in last)
    if not overwrite and (there := _record(folder)):
        how.refuse_other(there, "name another number, or say --overwrite to examine it anew")
        if _same_files(there, found) and there.against == against:
            return there
    (folder / _RECORD).unlink(missing_ok=True)  # from here on it is not whole
    seen = shards.look(found)
    passed = 0

    def advance(at: int) -> None:
        nonlocal passed
        passed = at

    contents = {name: one and one.sha256 for name, one in seen.items()}
    with Spool(folder, json.dumps([vars(how), number, of, contents, against])) as spool:
        everything = batches(documents.read_files(found, reading(settings), advance), last, reading(settings))
        total = sum(one.size for one in seen.values() if one)
        for frame in engine.map(examining(settings, key), islice(everything, spool.frames, None)):
            spool.put(frame)
            watcher.progress("scan (MB)", passed // 1_000_000, -(-total // 1_000_000))
        if lost := shards.changed(found, seen):
            raise PartialRun(
                f"--shard {number}/{of}: {lost} files changed while they were read; run it again."
            )
        record = ShardRecord(
            number, of, **vars(how), files=seen, against=against, frames=spool.frames, digest=spool.finished()
        )
    artifacts.write_json(folder / _RECORD, record, mode=0o600)
    return record


def _same_files(there: ShardRecord, found: Sequence[Found]) -> bool:
    return [*there.files] == [name for name, _ in found] and not shards.changed(found, there.files)


def _id(corpus: Path) -> str:
    """Name the folder of a corpus's shards by where it lies: a job does not know what is in the others."""
    place = os.fsencode(corpus.resolve())
    return f"shards-{hashlib.sha256(place).hexdigest()[:16]}"


def _record(folder: Path) -> ShardRecord | None:
    """What is on record of the shard in ``folder``; None where it is not whole."""
    path = folder / _RECORD
    return artifacts.read_noun(path, ShardRecord) if path.exists() else None


@contextmanager
def _held(folder: Path, thing: str, found: str, shared: bool = False) -> Iterator[None]:
    """Keep others away. Raises :class:`InputError` where somebody else is there, with ``found``."""
    try:
        descriptor = artifacts.hold(folder, shared)
    except InputError:
        raise InputError(thing, found, "one at a time", "wait for it, or end it") from None
    try:
        yield
    finally:
        os.close(descriptor)


# --- all of them --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shards:
    """What the jobs have left, as the rest of a scan takes it; nothing for a scan at once."""

    inputs: Inputs | None = None
    spools: Spools | None = None
    folder: Path | None = field(default=None, repr=False)

    def done(self) -> None:
        """Remove what the jobs have left: it holds raw text."""
        if self.folder is not None:
            shutil.rmtree(self.folder)


@contextmanager
def gathered(
    corpus: Path, clean: Path, reports: Path, runs: Path, key: artifacts.Key, settings: ScanSettings
) -> Iterator[Shards]:
    """Give the shards that ``settings`` asks to merge, every one whole, of this corpus and made in one way.

    Raises :class:`InputError` that names what is missing or does not fit.
    """
    if settings.part is not None:
        raise InputError("--shard", "one part of a corpus", "a whole scan", "call examine_shard")
    if not settings.merge:
        yield Shards()
        return
    base = runs / _id(corpus)
    if not base.is_dir():
        do = "run the --shard jobs first, in this working folder and with the corpus at this path"
        raise InputError(str(corpus), "no shard of it is here", "all of them", do)
    with _held(base, "--merge", "a job of these shards, or another merge, is under way"):
        records = _whole(base)
        how = _How.of(settings, key)
        for record in records:
            again = f"run --shard {record.number}/{record.of} --overwrite like the others"
            how.refuse_other(record, again)
        _refuse_another_corpus(corpus, list(documents.files(corpus, (clean, reports, runs.parent))), records)
        against = [documents.digests(place) for place in settings.against]
        if against != list(records[-1].against):
            do = f"run --shard {records[-1].number}/{records[-1].of} again with them"
            raise InputError("--against", f"not what {records[-1].name} was examined with", "the same", do)
        files = {n: one.sha256 for record in records for n, one in record.files.items() if one}
        finished = [Finished(base / f"{r.number}-of-{r.of}", r.frames, r.digest, r.name) for r in records]
        yield Shards(Inputs(files, against), Spools(finished), base)


def division(corpus: Path, runs: Path) -> int | None:
    """Say into how many shards an interrupted scan divided a corpus; None where there are none, or two."""
    base = runs / _id(corpus)
    counts = _counts(base) if base.is_dir() else []
    return counts[0] if len(counts) == 1 else None


def _counts(base: Path) -> list[int]:
    named = (_FOLDER.fullmatch(path.name) for path in base.iterdir())
    return sorted({int(found[2]) for found in named if found})


def _whole(base: Path) -> list[ShardRecord]:
    """The records of all shards in order. Raises :class:`InputError` where one is missing."""
    counts = _counts(base)
    if not counts:
        raise InputError(str(base), "no shard in it", "all of them", "run the --shard jobs first")
    if len(counts) > 1:
        raise InputError(
            str(base),
            f"shards of {' and of '.join(map(str, counts))}",
            "one division of the corpus",
            "remove the folders of the others",
        )
    records = {number: _record(base / f"{number}-of-{counts[0]}") for number in range(1, counts[0] + 1)}
    missing = [number for number, record in records.items() if record is None]
    if missing:
        some = ", ".join(map(str, missing[:_NAMED])) + (" …" if len(missing) > _NAMED else "")
        raise InputError(
            "--merge",
            f"{len(missing)} of {counts[0]} shards are missing or not done ({some})",
            "all of them",
            f"run --shard {missing[0]}/{counts[0]}: a killed job goes on where it was",
        )
    return [record for record in records.values() if record]


def _refuse_another_corpus(corpus: Path, now: Sequence[Found], records: Sequence[ShardRecord]) -> None:
    """Raise :class:`InputError` unless the shards hold each file of the corpus once, in order, as it is."""
    then = [name for record in records for name in record.files]
    seen = {name: one for record in records for name, one in record.files.items()}
    there = dict(now)
    both = [(name, thing) for name, thing in now if name in seen]
    counts = {
        "gone": len(seen.keys() - there.keys()),
        "new": len(now) - len(both),
        "changed": shards.changed(both, seen),
        "in two shards": len(then) - len(seen),
    }
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if not found and then != [name for name, _ in now]:
        found = "their order is another"
    if found:
        raise InputError(
            str(corpus),
            f"not the files that the jobs examined: {found}",
            "the corpus as it was",
            "run the --shard jobs again: those whose files are as they were end at once",
        )
