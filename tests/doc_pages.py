"""Pages under ``docs/`` that are made from what they speak of; ``python -m tests.doc_pages`` writes them."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from mlmguard import cli
from mlmguard.leakage.attacks import ATTACKS
from mlmguard.policy.reading import load, shipped
from mlmguard.training import architectures

DOCS = Path(__file__).resolve().parent.parent / "docs"


def pages() -> dict[str, str]:
    """Every made page, by file name."""
    return {"audit.md": _audit(), "commands.md": _commands(), "rules.md": _rules(), "train.md": _train()}


# --- attacks ------------------------------------------------------------------------------------------


def _audit() -> str:
    """The page as it stands, with one row of its table for each part of an attack that says how it works."""
    lines = (DOCS / "audit.md").read_text("utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("| `model` |"))
    after = at + lines[at:].index("")
    rows = [
        f"| `{part.name}` | {part.how} | {part.control} |"
        for attack in ATTACKS
        for part in attack.parts
        if part.how
    ]
    return "\n".join([*lines[: at + 1], *rows, *lines[after:]]) + "\n"


# --- architectures ------------------------------------------------------------------------------------


def _train() -> str:
    """The page as it stands, with the table of architectures."""
    text = (DOCS / "train.md").read_text("utf-8")
    header = architectures.table().splitlines()[0]
    before, rest = text.split(header)
    return before + architectures.table() + rest[rest.index("\n\n") + 1 :]


# --- commands -----------------------------------------------------------------------------------------


def _commands() -> str:
    lines = [
        "# Commands",
        "",
        "Made from the command line by `python -m tests.doc_pages`. `mlmguard COMMAND --help` says the same.",
        "Every option has an environment default: `--dp-epsilon` of `train` is `MLMGUARD_TRAIN_DP_EPSILON`.",
        "Every command has `--help` and `--verbose`, which is said here once:",
        "",
        f"* `-v, --verbose`: {_verbose().help}",
    ]
    for path, command in sorted(cli.leaves().items()):
        path = f"mlmguard {path}"
        lines += ["", f"## {path}", "", *_usage(path, command), "", *_described(command), *_options(command)]
    return "\n".join(lines).rstrip() + "\n"


def _verbose() -> click.Option:
    command = cli.leaves()["gate"]
    return next(p for p in command.params if isinstance(p, click.Option) and p.name == "verbose")


def _usage(path: str, command: click.Command) -> list[str]:
    pieces = command.collect_usage_pieces(click.Context(command))
    return ["```", " ".join([path, *pieces]), "```"]


def _described(command: click.Command) -> list[str]:
    """The docstring, in which click marks lines that keep their breaks."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        kept = paragraph.startswith("\b\n")
        lines += ["```", paragraph.removeprefix("\b\n"), "```", ""] if kept else [paragraph, ""]
    return lines


def _options(command: click.Command) -> list[str]:
    context = click.Context(command)
    said = []
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.name == "verbose" or parameter.hidden:
            continue
        if record := parameter.get_help_record(context):
            said.append(f"* `{record[0]}`: {' '.join(record[1].split())}")
    return said


# --- rules --------------------------------------------------------------------------------------------


def _rules() -> str:
    lines = [
        "# Rules",
        "",
        "Made from `policies/` by `python -m tests.doc_pages`. `mlmguard explain RULE` says the same.",
    ]
    for name in sorted(shipped(), key=lambda one: (one != "base", one)):
        policy = load(name)
        inherited = {rule.id: rule for rule in load(policy.extends.policy).rules} if policy.extends else {}
        lines += ["", f"## {policy.id} {policy.version}: {policy.title}", ""]
        if policy.extends:
            lines += [f"Everything of `{policy.extends.policy}`, and:", ""]
        for rule in policy.rules:
            if inherited.get(rule.id) == rule:
                continue
            number = f"`{rule.metric}`" + (f" of `{rule.slice}`" if rule.slice else "")
            waived = "" if rule.waivable else ", cannot be waived"
            lines += [
                f"### {rule.id}",
                "",
                f"{rule.title}. {number}: {rule.required}; unknown is {rule.on_inconclusive}. "
                f"{rule.severity.capitalize()}{waived}.{f' *{rule.control}*' if rule.control else ''}",
                "",
                f"{rule.why} → {rule.do}",
                "",
            ]
        for asked in policy.attestations:
            lines += [
                f"### {asked.id}",
                "",
                f"Signed by the {asked.role}. *{asked.control}*",
                "",
                f"> {asked.statement}",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")
        print(f"wrote docs/{name}")
