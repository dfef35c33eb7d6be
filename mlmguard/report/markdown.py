"""The report as Markdown for a pull request or a job summary: verdict, gates, coverage; capped in size."""

from __future__ import annotations

import re

from mlmguard.report import briefing, tables, words
from mlmguard.report.clearance import Case

#: Job summaries are cut at 1 MiB and comments at 65,536 characters; stay under both.
LIMIT = 60_000
_ADDRESS = re.compile(r"@|:(?=//)|www(?=\.)", re.IGNORECASE)
"""Behind what a bare address has to be cut so that it stays text."""


def render(case: Case) -> str:
    """Markdown; what does not fit is counted, not dropped in silence."""
    word, sentence = words.headline(case)
    lines = [f"## mlmguard: {word}", "", escaped(sentence), ""]
    if case.judgement is not None:
        judgement = case.judgement
        version = f"{escaped(judgement.policy_version)} · {judgement.policy_hash[:16]}"
        lines += [
            f"Policy {escaped(judgement.policy)} {version}",
            "",
            "| | rule | required | observed | why |",
            "|---|---|---|---|---|",
        ]
        for verdict in tables.gravest_first(judgement):
            why = verdict.reason
            if texts := words.advice(case, verdict):
                why = f"{why}. {texts[1]}"
            cells = (words.heading(verdict), verdict.required, verdict.observed, why)
            mark = f"{words.MARK[verdict.status]} {words.WORD[verdict.status]}"
            lines.append(f"| {mark} | {' | '.join(escaped(cell) for cell in cells)} |")
        lines.append("")
    lines += ["### What who signs asks first", ""]
    lines += [
        f"- {escaped(question)}: {escaped(' '.join(answer))}" for question, answer in briefing.answers(case)
    ]
    lines += ["", "### What was measured", ""]
    takeaways = (
        words.epsilon,
        words.mechanism,
        words.values,
        words.roc,
        words.unknown,
        words.personal_data,
        words.duplicates,
    )
    lines += [f"- {escaped(said)}" for said in (say(case) for say in takeaways) if said]
    shown = (
        tables.waivers(case.judgement),
        tables.attestations(case.judgement),
        tables.attacks(case),
        tables.mechanism(case),
        tables.hazards(case),
        tables.coverage(case.evidence.manifest),
        tables.languages(case.evidence.manifest),
    )
    for table in shown:
        if table is not None and table.rows:
            lines += [
                "",
                f"### {table.caption}",
                "",
                f"| {' | '.join(table.columns)} |",
                "|---" * len(table.columns) + "|",
            ]
            lines += [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in table.rows]
    lines += ["", "### Limits", "", *(f"- {escaped(limit)}" for limit in words.LIMITS)]
    return _capped(lines)


def escaped(text: str) -> str:
    """Text that can be neither markup, a link (bare addresses become some), a mention nor a cell border."""
    for character in "\\`*_{}[]<>|#~":
        text = text.replace(character, f"\\{character}")
    return _ADDRESS.sub("\\g<0>\u200b", text)


def _capped(lines: list[str]) -> str:
    total = 0
    for i, line in enumerate(lines):
        total += len(line) + 1
        if total > LIMIT:
            return (
                "\n".join(
                    [*lines[:i], "", f"… and {len(lines) - i:,} more lines; the JSON report is complete."]
                )
                + "\n"
            )
    return "\n".join(lines) + "\n"
