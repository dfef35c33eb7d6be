"""Say what changed between two checkpoints, and which source explains it.

OLD and NEW are checkpoints; --suspects trains small models, each without one of the sources that are new.

\f
The blame is found by leaving out: small plain models, one of all rows and one without each source that
has rows, measured on the same held-out texts. Each of them reads the private text again and enters itself
in the corpus ledger; none of them is for release.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from mlmguard import console
from mlmguard.artifacts import read_json, read_noun
from mlmguard.commands.options import FILE, FOLDER, Page, shared, show
from mlmguard.commands.report import as_saved
from mlmguard.commands.watching import watched
from mlmguard.corpus.clean import CleanCorpus, read_clean, source_of
from mlmguard.errors import InputError
from mlmguard.report import overview
from mlmguard.report.clearance import name
from mlmguard.settings import TrainSettings
from mlmguard.training.privacy import seals
from mlmguard.types import SILENT, PrivacyStatement, Watcher


@dataclass(frozen=True)
class Source:
    """Training rows of one source: in both runs, only in the new one, only in the old one."""

    source: str
    stayed: int
    came: int
    went: int


@dataclass(frozen=True)
class Moved:
    """A number of both runs, on whatever text each held out."""

    number: str
    old: float
    new: float


@dataclass(frozen=True)
class Suspect:
    """What leaving a source out does to the loss on held-out text of all other sources, in nats a token.

    The mean over texts with a 95 % interval (ratio estimator); above 0: the model is better without it. One
    training each: how another seed would come out is not in the interval.
    """

    source: str
    gain: float
    low: float
    high: float
    texts: int


@dataclass(frozen=True)
class Compared:
    """Two runs side by side; ``blamed`` is the source without which the rest is learnt better, "" if none."""

    sources: tuple[Source, ...]
    numbers: tuple[Moved, ...]
    evidence: str = ""
    suspects: tuple[Suspect, ...] = ()
    blamed: str = ""

    def lines(self) -> list[tuple[str, str]]:
        """(name, value) of each line of the comparison, in order."""
        rows = [
            (one.source, f"{one.came} rows came, {one.went} went, {one.stayed} stayed")
            for one in self.sources
        ]
        rows += [(one.number.replace("_", " "), f"{one.old:.4g} → {one.new:.4g}") for one in self.numbers]
        if self.evidence:
            rows.append(("audits", self.evidence))
        rows += [
            (
                f"without {one.source}",
                f"{one.gain:+.3f} nats [{one.low:+.3f}, {one.high:+.3f}], n = {one.texts}",
            )
            for one in self.suspects
        ]
        if self.suspects:
            advice = f"train without it: --leave-out {self.blamed}" if self.blamed else "no source stands out"
            rows.append(("verdict", f"{self.blamed or 'nobody'}: {advice}"))
            rows.append(("cost", f"{len(self.suspects) + 1} plain runs more in the ledger of the corpus"))
        return rows


def compare(
    old: Path,
    new: Path,
    evidence: tuple[Path, Path] | None = None,
    *,
    suspects: bool = False,
    steps: int = 200,
    watcher: Watcher = SILENT,
) -> Compared:
    """Set the runs behind two checkpoints side by side, and find ``suspects`` on request.

    Raises :class:`InputError` where a run folder or its corpus is gone.
    """
    before, after = _Run(old), _Run(new)
    sentence = ""
    if evidence is not None:
        pair = [overview.Run(name(path.stem), "", as_saved(path)) for path in evidence]
        sentence = overview.compare(pair[0], pair[1]).sentence
    sources = _sources(before.corpus, after.corpus)
    found: tuple[Suspect, ...] = ()
    if suspects:
        found = _suspects(after, [one.source for one in sources if one.came], steps, watcher)
    worst = max(found, key=lambda one: one.low, default=None)
    blamed = worst.source if worst is not None and worst.low > 0 else ""
    return Compared(sources, _moved(before.metrics, after.metrics), sentence, found, blamed)


class _Run:
    """A checkpoint's run folder, its corpus and what was measured."""

    def __init__(self, ckpt: Path) -> None:
        folder = seals.run_of(ckpt, read_noun(ckpt / "privacy.json", PrivacyStatement)).folder
        if folder is None or not (folder / "metrics.json").is_file():
            raise InputError(
                str(ckpt), "no run folder with its metrics", "the .mlmguard/runs/ID that training left"
            )
        self.folder = folder
        self.known: Mapping[str, Any] = read_json(folder / "run.json")
        self.metrics: Mapping[str, Any] = read_json(folder / "metrics.json")
        self.clean = Path(self.known["clean"])
        left_out = [shard["shard"] for shard in self.known.get("left_out", ())]
        self.corpus: CleanCorpus = read_clean(self.clean, left_out)


