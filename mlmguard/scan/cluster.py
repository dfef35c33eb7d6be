"""All shards of a corpus, examined by the tasks of a cluster. Paths and numbers go to it, never a text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mlmguard import artifacts
from mlmguard.corpus.read import documents
from mlmguard.engine import RayEngine
from mlmguard.scan.shards import division, examine_shard
from mlmguard.settings import EngineChoice, ScanSettings
from mlmguard.settings.scan import MOST_PARTS
from mlmguard.types import Watcher

_SHARDS_A_CORE = 4
"""So that none waits long for the last, and little is done again where a machine is lost."""


@dataclass(frozen=True)
class _Job:
    """A task: the number of a shard to its bytes."""

    corpus: Path
    clean: Path
    reports: Path
    runs: Path
    settings: ScanSettings
    overwrite: bool
    of: int

    def __call__(self, number: int) -> int:
        settings = replace(self.settings, shard=f"{number}/{self.of}")
        places = (self.corpus, self.clean, self.reports)
        key = artifacts.load_key()  # each machine reads it for itself
        return examine_shard(
            *places, key=key, settings=settings, runs=self.runs, overwrite=self.overwrite
        ).bytes


def spread(
    corpus: Path,
    clean: Path,
    reports: Path,
    runs: Path,
    settings: ScanSettings,
    overwrite: bool,
    watcher: Watcher,
) -> ScanSettings:
    """Have the cluster that ``settings`` names examine all shards, and give the settings of their merge.

    Without one they are given as they are. The machines of a cluster see corpus, ``runs`` and key under the
    same paths as this one. Raises :class:`MlmguardError` with what a task said.
    """
    if settings.engine != EngineChoice.RAY:
        return settings
    ours = (clean, reports, runs.parent)
    found, total, passed = list(documents.files(corpus, ours)), documents.size(corpus, ours), 0
    artifacts.load_key()  # made now, if there is none: each machine would make its own
    variables = {"MLMGUARD_KEY_FILE": str(artifacts.key_path().absolute())}
    with RayEngine(settings.address, settings.workers, variables) as cluster:
        of = division(corpus, runs) or min(len(found), _SHARDS_A_CORE * cluster.workers, MOST_PARTS)
        nobody = frozenset[str]()  # who asked to be left out is the merge's to know
        job = _Job(
            corpus.absolute(),  # the working folder of a task is another
            clean.absolute(),
            reports.absolute(),
            runs.absolute(),
            _absolute(replace(settings, engine=EngineChoice.LOCAL, address=None, workers=1, left_out=nobody)),
            overwrite,
            of,
        )
        for size in cluster.map(job, range(1, of + 1)):
            passed += size
            watcher.progress("scan (MB)", passed // 1_000_000, -(-total // 1_000_000))
    return replace(settings, engine=EngineChoice.LOCAL, address=None, merge=True)


def _absolute(settings: ScanSettings) -> ScanSettings:
    """The settings with whole paths; a model that is an installed package has none."""

    def whole(path: Path | None) -> Path | None:
        return path.absolute() if path and Path(path).exists() else path

    return replace(
        settings,
        ner=whole(settings.ner),
        deny_list=whole(settings.deny_list),
        allow_list=whole(settings.allow_list),
        against=tuple(path.absolute() for path in settings.against),
    )
