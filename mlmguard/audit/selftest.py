"""Does the audit find nothing where there is nothing?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlmguard.audit import checkpoint
from mlmguard.audit.bench import Bench
from mlmguard.audit.checkpoint import Audited, Foreign, Ours
from mlmguard.audit.evidence import corrected
from mlmguard.leakage import metrics
from mlmguard.leakage.attacks import attacks
from mlmguard.settings import AuditSettings, check
from mlmguard.training import models
from mlmguard.types import SILENT, Watcher

FAMILY_LEVEL = 0.05


@dataclass(frozen=True)
class SelfTest:
    """Null audits of one checkpoint: how many, and the alarms of each that had one, by kind of null."""

    times: int
    alarms: Mapping[str, tuple[tuple[str, ...], ...]]

    def rate(self, null: str) -> metrics.Interval:
        """The share of null audits with an alarm."""
        return metrics.rate(len(self.alarms[null]), self.times)


def random_weights(audited: Audited, rng: np.random.Generator) -> Audited:
    """The same architecture, never trained on anything."""
    return replace(audited, model=models.untrained(audited.model, int(rng.integers(2**31))))


def shuffled_labels(audited: Audited, rng: np.random.Generator) -> Audited:
    """The same model; which units count as trained on, and which canaries as planted, is drawn anew.

    Whole units are dealt, as a scan does: documents of one author in both splits would hide what they share.
    """
    units: dict[str, list[Mapping[str, str]]] = {}
    for row in (*audited.members, *audited.held_out):
        units.setdefault(row["unit"], []).append(row)
    dealt = list(units.values())
    order = [dealt[k] for k in rng.permutation(len(dealt))]
    trained = len({row["unit"] for row in audited.members})
    secrets = [
        replace(secret, canary=replace(secret.canary, planted=bool(rng.integers(2))))
        for secret in audited.secrets
    ]
    return replace(
        audited,
        members=[row for unit in order[:trained] for row in unit],
        held_out=[row for unit in order[trained:] for row in unit],
        secrets=secrets,
    )


Null = Callable[[Audited, np.random.Generator], Audited]
NULLS: Mapping[str, Null] = {"random weights": random_weights, "shuffled labels": shuffled_labels}


def selftest(
    ckpt: Path,
    times: int,
    settings: AuditSettings | None = None,
    *,
    source: Ours | Foreign | None = None,
    nulls: Mapping[str, Null] = NULLS,
    watcher: Watcher = SILENT,
) -> SelfTest:
    """Audit ``times`` models with random weights, and as often the checkpoint with members and others, and
    the canaries' coins, drawn anew. There is nothing to find: an alarm is a test below .05 after
    correction, and one audit in twenty may have one.
    """
    settings = settings or AuditSettings()
    check(settings)
    audited = replace(checkpoint.read(ckpt, source or Ours()), changes={}, earlier=None)  # no null of two
    alarms: dict[str, tuple[tuple[str, ...], ...]] = {}
    for number, (name, null) in enumerate(nulls.items()):
        found = []
        for seed in range(times):
            watcher.progress(name, seed, times)
            rng = np.random.default_rng([settings.seed, number, seed])
            nothing = null(audited, rng)
            with Bench(nothing, replace(settings, seed=settings.seed + 1 + seed)) as bench:
                results = [attack.run(bench) for attack in attacks() if not attack.refused(nothing)]
            tests = corrected([test for result in results for test in result.tests])
            found.append(tuple(f"{m.attack}.{m.metric}" for m in tests if (m.value or 0.0) < FAMILY_LEVEL))
        watcher.progress(name, times, times)
        alarms[name] = tuple(hits for hits in found if hits)
    return SelfTest(times, alarms)
