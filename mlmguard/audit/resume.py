"""What an audit may spend, and what an interrupted one had finished."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mlmguard import __version__
from mlmguard.artifacts import as_noun, read_json, weights_digest, write_json
from mlmguard.audit.bench import Bench
from mlmguard.audit.checkpoint import Audited
from mlmguard.leakage.attack import Attack
from mlmguard.leakage.results import Exposed, PValue, Result
from mlmguard.settings import AuditSettings
from mlmguard.types import Curve, Measurement


class Budget:
    """Minutes from now, and windows shown to the models."""

    def __init__(self, settings: AuditSettings) -> None:
        self._began = time.monotonic()
        self._settings = settings

    def spent(self, results: Iterable[Result]) -> bool:
        """Whether no further attack may begin after those of ``results``."""
        minutes, queries = self._settings.minutes, self._settings.queries
        if minutes is not None and time.monotonic() - self._began > 60 * minutes:
            return True
        return queries is not None and sum(result.queries for result in results) > queries


class Finished:
    """Results of finished attacks in the run folder, until the audit is whole.

    Their name is a digest of the weights, the settings and this program: another audit finds nothing. Those
    of another tool's checkpoint, which has no run folder, lie in ``otherwise``.
    """

    def __init__(self, audited: Audited, settings: AuditSettings, otherwise: Path) -> None:
        spending = asdict(replace(settings, minutes=None, queries=None, workers=1))
        earlier = weights_digest(audited.earlier_ckpt) if audited.earlier_ckpt is not None else ""
        decided = [weights_digest(audited.ckpt), earlier, spending, __version__]
        name = hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:12]
        self._folder = (otherwise if audited.run is None else audited.run) / f"audit-{name}"

    def result(self, attack: Attack, bench: Bench) -> Result:
        """The result that lies there, or the one that ``attack`` has now."""
        path = self._folder / f"{attack.name.replace(' ', '-')}.json"
        if path.exists():
            return _as_result(read_json(path))
        before = bench.queries
        result = attack.run(bench)
        result = replace(result, queries=bench.queries - before)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_json(path, asdict(result), mode=0o600)
        return result

    def clear(self) -> None:
        """Remove them: the audit is whole."""
        shutil.rmtree(self._folder, ignore_errors=True)  # another audit of the same may have removed it


def _as_result(data: Mapping[str, Any]) -> Result:
    return Result(
        tuple(as_noun(m, Measurement, "a finished attack") for m in data["measurements"]),
        tuple(as_noun(c, Curve, "a finished attack") for c in data["curves"]),
        tuple(PValue(**test) for test in data["tests"]),
        tuple(Exposed(**exposed) for exposed in data["exposed"]),
        data["queries"],
    )
