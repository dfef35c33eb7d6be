"""List documents that the next scan leaves out.

RECORDS is the file that `audit --records` wrote; `scan --forget-list` reads the list.

\f
``audit --records`` names the documents that a checkpoint gives away. Whoever answers for the data decides; a
forget-list says which documents go, why and on whose word, and ``scan --forget-list`` leaves them out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from mlmguard import console
from mlmguard.artifacts import as_noun, lines_of, read_json, write_json
from mlmguard.commands.options import FILE, Page, shared, show
from mlmguard.errors import InputError
from mlmguard.types import noun


@noun
class Forgotten:
    """One document that is left out, and why."""

    id: str
    reason: str
    owner: str


@noun
class ForgetList:
    """Documents the next scan leaves out."""

    documents: tuple[Forgotten, ...]
    schema: str = "mlmguard/forget/v1"


@dataclass(frozen=True)
class Written:
    """How many documents a list holds now, and how many of them are new."""

    documents: int
    new: int


def forget_list(records: Path, out: Path, owner: str, above: float) -> Written:
    """Add the documents of ``records`` whose score is at least ``above`` to the list in ``out``.

    Raises :class:`InputError` for a line that ``audit --records`` did not write, or another file in ``out``.
    """
    if not owner.strip():
        raise InputError("--owner", "nobody", "the role that answers for it")
    known = {one.id: one for one in read(out).documents} if out.exists() else {}
    before = len(known)
    for row in exposed(records):
        if row.score >= above:
            reason = f"{row.attack}: {row.kind}"
            known.setdefault(row.document_id, Forgotten(row.document_id, reason, owner.strip()))
    write_json(out, ForgetList(tuple(known[identity] for identity in sorted(known))), mode=0o600)
    return Written(len(known), len(known) - before)


@dataclass(frozen=True)
class Exposed:
    """One line of ``audit --records``."""

    document_id: str
    attack: str
    kind: str
    score: float
    copies: int


def exposed(records: Path) -> Iterator[Exposed]:
    """What ``audit --records`` wrote; :class:`InputError` where the file or a line of it is another."""
    try:
        lines = lines_of(records)
    except (OSError, UnicodeDecodeError):
        raise InputError(str(records), "no such file", "what `mlmguard audit --records` wrote") from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            yield Exposed(
                str(row["document_id"]), str(row["attack"]), str(row["kind"]), float(row["score"]),
                int(row["copies"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{records}: line {number}", "not a line of `mlmguard audit --records`"
            ) from None


def read(path: Path) -> ForgetList:
    """A list as :func:`forget_list` writes it."""
    return as_noun(read_json(path), ForgetList, str(path))


# --- the command ----------------------------------------------------------------------------------------


@click.command("forget-list", cls=Page)
@click.argument("records", type=FILE)
@click.option("--out", type=FILE, default="forget.json", show_default=True, help="Added to if it is there.")
@click.option("--owner", required=True, help="The role that decided it.")
@click.option("--above", type=float, default=0.0, show_default=True, help="Least score of what is listed.")
@shared
def command(records: Path, out: Path, owner: str, above: float, quiet: bool, as_json: bool) -> None:
    written = forget_list(records, out, owner, above)
    show(written, as_json, lambda: console.tell(f"{written.documents} documents in {out}, {written.new} new"))
    console.written([out], quiet)
