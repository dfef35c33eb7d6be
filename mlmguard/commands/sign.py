"""Sign every file of a checkpoint, after it was verified."""

from __future__ import annotations

from pathlib import Path

import click

from mlmguard import console
from mlmguard.commands.options import FILE, FOLDER, Page

# --- the command ----------------------------------------------------------------------------------------


@click.command("sign", cls=Page)
@click.argument("ckpt", type=FOLDER)
@click.option("--private-key", type=FILE, required=True, help="An elliptic-curve key in a PEM file.")
@click.option("--evidence", type=FILE, help="An audit that must be of these weights.")
@click.option(
    "--leave-out", "leave_out", metavar="PATTERN", multiple=True,
    help="A file that is not signed, as in '*.png'; the signature records it. Repeatable.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def command(
    ckpt: Path, private_key: Path, evidence: Path | None, leave_out: tuple[str, ...], quiet: bool
) -> None:
    from mlmguard.commands.verify import sign

    console.written([sign(ckpt, private_key, evidence, leave_out)], quiet)
