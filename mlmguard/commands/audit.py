"""Attack a checkpoint: what can be extracted, with intervals and controls.

CKPT is a folder that `mlmguard train` wrote, or, with --members, one of another tool or a hub name. Every
attack is compared with what was not trained on; attacks that were not run are listed with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmguard import console
from mlmguard.commands.options import (
    FILE,
    FOLDER,
    PLACE,
    Grouped,
    Page,
    options,
    outputs,
    place,
    policies,
    shared,
    show,
)
from mlmguard.commands.watching import interruptible
from mlmguard.settings import AuditSettings

if TYPE_CHECKING:
    from mlmguard.audit import Foreign, Ours, SelfTest


DATA = "Data and models to compare with"


@click.command("audit", cls=Page, renamed={"--stop-early": "--sequential"})
@click.argument("ckpt", type=FOLDER)
@options(AuditSettings)
@place("--run", "run_folder", "The checkpoint's run folder, where it is not found beside it.", group=DATA)
@place("--corpus", "corpus", "Where the raw corpus lies now, if it was moved.", group=DATA)
@place(
    "--earlier",
    "earlier",
    "A release of nearly the same corpus, published before: what came or went between the two is attacked.",
    group=DATA,
)
@place(
    "--members",
    "members",
    "Texts it was trained on, for a checkpoint of another tool.",
    type=PLACE,
    group=DATA,
)
@place(
    "--non-members",
    "non_members",
    "Texts of the same kind that it was not trained on.",
    type=PLACE,
    group=DATA,
)
@click.option(
    "--reference",
    cls=Grouped,
    group=DATA,
    help="A model trained on neither, by folder or name, to calibrate membership by.",
)
@click.option(
    "--shadow",
    "shadows",
    cls=Grouped,
    group=DATA,
    multiple=True,
    help="A model trained alike on other texts, by folder or name; two or more allow LiRA.",
)
@place(
    "--secrets",
    "secrets",
    "Values to ask another tool's checkpoint after, one a line; - is standard input. None of them is shown.",
    type=FILE,
    group=DATA,
)
@place(
    "--records",
    "records",
    "Write the most exposed documents, by id, here: for the data owner only.",
    type=FILE,
)
@click.option(
    "--selftest",
    type=click.IntRange(1),
    metavar="N",
    help="Instead: audit N random models and N shuffled splits, where there is nothing to be found.",
)
@place("--reports", "reports", "Where audit.json and audit.html go.", "reports")
@policies(None)
@outputs
@shared
def command(
    ckpt: Path,
    run_folder: Path | None,
    corpus: Path | None,
    earlier: Path | None,
    reports: Path,
    members: Path | None,
    non_members: Path | None,
    reference: str | None,
    shadows: tuple[str, ...],
    secrets: Path | None,
    records: Path | None,
    selftest: int | None,
    policy: str | None,
    fail_on: Any,
    out: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    workers: int | None,
    **settings: Any,
) -> int:
    from mlmguard.engine import default_workers
    from mlmguard.policy.reading import load
    from mlmguard.report.formats import parse_out, refuse_taken, write

    if selftest is not None and (policy or out or records or earlier):
        raise click.UsageError(
            "--selftest writes no evidence and compares no releases: leave out --policy, --out, --records "
            "and --earlier"
        )
    if members is None and (non_members or reference or shadows):
        raise click.UsageError("--non-members, --reference and --shadow go with --members")
    if secrets is not None and members is None:
        raise click.UsageError("--secrets goes with --members: the texts that the model was trained on")
    if secrets is not None and selftest is not None:
        raise click.UsageError("--selftest asks after no values: leave out --secrets")
    if selftest is not None and members is not None and non_members is None:
        raise click.UsageError("--selftest deals members and non-members anew: name both")
    if earlier is not None and members is not None:
        raise click.UsageError("--earlier goes with a checkpoint of `mlmguard train`, not with --members")
    rules = load(policy) if policy else None
    wanted = [parse_out(text) for text in out] or [("html", reports / "audit.html")]
    for name, path in wanted:
        refuse_taken(name, path, [reports / "audit.json"])

    from mlmguard import audit as verb
    from mlmguard.commands import leading_on, project
    from mlmguard.commands.gate import judge_evidence
    from mlmguard.report.clearance import case

    chosen = verb.AuditSettings(workers=workers or default_workers(AuditSettings.MOST_WORKERS), **settings)
    source: Ours | Foreign = verb.Ours(run_folder, corpus, earlier)
    if members:
        source = verb.Foreign(members, non_members, reference, shadows, secrets, run_folder)
    with interruptible(quiet or as_json) as watcher:
        if selftest is not None:
            tested = verb.selftest(ckpt, selftest, chosen, source=source, watcher=watcher)
            show(tested, as_json, lambda: console.explanation("Self-test", _alarms(tested)))
            return 0
        evidence = verb.audit(ckpt, reports, chosen, source=source, records=records, watcher=watcher)
    shown = judge_evidence(reports / "audit.json", evidence, rules, fail_on).case if rules else None
    shown = shown or case(evidence, declared=project.declared())
    for name, path in wanted:
        write(name, shown, path)

    def tables() -> None:
        console.audit_summary(evidence)
        console.verdicts(shown)

    show(evidence, as_json, tables)
    console.written([reports / "audit.json", *(path for _, path in wanted)], quiet)
    leading_on.after_verdict(shown, reports / "audit.json", quiet)
    return shown.exit_code or 0


def _alarms(tested: SelfTest) -> list[tuple[str, str]]:
    """False alarms of null audits; one in twenty is what correction at .05 allows."""
    rows = []
    for null in tested.alarms:
        rate = tested.rate(null)
        found = round(rate.value * tested.times)
        interval = f"[{rate.low:.0%}, {rate.high:.0%}]; 5 % is allowed"
        rows.append((null, f"{found} of {tested.times} audits with an alarm, {interval}"))
    return rows
