"""Say what moved between two checkpoints, or between a checkpoint's text and new text.

Names OLD and NEW, or one checkpoint and --texts. A movement counts where documents dealt anew, or earlier
results (--baseline), hardly ever show as much; no threshold is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mlmguard import console
from mlmguard.commands.options import FOLDER, PLACE, Page, options, place, policies, shared, show
from mlmguard.commands.watching import interruptible
from mlmguard.errors import InputError
from mlmguard.report.clearance import cleared
from mlmguard.settings import DriftSettings
from mlmguard.showing import show_measurement
from mlmguard.types import Drift, Measurement

FIRST = "What to compare"
FORMATS = ("prometheus", "csv", "json", "junit", "sarif")
"""Formats of numbers and verdicts; the others are reports on a release, with its corpus and its claim."""
LEVEL = 0.05  # of the marks in the table; a policy has its own
GUESSES = "The model is not shown to be better than word frequencies: its losses and embeddings say little."


def lines(found: Drift) -> list[tuple[str, str]]:
    """(name, value) of each number, those that moved beyond chance marked, then what was judged by what."""
    shown = [one for one in cleared(found.measurements) if one.attack == "drift"]
    metric = "p" if any(one.metric == "p" for one in shown) else "p_documents"
    tests: Mapping[str, Measurement] = {one.slice: one for one in shown if one.metric == metric}
    # of two checkpoints the deal of documents asks for a worse one alone
    word = "worse" if (found.compares, found.judged_by) == ("checkpoints", "documents") else "moved"
    rows = []
    for one in shown:
        if one.metric in ("p", "p_documents"):
            continue
        tail = f", {one.slice}" if one.slice else ""
        rows.append((one.metric.replace("_", " ") + tail, _told(one, tests.get(one.metric + tail), word)))
    formed = [test for test in tests.values() if test.value is not None]
    moved = [name for name, test in tests.items() if test.value is not None and test.value <= LEVEL]
    verdict = ", ".join(moved) or ("nothing" if formed else "not known: no p-value was formed")
    counted = ", ".join(f"{count:,} {side}" for side, count in sorted(found.documents.items()))
    rows.append(("documents", counted))
    rows.append((word, f"{verdict} (level {LEVEL:g}, by {found.judged_by})"))
    rows += [("note", note) for note in found.notes[1:]]  # the first is true of every result
    if found.model.head_loaded and not found.model.beats_unigram:
        rows.append(("note", GUESSES))
    return rows


def _told(number: Measurement, test: Measurement | None, word: str) -> str:
    note = f"; {number.note}" if number.note else ""
    if test is None:
        return show_measurement(_bare(number)) + note
    p = f"p = {test.value:.3g}" if test.value is not None else "p not formed"
    mark = f" ✕ {word}" if test.value is not None and test.value <= LEVEL else ""
    return f"{show_measurement(_bare(number))}, {p}{mark}{note}"


def _bare(number: Measurement) -> Measurement:
    """The number without its slice, which stands in its name."""
    return replace(number, slice="")


# --- the command ----------------------------------------------------------------------------------------


@click.command("drift", cls=Page)
@click.argument("ckpt", type=PLACE)
@click.argument("new", type=PLACE, required=False)
@place(
    "--texts",
    "texts",
    "The text that comes now, or, of two checkpoints, what both are shown.",
    type=PLACE,
    group=FIRST,
)
@place("--against", "against", "Text like that the checkpoint learnt from, which it was not trained on."
       "  [default: what its run held out]", type=PLACE, group=FIRST)  # fmt: skip
@place("--baseline", "baseline", "A folder of earlier results, by which this one is judged.", group=FIRST)
@options(DriftSettings)
@place("--reports", "reports", "Where drift.json goes.", "reports", type=FOLDER)
@policies(None)
@click.option(
    "--out",
    metavar="FORMAT=PATH",
    multiple=True,
    help=f"Write the numbers and verdicts; FORMAT is {', '.join(FORMATS)}. Repeatable.",
)
@shared
def command(
    ckpt: Path,
    new: Path | None,
    texts: Path | None,
    against: Path | None,
    baseline: Path | None,
    reports: Path,
    policy: str | None,
    fail_on: Any,
    out: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    if new is None and texts is None:
        raise click.UsageError("nothing to compare with: name a second checkpoint, or --texts")
    if new is not None and against is not None:
        raise click.UsageError("--against is the text of one checkpoint: leave it out, or leave NEW out")
    from mlmguard.policy.reading import load
    from mlmguard.report.formats import parse_out, refuse_taken, write

    rules = load(policy) if policy else None
    target = reports / "drift.json"
    wanted = [parse_out(text) for text in out]
    for name, path in wanted:
        if name not in FORMATS:
            raise InputError(f"--out {name}={path}", "a report on a release", f"one of {', '.join(FORMATS)}")
        refuse_taken(name, path, [target])

    from mlmguard import drift as verb
    from mlmguard.commands import leading_on, project
    from mlmguard.commands.gate import judge_evidence
    from mlmguard.report.clearance import case

    with interruptible(quiet or as_json) as watcher:
        found = verb.drift(
            ckpt, new, texts=texts, against=against, baseline=baseline, reports=reports,
            settings=DriftSettings(**settings), watcher=watcher,
        )  # fmt: skip
    judged = judge_evidence(target, found.evidence, rules, fail_on).case if rules else None
    shown = judged or case(found.evidence, declared=project.declared())
    for name, path in wanted:
        write(name, shown, path)

    def tables() -> None:
        console.explanation(f"Drift between {found.compares}", lines(found))
        if judged is not None:
            console.verdicts(judged)

    show(found, as_json, tables)
    console.written([target, *(path for _, path in wanted)], quiet)
    if judged is None:
        leading_on.then("gate", target, "--policy", "drift", quiet=quiet)
    return shown.exit_code or 0
