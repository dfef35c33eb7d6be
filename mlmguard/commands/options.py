"""What commands share: options made from dials, flags that several have, and help in groups."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmguard import console
from mlmguard.settings import Dial, check_value, dials

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
PLACE = click.Path(path_type=Path)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Page(click.Command):
    """A command whose help lists its options in groups, those that most people need first.

    ``renamed`` maps old names of flags to new ones: on the command line, in the environment and in the
    project file they work for one version, with a line that says so.
    """

    def __init__(self, *arguments: Any, renamed: Mapping[str, str] | None = None, **about: Any) -> None:
        super().__init__(*arguments, **about)
        self.renamed = dict(renamed or {})

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put new names in the place of old ones, then parse; an error knows whose it is."""
        for old, new in self.renamed.items():
            before, now = (variable(context.auto_envvar_prefix or "", flag) for flag in (old, new))
            if os.environ.get(before):
                warn_renamed(before, now)
        try:
            return super().parse_args(context, [self._current(one) for one in args])
        except click.UsageError as problem:
            problem.ctx = problem.ctx or context
            raise

    def _current(self, argument: str) -> str:
        flag, equals, value = argument.partition("=")
        new = self.renamed.get(flag)
        if new is None:
            return argument
        warn_renamed(flag, new)
        return new + equals + value

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a group, all with one margin; options without a group come last."""
        found = {
            title: [record for one in options if (record := one.get_help_record(context))]
            for title, options in groups(self)
        }
        margin = min(_MARGIN, max(len(flag) for records in found.values() for flag, _ in records))
        for title, records in found.items():
            with formatter.section(title):
                formatter.write_dl([(flag.ljust(margin), help) for flag, help in records], _MARGIN)


class Pages(Page, click.Group):
    """A command that has more commands below it."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups, then the commands."""
        Page.format_options(self, context, formatter)
        self.format_commands(context, formatter)


def warn_renamed(old: str, new: str) -> None:
    """Say the line that comes with every use of an old name."""
    console.warn(f"{old} is now {new}; the old name goes with the next version")


def key(flag: str) -> str:
    """A flag as the project file writes it: ``--dp-epsilon`` is ``dp_epsilon``."""
    return flag.lstrip("-").replace("-", "_")


def variable(prefix: str, flag: str) -> str:
    """A flag as the environment writes it: ``--dp-epsilon`` of train is ``MLMGUARD_TRAIN_DP_EPSILON``."""
    return f"{prefix}_{key(flag)}".upper().replace("-", "_")


def name_variables(command: click.Command, prefix: str) -> None:
    """Let every option of ``command`` have its default in the environment under its flag, old ones too.

    Click alone knows the name of the parameter, which is not always that of the flag.
    """
    old = command.renamed if isinstance(command, Page) else {}
    for option in command.params:
        if isinstance(option, click.Option):
            flags = [*option.opts, *(before for before, now in old.items() if now in option.opts)]
            option.envvar = [variable(prefix, flag) for flag in flags if flag.startswith("--")]


class Grouped(click.Option):
    """An option that stands in a group of the help page."""

    def __init__(self, names: Iterable[str], group: str = "", **about: Any) -> None:
        super().__init__([*names], **about)
        self.group = group


MOST_USED, OTHERS = "Most used", "Output"
_MARGIN = 30  # characters; the text of a longer flag begins in the next line


def groups(command: click.Command) -> list[tuple[str, list[click.Option]]]:
    """The options of ``command`` that help shows, by group, in the order they are declared."""
    found: dict[str, list[click.Option]] = {}
    rest = []
    for one in command.params:
        if isinstance(one, Grouped) and one.group:
            found.setdefault(one.group, []).append(one)
        elif isinstance(one, click.Option) and not one.hidden:
            rest.append(one)
    return [*found.items(), (OTHERS if found else "Options", rest)]


# --- options made from dials --------------------------------------------------------------------------


