"""The end of a run: what is released with the checkpoint, and what stays in the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from mlmguard import __version__
from mlmguard.artifacts import load_key, source_date, write_json
from mlmguard.corpus.clean import Damaged
from mlmguard.settings import TrainSettings
from mlmguard.showing import show_epsilon
from mlmguard.train.data import Corpus
from mlmguard.train.planning import Plan
from mlmguard.train.run import Run
from mlmguard.train.statement import statement
from mlmguard.training import adapt, checkpoint, device, models
from mlmguard.training.evaluation import HeldOut, HeldOutTexts, gain, latency
from mlmguard.training.journal import Journal
from mlmguard.training.modes import Mode, Private
from mlmguard.training.privacy import derived, seals
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.text.masking import Masking
from mlmguard.training.text.tokens import Tokens
from mlmguard.types import PrivacyStatement


@dataclass(frozen=True)
class TrainResult:
    """What a run has done. ``unprotected`` are numbers computed on private text."""

    statement: PrivacyStatement
    facts: Mapping[str, object]
    unprotected: Mapping[str, float]
    left_out: tuple[Damaged, ...] = ()  # shards that were not what the scan wrote
    trained: bool = True  # False: it was, by the same command before


def release(
    ckpt: Path,
    reports: Path,
    run: Run,
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    plan: Plan,
    mode: Mode,
    journal: Journal,
    held_out: HeldOutTexts,
    corpus: Corpus,
) -> TrainResult:
    """Charge what ran, state and measure it, write the checkpoint and ``reports/train.json``."""
    model, units = mode.model, mode.units
    assert isinstance(units, Tokens)
    adapt.merge(model)
    charged = [*plan.spent, *journal.entries()]
    run.finish(charged)
    audit = mode.audit if isinstance(mode, Private) else None
    claimed = statement(run, settings, unit, plan, mode.plan, charged, journal, len(units), corpus, audit)
    quiet = settings.quiet_metrics and mode.plan is not None
    measured = None if quiet else held_out.measure(model, mode.device)
    initial = models.load(run.folder / "initial")[0].to(mode.device) if measured else None
    began = held_out.measure(initial, mode.device) if initial is not None else None
    seconds = round(journal.seconds_running, 1)
    facts = {**_facts(settings, mode), "seconds": seconds, "tool_version": __version__}
    unprotected = {} if quiet else _unprotected(measured, began, held_out, units, journal)
    timings = _timings(mode, journal)
    write_json(
        run.folder / "metrics.json", _metrics(unprotected, measured, held_out, journal, quiet), mode=0o600
    )
    released = {**facts, "run_id": run.id, "canaries_digest": run.canaries_digest()}
    del released["seconds"]  # two runs of one plan write one checkpoint
    stated = checkpoint.save(
        ckpt, model, mode.tokenizer, released, _card(claimed, released), lambda folder: seals.bound(
            claimed, folder, run.folder, settings.starts_from is None, run.guesses, load_key()
        ),
    )  # fmt: skip
    run.released(stated)
    run.update(status="done", checkpoint=str(ckpt.resolve()), seal=stated.seal)
    facts |= timings
    write_json(
        reports / "train.json",
        {
            "schema": "mlmguard/train/v1",
            "statement": asdict(stated),
            "facts": facts,
            "unprotected": unprotected,
            "left_out": [asdict(shard) for shard in corpus.clean.damaged],
        },
    )
    shutil.rmtree(run.folder / "tokens")
    journal.forget()
    return TrainResult(stated, facts, unprotected, corpus.clean.damaged)


def _facts(settings: TrainSettings, mode: Mode) -> dict[str, object]:
    """Return the public facts of the training: settings and sizes, nothing computed on private text."""
    recipe, start = mode.recipe, settings.starts_from
    return {
        "size": settings.size if start is None else "",
        "init": settings.init or derived.WARMED_UP,
        "parameters": sum(p.numel() for p in mode.model.parameters()),
        "trained_parameters": mode.trained_parameters,
        "vocabulary": len(mode.tokenizer),
        "tokenizer": derived.tokenizer_of(settings),
        **({"added_tokens": len(mode.tokenizer.added)} if settings.add_tokens else {}),
        "window": recipe.window,
        **({"augmentation_multiplicity": recipe.views} if recipe.views > 1 else {}),
        "masking": _masking_in_words(recipe.masking),
        "mask_rate": recipe.masking.rate,
        "objective": recipe.objective,
        "steps": recipe.steps,
        "batch_units": recipe.batch_units,
        "learning_rate": recipe.learning_rate,
        "schedule": f"{recipe.warmup_steps} steps of warm-up, then {recipe.schedule}",
        "canaries": settings.canaries,
        "precision": recipe.precision,
        "device": mode.device.type,
    }


def _masking_in_words(chosen: Masking) -> str:
    parts = [chosen.strategy, "/".join(f"{100 * share:g}" for share in chosen.mix)]
    if chosen.final_rate is not None:
        parts.append(f"the rate goes to {chosen.final_rate:g}")
    if chosen.pii:
        parts.append(f"findings: {chosen.pii}")
    return ", ".join([*parts, "static" if chosen.static else "dynamic"])


def _timings(mode: Mode, journal: Journal) -> dict[str, object]:
    """How fast the model answers, and what the machine did: nothing of the text."""
    typical, slow = latency(mode.model, len(mode.tokenizer), mode.recipe.window, mode.device)
    return {
        "latency_p50_ms": round(typical, 2),
        "latency_p95_ms": round(slow, 2),
        "saves": journal.saves,
        "seconds_a_save": round(journal.seconds_saving / max(1, journal.saves), 3),
        **device.summary(mode.device, journal.curves.get("gpu_utilisation", [])),
    }


def _unprotected(
    measured: HeldOut | None,
    began: HeldOut | None,
    held_out: HeldOutTexts,
    units: Tokens,
    journal: Journal,
) -> dict[str, float]:
    """Numbers computed on private text: useful to the owner, not covered by any ε."""
    numbers: dict[str, float] = {
        "units": len(units),
        "rows_of_the_largest_unit": float(units.sequences.max()),
        "rows_of_a_unit_mean": float(units.sequences.mean()),
        "held_out_documents": len(held_out.sequences),
        **held_out.coverage(),
    }
    if measured is not None and began is not None:
        numbers |= {**measured.numbers(), "start_loss": began.mean_loss}
        for name, before in (("start", began.loss), ("unigram", measured.unigram)):
            saved, at_least = gain(before, measured.loss, measured.tokens)
            numbers |= {f"gain_over_{name}": saved, f"gain_over_{name}_low": at_least}
    curves = journal.curves
    waits = zip(curves.get("loading_seconds", ()), curves.get("seconds", ()))
    shares = [waited / s for waited, s in waits if waited is not None and s]
    if shares:
        numbers["loading_share"] = median(shares)
    speeds = [t / s for t, s in zip(curves.get("tokens", ()), curves.get("seconds", ())) if t and s]
    if speeds:
        numbers["tokens_per_second"] = median(speeds)
    return numbers


def _metrics(
    unprotected: Mapping[str, float],
    measured: HeldOut | None,
    held_out: HeldOutTexts,
    journal: Journal,
    quiet: bool,
) -> dict[str, object]:
    """Everything that was measured, for the run folder. All but rates and noised norms is unprotected."""
    found: dict[str, object] = {
        **unprotected,
        "curves": journal.curves,
        "evaluations": [asdict(one) for one in journal.evaluations],
        "fell_back": journal.eased < 1,
    }
    if not quiet:
        found["token_histogram"] = held_out.histogram()
        found["samples"] = [asdict(one) for one in measured.samples] if measured else []
        found["held_out"] = held_out.by_row(measured) if measured else []
    return found


def _card(stated: PrivacyStatement, facts: Mapping[str, object]) -> str:
    """Return the model card: Hugging Face front matter and the public facts."""
    if stated.private and stated.epsilon is not None:
        claim = (
            f"Trained with differential privacy: **ε = {show_epsilon(stated.epsilon)} at "
            f"δ = {stated.delta:g}**, unit: {stated.unit}, a {stated.unit_kind} ({stated.unit_definition}), "
            f"adjacency: {stated.adjacency}. Covers {stated.covers}."
        )
    else:
        claim = "**Not private**: trained without differential privacy. Treat the weights like the corpus."
    lines = "\n".join(
        f"| {name.replace('_', ' ')} | {value} |" for name, value in facts.items() if value not in ("", None)
    )
    return (
        "---\nlibrary_name: transformers\npipeline_tag: fill-mask\n"
        "tags: [mlmguard, masked-language-model]\n---\n\n"
        f"# Masked language model\n\n{claim}\n\n"
        "The whole statement, with its ledger and hazards, is in `privacy.json`. "
        "Before a release, run `mlmguard audit` on this folder.\n\n"
        f"| | |\n|---|---|\n{lines}\n\nWritten by mlmguard {__version__} on {source_date()}.\n"
    )
