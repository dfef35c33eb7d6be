"""The first verb: what was in the corpus, what was removed, and what was not looked for.

    corpus/ ──scan──▶ clean/ + reports/scan.json + reports/findings.jsonl + the private run folder

One pass reads, finds, cleans and looks for copies; a second one splits and writes. Copies are looked for
in the raw text (two letters that differ only in the name are not copies), cleaning comes after. Nothing
of a document's text leaves ``clean/`` and the run folder, not even in an error. The first pass can be done
by jobs on many machines, a shard each (:func:`examine_shard`).
"""

from __future__ import annotations

from pathlib import Path

from mlmguard.artifacts import RUNS, Key
from mlmguard.engine import Engine
from mlmguard.scan.books import Workplace
from mlmguard.scan.cluster import spread
from mlmguard.scan.divide import compare_passages, divide
from mlmguard.scan.earlier import indexed, remember
from mlmguard.scan.examining import examine
from mlmguard.scan.job import Job, check_places, one_line_for_the_usual_failures, workers
from mlmguard.scan.prove import check_prove, holds, prove
from mlmguard.scan.publish import building, publish, write_timings
from mlmguard.scan.shards import examine_shard, gathered
from mlmguard.scan.write import write
from mlmguard.settings import ScanSettings, check
from mlmguard.types import SILENT, Manifest, Watcher

__all__ = ["ScanSettings", "examine_shard", "scan"]


def scan(
    corpus: Path,
    clean: Path,
    reports: Path,
    *,
    key: Key,
    settings: ScanSettings | None = None,
    runs: Path = RUNS,
    engine: Engine | None = None,
    overwrite: bool = False,
    watcher: Watcher = SILENT,
) -> Manifest:
    """Clean ``corpus`` into ``clean``, report to ``reports``, and keep what is private in the run folder.

    What another run has left in ``clean`` and ``reports`` is replaced only with ``overwrite``; what the same
    run has left, always. Raises :class:`InputError` before anything is written, :class:`PartialRun` after.
    """
    settings = settings or ScanSettings()
    check(settings)
    check_places(corpus, clean)
    check_prove(settings)
    settings = spread(corpus, clean, reports, runs, settings, overwrite, watcher)
    engine = engine or workers(settings)  # their detectors load while ours do
    with (
        one_line_for_the_usual_failures(),
        indexed(settings, key, corpus, clean, reports, runs, *settings.against) as index,
        gathered(corpus, clean, reports, runs, key, settings) as shards,
    ):
        job = Job.of(corpus, clean, reports, runs, key, settings, overwrite, shards.inputs, index)
        with Workplace(job, shards.spools) as place:
            examine(job, place, engine, watcher)
            books = place.close(watcher)  # all copies are known
            divide(job, books)
            compare_passages(job, place, watcher)
            with building(job) as folder:
                written = write(job, place, folder, watcher)
                if holds(prove(job, place, watcher)):
                    remember(job, place, watcher)
                manifest = publish(job, books, written, folder)
            place.done()
        shards.done()
        write_timings(job, place)
    return manifest
