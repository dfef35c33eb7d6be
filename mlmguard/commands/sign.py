"""Sign every file of a checkpoint, after it was verified, or evidence of an audit.

Evidence is signed beside its file, with its weights and, with --policy, for that policy alone: `mlmguard
gate --public-key` compares both.
"""

from __future__ import annotations

from pathlib import Path

import click

from mlmguard import console
from mlmguard.commands.options import FILE, PLACE, Page
from mlmguard.errors import InputError


def sign_evidence(path: Path, private_key: Path, policy: str | None = None) -> Path:
    """Sign the evidence in ``path``; :class:`InputError` where it cannot be true, or its seal is broken."""
    from mlmguard.commands import countersigned
    from mlmguard.commands.gate import signable
    from mlmguard.policy.reading import load

    return countersigned.write(path, signable(path), load(policy) if policy else None, private_key)


# --- the command ----------------------------------------------------------------------------------------


@click.command("sign", cls=Page)
@click.argument("what", metavar="CKPT|EVIDENCE", type=PLACE)
@click.option("--private-key", type=FILE, required=True, help="An elliptic-curve key in a PEM file.")
@click.option("--evidence", type=FILE, help="An audit that must be of these weights.")
@click.option("--policy", metavar="NAME|FILE", help="Evidence: the only policy that it may be judged by.")
@click.option(
    "--leave-out", "leave_out", metavar="PATTERN", multiple=True,
    help="A file that is not signed, as in '*.png'; the signature records it. Repeatable.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def command(
    what: Path,
    private_key: Path,
    evidence: Path | None,
    policy: str | None,
    leave_out: tuple[str, ...],
    quiet: bool,
) -> None:
    if what.is_file():
        if evidence or leave_out:
            raise InputError(
                str(what), "--evidence or --leave-out beside it", "a folder, to which they belong"
            )
        console.written([sign_evidence(what, private_key, policy)], quiet)
        return
    if policy:
        raise InputError("--policy", f"{what} is no file of evidence", "reports/audit.json or the like")
    from mlmguard.commands.verify import sign

    console.written([sign(what, private_key, evidence, leave_out)], quiet)
