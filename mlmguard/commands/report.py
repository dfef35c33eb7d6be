"""Render saved evidence in other formats.

Without --out it writes HTML beside EVIDENCE: audit.json gives audit.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from mlmguard import console
from mlmguard.artifacts import as_noun, read_json
from mlmguard.commands import leading_on, project
from mlmguard.commands.gate import judge_evidence, judgeable, write_cases
from mlmguard.commands.options import FILE, Page, outputs
from mlmguard.errors import InputError
from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load, shipped
from mlmguard.report import json, words
from mlmguard.report.clearance import Case, case, cleared
from mlmguard.report.formats import holds
from mlmguard.types import Evidence, Judgement


def rerender(
    evidence_path: str | Path,
    out: Sequence[tuple[str, Path]],
    policy: str | Path | None = None,
    today: date | None = None,
) -> tuple[Case, list[Path]]:
    """Write the evidence, and the judgement saved beside it or made by ``policy``, in each format."""
    path = Path(evidence_path)
    evidence = judgeable(path)
    if policy is not None:
        shown = judge_evidence(path, evidence, load(policy), today=today).case
    else:
        shown = as_saved(path)
        if shown.judgement is not None:
            _refuse_unjudged(path, evidence, shown.judgement)
    if not out:
        raise InputError("report", "no format", "--out FORMAT=PATH", "e.g. --out html=report.html")
    if shown.judgement is None:
        _keep_verdicts(out)
    return shown, write_cases([(path, shown)], out)


def _keep_verdicts(out: Sequence[tuple[str, Path]]) -> None:
    """Refuse to write a page without a verdict over one that has it."""
    for name, page in out:
        if name in _UNJUDGED and page.is_file() and not holds(name, page, _UNJUDGED[name]):
            what = str(page), "a report with a verdict, and no policy was named", "--policy NAME"
            raise InputError(*what, "judge anew, e.g. --policy base, or write to another file")


_UNJUDGED = {
    "html": f"<title>{words.UNJUDGED} ",
    "markdown": f"## mlmguard: {words.UNJUDGED}",
    "annex": f"Verdict: {words.UNJUDGED}",
    "json": '"judgement": null',
}
"""What a report holds that has no verdict, by its format."""


def as_saved(path: Path) -> Case:
    """Read the judgement, advice and exit code of a JSON report; bare evidence has none."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("schema") != json.SCHEMA:
        return case(judgeable(path), declared=project.declared())
    saved = data.get("judgement")
    judgement = as_noun(saved, Judgement, f"{path}: judgement") if saved else None
    advice = data.get("advice") or {}
    try:
        texts = {str(rule): (str(entry["why"]), str(entry["do"])) for rule, entry in advice.items()}
    except (AttributeError, KeyError, TypeError):
        raise InputError(f"{path}: advice", "not a mapping of rules to why and do") from None
    code = data.get("exit_code")
    exit_code = code if isinstance(code, int) else None
    return case(judgeable(path), judgement, texts, exit_code, project.declared())


def _refuse_unjudged(path: Path, evidence: Evidence, saved: Judgement) -> None:
    """Refuse a saved verdict that its policy does not give: nothing seals it. The policy may not be here."""
    policy = next((one for one in map(load, shipped()) if one.digest == saved.policy_hash), None)
    if policy is None:
        found = f"a verdict of policy {saved.policy} {saved.policy_version}, which is not one of the package"
        raise InputError(str(path), found, "--policy FILE", "name it, and the evidence is judged by it anew")
    try:
        given = judge(policy, evidence, date.fromisoformat(saved.day) if saved.day else None)
    except ValueError:  # no day
        given = None
    if cleared(given) != saved:
        do = f"judge it anew with --policy {policy.id}"
        raise InputError(str(path), f"a verdict that {policy.id} does not give", "the one it gives", do)


# --- the command ----------------------------------------------------------------------------------------


@click.command("report", cls=Page)
@click.argument("evidence", type=FILE)
@click.option("--policy", metavar="NAME|FILE", help="Judge anew; otherwise the saved judgement is shown.")
@outputs
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def command(evidence: Path, policy: str | None, out: tuple[str, ...], quiet: bool) -> None:
    from mlmguard.report.formats import parse_out

    targets = [parse_out(text) for text in out] or [("html", evidence.with_suffix(".html"))]
    shown, paths = rerender(evidence, targets, policy)
    console.written(paths, quiet)
    leading_on.gaps(targets, quiet)
    leading_on.after_verdict(shown, evidence, quiet)
