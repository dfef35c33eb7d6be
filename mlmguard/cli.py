"""The command line: read the project file, load one command, run it, choose the exit code.

Exit codes, the same for every format: 0 done · 1 broke or partial · 2 usage, input or policy ·
3 inconclusive · 10 a gate failed · 130 interrupted. Each command is a file of ``commands`` whose docstring is
its help; only the one that runs is imported, so that ``--help`` and ``gate`` never wait for torch.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from mlmguard import __version__, console, logs
from mlmguard.commands import project
from mlmguard.commands.completing import completion
from mlmguard.commands.options import Page, key, name_variables, warn_renamed
from mlmguard.commands.project import nearest
from mlmguard.errors import NOTHING_HALF, InputError, MlmguardError, of_the_machine

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "Pipeline": ("scan", "train", "audit", "gate", "review", "demo", "split"),
    "Evidence": ("report", "explain", "verify", "sign", "index", "publish"),
    "People": ("baseline", "forget-list", "subject", "sample-review", "waive", "policy"),
    "Study": ("plan", "ablate", "compare", "drift", "mask", "probe"),
    "Tools": ("check", "rules", "doctor", "ledger", "schema"),
}
"""Every command, by the groups of ``--help``; ``forget-list`` is ``commands/forget_list.py``."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    # no command resolves a hub name unless the user gave one; telemetry and update checks never run
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # transformers logs through a handler of its own, with whatever text it was given
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # torch's threads spin where they wait for one another: beside other work that took up to 3 x of the time
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # half a millisecond, not ten
    logs.hear_libraries()
    code: int | None = None
    with suppress(MemoryError):
        code = _run(arguments)
    if code is None:  # what the command held is gone by now, and a line can be made
        console.error(f"out of memory; {NOTHING_HALF}")
        code = 1
    logs.end(code)
    return code


def _in_one_line(problem: click.ClickException) -> str:
    """What was typed wrong, in the form of every other error."""
    said = problem.format_message().rstrip(".").replace("\n", " ")
    context = getattr(problem, "ctx", None)
    return f"{context.command_path}: {said}; {context.command_path} --help" if context else said


def _run(arguments: list[str]) -> int:
    try:
        result = cli.main(arguments, prog_name="mlmguard", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as problem:
        if isinstance(problem, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # of click 8.2
            problem.show()
        else:
            console.error(_in_one_line(problem))
        return problem.exit_code
    except MlmguardError as problem:
        console.error(str(problem))
        return problem.exit_code
    except (KeyboardInterrupt, click.Abort):
        verb = next((one for one in arguments if not one.startswith("-")), "")
        console.error(f"interrupted; {_AFTERWARDS.get(verb, 'the same command starts anew')}")
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nothing more to say to anyone
        return 0
    except (SystemExit, MemoryError):
        raise
    except BaseException as problem:  # a panic of Rust is no Exception, and its text may hold a text's
        if not (known := of_the_machine(problem)):
            return _our_bug(problem)
        console.error(str(known))
        return known.exit_code


_AFTERWARDS = {
    "scan": "the same command goes on with the documents that were not examined yet",
    "train": "the same command goes on from the last step that was saved, or starts anew where there is none",
    "audit": "the same command goes on with the attacks that were not finished",
    "review": "the same command goes on with what was not finished",
    "ablate": "the same command goes on with the models that were not finished",
}
"""What becomes of a command that was interrupted; nothing of another is kept."""


def _our_bug(problem: BaseException) -> int:
    """Print a traceback of places only: an exception's own text may hold text of the corpus."""
    frames = traceback.extract_tb(problem.__traceback__)
    for frame in frames:
        click.echo(f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}", err=True)
    console.error(
        f"{type(problem).__name__} inside mlmguard: this is a bug of ours, please report the lines above"
    )
    return 1


# --- the commands -------------------------------------------------------------------------------------


class Commands(click.Group):
    """The commands of ``COMMANDS``, each imported when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Every name, in the order of the page."""
        return [name for names in COMMANDS.values() for name in names]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the command called ``name``; its file's docstring is its help."""
        if name not in self.commands and name in self.list_commands(context):
            module = import_module(f"mlmguard.commands.{_module(name)}")
            command: click.Command = module.command
            command.help = inspect.cleandoc(module.__doc__ or "").partition("\f")[0]
            for path, leaf in _leaves(name, command).items():
                leaf.params.append(_verbose())
                name_variables(leaf, f"MLMGUARD_{path}".replace(" ", "_"))
            self.add_command(command, name)
        return self.commands.get(name)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with; for a name that is none, say the nearest."""
        try:
            return super().resolve_command(context, args)
        except click.UsageError as problem:
            hint = nearest(args[0], self.list_commands(context))
            raise click.UsageError(problem.message + hint, context) from problem

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a group, with the first line of each command's file."""
        width = max(map(len, self.list_commands(context)))
        for title, names in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), _summary(name)) for name in names])


