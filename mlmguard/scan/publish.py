"""What a scan says of itself when all rows are written: manifest, report, run file, timings."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlmguard import __version__, artifacts
from mlmguard.corpus import split
from mlmguard.corpus.detect.finder import coverage, spoken
from mlmguard.corpus.detect.installed import entity
from mlmguard.scan import card
from mlmguard.scan.books import Books, Status, Workplace
from mlmguard.scan.divide import would_have_crossed
from mlmguard.scan.job import Job, names, reading, shown
from mlmguard.scan.write import Written
from mlmguard.types import ColumnCount, DuplicateCounts, EarlierScans, FindingCount, Manifest, Repetition

_REPEATED = 100  # values listed in the report, the most frequent first
_WEIGHT = {"high": 3, "medium": 2, "low": 1}


@contextmanager
def building(job: Job) -> Iterator[Path]:
    """Give a folder beside ``clean/`` that is gone afterwards, whatever happens.

    One scan at a time writes to a place. Raises :class:`InputError` where another has published there since
    this one began.
    """
    places = artifacts.made(job.clean.parent), artifacts.made(job.reports)
    with artifacts.scratch(job.clean.parent, "clean") as folder, artifacts.locked(*places):
        job.refuse_another_meanwhile()
        yield folder


def publish(job: Job, books: Books, written: Written, folder: Path) -> Manifest:
    """Write manifest, run file and report, and let ``folder`` take the place of ``clean/``.

    ``clean/`` appears whole and last; before it, nothing of an older run is touched.
    """
    outputs = {shard.path: artifacts.sha256_file(folder / shard.path) for shard in written.shards}
    sealed = hashlib.sha256(f"{job.salt}\n{job.listing}\n{json.dumps(outputs, sort_keys=True)}".encode())
    manifest = _manifest(job, books, written, sealed.hexdigest())
    artifacts.write_text(folder / card.NAME, card.card(manifest))
    artifacts.write_json(folder / "manifest.json", manifest)
    _write_run(job, books, outputs)
    artifacts.write_json(job.reports / "scan.json", _report(books, manifest))
    folder.chmod(0o700)  # cleaned is not anonymous: what no detector looks for is still in it
    _take_the_place_of(folder, job.clean)
    return manifest


def _manifest(job: Job, books: Books, written: Written, commitment: str) -> Manifest:
    count = np.bincount(books.status, minlength=len(Status)).tolist()
    sizes = np.bincount(books.clusters)
    rows = {
        name: sum(shard.documents for shard in written.shards if shard.split == name) for name in split.SPLITS
    }
    return Manifest(
        run_id=job.run_id,
        documents_read=len(books),
        documents_written=count[Status.KEPT],
        splits=rows,
        outputs=written.shards,
        skipped=tuple(books.skipped),
        findings=tuple(
            FindingCount(
                *(rule, source, books.found[rule, source], written.redacted[rule, source]),
                documents=books.affected[rule, source],
                left=written.left[rule, source],
            )
            for rule, source in sorted(books.found.keys() | written.left.keys())
        ),
        duplicates=DuplicateCounts(
            exact=count[Status.EXACT_DUPLICATE],
            near=count[Status.NEAR_DUPLICATE],
            cross_split=would_have_crossed(job, books),
            clusters=tuple(sorted(sizes[sizes > 1].tolist(), reverse=True)),
            evaluation=count[Status.EVALUATION_COPY],
            earlier=count[Status.EARLIER_COPY],
            passages=sum(books.shared.values()),
            passages_cut=books.cuts.shape[1],
        ),
        coverage=coverage(
            job.settings.entities, names(job.settings), job.settings.countries, job.settings.languages
        ),
        commitment=commitment,
        key_id=job.key.id,
        settings=shown(job.settings, job.key),
        tool_version=__version__,
        columns=tuple(
            ColumnCount(rule, column, found, books.rows[rule, column])
            for (rule, column), found in sorted(books.columns.items())
        ),
        earlier=_earlier(job, books),
        repetition=_repetition(books),
        repeated_ids=tuple(books.repeated_ids.values()),
        languages=tuple(
            spoken(language, count, job.settings.languages)
            for language, count in sorted(books.languages.items(), key=lambda row: (-row[1], row[0]))
        ),
    )


def _earlier(job: Job, books: Books) -> EarlierScans | None:
    if job.earlier is None or books.known is None:
        return None
    seen = job.earlier
    return EarlierScans(seen.place, seen.documents, books.known.joined, seen.state)


def _repetition(books: Books) -> tuple[Repetition, ...]:
    """By type, the worst first: what one leaked value does, times how often a model reads it."""
    found = books.repeated
    rows = []
    for number, rule in enumerate(found.rules):
        documents = found.documents[found.rule == number]
        if len(documents) or books.copied[rule] > 1:
            most = int(documents.max(initial=1))
            rows.append(Repetition(rule, entity(rule).severity, len(documents), most, books.copied[rule]))
    return tuple(sorted(rows, key=lambda r: (-_WEIGHT[r.severity] * r.most, -r.values, r.rule)))


def _write_run(job: Job, books: Books, outputs: Mapping[str, str]) -> None:
    """What the later verbs need and nobody outside should have."""
    private = {
        "corpus": str(job.corpus.resolve()),
        "clean": str(job.clean.resolve()),
        "ignored": sorted(str(path.resolve()) for path in job.ours),
        "settings": shown(job.settings, job.key),
        "reading": asdict(reading(job.settings)),
        "salt": job.salt,
        "files": dict(job.inputs),
        "clean_files": dict(outputs),
        "skipped_after_reading": books.skipped_after_reading,
    }
    artifacts.write_json(job.run / "scan.json", private, mode=0o600)


def _report(books: Books, manifest: Manifest) -> dict[str, Any]:
    """Counts for people: the manifest's, and the values that many documents hold, which models memorise."""
    return {
        "schema": "mlmguard/scan/v1",
        **{
            name: value
            for name, value in asdict(manifest).items()
            if name not in ("schema", "outputs", "skipped")
        },
        "documents_affected": sum(findings > 0 for findings in books.findings),
        "skipped": dict(sorted(books.skipped.by_reason().items())),
        "repeated": sorted(books.repeated.most(_REPEATED), key=_risk),
        "passages": {"shared_with": dict(sorted(books.shared.items())), "against": books.against},
        "boilerplate": [
            {"fingerprint": row["fingerprint"], "documents": row["documents"]}
            for row in books.boilerplate.most(_REPEATED)
        ],
    }


