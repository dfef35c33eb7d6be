"""``mlmguard --install-completion SHELL``: the tab key completes commands and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from mlmguard import artifacts, console

_COMPLETIONS: Mapping[str, str] = {
    "bash": ".local/share/bash-completion/completions/mlmguard",
    "fish": ".config/fish/completions/mlmguard.fish",
    "zsh": ".zfunc/_mlmguard",
}
"""Shell -> where it looks for completions, below the user's home."""


def _install(context: click.Context, parameter: click.Parameter, shell: str | None) -> None:
    """Write click's own script for ``shell`` where the shell reads it."""
    if shell is None or context.resilient_parsing:
        return
    kind = get_completion_class(shell)
    assert kind is not None
    path = Path.home() / _COMPLETIONS[shell]
    script = kind(context.command, {}, "mlmguard", "_MLMGUARD_COMPLETE").source()
    path.parent.mkdir(parents=True, exist_ok=True)
    artifacts.write_text(path, script)
    console.say(f"wrote {path}; new shells complete mlmguard")
    if shell == "zsh":
        console.say("where .zshrc does not yet say so: fpath+=~/.zfunc; autoload -Uz compinit && compinit")
    context.exit()


def completion(group: Callable[..., Any]) -> Callable[..., Any]:
    """``--install-completion`` for the command line as a whole."""
    option = click.option(
        "--install-completion",
        type=click.Choice(sorted(_COMPLETIONS)),
        expose_value=False,
        is_eager=True,
        callback=_install,
        help="Let the tab key complete commands and options in this shell, and exit.",
    )
    return option(group)
