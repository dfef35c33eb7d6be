"""The private folder of one training run, and its entry in the ledger of its corpus."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmguard import __version__, accounting
from mlmguard.artifacts import (
    as_noun,
    hold,
    load_key,
    read_json,
    run_folder,
    sha256_file,
    write_json,
)
from mlmguard.errors import CannotGoOn
from mlmguard.leakage import canaries
from mlmguard.loading import folder as folders
from mlmguard.settings import LEARNT_TOKENIZERS, TrainSettings
from mlmguard.showing import show_epsilon
from mlmguard.training.distributed import Team
from mlmguard.training.journal import Journal
from mlmguard.training.privacy import seals
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.privacy.ledger import CorpusLedger, RunOnCorpus, epsilon_together
from mlmguard.training.privacy.origin import Origin, origin_of
from mlmguard.training.privacy.randomness import private_rng
from mlmguard.training.tracking import Trackers
from mlmguard.types import SILENT, DpPlan, LedgerEntry, PrivacyStatement, Watcher

if TYPE_CHECKING:
    from mlmguard.train.data import Corpus
    from mlmguard.train.planning import Plan


PLANNED = ("origin", "plan", "recipe", "margin", "entered", "cut", "guesses")
"""Facts of ``run.json`` that a run which did not reach its first step takes back."""

TOKENIZER = "tokenizer"
"""Folder of a tokenizer that was learnt here: paid for, where it was learnt under noise."""


class Run:
    """One training run: its id, its folder and the few facts that must survive an interruption."""

    def __init__(self, run_id: str, folder: Path, team: Team) -> None:
        self.id = run_id
        self.folder = folder
        self.team = team
        self.ledger = CorpusLedger(folder.parent)
        self._journal: Journal | None = None
        self._held: int | None = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._held is not None:
            os.close(self._held)

    def _hold(self) -> None:
        """Let no other process go on with this run; :class:`InputError` where one is at it.

        Two that go on with the same interrupted run would each charge its steps and each spend them.
        """
        self._held = hold(self.folder)

    @classmethod
    def open(
        cls, corpus: Corpus, settings: TrainSettings, runs: Path, team: Team, watcher: Watcher = SILENT
    ) -> Run:
        """The interrupted run with these settings on this corpus, or a new one.

        All but the first process of a team wait until :meth:`ready`, and go on from what lies there.
        """
        if team.first:
            load_key()  # it seals what is released: where it cannot be read, nothing is trained
            taken = CorpusLedger(runs).take_over()  # refused here, where nothing is written yet
            if taken:
                watcher.tell(taken)
            return _opened(corpus, settings, runs, team)
        run_id = team.agree("")
        return cls(run_id, runs / run_id, team)

    def ready(self) -> None:
        """Let the other processes of the team go on: the folder holds all that they need."""
        if self.team.first:
            self.team.agree(self.id)

    def heard_by(self, watcher: Watcher) -> Watcher:
        """``watcher`` as this process may call it: only the first one shows progress."""
        return watcher if self.team.first else replace(watcher, progress=SILENT.progress)

    # --- facts ---

    def facts(self) -> dict[str, Any]:
        """``run.json`` as it stands."""
        return dict(read_json(self.folder / "run.json"))

    def update(self, **more: object) -> None:
        """Add facts to ``run.json``."""
        known = self.facts() if (self.folder / "run.json").exists() else {}
        write_json(self.folder / "run.json", {**known, **more}, mode=0o600)

    @property
    def guesses(self) -> int | None:
        """How many guesses an audit of the canaries makes; None without canaries."""
        return self.facts().get("guesses")

    def canaries_digest(self) -> str:
        """SHA-256 of the canary file, by which an audit knows its coins; "" without canaries."""
        path = self.folder / "canaries.jsonl"
        return sha256_file(path) if path.exists() else ""

    def planted(self, settings: TrainSettings, shared: Path | None) -> list[canaries.Secret]:
        """The run's canaries; coins are drawn once, before anything is trained, or read from ``shared``."""
        path = self.folder / "canaries.jsonl"
        if settings.canaries == 0:
            return []
        if not path.exists():
            rng = private_rng() if settings.private else np.random.default_rng([settings.seed, 7])
            drawn = canaries.draw(settings.canaries, rng, settings.canary_repetitions, settings.canary_tiers)
            canaries.save(canaries.load(shared) if shared else drawn, path)
            # fixed here, before any score exists: a number of guesses chosen afterwards voids the bound
            self.update(guesses=max(2, settings.canaries // 2))
        return canaries.load(path)

    # --- the ledger of the corpus ---

    @contextmanager
    def refusable(self, unit: UnitOfPrivacy) -> Iterator[None]:
        """Until the first step: a run that is refused, breaks or is interrupted leaves only what it spent.

        A noised number of units may have been shown: it is charged, and shown again as it is. Once a step
        has been charged the folder stays, to go on from, unless going on is no use.
        """
        try:
            yield
        except BaseException as error:
            if self.team.first and (isinstance(error, CannotGoOn) or not self.has_steps):
                self._leave(unit)
            raise

    @property
    def before(self) -> Path:
        """Where the folder of an earlier run with this name waits until this one has released something."""
        return self.folder.with_name(f".{self.id}.before")

    def vanish(self) -> None:
        """Remove the run folder, and put that of an earlier run with its name back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.before.exists():
            self.before.rename(self.folder)

    @property
    def has_steps(self) -> bool:
        """Has a step been charged, or run without a charge?"""
        charged = self.folder / "ledger.jsonl"
        return (
            (charged.exists() and charged.stat().st_size > 0)
            or (self.folder / "state.json").exists()
            or (self._journal is not None and self._journal.applied > 0)
        )

    def _leave(self, unit: UnitOfPrivacy) -> None:
        """Remove everything but what was spent; where no step was, also from the ledger of the corpus."""
        known = self.facts() if (self.folder / "run.json").exists() else {}
        spent = [as_noun(entry, LedgerEntry, "run.json") for entry in known.get("spent") or ()]
        stepped = self.has_steps
        if not (spent or stepped):
            self.vanish()
        else:
            bought = [TOKENIZER for entry in spent if entry.mechanism == "gaussian-threshold"]
            for path in self.folder.iterdir():
                if path.name in ("run.json", "ledger.jsonl", *bought):
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            told = {name: value for name, value in known.items() if stepped or name not in PLANNED}
            write_json(
                self.folder / "run.json", {**told, **({"status": "failed"} if stepped else {})}, mode=0o600
            )
        entered = next((one for one in self.ledger.read() if one.run_id == self.id), None)
        if stepped:
            return
        if entered is not None and not spent:
            self.ledger.withdraw(self.id)
        elif spent and (entered is None or list(entered.entries) != spent):
            known_delta = entered.delta if entered is not None else None
            self.charge(unit, known_delta or accounting.default_delta(known["size"]), spent)

    def charge(
        self,
        unit: UnitOfPrivacy,
        delta: float | None,
        spent: Sequence[LedgerEntry],
        plan: DpPlan | None = None,
    ) -> None:
        """Put the run into the ledger of its corpus; entered again, it replaces what it had planned."""
        known = self.facts()
        self.ledger.start(
            self.id,
            corpus=known["commitment"],
            raw=known["raw"],
            private=delta is not None,
            unit=unit.name,
            unit_kind=str(unit.kind),
            cut=known.get("cut", ""),
            started_from=known.get("origin", {}).get("started_from", ""),
            delta=delta,
            planned=_planned(spent, plan),
        )

    def enter(self, unit: UnitOfPrivacy, plan: Plan, measured: DpPlan | None) -> None:
        """Enter the run before its first step; ``measured`` is its plan with the margin for rounding."""
        if not self.team.first:
            return
        if measured is not None and not plan.margin_known and plan.recipe.precision != "fp32":
            self.update(plan=asdict(measured), margin=measured.precision_margin)
        if not self.facts().get("entered"):  # a resumed run is there already
            self.charge(unit, plan.dp.delta if plan.dp else None, plan.spent, plan.dp)
            self.update(entered=True)

    def tell_together(self, plan: Plan, watcher: Watcher) -> None:
        """Say what this run and the earlier private ones on its corpus cost together, where there are any."""
        if plan.dp is None or not self.team.first:
            return
        own, others = self.ledger.on_corpus_of(self.id)
        earlier = [run for run in others if run.private]
        if not earlier:
            return
        entries = tuple(_planned(plan.spent, plan.dp))
        together, reason = epsilon_together([replace(own, entries=entries), *earlier], plan.dp.delta)
        cost = f"with them this run costs ε = {show_epsilon(together)}" if together is not None else reason
        runs = "1 earlier private run" if len(earlier) == 1 else f"{len(earlier):,} earlier private runs"
        watcher.tell(f"{runs} on this corpus in the ledger: {cost} (mlmguard ledger shows them)")

    def finish(self, charged: Sequence[LedgerEntry]) -> None:
        """Enter that the run has ended and what it charged."""
        self.ledger.finish(self.id, charged)

    def released(self, statement: PrivacyStatement) -> None:
        """Enter which statement the run has released, and the weights that it names."""
        self.ledger.release(self.id, seals.weights_of(statement.digests), statement.digest)
        shutil.rmtree(self.before, ignore_errors=True)

    def origin(self, start: str | None) -> Origin:
        """Whose weights ``start`` holds (None: weights of our own), by the ledger as it stands."""
        known = self.facts()
        own = RunOnCorpus(self.id, known["commitment"], known["raw"], False, "", None, (), False)
        return origin_of(start, own, self.ledger.read())

    @contextmanager
    def journal(
        self, plan: DpPlan | None, settings: TrainSettings, track: Sequence[str]
    ) -> Iterator[Journal]:
        """The journal of the steps, which passes every step on to the trackers named by ``track``."""
        first, private = self.team.first, plan is not None
        names = track if first else ()
        trackers = Trackers(names, self.folder / "tracking", self.id, asdict(settings), private)
        quiet = settings.quiet_metrics and private
        self._journal = Journal(self.folder, plan, writes=first, quiet=quiet, track=trackers.log)
        yield self._journal
        trackers.close()


def _planned(spent: Sequence[LedgerEntry], plan: DpPlan | None) -> list[LedgerEntry]:
    """What a run will have charged: what planning spent, and its steps."""
    if plan is None:
        return list(spent)
    rate, steps = plan.sample_rate, plan.steps
    return [*spent, LedgerEntry("poisson-gaussian", plan.noise_multiplier, rate, steps, what="training")]


def digest_of(corpus: Corpus, settings: TrainSettings) -> str:
    """SHA-256 of what a run is asked for: one command on one corpus is known by it."""
    clean, manifest = corpus.clean.folder.resolve(), corpus.clean.manifest
    damaged = corpus.clean.damaged
    of = [asdict(settings), manifest.commitment, str(clean), [shard.shard for shard in damaged]]
    return hashlib.sha256(json.dumps([*of, *_contents(settings)]).encode()).hexdigest()


def _opened(corpus: Corpus, settings: TrainSettings, runs: Path, team: Team) -> Run:
    wanted = digest_of(corpus, settings)
    for path in sorted(runs.glob("train-*/run.json")):
        known = read_json(path)
        if known.get("settings_digest") == wanted and known.get("status") == "running":
            run = Run(path.parent.name, path.parent, team)
            run._hold()
            return run
    # a private run never repeats; a plain one is a function of its settings, and so is its name
    tail = secrets.token_hex(6) if settings.private else wanted[:12]
    run = Run(f"train-{tail}", runs / f"train-{tail}", team)
    if run.folder.exists():  # a finished plain run with the same name is done again
        shutil.rmtree(run.before, ignore_errors=True)
        run.folder.rename(run.before)
    try:
        run_folder(run.id, runs)
    except OSError:
        run.vanish()
        raise
    run._hold()
    try:
        _describe(run, corpus, settings, wanted)
    except BaseException:
        run.vanish()
        raise
    return run


def _contents(settings: TrainSettings) -> list[str]:
    """Digests of the files that settings name: with other words or weights the same command is another run.

    An interrupted one would go on with a tokenizer and a start that its first steps did not have.
    """
    named = [settings.add_tokens, settings.starts_from]
    if settings.tokenizer not in LEARNT_TOKENIZERS:
        named.append(settings.tokenizer)
    found = []
    for place in (Path(name) for name in named if name):
        try:
            if place.exists():  # or a name on a hub
                found.append(folders.digest(place) if place.is_dir() else sha256_file(place))
        except (OSError, ValueError):
            found.append("")  # said in a line of its own where it is read
    return found


def _describe(run: Run, corpus: Corpus, settings: TrainSettings, wanted: str) -> None:
    clean, manifest = corpus.clean.folder.resolve(), corpus.clean.manifest
    run.update(
        status="running",
        settings=asdict(settings),
        settings_digest=wanted,
        clean=str(clean),
        scan_run=manifest.run_id,
        raw=corpus.raw,
        commitment=manifest.commitment,
        left_out=[asdict(shard) for shard in corpus.clean.damaged],
        held_out_digest=corpus.held_out_digest,
        tool_version=__version__,
    )
