"""One scan: where from, where to, under which name and how; and what is refused before it starts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from mlmguard import __version__, artifacts
from mlmguard.corpus.copies.earlier import Earlier
from mlmguard.corpus.copies.index import Index
from mlmguard.corpus.detect import strong
from mlmguard.corpus.detect.finder import Names, coverage, finder, names_digest
from mlmguard.corpus.detect.own import read as own_words
from mlmguard.corpus.examine import Examine
from mlmguard.corpus.read import documents
from mlmguard.engine import LocalEngine
from mlmguard.errors import InputError, PartialRun
from mlmguard.scan import card
from mlmguard.settings import ScanSettings

_NOT_SHOWN = (
    "workers",
    "shard",
    "merge",
    "prove",
    "index",  # what it holds counts, by the state of it
    "engine",
    "address",
    "max_skipped",
    "against",
    "ner",
    "names_by_cue",
    "no_names",
    "kept",
    "left_out",
    "deny_list",
    "allow_list",
)


@dataclass(frozen=True)
class Inputs:
    """What is read: of the corpus, and of each set it is held against, every file with its SHA-256."""

    files: Mapping[str, str]
    against: Sequence[Mapping[str, str]]

    @classmethod
    def of(cls, corpus: Path, ours: Iterable[Path], settings: ScanSettings) -> Self:
        """Digest all of it."""
        files = documents.digests(corpus, ours)
        return cls(files, [documents.digests(folder) for folder in settings.against])


@dataclass(frozen=True)
class Job:
    """Everything about a scan that is fixed before it starts."""

    corpus: Path
    clean: Path
    reports: Path
    ours: tuple[Path, ...]  # what we write: no part of a corpus that happens to lie around it
    run: Path
    run_id: str
    inputs: Mapping[str, str]  # file -> SHA-256
    listing: str  # the inputs and settings as text: what the run's name, salt and commitment depend on
    key: artifacts.Key = field(repr=False)
    settings: ScanSettings
    began: float  # by time.perf_counter
    earlier: Earlier | None = field(repr=False)  # what it is held against beside itself
    there: frozenset[str]  # runs whose outputs lay in its places when it began

    @staticmethod
    def of(
        corpus: Path,
        clean: Path,
        reports: Path,
        runs: Path,
        key: artifacts.Key,
        settings: ScanSettings,
        overwrite: bool,
        inputs: Inputs | None = None,
        index: Index | None = None,
    ) -> Job:
        """Digest the inputs, unless shards have, name the run by them and make its folder.

        Raises :class:`InputError` for settings that cannot be met, and where another run has left its
        outputs, unless ``overwrite`` is set; and what :class:`Earlier` and :meth:`Index.before` do.
        """
        began = time.perf_counter()
        check_settings(settings)
        ours = (clean, reports, runs.parent)
        read = inputs or Inputs.of(corpus, ours, settings)
        earlier = _earlier(index, read, settings, overwrite) if index else None
        listing = _listing(read, settings, key, earlier.state if earlier else "")
        run_id = _run_id(key, listing)
        if not overwrite:
            _refuse_another_run(run_id, clean, reports)
        run = artifacts.run_folder(run_id, runs)
        there = frozenset(_published(clean, reports).values())
        return Job(
            corpus,
            clean,
            reports,
            ours,
            run,
            run_id,
            read.files,
            listing,
            key,
            settings,
            began,
            earlier,
            there,
        )

    def refuse_another_meanwhile(self) -> None:
        """Raise :class:`InputError` where a run that was not there at the beginning has published since."""
        for place, run_id in _published(self.clean, self.reports).items():
            if run_id not in (*self.there, self.run_id):
                raise InputError(
                    str(place),
                    f"{run_id} was written here while this scan ran",
                    "one scan at a time in one place",
                    "name another with --clean and --reports, or say --overwrite and run again",
                )

    @property
    def salt(self) -> str:
        """What the commitment is salted with: keyed, so that nobody else can try inputs against it."""
        return "".join(self.key.fingerprint(f"scan salt {half}", self.listing) for half in (1, 2))


def _listing(read: Inputs, settings: ScanSettings, key: artifacts.Key, state: str) -> str:
    """``state``: that of the index the scan is held against; "" without one."""
    about = [read.files, read.against, shown(settings, key)]
    return json.dumps([*about, state] if state else about, sort_keys=True)


def _run_id(key: artifacts.Key, listing: str) -> str:
    return f"scan-{key.fingerprint('scan run', listing)}"


def _earlier(index: Index, read: Inputs, settings: ScanSettings, overwrite: bool) -> Earlier:
    """The scans in ``index`` that this one is held against: those before it, where it is in it."""
    key = index.key
    place = index.before(
        corpus_name(read.files, settings, key),
        lambda state: _run_id(key, _listing(read, settings, key, state)),
        overwrite,
    )
    return Earlier(index, place, settings.near_threshold)


def corpus_name(files: Mapping[str, str], settings: ScanSettings, key: artifacts.Key) -> str:
    """Name what is read, whatever is done with it: files and column of the text."""
    return key.fingerprint("corpus", json.dumps([files, settings.text_key], sort_keys=True))


# --- what the settings mean ---------------------------------------------------------------------------


def names(settings: ScanSettings) -> Names:
    """Say who looks for names: the user's model, or ours with the strong one if it is there, or nobody."""
    ours = settings.ner is None and not settings.no_names
    model = str(settings.ner) if settings.ner else None
    own = own_words(settings.deny_list, settings.allow_list)
    return Names(model, settings.names_by_cue, ours, ours and strong.installed(), own)


