"""What people see in a terminal: tables and verdicts on stdout, progress and talk on stderr.

The only file that imports rich. Every text from outside passes :func:`_text`, so that a document id such as
``[red]x[/red]`` is shown and never obeyed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from mlmguard import logs
from mlmguard.heartbeat import heartbeat
from mlmguard.measures import applied
from mlmguard.report import briefing, tables, words
from mlmguard.report.clearance import Case, case, cleared, line, prose
from mlmguard.settings import LANGUAGES
from mlmguard.showing import show_epsilon
from mlmguard.types import (
    SILENT,
    Detector,
    Evidence,
    Manifest,
    PrivacyStatement,
    Progress,
    Status,
    not_looked_for,
)

_STYLE = {
    Status.PASS: "green",
    Status.WAIVED: "cyan",
    Status.WARN: "yellow",
    Status.INCONCLUSIVE: "magenta",
    Status.FAIL: "bold red",
    Status.OUT_OF_REACH: "dim",
    Status.NOT_APPLICABLE: "dim",
}


def _out() -> Console:
    # made anew each time: a test or a pipe may have replaced the stream. NO_COLOR is rich's own concern.
    return Console(highlight=False, soft_wrap=False)


def _err() -> Console:
    return Console(stderr=True, highlight=False)


def _text(text: str, style: str = "") -> Text:
    """Text that is not markup and cannot steer the terminal."""
    return Text(prose(text), style=style, overflow="fold")


def tell(text: str) -> None:
    """One line of a result, on stdout."""
    _out().print(_text(text), soft_wrap=True)


# --- talk ---------------------------------------------------------------------------------------------


def say(text: str, quiet: bool = False) -> None:
    """One line for whoever watches, on stderr."""
    if not quiet:
        _talk("", "", text)


def warn(text: str) -> None:
    """A line that should be read, on stderr; ``--quiet`` does not silence it."""
    _talk("warning: ", "yellow", text)


def error(text: str) -> None:
    """The one line a command ends with when it cannot go on, on stderr."""
    _talk("error: ", "bold red", text)


def _talk(kind: str, style: str, text: str) -> None:
    # soft_wrap: one line stays one line for whoever greps it
    _err().print(Text.assemble((kind, style), line(text)), soft_wrap=True)


class _Rate(ProgressColumn):
    """Things a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if speed is None:
            return Text("")
        return Text(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s", style="dim")


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Progress]:
    """A :class:`mlmguard.types.Progress` that draws one bar a stage on stderr, with rate and time left.

    Silent when asked. Where stderr is no terminal a line every half minute says where the work is.
    """
    console = _err()
    if quiet:
        yield SILENT.progress
        return
    if not console.is_terminal:
        with heartbeat(lambda text: say(prose(text, 90))) as beating:
            yield beating
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(compact=True),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=console, transient=True, expand=True) as bars:

        def advance(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(prose(stage, 30), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield advance


# --- results ------------------------------------------------------------------------------------------


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def scan_summary(manifest: Manifest, facts: Mapping[str, str] | None = None) -> None:
    """What a scan read, removed, wrote and could not look for."""
    manifest = cleared(manifest)
    rows = {
        "read": _count(manifest.documents_read, "document"),
        "left out": _left_out(manifest),
        "duplicates": f"{manifest.duplicates.exact:,} exact, {manifest.duplicates.near:,} near",
        "personal data": words.taken_out(*tables.totals(manifest.findings)),
        "written": f"{_count(manifest.documents_written, 'document')} "
        f"({', '.join(f'{split} {n:,}' for split, n in manifest.splits.items())})",
        "run": manifest.run_id,
    }
    if (seen := manifest.earlier) is not None:
        rows["earlier scans"] = (
            f"{seen.scans:,} with {_count(seen.documents, 'text')}; "
            f"{manifest.duplicates.earlier:,} copies left out"
        )
    if manifest.columns:
        rows["other columns"] = (
            f"{_count(sum(c.found for c in manifest.columns), 'value')} found and redacted"
        )
    if manifest.languages:
        rows["languages"] = ", ".join(
            f"{_LANGUAGE.get(row.language, row.language)} {row.documents:,}" for row in manifest.languages[:8]
        )
    if manifest.repeated_ids:
        repeated = sum(row.documents for row in manifest.repeated_ids)
        rows["ids used twice"] = f"{_count(repeated, 'row')} named by line instead"
    _print(
        _heading("Scan"),
        _facts({**rows, **(facts or {})}),
        _findings(manifest),
        _table(tables.skipped(manifest)) if logs.asked() else None,
        _not_looked_for(manifest.coverage),
        _unread(manifest),
        _foreign(manifest),
    )


def _left_out(manifest: Manifest) -> str:
    """How many records, and, where no table follows, why."""
    found, told = tables.skipped(manifest), _count(manifest.records_skipped, "record")
    if found is None or logs.asked():
        return told
    shown = ", ".join(f"{reason} {count}" for reason, count in found.rows[:4])
    return f"{told}: {shown}" + (", and others (--verbose)" if len(found.rows) > 4 else "")


def train_summary(statement: PrivacyStatement, facts: Mapping[str, str] | None = None) -> None:
    """The claim, or the honest lack of one, and what the caller adds."""
    if statement.private and statement.epsilon is not None:
        delta = f", δ = {statement.delta:g}" if statement.delta is not None else ""
        claim = {
            "privacy": f"ε = {show_epsilon(statement.epsilon)}{delta}",
            "unit": f"{statement.unit}: {statement.unit_definition}",
            "accountants": ", ".join(f"{a.name} {show_epsilon(a.epsilon)}" for a in statement.accountants),
            "steps": applied(statement),
            "covers": statement.covers,
        }
        present = [h.id for h in statement.hazards if h.status != "absent"]
        claim |= {"hazards": ", ".join(present)} if present else {}
        claim |= {"warning": " ".join(statement.warnings)} if statement.warnings else {}
    else:
        claim = {"privacy": "not private: no differential privacy is claimed"}
    _print(_heading("Train"), _facts({**claim, **(facts or {}), "run": statement.run_id}))


def audit_summary(evidence: Evidence) -> None:
    """What could be shown, what could not, and the smallest leak it would have seen; all with --verbose."""
    shown = case(evidence)
    smallest = briefing.reach(shown)
    takeaways = [
        words.unclearable(shown),
        " ".join(filter(None, (words.epsilon(shown), words.mechanism(shown)))),
        words.named(shown),
        words.exposure(shown),
        words.roc(shown),
        words.unknown(shown),
        f"Smallest leak it would see: {smallest[0].lower()}{smallest[1:]}" if smallest else "",
    ]
    model = shown.evidence.model
    facts = {
        "model": f"{model.architecture}, {model.parameters:,} parameters",
        "weights": model.digest[:16],
        **({"run": shown.evidence.run_id} if shown.evidence.run_id else {}),
    }
    bullets = Table(box=None, show_header=False, pad_edge=False)
    for takeaway in filter(None, takeaways):
        bullets.add_row(Text("•", style="dim"), _text(takeaway))
    _print(_heading("Audit"), _facts(facts), Padding(bullets, (0, 0, 1, 2), expand=False))
    if logs.asked():
        _print(_table(tables.by_attack(shown), whole=(0,)), _table(tables.attacks(shown), whole=(0, 1)))
    else:
        _print(_text(_coverage(shown), "dim"))


def _coverage(shown: Case) -> str:
    """How many numbers and attacks there are, and which were not run."""
    attacks = shown.evidence.attacks
    run, absent = (sum(one.status == status for one in attacks) for status in ("run", "not applicable"))
    missing = [one.attack for one in attacks if one.status == "not run"]
    text = f"{run} attacks run"
    text += f", {absent} not applicable" if absent else ""
    text += f", not run: {', '.join(missing)}" if missing else ""
    return f"{text}; {len(shown.evidence.measurements)} numbers with --verbose, in the report and as JSON."


def verdicts(shown: Case) -> None:
    """The verdicts that somebody has to act on, the gravest first, and the word the policy ends with.

    With --verbose every verdict.
    """
    judgement = shown.judgement
    if judgement is None:
        return
    word, sentence = words.headline(shown)
    # a narrow terminal gets the requirement under what was observed
    narrow = _out().width < 100
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("rule", no_wrap=True)
    for column in ("observed, required",) if narrow else ("required", "observed"):
        table.add_column(column)
    one_cause = {verdict.rule for group in words.unmet(shown) if len(group) > words.FEW for verdict in group}
    for verdict in tables.gravest_first(judgement):
        if not logs.asked() and (verdict.status not in tables.UNMET or verdict.rule in one_cause):
            continue
        mark = _text(f"{words.MARK[verdict.status]} {words.WORD[verdict.status]}", _STYLE[verdict.status])
        required, observed = _text(verdict.required, "dim" if narrow else ""), _text(verdict.observed)
        below = observed if verdict.status is Status.PASS else Group(observed, required)
        table.add_row(mark, _text(verdict.rule), *([below] if narrow else [required, observed]))
    advice: list[RenderableType] = []
    for group in words.unmet(shown):
        first = group[0]
        if first.status is Status.WARN and first.rule not in one_cause and not logs.asked():
            continue  # `explain` has what a warning asks for
        rules = _text(", ".join(verdict.rule for verdict in group), _STYLE[first.status])
        advice.append(rules.append("  ").append_text(_text(first.reason, "not bold default")))
        if texts := words.advice(shown, first):
            advice.append(Padding(_text(f"→ {texts[1]}", "dim"), (0, 0, 0, 2), expand=False))
    style = _STYLE[judgement.status]
    counted = ", ".join(f"{words.WORD[status]} {n}" for status, n in tables.tally(judgement))
    _print(
        _heading(f"Gates of {judgement.policy} {judgement.policy_version}"),
        table if table.row_count else None,
        Padding(Group(*advice), (0, 0, 1, 0), expand=False) if advice else None,
        _table(tables.waivers(judgement)),
        Text.assemble((f"{words.MARK[judgement.status]} {word}", f"{style} bold"), f"  {counted}"),
        _text(sentence),
    )


def explanation(title: str, lines: Sequence[tuple[str, str]]) -> None:
    """Print a title and lines under it; a label may stand several times."""
    _print(_heading(title), _pairs(lines))


_FATES = {"hidden": ("{}", "bold red"), "swapped": ("~{}~", "bold yellow"), "kept": ("={}=", "bold cyan")}


def masks(rows: Sequence[tuple[str, Sequence[tuple[str, str, bool]]]]) -> None:
    """Strategies, each with its tokens: text, fate, whether in a finding. Legible without colour."""
    for strategy, pieces in rows:
        line = Text(overflow="fold")
        for text, fate, personal in pieces:
            form, style = _FATES.get(fate, ("{}", ""))
            # the token is cleared, not its marks: =@= would look like an address
            line.append(form.format(prose(text)), f"{style} underline" if personal else style).append(" ")
        _print(_heading(strategy), Padding(line, (0, 0, 0, 2)))
    _print(
        _text("[MASK] hidden, ~token~ swapped for another, =token= kept and predicted; findings underlined")
    )


def checks(rows: Sequence[tuple[str, str, str, str]], title: str = "Doctor") -> None:
    """What ``doctor`` or ``verify`` found: (what, found, ok | optional | warn | missing, what to do)."""
    style = {"ok": "green", "optional": "dim", "warn": "yellow", "missing": "red"}
    mark = {"ok": "✓", "optional": "–", "warn": "!", "missing": "✕"}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for what, found, health, do in rows:
        line = _text(found)
        if do:
            line.append("  → ", style.get(health, "")).append_text(_text(do, "dim"))
        table.add_row(Text(mark.get(health, "?"), style=style.get(health, "")), _text(what, "dim"), line)
    _print(_heading(title), table)


def written(paths: Sequence[object], quiet: bool = False) -> None:
    """Where results lie, on stderr: stdout is for the results themselves."""
    for path in paths:
        say(f"wrote {path}", quiet)


# --- pieces -------------------------------------------------------------------------------------------


def _print(*parts: RenderableType | None) -> None:
    console = _out()
    for part in parts:
        if part is not None:
            console.print(part)


def _heading(title: str) -> RenderableType:
    return _text(title, "bold")


def _facts(facts: Mapping[str, str]) -> RenderableType:
    return _pairs(list(facts.items()))


def _pairs(lines: Sequence[tuple[str, str]]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in lines:
        table.add_row(_text(label), _text(str(value)))
    return Group(Padding(table, (0, 0, 0, 2), expand=False), "")


def _table(content: tables.Table | None, whole: Sequence[int] = ()) -> RenderableType | None:
    """The table of ``content``; columns that are ``whole`` are never broken."""
    if content is None or not content.rows:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for i, column in enumerate(content.columns):
        justify: Literal["left", "right"] = "right" if i in content.numeric else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=i in whole)
    for row in content.rows:
        table.add_row(*(_text(cell) for cell in row))
    # above the table and not its title: a title is broken at the width of a narrow table
    return Group(_text(content.caption, "dim"), table)


_FEW_TYPES = 8
"""Types of a scan that a terminal shows; all of them with --verbose, and in the manifest."""


def _findings(manifest: Manifest) -> RenderableType | None:
    """The findings by type, and by as many sources as the terminal is wide for."""
    found = None
    for most in range(tables.SOURCES, 0, -1):
        found = tables.personal_data(manifest, most, tables.TYPES if logs.asked() else _FEW_TYPES)
        if found is None or _width(found) <= _out().width:
            break
    return _table(found)


def _width(content: tables.Table) -> int:
    """Characters of a table that is not wrapped."""
    return sum(3 + max(map(len, column)) for column in zip(content.columns, *content.rows))


_LANGUAGE = {"und": "undetermined"}
_MANY = 0.05
"""Share of what a scan met that is worth a warning: records left out, documents in languages that nobody
looked into."""


def _unread(manifest: Manifest) -> RenderableType | None:
    """A warning where a part of the corpus was left out."""
    share = manifest.records_skipped / max(1, manifest.records_skipped + manifest.documents_read)
    if share <= _MANY:
        return None
    return _warning(
        f"{share:.0%} of the records were left out",
        ": nobody looked into them; scan --verbose says why, --max-skipped stops a scan for it",
    )


def _foreign(manifest: Manifest) -> RenderableType | None:
    """A warning where a part of the corpus is in a language whose identifiers nobody looked for."""
    foreign = manifest.foreign
    share = sum(foreign.values()) / max(1, manifest.documents_read)
    if share <= _MANY:
        return None
    named = ", ".join(f"{language} {count:,}" for language, count in list(foreign.items())[:8])
    return _warning(
        f"{share:.0%} of the documents are in a language whose identifiers nobody looked for: ",
        f"{named}; scan again with {_asked(foreign)}--overwrite, or leave them out",
    )


def _asked(foreign: Mapping[str, int]) -> str:
    """The option for those of the languages that a scan can be asked for."""
    known = [language for language in foreign if language in LANGUAGES]
    return f"--language {','.join(known)} " if known else ""


def _not_looked_for(coverage: Sequence[Detector]) -> RenderableType | None:
    missing = sorted(not_looked_for(coverage))
    if not missing:
        return None
    return _warning("not looked for: ", ", ".join(missing))


def _warning(what: str, more: str) -> RenderableType:
    return Text.assemble((f"! {what}", "yellow"), _text(more), "\n")
