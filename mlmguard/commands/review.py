"""Scan, train, audit and gate a corpus in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmguard import console
from mlmguard.artifacts import RUNS, load_key
from mlmguard.commands import train as train_command
from mlmguard.commands.gate import FailOn, Judged, judge_evidence
from mlmguard.commands.options import FOLDER, Page, options, outputs, overwriting, place, policies, quietly
from mlmguard.commands.watching import watched
from mlmguard.engine import default_workers
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.report.formats import parse_out, write
from mlmguard.settings import AuditSettings, ScanSettings, TrainSettings
from mlmguard.types import SILENT, Evidence, Manifest, Watcher

if TYPE_CHECKING:
    from mlmguard.train import TrainResult


@dataclass(frozen=True)
class Reviewed:
    """The result of each verb, and the judgement of the gate."""

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
    show: Callable[[str, object], None] = lambda stage, result: None,
    watcher: Watcher = SILENT,
) -> Reviewed:
    """Run the three verbs and the gate below ``folder``; ``show(verb, result)`` after each of them.

    The policy is read first: a misspelt key must not cost an hour of training.
    """
    rules: Policy = load(policy)

    from mlmguard.audit import Ours, audit
    from mlmguard.scan import scan
    from mlmguard.train import train

    clean, ckpt, reports, runs = folder / "clean", folder / "ckpt", folder / "reports", folder / RUNS
    manifest = scan(
        corpus,
        clean,
        reports,
        key=load_key(),
        settings=scanning,
        runs=runs,
        overwrite=overwrite,
        watcher=watcher,
    )
    show("scan", manifest)
    trained = train(
        clean, ckpt, reports, training or TrainSettings(), runs=runs, overwrite=overwrite, watcher=watcher
    )
    show("train", trained)
    evidence = audit(ckpt, reports, auditing, source=Ours(corpus=corpus, runs=runs), watcher=watcher)
    show("audit", evidence)
    judged = judge_evidence(reports / "audit.json", evidence, rules, fail_on)
    targets = [*out] or [("html", reports / "report.html"), ("json", reports / "report.json")]
    for name, path in targets:
        write(name, judged.case, path)
    return Reviewed(manifest, trained, evidence, judged, tuple(path for _, path in targets))


# --- the command ----------------------------------------------------------------------------------------


@click.command("review", cls=Page)
@click.argument("corpus", type=FOLDER)
@policies("base")
@options(TrainSettings, only=("dp_epsilon", "size"))
@options(ScanSettings, only=("unit_key",))
@place("--into", "folder", "Folder for clean/, ckpt/ and reports/.", ".")
@overwriting
@outputs
@quietly
def command(
    corpus: Path,
    policy: str,
    fail_on: Any,
    dp_epsilon: float | None,
    unit_key: str | None,
    size: str,
    folder: Path,
    overwrite: bool,
    out: tuple[str, ...],
    quiet: bool,
) -> int:
    load(policy)
    targets = [parse_out(text) for text in out]
    with watched(quiet) as watcher:
        done = review(
            corpus, folder, policy,
            scanning=ScanSettings(unit_key=unit_key, workers=default_workers()),
            training=TrainSettings(dp_epsilon=dp_epsilon, size=size),
            auditing=AuditSettings(workers=default_workers(AuditSettings.MOST_WORKERS)),
            overwrite=overwrite, fail_on=fail_on, out=targets,
            show=show_verb, watcher=watcher,
        )  # fmt: skip
    return show_review(done, quiet)


def show_verb(verb: str, result: Any) -> None:
    """Print the summary of each verb as it finishes."""
    tables: dict[str, Callable[[Any], None]] = {
        "scan": console.scan_summary,
        "train": train_command.tables,
        "audit": console.audit_summary,
    }
    tables[verb](result)


def show_review(done: Reviewed, quiet: bool) -> int:
    """Print the verdicts and what was written, and return the exit code."""
    console.verdicts(done.judged.case)
    console.written(done.reports, quiet)
    return done.judged.case.exit_code or 0
