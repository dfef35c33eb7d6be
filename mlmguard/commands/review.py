"""Scan, train, audit and gate in one: the main job on a corpus, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlmguard.artifacts import RUNS, load_key
from mlmguard.audit import AuditSettings, audit
from mlmguard.commands.gate import FailOn, Judged, judge_evidence
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.report.formats import write
from mlmguard.scan import ScanSettings, scan
from mlmguard.train import TrainResult, TrainSettings, train
from mlmguard.types import Evidence, Manifest, Progress, Watcher, silent


@dataclass(frozen=True)
class Reviewed:
    """What each verb came to, and the gate's word."""

    manifest: Manifest
    trained: TrainResult
    evidence: Evidence
    judged: Judged
    reports: tuple[Path, ...]


def review(
    corpus: Path,
    folder: Path,
    policy: str | Path = "base",
    *,
    scanning: ScanSettings | None = None,
    training: TrainSettings | None = None,
    auditing: AuditSettings | None = None,
    fail_on: FailOn = "fail",
    out: Sequence[tuple[str, Path]] = (),
    overwrite: bool = False,
    tell: Callable[[str, object], None] = lambda stage, result: None,
    progress: Progress = silent,
    stop: Callable[[], bool] = bool,
) -> Reviewed:
    """Run the three verbs and the gate below ``folder``; ``tell(verb, result)`` after each of them.

    The policy is read first: a misspelt key must not cost an hour of training.
    """
    rules: Policy = load(policy)
    clean, ckpt, reports, runs = folder / "clean", folder / "ckpt", folder / "reports", folder / RUNS
    manifest = scan(
        corpus,
        clean,
        reports,
        key=load_key(),
        settings=scanning,
        runs=runs,
        overwrite=overwrite,
        watcher=Watcher(progress),
    )
    tell("scan", manifest)
    trained = train(
        clean, ckpt, reports, training or TrainSettings(), runs=runs, watcher=Watcher(progress, stop=stop)
    )
    tell("train", trained)
    evidence = audit(ckpt, reports, auditing, runs=runs, corpus=corpus, progress=progress)
    tell("audit", evidence)
    judged = judge_evidence(reports / "audit.json", evidence, rules, fail_on)
    targets = [*out] or [("html", reports / "report.html"), ("json", reports / "report.json")]
    for name, path in targets:
        write(name, judged.case, path)
    return Reviewed(manifest, trained, evidence, judged, tuple(path for _, path in targets))