def options(settings: Any, only: Collection[str] = ()) -> Decorator:
    """Give a command one option for each dial of ``settings``, or, without groups, for those in ``only``.

    Each value is refused as it is read, before the command imports or opens anything; values that contradict
    each other are refused by :func:`mlmguard.settings.check`.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        known = {one.name: one for one in dials(settings) if one.flag}
        first = [known[name] for name in only or settings.MOST_USED]
        chosen = [(one, "" if only else MOST_USED) for one in first]
        if not only:
            chosen += [
                (one, group)
                for group in settings.GROUPS
                for one in known.values()
                if one.group == group and one not in first
            ]
        for one, group in reversed(chosen):
            command = _option(one, group)(command)
        return command

    return decorate


def _option(one: Dial, group: str) -> Decorator:
    def checked(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None:
            check_value(one, value)
        return value

    about: dict[str, Any] = {"help": one.help, "metavar": one.metavar, "callback": checked}
    if one.derived:
        about["help"] += f"  [default: {one.derived}]"
    if one.kind is bool:
        about["is_flag"] = True
    else:
        about["type"] = _type(one)
        about["multiple"] = one.several and not one.separated
    if not one.several and one.default is not None and not one.derived:
        about["default"] = str(one.default) if one.choices else one.default
        about["show_default"] = one.kind is not bool
    if one.separated:
        about["default"] = ",".join(one.default)
    return click.option(one.flag, one.name, cls=Grouped, group=group, **about)


def _type(one: Dial) -> Any:
    if one.choices:
        return click.Choice(one.choices)
    if one.separated:
        return _Separated()
    return PLACE if one.kind is Path else one.kind


if TYPE_CHECKING:
    _Type = click.ParamType[tuple[str, ...]]
else:
    _Type = click.ParamType  # an older click has no parameter here


class _Separated(_Type):
    """Several values in one, with commas between: in small letters, sorted, each once."""

    name = "codes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, str):
            value = value.split(",")
        if not (isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)):
            self.fail("expected codes with commas between.", param, ctx)
        return tuple(sorted({part.strip().lower() for part in value} - {""}))


# --- flags that several commands have -----------------------------------------------------------------


quietly = click.option(
    "-q", "--quiet", is_flag=True, help="No progress and no talk; results and errors only."
)
"""``--quiet``."""


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--quiet`` and ``--json``."""
    text = "Print the result as JSON instead of tables."
    return quietly(click.option("--json", "as_json", is_flag=True, help=text)(command))


class _Out(click.Option):
    """``--out``, whose help names every format there is, those of plug-ins too."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from mlmguard.report.formats import names

        self.help = f"Write a report; FORMAT is {', '.join(names())}. Repeatable."
        return super().get_help_record(ctx)


def outputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--out FORMAT=PATH``, repeatable."""
    return click.option(
        "--out", cls=_Out, metavar="FORMAT=PATH", multiple=True, help="Write a report. Repeatable."
    )(command)


def policies(default: str | None) -> Decorator:
    """``--policy`` and ``--fail-on``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option(
            "--fail-on",
            type=click.Choice(["fail", "warn"]),
            default="fail",
            show_default=True,
            help="What makes the exit code 10.",
        )(command)
        text = "Judge the evidence by a shipped policy or a YAML file."
        return click.option(
            "--policy", metavar="NAME|FILE", default=default, show_default=default is not None, help=text
        )(command)

    return decorate


overwriting = click.option(
    "--overwrite", is_flag=True, help="Replace what another run has left in these folders."
)
"""``--overwrite``."""


def place(
    flag: str, name: str, help: str, default: str | None = None, *, type: Any = FOLDER, group: str = ""
) -> Decorator:
    """An option for a folder or file, with its default shown."""
    about = {"type": type, "default": default, "show_default": default is not None, "help": help}
    return click.option(flag, name, cls=Grouped, group=group, **about)


def show(result: object, as_json: bool, tables: Callable[[], None]) -> None:
    """Print ``result`` as JSON, or as ``tables`` prints it."""
    if as_json:
        from mlmguard.artifacts import to_json  # brings pydantic, which no help page needs

        click.echo(to_json(result), nl=False)
    else:
        tables()