def reading(settings: ScanSettings) -> documents.Settings:
    """Say how the corpus is read."""
    return documents.Settings(
        settings.text_key, settings.id_key, settings.unit_key, settings.mail_headers, settings.max_chars
    )


def examining(settings: ScanSettings, key: artifacts.Key) -> Examine:
    """Give the work on one batch."""
    return Examine(
        settings.entities,
        settings.threshold,
        settings.languages,
        settings.mode,
        settings.permutations,
        key,
        names(settings),
        settings.countries,
        frozenset(settings.kept),
    )


def workers(settings: ScanSettings) -> LocalEngine:
    """Give the processes of this machine, with the detectors on their way into memory."""
    if settings.merge:  # all is examined: the little that is left is done here
        return LocalEngine()
    return LocalEngine(settings.workers, preload=["mlmguard.corpus.detect.presidio"])


def shown(settings: ScanSettings, key: artifacts.Key) -> dict[str, str]:
    """Give the settings that decide what comes out; how many workers did it is none of them.

    A model that finds names is given by its digest, values that stay by their number and a digest of all, the
    user's own words by a keyed one, for a short list can be guessed: where files lie, and which values a
    baseline knows, is nobody's business.
    """
    values = {name: value for name, value in asdict(settings).items() if name not in _NOT_SHOWN}
    values["names"] = {"model": names_digest(names(settings)), "cues": settings.names_by_cue}
    own = names(settings).own
    values["own_words"] = key.fingerprint("own words", own.digest) if own.digest else "none"
    values["kept"] = _summary("values", settings.kept)
    values["left_out"] = _summary("documents", settings.left_out)
    return {
        name: str(value) if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in values.items()
    }


def _summary(what: str, some: Collection[object]) -> str:
    """How many, and a digest of which."""
    if not some:
        return "none"
    digest = hashlib.sha256(json.dumps(sorted(some, key=str)).encode()).hexdigest()[:12]
    return f"{len(some)} {what}, {digest}"


def made_by(settings: ScanSettings) -> str:
    """Say what must be the same for an interrupted scan to be resumed, beside the run's name."""
    detectors = coverage(names=names(settings), countries=settings.countries, languages=settings.languages)
    return json.dumps([__version__, [asdict(detector) for detector in detectors]])


# --- before anything starts ---------------------------------------------------------------------------


def check_settings(settings: ScanSettings) -> None:
    """Raise :class:`InputError` for what no detector can look for, and for settings that contradict."""
    if settings.no_names and settings.ner:
        raise InputError("--no-names", "--ner names a model that finds them", "one of the two")
    finder(settings.entities, settings.threshold, settings.languages, names(settings), settings.countries)


def check_places(corpus: Path, clean: Path) -> None:
    """Raise :class:`InputError` where there is no corpus, or where ``clean`` is not ours to replace."""
    next(documents.files(corpus))
    if corpus.resolve().is_relative_to(clean.resolve()):
        raise InputError(str(clean), "it holds the corpus", "another folder for the cleaned corpus")
    if not clean.exists():
        return
    if not clean.is_dir():
        raise InputError(str(clean), "not a folder", "a new folder for the cleaned corpus")
    entries = sorted(entry.name for entry in clean.iterdir())
    foreign = [name for name in entries if not _OUR_FILE.fullmatch(name)]
    if card.NAME in foreign and card.is_ours(artifacts.text_of(clean / card.NAME, "a card")):
        foreign.remove(card.NAME)
    ours = "manifest.json" in entries and _is_our_manifest(clean / "manifest.json")
    if entries and (foreign or not ours):
        raise InputError(
            str(clean), "it holds files that mlmguard did not write", "a new folder", "name another"
        )


def _refuse_another_run(run_id: str, clean: Path, reports: Path) -> None:
    for place, there in _published(clean, reports).items():
        if there != run_id:
            raise InputError(
                str(place),
                f"it holds {there}, another run: its corpus, settings or key differ",
                f"{run_id}, or a new folder",
                "name another with --clean and --reports, or say --overwrite",
            )


def _published(clean: Path, reports: Path) -> dict[Path, str]:
    """The run whose outputs lie in each place where there are any, or the file that names none."""
    found = {}
    for place, record in ((clean, "manifest.json"), (reports, "scan.json")):
        if (place / record).exists():
            data = artifacts.read_json(place / record)
            found[place] = str((data.get("run_id") if isinstance(data, dict) else None) or record)
    return found


_OUR_FILE = re.compile(r"(?:train|validation|test)-\d{5}\.jsonl|manifest\.json")


def _is_our_manifest(path: Path) -> bool:
    try:
        found = artifacts.read_json(path)
    except InputError:
        return False
    return isinstance(found, dict) and str(found.get("schema", "")).startswith("mlmguard/manifest/")


@contextmanager
def one_line_for_the_usual_failures() -> Iterator[None]:
    """Raise :class:`PartialRun` with one line where the disk fails or a worker is lost."""
    try:
        yield
    except BrokenProcessPool:
        raise PartialRun("a worker process died, perhaps for lack of memory; try --workers 1.") from None
    except OSError as error:
        where = error.filename or "output"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PartialRun(
                f"{where}: the disk is full; nothing half-written is left, free space and run again."
            ) from None
        what = os.strerror(error.errno).lower() if error.errno else type(error).__name__
        raise PartialRun(f"{where}: {what}; nothing half-written is left.") from None