def _sources(old: CleanCorpus, new: CleanCorpus) -> tuple[Source, ...]:
    before, after = ({row["id"] for row in corpus.train} for corpus in (old, new))
    counts = [Counter(map(source_of, ids)) for ids in (before & after, after - before, before - after)]
    names = sorted({name for count in counts for name in count})
    return tuple(Source(one, *(count[one] for count in counts)) for one in names)


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Moved, ...]:
    both = [key for key in new if isinstance(new[key], float | int) and key in old and key != "fell_back"]
    return tuple(Moved(key, float(old[key]), float(new[key])) for key in both)


def _suspects(run: _Run, sources: list[str], steps: int, watcher: Watcher) -> tuple[Suspect, ...]:
    if not sources:
        raise InputError("--suspects", "no source has rows", "two corpora that differ")
    if len({source_of(row["id"]) for row in run.corpus.train}) < 2:
        raise InputError("--suspects", "all rows come from one source", "at least two sources")
    everything = _losses(run, None, steps, watcher)
    found = []
    for source in sources:
        without = _losses(run, source, steps, watcher)
        rows = [key for key in everything if source_of(key) != source]
        if rows:
            found.append(_suspect(source, [everything[key] for key in rows], [without[key] for key in rows]))
    return tuple(found)


def _losses(run: _Run, source: str | None, steps: int, watcher: Watcher) -> dict[str, tuple[float, float]]:
    """(summed loss, masked tokens) of every held-out text, of a nano model without ``source``."""
    from mlmguard.train import train

    settings = TrainSettings(init="scratch", steps=steps, canaries=0, leave_out=source)
    place = run.folder / "suspects"
    result = train(
        run.clean,
        place / "ckpt",
        place,
        settings,
        runs=run.folder.parent,
        watcher=watcher,
    )
    measured = read_json(run.folder.parent / result.statement.run_id / "metrics.json")["held_out"]
    return {key: (loss, tokens) for key, loss, tokens in measured}


def _suspect(source: str, having: list[tuple[float, float]], without: list[tuple[float, float]]) -> Suspect:
    gaps = np.array([a[0] - b[0] for a, b in zip(having, without)])
    tokens = np.array([a[1] for a in having])
    gain = float(gaps.sum() / tokens.sum())
    residuals = gaps - gain * tokens
    half = 1.96 * math.sqrt(float((residuals**2).sum())) / float(tokens.sum())
    return Suspect(source, gain, gain - half, gain + half, len(gaps))


# --- the command ----------------------------------------------------------------------------------------


@click.command("compare", cls=Page)
@click.argument("old", type=FOLDER)
@click.argument("new", type=FOLDER)
@click.option("--evidence", nargs=2, type=FILE, help="The audits of both, to set side by side.")
@click.option(
    "--suspects",
    is_flag=True,
    help="Train small models, each without one source that has rows: reads private text again.",
)
@click.option(
    "--steps", type=click.IntRange(1), default=200, show_default=True, help="Steps of each of them."
)
@shared
def command(
    old: Path,
    new: Path,
    evidence: tuple[Path, Path] | None,
    suspects: bool,
    steps: int,
    quiet: bool,
    as_json: bool,
) -> None:
    with watched(quiet or as_json) as watcher:
        found = compare(old, new, evidence, suspects=suspects, steps=steps, watcher=watcher)
    show(found, as_json, lambda: console.explanation(f"From {old.name} to {new.name}", found.lines()))
