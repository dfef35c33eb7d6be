"""Whose weights a run starts from, as far as the ledger of all runs can tell.

A checkpoint names its run in its own files, and the ledger holds the digest of the weights that each run
released: a copy without its files is known by that. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlmguard.artifacts import read_json, weights_digest
from mlmguard.errors import InputError
from mlmguard.training.privacy.ledger import RunOnCorpus, same_corpus

PUBLIC, UNKNOWN = "public", "unknown"
"""Where a run started from if not from the weights of another run: ``RunOnCorpus.started_from``."""


@dataclass(frozen=True)
class Origin:
    """Where the weights come from, and what that does to a claim on this corpus."""

    started_from: str  # PUBLIC, UNKNOWN or the id of a run
    plain: str = ""  # the run without privacy on this corpus that they come from
    composed: tuple[str, ...] = ()  # the private runs on this corpus that they come from, and nothing else


def origin_of(start: str | None, own: RunOnCorpus, runs: Sequence[RunOnCorpus]) -> Origin:
    """The origin of the weights in the folder or of the name ``start`` (None: public text only).

    ``own`` is the run that starts, ``runs`` are all in the ledger. Weights that a plain run on this corpus
    has been through stay known as such, however many private runs came between.
    """
    if start is None:
        return Origin(PUBLIC)
    first = _matching(start, own, runs)
    if first is None:
        return Origin(UNKNOWN)
    before = list(_line_of(first, {run.run_id: run for run in runs if run.run_id != own.run_id}))
    for run in before:
        if not run.private and same_corpus(own, run):
            return Origin(first.run_id, plain=run.run_id)
    private = all(run.private and same_corpus(own, run) for run in before)
    if private and before[-1].started_from == PUBLIC:
        return Origin(first.run_id, composed=tuple(run.run_id for run in before))
    return Origin(first.run_id)


def _matching(start: str, own: RunOnCorpus, runs: Sequence[RunOnCorpus]) -> RunOnCorpus | None:
    """The run that released these weights; of several the one that is worst for a claim."""
    folder = Path(start)
    if not folder.is_dir():
        return None
    digest, named = weights_digest(folder), set(_named(folder))
    # a name beside other weights than that run released excuses nothing, and still accuses a plain run
    found = [
        run
        for run in runs
        if run.weights == digest or (run.run_id in named and (not run.weights or not run.private))
    ]
    return min(found, key=lambda run: (run.private, not same_corpus(own, run)), default=None)


def _named(folder: Path) -> Iterator[str]:
    for name in ("privacy.json", "training.json"):
        try:
            told = read_json(folder / name)
        except InputError:
            continue
        if isinstance(told, dict) and isinstance(told.get("run_id"), str):
            yield told["run_id"]


def _line_of(run: RunOnCorpus, known: dict[str, RunOnCorpus]) -> Iterator[RunOnCorpus]:
    """``run``, the run it started from, and so on."""
    seen: set[str] = set()
    while run.run_id not in seen:
        seen.add(run.run_id)
        yield run
        run = known.get(run.started_from, run)