def _module(name: str) -> str:
    return name.replace("-", "_")


def _summary(name: str) -> str:
    """The first line of the command's file, without importing what it imports."""
    with (Path(__file__).parent / "commands" / f"{_module(name)}.py").open(encoding="utf-8") as file:
        return file.readline().strip().strip('"')


def leaves() -> dict[str, click.Command]:
    """Import every command and return those that do work, by what is typed: ``policy check``."""
    context = click.Context(cli)
    found: dict[str, click.Command] = {}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found |= _leaves(name, command)
    return found


def _leaves(name: str, command: click.Command) -> dict[str, click.Command]:
    if not isinstance(command, click.Group):
        return {name: command}
    own = {name: command} if command.invoke_without_command else {}
    return own | {f"{name} {part}": leaf for part, leaf in command.commands.items()}


def _verbose() -> click.Option:
    def log(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
        if asked:
            logs.begin(context.command_path, __version__)

    return click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=log,
        help="Log stages, times and what libraries warn of to stderr; no text of the corpus.",
    )


# --- the project file ---------------------------------------------------------------------------------


def _project_file(context: click.Context) -> None:
    """Take defaults from the project file: keys as the flags."""
    path, found = project.tables()
    if found:
        context.default_map = _defaults(context, path, found)


def _defaults(context: click.Context, path: Path, tables: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of the command that runs; a table of any other name is refused."""
    names = cli.list_commands(context)
    for name, values in tables.items():
        if name == project.RELEASE:
            continue  # for reports: see mlmguard.commands.project
        if name not in names or not isinstance(values, dict):
            known = ", ".join(sorted(names)) + "." + nearest(name, names)
            raise InputError(str(path), f"[{name}]", f"a table named after a command: {known}")
    name = context.invoked_subcommand or ""
    command = cli.get_command(context, name)
    if command is None or name not in tables:
        return {}
    keys = {key(option): str(p.name) for p in command.params for option in p.opts}
    renamed = command.renamed if isinstance(command, Page) else {}
    old = {key(before): key(now) for before, now in renamed.items()}
    keys |= {before: keys[now] for before, now in old.items()}
    for told in tables[name]:
        if key(told) not in keys:
            now = sorted(one for one in keys.keys() - old if len(one) > 1)
            known = ", ".join(now) + "." + nearest(key(told), now)
            raise InputError(f"{path}: [{name}]", f"unknown key {told!r}", f"one of: {known}")
        if key(told) in old:
            warn_renamed(f"{path}: [{name}] {told}", old[key(told)])
    return {name: {keys[key(told)]: value for told, value in tables[name].items()}}


@click.group(
    cls=Commands,
    context_settings={
        "auto_envvar_prefix": "MLMGUARD",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="mlmguard")
@completion
@click.pass_context
def cli(context: click.Context) -> None:
    """Decide whether a masked language model trained on people's text may be released.

    \b
      mlmguard scan corpus/           find and remove personal data and duplicates
      mlmguard train --dp-epsilon 8   train with differential privacy
      mlmguard audit ckpt/            try to get the text back out

    Every option has an environment default: MLMGUARD_TRAIN_DP_EPSILON is --dp-epsilon of train.
    """
    _project_file(context)


__all__ = ["COMMANDS", "cli", "leaves", "main", "run"]
