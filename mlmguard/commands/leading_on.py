"""The last line of a command of the pipeline: what is next, as it is typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from mlmguard import console
from mlmguard.report.annex import GAP
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
    ckpt = _beside(evidence)
    then("verify", ckpt or "CKPT", "--evidence", evidence, quiet=quiet)


def _beside(evidence: Path) -> Path | None:
    """The checkpoint in the working folder that the evidence lies in, as a review leaves it."""
    ckpt = evidence.parent.parent / "ckpt"
    return ckpt if (ckpt / "config.json").is_file() else None


def gaps(written: Iterable[tuple[str, Path]], quiet: bool = False) -> None:
    """Say how many items of an annex, an excerpt or a registry entry a person still has to write."""
    for name, path in written:
        open_ = path.read_text("utf-8").count(GAP) if name in ("annex", "dpia", "registry") else 0
        if open_:
            items = "1 item" if open_ == 1 else f"{open_} items"
            console.say(
                f"{path}: {items} to be written, most of them under [release] in mlmguard.toml", quiet
            )
