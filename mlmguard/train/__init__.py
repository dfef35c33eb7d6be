"""``mlmguard train``: a masked language model from ``clean/``, with differential privacy or without."""

from __future__ import annotations

from pathlib import Path

from mlmguard.artifacts import RUNS
from mlmguard.settings import TrainSettings, check
from mlmguard.train import data, earlier, initial, planning, released, visible
from mlmguard.train.released import TrainResult
from mlmguard.train.run import Run
from mlmguard.training import checkpoint, distributed, numerics, tracking
from mlmguard.training.loop import Interrupted, run_steps
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.types import SILENT, Watcher

__all__ = ["Interrupted", "TrainResult", "TrainSettings", "train"]


def train(
    clean: Path,
    ckpt: Path,
    reports: Path,
    settings: TrainSettings = TrainSettings(),  # noqa: B008 - frozen
    *,
    runs: Path = RUNS,
    planted: Path | None = None,
    track: tuple[str, ...] = (),
    overwrite: bool = False,
    watcher: Watcher = SILENT,
) -> TrainResult:
    """Train on the rows of ``clean/train-*`` and write the checkpoint, or go on with an interrupted run.

    What may be released goes to ``ckpt``; canary coins and metrics on private text stay in the run folder.
    ``planted`` is a file of canaries that several runs share; ``track`` names trackers of accelerate. A
    private checkpoint in ``ckpt`` is replaced only with ``overwrite``; what the same command has trained is
    told again. Raises :class:`InputError` for what cannot be started, :class:`Interrupted` when the watcher
    asks to stop.
    """
    check(settings)
    numerics.chosen(settings.precision, numerics.best_device(), settings.private)
    tracking.refuse_unknown(track)
    checkpoint.refuse_foreign(ckpt)
    corpus = data.opened(clean, settings, watcher)
    if not overwrite and (known := earlier.result(ckpt, reports, corpus, settings, runs, watcher)):
        return known
    views = planning.views(settings)
    unit = UnitOfPrivacy.of(settings.unit, settings.unit_key, corpus.scanned_by, settings.window, views)
    with Run.open(corpus, settings, runs, distributed.join(), watcher) as run:
        watcher = run.heard_by(watcher)

        with run.refusable(unit):  # of a run that does not reach its first step only what it has spent stays
            secrets = run.planted(settings, planted)
            texts = data.texts(corpus, settings, unit, secrets)
            tokenizer = initial.tokenizer(run, settings, unit, texts)
            named = initial.named(run, settings, tokenizer, watcher)  # before anything is counted
            units = data.tokenised(run, tokenizer, texts, unit, settings, corpus)
            plan = planning.plan(run, settings, len(units), unit)
            visible.tell_mostly_planted(secrets, plan, len(units), watcher)
            visible.tell_unseen(secrets, tokenizer, plan, len(units), watcher)
            model = initial.model(run, settings, tokenizer, plan.recipe, named, watcher)
            mode = planning.mode(run, plan, settings, model, tokenizer, units)
            mode.prepare(settings, watcher)
            held_out = data.held_out(corpus, tokenizer, units, plan.recipe)
            run.enter(unit, plan, mode.plan)  # in the ledger of the corpus, before the first step
            run.tell_together(plan, watcher)
            with run.journal(mode.plan, settings, track) as journal:
                run_steps(mode, journal, validate=held_out.loss_of(mode), watcher=watcher)
        return run.team.from_first(
            lambda: released.release(
                ckpt, reports, run, settings, unit, plan, mode, journal, held_out, corpus
            )
        )
