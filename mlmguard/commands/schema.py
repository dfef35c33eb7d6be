"""Print the JSON Schema of a file that other programs read."""

from __future__ import annotations

import click

from mlmguard import artifacts
from mlmguard.commands.options import Page

# --- the command ----------------------------------------------------------------------------------------


@click.command("schema", cls=Page)
@click.argument(
    "name", type=click.Choice(["evidence", "privacy", "manifest", "judgement", "policy", "review", "drift"])
)
def command(name: str) -> None:
    from mlmguard import types
    from mlmguard.policy.reading import policy_schema

    nouns = {
        "evidence": types.Evidence,
        "privacy": types.PrivacyStatement,
        "manifest": types.Manifest,
        "judgement": types.Judgement,
        "review": types.Review,
        "drift": types.Drift,
    }
    schema = policy_schema() if name == "policy" else artifacts.json_schema(nouns[name])
    click.echo(artifacts.to_json(schema), nl=False)
