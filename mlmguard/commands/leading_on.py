"""The last line of a command of the pipeline: what is next, as it is typed."""

from __future__ import annotations

import shlex
from pathlib import Path

from mlmguard import console
from mlmguard.report.clearance import Case
from mlmguard.types import Status


def then(*words: object, quiet: bool = False) -> None:
    """Say which command is next, on stderr."""
    console.say(f"next: mlmguard {shlex.join(map(str, words))}", quiet)


def after_verdict(judged: Case, evidence: Path, quiet: bool = False) -> None:
    """Say what is next after a judgement, or after an audit that nobody has judged."""
    if judged.judgement is None:
        then("gate", evidence, "--policy", "base", quiet=quiet)
        return
    for status in (Status.FAIL, Status.INCONCLUSIVE, Status.WARN):
        for verdict in judged.judgement.verdicts:
            if verdict.status == status:
                then("explain", verdict.rule, quiet=quiet)
                return
    console.say(f"next: mlmguard verify CKPT --evidence {shlex.quote(str(evidence))}", quiet)
