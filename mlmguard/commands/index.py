"""Write a page of all runs of a reports folder, and what changed between two.

FOLDER is reports/ by default; the page is FOLDER/index.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import click

from mlmguard import console
from mlmguard.artifacts import read_json, write_text
from mlmguard.commands.options import FOLDER, Page
from mlmguard.commands.report import as_saved
from mlmguard.errors import InputError
from mlmguard.report.clearance import name
from mlmguard.report.json import SCHEMA
from mlmguard.report.overview import Run, render
from mlmguard.types import Evidence


def index(folder: Path, compare: Sequence[str] = ()) -> Path:
    """Write ``index.html`` into ``folder``. ``compare`` names two runs; left out, the last two are compared.

    Runs stand in the order of the day they were judged and then of their names. A file that says it is a
    report and cannot be read is an error; JSON of other kinds is counted.
    """
    if not folder.is_dir():
        raise InputError(str(folder), "no such folder", "a folder with reports")
    runs, left_out = [], 0
    for path in sorted(folder.glob("*.json")):
        data = read_json(path)
        if not isinstance(data, dict) or data.get("schema") not in (SCHEMA, Evidence.schema):
            left_out += 1
            continue
        page = f"{quote(path.stem)}.html" if path.with_suffix(".html").exists() else ""
        runs.append(Run(name(path.stem), page, as_saved(path)))
    runs.sort(key=lambda run: (run.case.judgement.day if run.case.judgement else "", run.name))
    target = folder / "index.html"
    write_text(target, render(runs, _pair(runs, compare), left_out))
    return target


def _pair(runs: Sequence[Run], compare: Sequence[str]) -> tuple[Run, Run] | None:
    if not compare:
        return (runs[-2], runs[-1]) if len(runs) >= 2 else None
    known = {run.name: run for run in runs}
    missing = [one for one in compare if one not in known]
    if missing:
        raise InputError(f"--compare {missing[0]}", "no such run", f"one of: {', '.join(known) or 'none'}")
    old, new = compare
    return known[old], known[new]


# --- the command ----------------------------------------------------------------------------------------


@click.command("index", cls=Page)
@click.argument("folder", type=FOLDER, default="reports")
@click.option(
    "--compare", nargs=2, metavar="OLD NEW", help="Two runs to set side by side.  [default: the last two]"
)
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def command(folder: Path, compare: tuple[str, str] | None, quiet: bool) -> None:
    console.written([index(folder, compare or ())], quiet)
