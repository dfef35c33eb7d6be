"""Try recognisers on their own texts: ours, and those of installed packages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mlmguard import console
from mlmguard.commands.options import Page
from mlmguard.corpus.detect.builtin import RECOGNISERS
from mlmguard.corpus.detect.installed import outside
from mlmguard.corpus.detect.own import recognisers_of
from mlmguard.corpus.detect.proving import prove
from mlmguard.errors import InputError


@dataclass(frozen=True)
class Proved:
    """One recogniser and the result of trying it. ``failures`` name texts by number, never their content."""

    name: str  # of ours, or of the entry point
    entity: str
    texts: int
    failures: tuple[str, ...]

    @property
    def line(self) -> str:
        """The one line that is printed of it."""
        if self.failures:
            return f"{self.name}: {'; '.join(self.failures)}"
        return f"{self.name}: {self.entity}, right on {self.texts} texts"


def prove_rules(names: Sequence[str] = ()) -> tuple[Proved, ...]:
    """Try the recognisers ``names``, or all that are built in or installed, each alone on its own texts.

    A name that ends in ``.toml`` is a file of recognisers, as ``scan --deny-list`` takes it. Raises
    :class:`InputError` for a name that nothing has, and by name for a plug-in that does not load.
    """
    from mlmguard.corpus.detect.names import CUED_NAME  # here: it imports Presidio, which takes seconds

    files = [Path(name) for name in names if name.endswith(".toml")]
    listed = {one.name: one for file in files for one in recognisers_of(file)}
    names = [*(name for name in names if not name.endswith(".toml")), *listed]
    known = {**RECOGNISERS, CUED_NAME.name: CUED_NAME, **outside(), **listed}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"recogniser {name[:60]!r}", "not known", f"one of: {', '.join(sorted(known))}", hint
            )
    return tuple(
        Proved(name, one.type, len(one.finds) + len(one.leaves), prove(one))
        for name, one in known.items()
        if not names or name in names
    )


# --- the command ----------------------------------------------------------------------------------------


@click.group("rules")
def command() -> None: ...


@command.command("prove", cls=Page)
@click.argument("names", metavar="[NAME|FILE]...", nargs=-1)
def rules_prove(names: tuple[str, ...]) -> int:
    """Try recognisers on their own texts, each alone; without NAME, all that are there.

    NAME is one of ours or the entry point of an installed package, FILE (.toml) one of your own, as
    scan --deny-list takes it. Exit code 2 where one fails.
    """
    proved = prove_rules(names)
    for one in proved:
        console.tell(one.line)
    return 2 if any(one.failures for one in proved) else 0