def _risk(row: Mapping[str, Any]) -> tuple[int, int, str, str]:
    """The worst first: what one leaked value of the type does, times how often a model reads it."""
    return (
        -_WEIGHT[entity(row["rule"]).severity] * row["documents"],
        -row["findings"],
        row["rule"],
        row["fingerprint"],
    )


def write_timings(job: Job, place: Workplace) -> None:
    """Write ``scan.run.json`` (seconds), apart from everything else, which is a function of the input."""
    examined, total = place.examined - job.began, time.perf_counter() - job.began
    megabytes = sum(place.books.lengths) / 1e6
    artifacts.write_json(
        job.reports / "scan.run.json",
        {
            "schema": "mlmguard/scan-run/v1",
            "seconds": round(total, 3),
            "seconds_examining": round(examined, 3),
            "million_characters": round(megabytes, 3),
            "million_characters_per_second": round(megabytes / max(examined, 1e-9), 3),
            "workers": job.settings.workers,
        },
    )


def _take_the_place_of(new: Path, old: Path) -> None:
    """Rename ``new`` to ``old``; what ``old`` held goes away only after the new one is in place."""
    if not old.exists():
        new.rename(old)
        return
    aside = Path(tempfile.mkdtemp(dir=old.parent, prefix=".mlmguard-clean-"))  # the next scan's to remove
    old.rename(aside / old.name)
    try:
        new.rename(old)
    except OSError:
        (aside / old.name).rename(old)
        raise
    finally:
        if old.exists():
            shutil.rmtree(aside, ignore_errors=True)
