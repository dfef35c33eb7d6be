"""Check policy files, resolve what they inherit, and compare them."""

from __future__ import annotations

import io

import click
from ruamel.yaml import YAML

from mlmguard import console
from mlmguard.policy.rule import Policy, Rule, looser, written

_TEXTS = ("title", "why", "do", "control", "loosened")


def resolved(policy: Policy) -> str:
    """Return the policy as YAML that extends nothing; it has the digest of the original."""
    data = policy.model_dump(mode="json", exclude_defaults=True, exclude={"extends", "drop"})
    body = io.StringIO()
    yaml = YAML()
    yaml.width = 4096  # no line is broken: a break would leave a blank before it
    yaml.dump(data, body)
    return f"# resolved; sha256 {policy.digest}\n{body.getvalue()}"


def differences(old: Policy, new: Policy) -> tuple[tuple[str, str], ...]:
    """Return how ``new`` differs from ``old``, as (kind of change, rule and values)."""
    before, after = ({rule.id: rule for rule in policy.rules} for policy in (old, new))
    rows = [("left out", rule) for rule in before if rule not in after]
    rows += [("added", f"{rule}: {after[rule].required}") for rule in after if rule not in before]
    for name, was in before.items():
        if name in after and after[name] != was:
            rows.append(_changed(was, after[name]))
    for kind in ("attestations", "signatures", "waivers"):
        ours, theirs = getattr(old, kind), getattr(new, kind)
        rows += [(f"{kind}, gone", _named(one)) for one in ours if one not in theirs]
        rows += [(f"{kind}, new", _named(one)) for one in theirs if one not in ours]
    return tuple(rows)


def _changed(old: Rule, new: Rule) -> tuple[str, str]:
    less = looser(old, new)
    if less:
        agreed = f" ({new.loosened.reason}; {new.loosened.owner})" if new.loosened else ""
        return "looser", f"{new.id}: {less}{agreed}"
    fields = [name for name in Rule.model_fields if getattr(old, name) != getattr(new, name)]
    changed = [
        f"{name} was {written(getattr(old, name))} and is {written(getattr(new, name))}"
        for name in fields
        if name not in _TEXTS
    ]
    if changed:
        return "stricter", f"{new.id}: {', '.join(changed)}"
    return "reworded", f"{new.id}: {', '.join(fields)}"


def _named(one: object) -> str:
    """An attestation by its id, a signature or waiver by what it is for."""
    for name in ("id", "attestation", "rule"):
        if hasattr(one, name):
            until = f" until {one.expires}" if hasattr(one, "expires") else ""
            return f"{getattr(one, name)}{until}"
    return type(one).__name__


# --- the command ----------------------------------------------------------------------------------------


@click.group("policy")
def command() -> None: ...


@command.command("check")
@click.argument("files", metavar="NAME|FILE...", nargs=-1, required=True)
def policy_check(files: tuple[str, ...]) -> None:
    """Check policy FILES and say their rules and digests."""
    from mlmguard.policy.reading import load

    for policy in [load(file) for file in files]:
        console.explanation(
            f"{policy.id} {policy.version}",
            [
                ("title", policy.title),
                ("rules", str(len(policy.rules))),
                *[("loosened", text) for text in policy.loosened],
                ("digest", policy.digest),
            ],
        )


@command.command("resolve")
@click.argument("file", metavar="NAME|FILE")
def policy_resolve(file: str) -> None:
    """Print a policy FILE in full, with everything it inherits."""
    from mlmguard.policy.reading import load

    click.echo(resolved(load(file)), nl=False)


@command.command("diff")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
def policy_diff(old: str, new: str) -> None:
    """Say where the policy NEW is stricter or looser than OLD, or differs otherwise."""
    from mlmguard.policy.reading import load

    before, after = load(old), load(new)
    rows = differences(before, after) or [("same", "both require the same")]
    console.explanation(f"{before.id} {before.version} → {after.id} {after.version}", rows)
