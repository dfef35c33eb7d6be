"""``mlmguard audit``: the strongest honest attempt to get the training data back out of a checkpoint.

    ckpt/ + its run folder ──▶ what was trained, what was held out ──▶ attacks ──▶ evidence

Every attack compares what was trained on with what was not; every number has an interval; what was not run
is listed. The evidence holds no text: what a finding is worth is for a policy to say.
"""

from __future__ import annotations

from pathlib import Path

from mlmguard.artifacts import load_key, write_json
from mlmguard.audit import checkpoint
from mlmguard.audit.bench import Bench
from mlmguard.audit.checkpoint import Foreign, Ours
from mlmguard.audit.evidence import evidence_of, write_records
from mlmguard.audit.resume import Budget
from mlmguard.audit.selftest import SelfTest, selftest
from mlmguard.audit.together import shared, workers
from mlmguard.leakage.attacks import attacks
from mlmguard.moved import names_of
from mlmguard.settings import AuditSettings, check
from mlmguard.training.privacy import seals
from mlmguard.types import SILENT, Evidence, Watcher


def audit(
    ckpt: Path,
    reports: Path,
    settings: AuditSettings | None = None,
    *,
    source: Ours | Foreign | None = None,
    records: Path | None = None,
    watcher: Watcher = SILENT,
) -> Evidence:
    """Attack the checkpoint in ``ckpt`` and write the evidence to ``reports/audit.json``.

    ``source`` says where its data lie: ``Ours`` (the default) or, for another tool's, ``Foreign``;
    ``records`` names a file for the most exposed documents by id, for their owner's eyes. An audit that was
    interrupted goes on with the attacks that were not finished. Any number of ``settings.workers`` finds the
    same, but for rounding where each has another number of threads.
    Raises :class:`InputError` for a checkpoint, run folder, corpus or plug-in that does not fit.
    """
    settings = settings or AuditSettings()
    check(settings)
    budget, known, source = Budget(settings), attacks(), source or Ours()
    engine = workers(source, settings)
    with watcher.stage("reading"):
        audited = checkpoint.read(ckpt, source, settings.seed)
    with shared(audited, ckpt, source, settings, engine) as hands, Bench(audited, settings) as bench:
        open_to_it = [attack for attack in known if not attack.refused(audited)]
        results = hands.results(open_to_it, bench, budget, watcher)
        evidence = seals.sealed_evidence(evidence_of(bench, known, results), load_key())
    if records is not None:
        write_records(records, results.values(), audited)
    write_json(reports / "audit.json", evidence)
    hands.finished.clear()
    return evidence


__getattr__ = names_of(__name__)
__all__ = ["AuditSettings", "Foreign", "Ours", "SelfTest", "audit", "selftest"]
