"""Write a waiver of one rule into a policy file.

To be approved, commit the file signed.
"""

from __future__ import annotations

import io
import textwrap
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from ruamel.yaml import YAML

from mlmguard import console
from mlmguard.artifacts import source_date, write_text
from mlmguard.commands.options import FILE, Page
from mlmguard.errors import InputError
from mlmguard.policy.reading import load, parse, shipped
from mlmguard.policy.rule import Policy
from mlmguard.policy.waiver import LONGEST, Waiver


def waive(
    file: Path,
    rule: str,
    reason: str,
    owner: str,
    approver: str,
    ticket: str,
    days: int = 90,
    slice: str = "",
    fingerprint: str = "",
    created: date | None = None,
) -> Waiver:
    """Append a waiver to the policy in ``file``, leaving everything else as it is written.

    The new file is checked as a whole before it replaces the old one.
    """
    if str(file) in shipped() or file.resolve() in {path.resolve() for path in shipped().values()}:
        do = "write a policy that extends it, and waive there"
        raise InputError(str(file), "a policy that comes with mlmguard", "a policy of your own", do)
    policy = load(file)
    begins = created or date.fromisoformat(source_date())
    if not 1 <= days <= LONGEST.days:
        raise InputError("--days", str(days), f"1 to {LONGEST.days}")
    given = {
        "rule": rule,
        "slice": slice,
        "fingerprint": fingerprint,
        "reason": reason,
        "owner": owner,
        "approver": approver,
        "ticket": ticket,
        "created": begins,
        "expires": begins + timedelta(days=days),
    }
    try:
        waiver = Waiver.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        named = f"{first['loc'][0]}: " if first["loc"] else ""
        raise InputError("waive", f"{named}{first['msg'].removeprefix('Value error, ')}") from None
    text = _with(file, policy, {key: value for key, value in given.items() if value != ""})
    parse(text, str(file), file)
    write_text(file, text)
    return waiver


def _with(file: Path, policy: Policy, entry: dict[str, object]) -> str:
    """The text of ``file`` with one more item at the end of its ``waivers:``.

    Every other line stays as it is, byte by byte: written anew by a YAML library, it would lose the signature
    of whoever committed it.
    """
    yaml, stream = YAML(), io.StringIO()
    yaml.width = 1000
    yaml.dump([entry], stream)
    item, text = stream.getvalue(), file.read_text("utf-8")
    root = yaml.load(text)
    if "waivers" not in root:
        return f"{text.rstrip()}\n\nwaivers:\n{textwrap.indent(item, '  ')}"
    own = root["waivers"]
    if not own or own.fa.flow_style():
        place = f"{file}: line {root.lc.key('waivers')[0] + 1}"
        raise InputError(place, "waivers: is a list in brackets", "one entry a line, each after a dash")
    lines = text.splitlines()
    at = policy.places["waivers", len(own) - 1].last  # a child's own come before its parent's
    added = textwrap.indent(item, " " * own.lc.col).splitlines()
    return "\n".join([*lines[:at], *added, *lines[at:]]) + "\n"


# --- the command ----------------------------------------------------------------------------------------


@click.command("waive", cls=Page)
@click.argument("file", type=FILE)
@click.argument("rule")
@click.option("--reason", required=True, help="Why the rule may go unmet.")
@click.option("--owner", required=True, help="The role that answers for it.")
@click.option("--approver", required=True, help="The other role that approved it.")
@click.option("--ticket", required=True, help="Where it was decided.")
@click.option("--days", type=int, default=90, show_default=True, help="How long it lasts, 365 at most.")
@click.option("--slice", default="", help="Only this slice of the rule.")
@click.option("--fingerprint", default="", help="Only this rule on these weights, by its fingerprint.")
def command(file: Path, rule: str, **given: Any) -> None:
    waiver = waive(file, rule, **given)
    console.say(f"waived {waiver.rule} until {waiver.expires}; it stands at the end of waivers: in {file}")
