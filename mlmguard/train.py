"""``mlmguard train``: a masked language model from ``clean/``, private or honestly not.

    clean/ ──▶ units (+ canaries) ──▶ plan ──▶ initial model ──▶ steps ──▶ ckpt/ + privacy.json

What may leave the house goes to the checkpoint folder. Canary coins, metrics on private text and the state of
an unfinished run go to the run folder, and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np

from mlmguard import __version__, accounting
from mlmguard.artifacts import (
    RUNS,
    as_noun,
    find_run_folder,
    read_json,
    read_noun,
    run_folder,
    sha256_file,
    source_date,
    write_json,
)
from mlmguard.corpus.clean import CleanFolder, Damaged, Findings, findings_of, open_clean, refuse_damaged
from mlmguard.corpus.synthetic import public_documents
from mlmguard.errors import InputError
from mlmguard.leakage import canaries
from mlmguard.measures import show_epsilon
from mlmguard.training import adapt, checkpoint, device, distributed, models, numerics, tracking
from mlmguard.training.clipping.clip import Engine, refuse_unclippable, self_check
from mlmguard.training.clipping.precision import precision_margin
from mlmguard.training.evaluation import HeldOut, HeldOutTexts, kind_of, latency
from mlmguard.training.journal import Journal
from mlmguard.training.loop import (
    SCHEDULES,
    Interrupted,
    Recipe,
    collate,
    example,
)
from mlmguard.training.loop import train as run_steps
from mlmguard.training.mechanism import SamplerCheck, check_sampler
from mlmguard.training.numerics import autocast, best_device
from mlmguard.training.privacy import claim, releases
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.privacy.ledger import CorpusLedger, RunOnCorpus
from mlmguard.training.text import masking, objectives, packing, tokenizer, tokens
from mlmguard.training.text.masking import Masking
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.tokens import Text, Tokens
from mlmguard.training.text.units import Row, cut, group
from mlmguard.training.tracking import Trackers
from mlmguard.types import (
    CorpusRelease,
    DpPlan,
    LedgerEntry,
    PrivacyStatement,
    Progress,
    silent,
)

SIZES = tuple(models.SIZES)
DEFAULT_EPOCHS = 8  # passes over the units of a plain run


@dataclass(frozen=True)
class TrainSettings:
    """Every dial of a run; None means "derived, and printed"."""

    size: str = "nano"
    adapt: str = "full"  # or "lora", "bitfit", "head": which parameters are trained
    init: str | None = None  # None: warm up on public text; "scratch"; or a folder or hub name
    tokenizer: str | None = None  # None: of ``init`` when that is a folder or name, else the shipped one;
    # or "dp": learnt from noised word counts; "learn": learnt from the private text as it is
    tokenizer_epsilon: float | None = None  # share of ``dp_epsilon`` for "dp"; None: a tenth
    allow_private_tokenizer: bool = False  # let "learn" stand in a private run, as a hazard
    dp_epsilon: float | None = None
    unit: str | None = None  # None: the key the corpus was scanned by, else "document"; or "sequence"
    unit_key: str | None = None  # the key that the scan must have had
    delta: float | None = None
    public_size: int | None = None
    steps: int | None = None
    batch_units: int | None = None
    learning_rate: float | None = None
    max_grad_norm: float = 1.0
    window: int = 64
    stride: int | None = None  # plain: cut documents into windows this many tokens apart
    masking: str = "token"
    mask_rate: float | None = None
    final_mask_rate: float | None = None  # reached linearly at the last step
    mask_mix: str = "80/10/10"
    pii_targets: str | None = None  # or "mask-more", "exclude": what masking does with the scan's findings
    static_masks: bool = False
    objective: str = "mlm"
    schedule: str = "linear"
    warmup_steps: int | None = None
    micro_tokens: int = 8192
    precision: str = "auto"  # or "fp32", "bf16", "fp16": what the passes compute in
    compile: bool = False  # plain: run layers as one kernel
    packing: bool = False
    gradient_checkpointing: bool = False
    evaluate_every: int = 0
    early_stop: int = 0
    quiet_metrics: bool = False
    leave_out: str | None = None  # a source whose rows are not trained on
    canaries: int = 500
    canary_repetitions: int = 1  # above 1: a positive control, each copy a unit of its own; voids the ε bound
    canary_tiers: tuple[int, ...] = ()  # copies of each of further canaries, which no gate judges
    engine: Engine = "one-pass"
    seed: int = 0
    max_lost: float = 0.1  # share of a split that may lie in damaged shards; more of it refuses the run


@dataclass(frozen=True)
class TrainResult:
    """What a run came to. ``unprotected`` are numbers computed on private text."""

    statement: PrivacyStatement
    facts: Mapping[str, object]
    unprotected: Mapping[str, float]
    left_out: tuple[Damaged, ...] = ()  # shards that were not what the scan wrote


def train(
    clean: Path,
    ckpt: Path,
    reports: Path,
    settings: TrainSettings,
    *,
    runs: Path = RUNS,
    planted: Path | None = None,
    track: Sequence[str] = (),
    progress: Progress = silent,
    stop: Callable[[], bool] = bool,
    tell: Callable[[str], None] = lambda line: None,
) -> TrainResult:
    """Train on the rows of ``clean/train-*`` and write the checkpoint, or go on with an interrupted run.

    ``planted`` is a file of canaries with coins that several runs share; without it a run draws its own.
    ``track`` names trackers of accelerate that hear every step; their files lie in the run folder.
    Raises :class:`InputError` for what cannot be started, and ``loop.Interrupted`` after a whole step when
    ``stop()`` turns true.
    """
    _refuse_impossible(settings)
    for name in track:
        tracking.known(name)
    checkpoint.refuse_foreign(ckpt)
    corpus = open_clean(clean)
    _leave_out_damaged(corpus, settings, tell)
    _refuse_foreign_source(corpus, settings.leave_out)
    if (settings.evaluate_every or settings.early_stop) and not any(
        shard.split == "validation" for shard in corpus.sound
    ):
        raise InputError(
            str(clean),
            "an empty validation split",
            "documents to stop early or to draw a curve by",
            "scan a larger corpus, or leave --early-stop and --evaluate-every out",
        )
    unit = claim.unit_of_privacy(settings.unit, settings.unit_key, _scanned_by(corpus), settings.window)
    team = distributed.join()
    if team.first:
        run = _open_run(clean, corpus, settings, runs)
    else:  # wait until the first has prepared the run folder, then go on from what lies there
        run_id, progress = team.agree(""), silent
        run = Run(run_id, runs / run_id)
    ledger = CorpusLedger(runs)
    try:
        found = _findings(corpus, settings)
        texts = partial(_texts, corpus, settings, unit, _plant(run, settings, planted), found)
        words = _choose_tokenizer(run, settings, unit, texts, ledger)
        masking.refuse_wordless(_masking(settings, 0.15), words)
        objectives.refuse_unanswerable(settings.objective, words)
        units = _tokenise(run, words, texts, unit, settings, corpus)
        plan, recipe, spent = _plan(run, settings, units, unit)
        if team.first:
            model = _initial_model(run, settings, words, recipe, runs, progress, stop)
        else:
            model = models.load(run.folder / "initial")[0]
    except InputError:
        if team.first:
            _leave(run, unit, ledger)
        raise
    if team.first:
        if not run.facts().get("entered"):  # before the first step; a resumed run is there already
            _enter(ledger, run, unit, plan.delta if plan else None, spent, plan)
            run.update(entered=True)
        team.agree(run.id)
    adapt.adapt(model, settings.adapt, settings.seed)
    trained = adapt.trained_parameters(model)
    if settings.gradient_checkpointing:
        models.checkpoint_gradients(model)
    if plan is None:
        models.set_dropout(model, 0.1)
        if settings.compile:
            numerics.refuse_uncompilable(model.to(best_device()), best_device())
        if settings.packing:
            packing.refuse_unpackable(model.to(best_device()), len(words), recipe.window, words.pad)
    else:
        models.set_dropout(model, 0.0)
        refuse_unclippable(model)
        rng = np.random.default_rng(secrets.randbits(64))
        trial = [example(unit, words, recipe, rng) for unit in units[:4]]
        self_check(
            model.to(best_device()),
            collate(trial, words.pad, recipe.micro_tokens, best_device())[0],
            plan.max_grad_norm,
        )
        if team.first:
            plan = _with_margin(run, plan, model, words, recipe, settings)
        plan = team.agree(plan)
    quiet = settings.quiet_metrics and plan is not None
    apart = _apart(words, corpus, found, units, recipe)
    trackers = Trackers(
        track if team.first else (), run.folder / "tracking", run.id, asdict(settings), plan is not None
    )
    journal = Journal(run.folder, plan, writes=team.first, quiet=quiet, track=trackers.log)
    started = time.monotonic()
    with numerics.compiled(model) if settings.compile else nullcontext():
        run_steps(
            model, units, words, recipe, journal, plan,
            engine=settings.engine, team=team, progress=progress, stop=stop, tell=tell,
            validate=lambda: apart.validation_loss(model, best_device()),
        )  # fmt: skip
    seconds = time.monotonic() - started
    trackers.close()

    if not team.first:
        return team.agree(cast(TrainResult, None))  # what the first process comes to
    adapt.merge(model)
    charged = [*spent, *journal.entries()]
    ledger.finish(run.id, charged)
    statement = _statement(
        run, settings, unit, plan, charged, journal, len(units), ledger, corpus, recipe.precision
    )
    measured = None if quiet else apart.measure(model, best_device())
    facts = _facts(settings, recipe, model, words, trained, seconds)
    unprotected = {} if quiet else _unprotected(measured, apart, units, journal)
    facts |= _timings(model, words, recipe, journal)
    write_json(
        run.folder / "metrics.json", _metrics(unprotected, measured, apart, journal, quiet), mode=0o600
    )
    public = {**facts, "run_id": run.id, "canaries_digest": run.canaries_digest()}
    for timing in ("seconds", *_TIMINGS):  # two runs of one plan write one checkpoint
        public.pop(timing, None)
    checkpoint.save(ckpt, model, words, statement, public, _card(statement, public))
    run.update(status="done", checkpoint=str(ckpt.resolve()))
    write_json(
        reports / "train.json",
        {
            "schema": "mlmguard/train/v1",
            "statement": asdict(statement),
            "facts": facts,
            "unprotected": unprotected,
            "left_out": [asdict(shard) for shard in corpus.damaged],
        },
    )
    shutil.rmtree(run.folder / "tokens")
    return team.agree(TrainResult(statement, facts, unprotected, corpus.damaged))


# --- the corpus ---------------------------------------------------------------------------------------


def source_of(row_id: str) -> str:
    """The top-level folder or file that a row came from."""
    return row_id.partition("/")[0].partition("#")[0]


def _leave_out_damaged(corpus: CleanFolder, settings: TrainSettings, tell: Callable[[str], None]) -> None:
    """Say which shards are left out; :class:`InputError` where a split would lose more than it may."""
    for split, held in corpus.manifest.splits.items():
        lost = sum(shard.documents for shard in corpus.damaged if shard.split == split)
        if lost > settings.max_lost * held:
            share = (
                f"; with it {lost / held:.0%} of the {split} documents are lost, {settings.max_lost:.0%} may"
            )
            refuse_damaged(corpus, [split], share)
    for shard in corpus.damaged:
        tell(
            f"{shard.shard} is left out: {shard.reason}; it held {shard.documents:,} {shard.split} documents"
        )


def _refuse_foreign_source(corpus: CleanFolder, source: str | None) -> None:
    """Held-out rows of a source that is left out stay, so that runs can be compared."""
    if source is None:
        return
    known = sorted({source_of(row["id"]) for row in corpus.rows("train")})
    if source not in known or known == [source]:
        raise InputError(
            f"--leave-out {source}",
            "nothing is left to train on" if source in known else "no training row comes from it",
            "one of several sources: " + ", ".join(known),
        )


_ROW_UNITS = (claim.DOCUMENT, claim.SEQUENCE)  # a row, or a part of one, whoever wrote it


def _scanned_by(corpus: CleanFolder) -> str | None:
    """The key of ``mlmguard scan --unit-key``, None without one."""
    key = corpus.manifest.settings.get("unit_key", "null")
    return None if key == "null" else key


def _texts(
    corpus: CleanFolder,
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    planted: Sequence[canaries.Secret],
    found: Findings | None,
) -> Iterator[Text]:
    """Every text that is trained on, read anew each time: the rows of clean/train, then what was planted."""
    # windows of a stride are rows of an epoch, each on its own, whoever wrote them
    owner = "id" if unit.name in _ROW_UNITS or settings.stride is not None else "unit"
    for row in corpus.rows("train"):
        if settings.leave_out is None or source_of(row["id"]) != settings.leave_out:
            yield Text(row[owner], row["text"], found.of(row["id"]) if found else ())
    for secret in planted:
        for name, text in canaries.units(secret):
            yield Text(name, text)


def _tokenise(
    run: Run,
    words: Tokenizer,
    texts: Callable[[], Iterable[Text]],
    unit: UnitOfPrivacy,
    settings: TrainSettings,
    corpus: CleanFolder,
) -> Tokens:
    """The units of all texts, on disk in the run folder; a resumed run finds them there."""
    noted = _masking(settings, 0.15).needs_notes
    pieces = unit.name == claim.SEQUENCE or settings.stride is not None

    def rows() -> Iterable[Row]:
        whole = tokens.tokenised(words, texts(), noted)
        return cut(whole, settings.window, settings.stride) if pieces else whole

    of = [
        corpus.digests,
        words.fingerprint(),
        run.canaries_digest(),
        noted,
        asdict(settings),
        unit.name,
    ]
    key = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    units = tokens.kept(run.folder / "tokens", key, rows, len(words))
    if not len(units):
        raise InputError(str(corpus.folder), "no token in any training document", "text to train on")
    return units


# --- the run ------------------------------------------------------------------------------------------


class Run:
    """The private folder of one training run and the few facts that must survive an interruption."""

    def __init__(self, run_id: str, folder: Path) -> None:
        self.id = run_id
        self.folder = folder

    def facts(self) -> dict[str, Any]:
        """``run.json`` as it stands."""
        return dict(read_json(self.folder / "run.json"))

    def update(self, **more: object) -> None:
        """Add facts to ``run.json``."""
        known = self.facts() if (self.folder / "run.json").exists() else {}
        write_json(self.folder / "run.json", {**known, **more}, mode=0o600)

    def canaries_digest(self) -> str:
        """SHA-256 of the canary file: what an audit holds its coins against; "" without canaries."""
        path = self.folder / "canaries.jsonl"
        return sha256_file(path) if path.exists() else ""


def _findings(corpus: CleanFolder, settings: TrainSettings) -> Findings | None:
    """What the scan found in the texts; None if its run folder is gone and nobody asked."""
    found = findings_of(corpus)
    if settings.pii_targets and found is None:
        raise InputError(
            "--pii-targets",
            f"the run folder of {corpus.manifest.run_id} is missing",
            "the findings of the scan",
            "run it where `mlmguard scan` ran",
        )
    return found


def _open_run(clean: Path, corpus: CleanFolder, settings: TrainSettings, runs: Path) -> Run:
    """The interrupted run with these settings on this corpus, or a new one."""
    wanted = hashlib.sha256(
        json.dumps(
            [
                asdict(settings),
                corpus.manifest.commitment,
                str(clean.resolve()),
                [shard.shard for shard in corpus.damaged],
            ]
        ).encode()
    ).hexdigest()
    for path in sorted(runs.glob("train-*/run.json")):
        known = read_json(path)
        if known.get("settings_digest") == wanted and known.get("status") == "running":
            return Run(path.parent.name, path.parent)
    # a private run never repeats; a plain one is a function of its settings, and so is its name
    tail = secrets.token_hex(6) if settings.dp_epsilon is not None else wanted[:12]
    run = Run(f"train-{tail}", run_folder(f"train-{tail}", runs))
    for stale in run.folder.iterdir():  # a finished plain run with the same name is done again
        if stale.is_file():
            stale.unlink()
    run.update(
        status="running",
        settings=asdict(settings),
        settings_digest=wanted,
        clean=str(clean.resolve()),
        scan_run=corpus.manifest.run_id,
        raw=_raw_corpus(clean, corpus),
        commitment=corpus.manifest.commitment,
        left_out=[asdict(shard) for shard in corpus.damaged],
        held_out_digest=_held_out_digest(corpus),
        tool_version=__version__,
    )
    return run


def _held_out_digest(corpus: CleanFolder) -> str:
    """SHA-256 over validation and test files: runs with one digest were measured on the same texts."""
    apart = sorted(corpus.digests[shard.path] for shard in corpus.sound if shard.split != "train")
    return hashlib.sha256("".join(apart).encode()).hexdigest()


def _raw_corpus(clean: Path, corpus: CleanFolder) -> str:
    """Where the scan says the raw corpus lay; "" when its run folder is gone."""
    folder = find_run_folder(corpus.manifest.run_id, clean.resolve().parent)
    return str(read_json(folder / "scan.json").get("corpus", "")) if folder else ""


def _plant(run: Run, settings: TrainSettings, planted: Path | None) -> list[canaries.Secret]:
    """The run's canaries; coins are drawn once, before anything is trained."""
    path = run.folder / "canaries.jsonl"
    if settings.canaries == 0:
        return []
    if not path.exists():
        seed = [settings.seed, 7] if settings.dp_epsilon is None else secrets.randbits(128)
        rng = np.random.default_rng(seed)
        drawn = canaries.draw(settings.canaries, rng, settings.canary_repetitions, settings.canary_tiers)
        canaries.save(canaries.load(planted) if planted else drawn, path)
        # fixed here, before any score exists: a number of guesses chosen afterwards voids the bound
        run.update(guesses=max(2, settings.canaries // 2))
    return canaries.load(path)


# --- the plan -----------------------------------------------------------------------------------------


def _plan(
    run: Run, settings: TrainSettings, units: Tokens, unit: UnitOfPrivacy
) -> tuple[DpPlan | None, Recipe, list[LedgerEntry]]:
    """Settings from a public size, noise from the target ε. On resume, exactly what was planned before."""
    known = run.facts()
    if "recipe" in known:
        plan = as_noun(known["plan"], DpPlan, "run.json") if known["plan"] else None
        return (
            plan,
            as_noun(known["recipe"], Recipe, "run.json"),
            [as_noun(entry, LedgerEntry, "run.json") for entry in known["spent"]],
        )
    spent: list[LedgerEntry] = []
    plan = None
    if settings.dp_epsilon is None:
        recipe = _plain_recipe(settings, len(units))
    else:
        size, spent = _public_size(run, settings, len(units))
        plan, recipe = _private_plan(settings, size, spent, unit)
    run.update(
        recipe=asdict(recipe), plan=asdict(plan) if plan else None, spent=[asdict(entry) for entry in spent]
    )
    return plan, recipe, spent


def _public_size(run: Run, settings: TrainSettings, count: int) -> tuple[int, list[LedgerEntry]]:
    """The number of units that settings may derive from, and what it cost; the same again on resume."""
    known = run.facts()
    if "size" in known:
        return int(known["size"]), [as_noun(entry, LedgerEntry, "run.json") for entry in known["spent"]]
    if settings.public_size is not None:
        size, spent = settings.public_size, []
    else:
        assert settings.dp_epsilon is not None
        if settings.dp_epsilon <= 2 * releases.COUNT_EPSILON:  # before anything is counted, and so spent
            raise InputError(
                f"--dp-epsilon {settings.dp_epsilon:g}",
                f"the noised number of units alone costs {releases.COUNT_EPSILON:g}",
                f"more than {2 * releases.COUNT_EPSILON:g}",
                "name the size with --public-size, or choose a larger ε",
            )
        size, entry = releases.noisy_count(count)
        spent = [entry]
    run.update(size=size, spent=[asdict(entry) for entry in spent])
    return size, spent


def _delta(settings: TrainSettings, size: int) -> float:
    delta = settings.delta if settings.delta is not None else accounting.default_delta(size)
    if delta * size >= 1:
        raise InputError(
            "--delta",
            f"{delta:g}",
            f"less than 1/n = {1 / size:.2g}",
            "a δ this large lets whole records out",
        )
    return delta


def _enter(
    ledger: CorpusLedger,
    run: Run,
    unit: UnitOfPrivacy,
    delta: float | None,
    spent: list[LedgerEntry],
    plan: DpPlan | None = None,
) -> None:
    """Put the run into the ledger of its corpus; entered again, it replaces what it had planned."""
    known = run.facts()
    planned = list(spent)
    if plan is not None:
        steps = LedgerEntry(
            "poisson-gaussian", plan.noise_multiplier, plan.sample_rate, plan.steps, what="training"
        )
        planned.append(steps)
    ledger.start(
        run.id,
        corpus=known["commitment"],
        raw=known["raw"],
        private=delta is not None,
        unit=unit.name,
        delta=delta,
        planned=planned,
    )


def _leave(run: Run, unit: UnitOfPrivacy, ledger: CorpusLedger) -> None:
    """A run that was refused before its first step: nothing of it stays, but for what it has spent.

    A refusal may have told the noised number of units: that is charged, and the same number told again.
    """
    known = run.facts()
    if known.get("entered"):  # an interrupted run, with steps of its own
        return
    if not known.get("spent"):
        shutil.rmtree(run.folder)
    elif run.id not in {entered.run_id for entered in ledger.read()}:
        spent = [as_noun(entry, LedgerEntry, "run.json") for entry in known["spent"]]
        _enter(ledger, run, unit, accounting.default_delta(known["size"]), spent)


def _plain_recipe(settings: TrainSettings, size: int) -> Recipe:
    batch = settings.batch_units or min(64, size)
    steps = settings.steps or max(100, DEFAULT_EPOCHS * size // batch)
    return Recipe(
        steps=steps,
        batch_units=batch,
        learning_rate=settings.learning_rate or _learning_rate(settings),
        warmup_steps=max(1, steps // 10) if settings.warmup_steps is None else settings.warmup_steps,
        window=settings.window,
        masking=_masking(settings, 0.15),
        objective=settings.objective,
        schedule=settings.schedule,
        max_grad_norm=float(settings.max_grad_norm),
        micro_tokens=settings.micro_tokens,
        precision=numerics.chosen(settings.precision, best_device(), False),
        packed=settings.packing,
        evaluate_every=settings.evaluate_every or (-(-steps // 10) if settings.early_stop else 0),
        patience=settings.early_stop,
        seed=settings.seed,
    )


def _masking(settings: TrainSettings, rate: float) -> Masking:
    return Masking(
        strategy=settings.masking,
        rate=rate if settings.mask_rate is None else settings.mask_rate,
        final_rate=settings.final_mask_rate,
        mix=masking.read_mix(settings.mask_mix),
        pii=settings.pii_targets or "",
        static=settings.static_masks,
    )


def _private_plan(
    settings: TrainSettings, size: int, spent: list[LedgerEntry], unit: UnitOfPrivacy
) -> tuple[DpPlan, Recipe]:
    """Large batches and few steps: noise is per step, so what counts is units per step."""
    assert settings.dp_epsilon is not None
    batch = min(settings.batch_units or 512, size)
    steps = settings.steps or 120
    delta = _delta(settings, size)
    rate = batch / size
    sigma = accounting.noise_multiplier(settings.dp_epsilon, delta, rate, steps, spent)
    if sigma > batch / 8:
        raise InputError(
            f"--dp-epsilon {settings.dp_epsilon:g}",
            f"{size:,} units are too few: a step would sum {batch} of them under noise of {sigma:.1f} units",
            f"noise below {batch / 8:.0f}",
            "more documents, a larger ε, or fewer --steps would help",
        )
    plan = DpPlan(
        sigma,
        float(settings.max_grad_norm),
        rate,
        steps,
        delta,
        unit.name,
        float(batch),
        float(settings.dp_epsilon),
    )
    recipe = Recipe(
        steps=steps,
        batch_units=batch,
        learning_rate=settings.learning_rate or _learning_rate(settings),
        warmup_steps=max(1, steps // 20) if settings.warmup_steps is None else settings.warmup_steps,
        window=settings.window,
        masking=_masking(settings, 0.3),  # more masked tokens a window: more signal under the same noise
        objective=settings.objective,
        schedule=settings.schedule,
        micro_tokens=settings.micro_tokens,
        precision=numerics.chosen(settings.precision, best_device(), True),
        weight_decay=0.0,  # decay pulls on every weight where only some have signal
        seed=settings.seed,
    )
    return plan, recipe


def _with_margin(
    run: Run,
    plan: DpPlan,
    model: Any,
    words: Tokenizer,
    recipe: Recipe,
    settings: TrainSettings,
) -> DpPlan:
    """The plan with noise for what 16-bit passes round; measured once, the same again on resume."""
    if recipe.precision == "fp32" or "margin" in run.facts():
        return plan
    here = best_device()
    short = autocast(here, recipe.precision)
    margin = precision_margin(model, words, recipe, settings.engine, here, short)
    plan = replace(plan, precision_margin=margin)
    run.update(plan=asdict(plan), margin=margin)
    return plan


def _learning_rate(settings: TrainSettings) -> float:
    """Narrow models take larger steps, a few trained parameters too; a good checkpoint takes small ones.

    Held-out loss of nano after 60 steps at ε = 8 on 1,700 notes, at the rate of ``full`` and at three times
    it: LoRA 5.83, 5.64; BitFit 6.01, 5.76 (``full``: 5.00). Under ε there is no time for small steps: of what
    plain training gains, a 2 x 128 checkpoint kept 0.56 at 2e-3 and 0.71 at 4e-3 (benchmarks/README.md).
    """
    if settings.init in (None, "scratch"):
        rate = _RATES[settings.size]
    elif settings.dp_epsilon is None:
        rate = _CAREFUL
    else:
        rate = max(_CAREFUL, _RATES[models.size_of(settings.init)])
    return rate if settings.adapt == "full" else 3 * rate


_RATES = {"nano": 1e-2, "tiny": 4e-3, "mini": 1e-3, "small": 5e-4, "base": 2e-4}
_CAREFUL = 5e-4


def _refuse_impossible(settings: TrainSettings) -> None:
    if settings.dp_epsilon is not None and not 0 < settings.dp_epsilon < float("inf"):
        raise InputError(
            "--dp-epsilon", f"{settings.dp_epsilon:g}", "a number above 0", "leave it out for a plain run"
        )
    if settings.delta is not None and not 0 < settings.delta < 1:
        raise InputError("--delta", f"{settings.delta:g}", "a number between 0 and 1")
    if settings.size not in SIZES:
        raise InputError("--size", repr(settings.size), "one of " + ", ".join(SIZES))
    _refuse_impossible_tokenizer(settings)
    numerics.chosen(settings.precision, best_device(), settings.dp_epsilon is not None)
    if settings.adapt not in adapt.KINDS:
        raise InputError("--adapt", repr(settings.adapt), "one of " + ", ".join(adapt.KINDS))
    if settings.schedule not in SCHEDULES:
        raise InputError("--schedule", repr(settings.schedule), "one of " + ", ".join(SCHEDULES))
    masking.refuse_impossible(_masking(settings, 0.15))
    objectives.refuse_impossible(settings.objective, settings.dp_epsilon is not None)
    if settings.static_masks and settings.final_mask_rate is not None:
        raise InputError("--final-mask-rate", "beside --static-masks", "masks that are drawn anew")
    if settings.dp_epsilon is not None:
        for name, why in _PLAIN_ONLY.items():
            if getattr(settings, name):
                raise InputError(f"--{name.replace('_', '-')}", "a private run", "a plain one", why)
    for name in ("learning_rate", "max_grad_norm"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{name.replace('_', '-')}", f"{value:g}", "a number above 0")
    for name in ("evaluate_every", "early_stop", "warmup_steps"):
        value = getattr(settings, name)
        if value is not None and value < 0:
            raise InputError(f"--{name.replace('_', '-')}", str(value), "0 or more")
    if settings.stride is not None and settings.stride > settings.window - 2:
        raise InputError(
            f"--stride {settings.stride}",
            "it leaves tokens out",
            f"at most the window's {settings.window - 2}",
        )
    for name in ("steps", "batch_units", "public_size", "window", "stride", "micro_tokens"):
        value = getattr(settings, name)
        if value is not None and value < (8 if name == "window" else 1):
            raise InputError(
                f"--{name.replace('_', '-')}", str(value), "at least 8" if name == "window" else "at least 1"
            )
    if settings.canaries < 0:
        raise InputError("--canaries", str(settings.canaries), "0 or more")
    if settings.canary_repetitions < 1:
        raise InputError("--canary-repetitions", str(settings.canary_repetitions), "1 or more")
    for tier in settings.canary_tiers:
        if tier <= settings.canary_repetitions or settings.canaries == 0:
            raise InputError(
                "--canary-tier",
                f"{tier} copies beside {settings.canaries} canaries of {settings.canary_repetitions}",
                "more copies than the canaries that are judged have, and some of those",
            )


_PLAIN_ONLY = {
    "stride": "a drawn unit contributes one random window",
    "packing": "a private step clips by row",
    "compile": "clipping watches every layer, and a compiled one shows it nothing",
    "evaluate_every": "held-out numbers are computed after the last step and steer nothing",
    "early_stop": "the number of steps is fixed in advance and charged",
}


def _refuse_impossible_tokenizer(settings: TrainSettings) -> None:
    name, private = settings.tokenizer, settings.dp_epsilon is not None
    if name == "learn" and private and not settings.allow_private_tokenizer:
        raise InputError(
            "--tokenizer learn",
            "its entries would be a release of private text outside the claim",
            "a public tokenizer, or --tokenizer dp",
            "--allow-private-tokenizer takes it as a hazard that the statement names",
        )
    if name == "dp" and not private:
        raise InputError("--tokenizer dp", "a run that is not private", "--dp-epsilon beside it")
    if name == "dp" and settings.unit == claim.SEQUENCE:
        raise InputError("--tokenizer dp", "words are counted by document or person", "--unit document")
    if name in _LEARNT and settings.init not in (None, "scratch"):
        raise InputError(
            f"--tokenizer {name}", "the initial model has a vocabulary of its own", "--init scratch, or none"
        )
    share = settings.tokenizer_epsilon
    if share is not None and not 0 < share < (settings.dp_epsilon or float("inf")):
        raise InputError("--tokenizer-epsilon", f"{share:g}", "above 0 and below --dp-epsilon")


# --- model and tokenizer ------------------------------------------------------------------------------

WARM_STEPS = 600
WARM_BATCH = 128


def _choose_tokenizer(
    run: Run,
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    texts: Callable[[], Iterable[Text]],
    ledger: CorpusLedger,
) -> Any:
    """Public by path or name, the shipped one, or learnt here from noised counts or, openly, the text."""
    name = settings.tokenizer
    if name is None and settings.init not in (None, "scratch"):
        name = settings.init
    if name not in _LEARNT:
        return Tokenizer.load(name)
    kept = run.folder / "tokenizer"
    if not (kept / "tokenizer.json").exists():  # a resumed run has it, and has paid for it
        if name == "dp":
            words = _learn_privately(run, settings, unit, texts, ledger)
        else:
            words = tokenizer.learn((one.text for one in texts()), tokenizer.PUBLIC_VOCABULARY)
        words.save(kept)
    return Tokenizer.load(str(kept))


_LEARNT = ("dp", "learn")


def _learn_privately(
    run: Run,
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    texts: Callable[[], Iterable[Text]],
    ledger: CorpusLedger,
) -> Any:
    """A vocabulary from word counts under noise, charged before anything of it reaches the disk."""
    assert settings.dp_epsilon is not None
    count = len({hash(one.unit) for one in texts()})
    size, spent = _public_size(run, settings, count)
    delta = _delta(settings, size)
    share = settings.tokenizer_epsilon or settings.dp_epsilon / 10
    part = delta / 10  # of δ, for the noise and again for the threshold
    weights, entry = releases.noisy_words(
        _words_by_unit(texts, unit), accounting.noise_multiplier(share, part, 1.0, 1), part
    )
    spent = [*spent, entry]
    run.update(spent=[asdict(entry) for entry in spent])
    _enter(ledger, run, unit, delta, spent)
    return tokenizer.learn_from_weights(weights, tokenizer.PUBLIC_VOCABULARY)


def _words_by_unit(texts: Callable[[], Iterable[Text]], unit: UnitOfPrivacy) -> Iterator[Iterable[str]]:
    """The words of each unit. Only where a unit has several texts must its distinct words be held."""
    if unit.name in _ROW_UNITS:
        yield from (tokenizer.words_of(one.text) for one in texts())
        return
    said: dict[str, set[str]] = {}
    for one in texts():
        said.setdefault(one.unit, set()).update(map(sys.intern, tokenizer.words_of(one.text)))
    yield from said.values()


def _initial_model(
    run: Run,
    settings: TrainSettings,
    words: Tokenizer,
    recipe: Recipe,
    runs: Path,
    progress: Progress,
    stop: Callable[[], bool],
) -> Any:
    """The model before its first step on private text, kept in the run folder as the audit's reference."""
    if settings.init is None:
        model = _warmed_up(settings, words, recipe, runs, progress, stop)
    elif settings.init == "scratch":
        model = models.fresh(settings.size, words, recipe.window, 0.0, settings.seed)
    else:
        model, _ = models.load(settings.init)
        told = Path(settings.init) / "privacy.json"
        if told.is_file():
            accounting.refuse_edited(read_noun(told, PrivacyStatement), str(told))
        if len(words) > model.config.vocab_size or not words.agrees_with(settings.init):
            raise InputError(
                "the tokenizer",
                f"{len(words):,} entries that are not those of the model",
                f"the model's own, at most {model.config.vocab_size:,}",
                "leave --tokenizer out",
            )
        if models.window_of(model) < recipe.window:
            raise InputError(
                "--window", str(recipe.window), f"at most the model's {models.window_of(model)} positions"
            )
    if not (run.folder / "initial").exists():
        partial = run.folder / "initial.partial"  # a kill here must not leave half a reference
        checkpoint.save_weights(partial, model, words)
        partial.rename(run.folder / "initial")
    return model


def _warmed_up(
    settings: TrainSettings,
    words: Tokenizer,
    recipe: Recipe,
    runs: Path,
    progress: Progress,
    stop: Callable[[], bool],
) -> Any:
    """A model trained plainly on public text; kept, because every run with these settings starts the same."""
    documents = public_documents()
    rows = [
        (f"{document.id}#{k}", part)
        for document, ids in zip(documents, words.encode(d.text for d in documents))
        for k, part in enumerate(
            np.array_split(np.array(ids, dtype=np.int64), max(1, len(ids) // (2 * recipe.window)))
        )
    ]
    units = group(rows)
    steps = max(1, WARM_STEPS * 64 // recipe.window)
    entries = sorted(words.entries())
    name = hashlib.sha256(
        json.dumps(
            [settings.size, recipe.window, steps, WARM_BATCH, settings.seed, __version__, entries]
        ).encode()
    ).hexdigest()[:12]
    folder = runs.parent / "warm" / name
    if not (folder / "config.json").exists():
        model = models.fresh(settings.size, words, recipe.window, 0.0, settings.seed)
        plain = Recipe(
            steps,
            WARM_BATCH,
            _learning_rate(replace(settings, init=None, adapt="full")),
            steps // 10,
            recipe.window,
            precision=numerics.chosen("auto", best_device(), False),
            seed=settings.seed,
        )
        scratch = run_folder(f"warm-{name}", runs)

        def warming(stage: str, done: int, total: int | None) -> None:
            progress("warm up on public text", done, total)

        run_steps(
            model,
            units,
            words,
            plain,
            Journal(scratch),
            progress=warming,
            stop=stop,
        )
        temporary = scratch / "model"
        checkpoint.save_weights(temporary, model, words)
        folder.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.replace_folder(temporary, folder)
    return models.load(folder)[0]


# --- what is said afterwards --------------------------------------------------------------------------


def _apart(
    words: Tokenizer,
    corpus: CleanFolder,
    found: Findings | None,
    units: Tokens,
    recipe: Recipe,
) -> HeldOutTexts:
    """Validation and test rows as tokens, with what the scan found in them where its folder is at hand.

    One window of each is measured on, and no more of it is kept.
    """
    rows: list[Row] = []
    validation = 0
    for split in ("validation", "test"):
        texts = (
            Text(row["id"], row["text"], found.of(row["id"]) if found else ()) for row in corpus.rows(split)
        )
        rows += [
            Row(row.unit, row.ids[: recipe.window].copy(), row.notes and row.notes.part(slice(recipe.window)))
            for row in tokens.tokenised(words, texts, found is not None and words.knows_words)
            if len(row.ids)
        ]
        validation = validation or len(rows)
    return HeldOutTexts(
        [row.ids for row in rows],
        validation,
        units.counts(len(words)),
        words,
        recipe.window,
        [row.notes.personal for row in rows if row.notes] or None,
        [kind_of(token) for token in words.tokens()],
        [row.unit for row in rows],
    )


def _unprotected(
    measured: HeldOut | None, apart: HeldOutTexts, units: Tokens, journal: Journal
) -> dict[str, float]:
    """Numbers computed on private text: useful to the owner, not covered by any ε."""
    numbers: dict[str, float] = {
        "units": len(units),
        "rows_of_the_largest_unit": float(units.sequences.max()),
        "rows_of_a_unit_mean": float(units.sequences.mean()),
        "held_out_documents": len(apart.sequences),
        **apart.coverage(),
    }
    if measured is not None:
        numbers |= measured.numbers()
    waits = zip(journal.curves.get("loading_seconds", ()), journal.curves.get("seconds", ()))
    shares = [waited / s for waited, s in waits if waited is not None and s]
    if shares:
        numbers["loading_share"] = median(shares)
    speeds = [
        t / s for t, s in zip(journal.curves.get("tokens", ()), journal.curves.get("seconds", ())) if t and s
    ]
    if speeds:
        numbers["tokens_per_second"] = median(speeds)
    return numbers


_TIMINGS = (
    "latency_p50_ms",
    "latency_p95_ms",
    "saves",
    "seconds_a_save",
    "memory_gib",
    "gpu_memory_gib",
    "gpu_utilisation",
)


def _timings(model: Any, words: Tokenizer, recipe: Recipe, journal: Journal) -> dict[str, object]:
    """How fast the model answers, and what the machine did: nothing of the text."""
    typical, slow = latency(model, len(words), recipe.window, best_device())
    return {
        "latency_p50_ms": round(typical, 2),
        "latency_p95_ms": round(slow, 2),
        "saves": journal.saves,
        "seconds_a_save": round(journal.seconds_saving / max(1, journal.saves), 3),
        **device.summary(best_device(), journal.curves.get("gpu_utilisation", [])),
    }


def _metrics(
    unprotected: Mapping[str, float],
    measured: HeldOut | None,
    apart: HeldOutTexts,
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
        found["token_histogram"] = apart.histogram()
        found["samples"] = [asdict(one) for one in measured.samples] if measured else []
        found["held_out"] = apart.by_row(measured) if measured else []
    return found


def _facts(
    settings: TrainSettings, recipe: Recipe, model: Any, words: Tokenizer, trained: int, seconds: float
) -> dict[str, object]:
    """What may be said of the training: settings and sizes, nothing computed on private text."""
    return {
        "size": settings.size if settings.init in (None, "scratch") else "",
        "init": settings.init or "warmed up on public text",
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": trained,
        "vocabulary": len(words),
        "tokenizer": settings.tokenizer
        or ("public, shipped with mlmguard" if settings.init in (None, "scratch") else settings.init),
        "window": recipe.window,
        "masking": _masking_said(recipe.masking),
        "mask_rate": recipe.masking.rate,
        "objective": recipe.objective,
        "steps": recipe.steps,
        "batch_units": recipe.batch_units,
        "learning_rate": recipe.learning_rate,
        "schedule": f"{recipe.warmup_steps} steps of warm-up, then {recipe.schedule}",
        "canaries": settings.canaries,
        "precision": recipe.precision,
        "device": best_device().type,
        "seconds": round(seconds, 1),
        "tool_version": __version__,
    }


def _masking_said(chosen: Masking) -> str:
    parts = [chosen.strategy, "/".join(f"{100 * share:g}" for share in chosen.mix)]
    if chosen.final_rate is not None:
        parts.append(f"the rate goes to {chosen.final_rate:g}")
    if chosen.pii:
        parts.append(f"findings: {chosen.pii}")
    return ", ".join([*parts, "static" if chosen.static else "dynamic"])


def _statement(
    run: Run,
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    plan: DpPlan | None,
    ledger: list[LedgerEntry],
    journal: Journal,
    units: int,
    corpus_ledger: CorpusLedger,
    corpus: CleanFolder,
    precision: str,
) -> PrivacyStatement:
    """The claim, computed from the ledger of what ran; without a plan, the honest opposite."""
    others = corpus_ledger.others(run.id)
    releases_too = tuple(_release(other) for other in others)
    left_out = [shard.shard for shard in corpus.damaged]
    common: dict[str, Any] = {
        "run_id": run.id,
        "unit": unit.name,
        "unit_definition": unit.definition,
        "steps_applied": journal.applied,
        "adaptation": settings.adapt,
        "raw_corpus": claim.RAW_CORPUS if plan else "nothing: this run is not private",
        "corpus_releases": releases_too,
        "unprotected": (
            *(
                ()
                if settings.quiet_metrics
                else ("losses, held-out metrics and counts of the training text",)
            ),
            "every number of an audit report",
        ),
        "tool_version": __version__,
        "tool_versions": {name: version(name) for name in _TOOLS},
    }
    if plan is None:
        statement = PrivacyStatement(
            private=False, epsilon=None, delta=None, accountants=(), adjacency="", sampler="shuffled epochs",
            plan=None, ledger=(), batch_sizes={}, covers="nothing: this run is not private",
            hazards=(claim.damaged_input(left_out, corpus.sealed, named=True),) if left_out else (),
            data_accesses=("training", "held-out metrics", "audit"), **common,
        )  # fmt: skip
        return replace(statement, digest=accounting.statement_digest(statement))
    readings = accounting.readings(ledger, plan.delta)
    sampler = check_sampler(journal.drawn, units, plan.sample_rate)
    together = _together(unit, ledger, others, plan.delta)
    kind = _tokenizer_kind(settings)
    covered = "weights, but not the tokenizer" if kind == "private" else "weights and tokenizer"
    statement = PrivacyStatement(
        private=True,
        epsilon=readings[0].epsilon,
        delta=plan.delta,
        accountants=readings,
        adjacency="one unit added or removed",
        sampler="Poisson: every unit independently at every step",
        plan=plan,
        ledger=tuple(ledger),
        batch_sizes=_sizes(sampler),
        covers=f"{covered}, for the rows of clean/train" + (" that were read" if left_out else ""),
        data_accesses=(
            *(f"{entry.what} ({entry.mechanism}, in the ledger)" for entry in ledger),
            "self-check of the clipping on the first units (steers nothing)",
            *(() if settings.quiet_metrics else ("held-out metrics (unprotected)",)),
            "audit (unprotected)",
        ),
        hazards=claim.hazards(
            claim.Facts(
                unit=unit,
                public_size=settings.public_size is not None,
                tokenizer=kind,
                initial_weights=settings.init if settings.init not in (None, "scratch") else None,
                sampler=sampler,
                others=releases_too,
                corpus_epsilon=together,
                learning_rate_given=settings.learning_rate is not None,
                left_out=left_out,
                sealed=corpus.sealed,
                precision_margin=None if precision == "fp32" else plan.precision_margin,
            )
        ),
        contribution={"windows_a_draw": 1.0, "gradient_norm": plan.max_grad_norm},
        epsilon_without_amplification=accounting.epsilon_without_amplification(
            plan.noise_multiplier, journal.charged, plan.delta
        ),
        gaussian_mu=accounting.gaussian_mu(plan.noise_multiplier, plan.sample_rate, journal.charged),
        true_positive_ceilings={
            f"{rate:g}": accounting.true_positive_ceiling(ledger, rate)
            for rate in accounting.FALSE_POSITIVE_RATES
        },
        group_epsilon={
            str(size): accounting.group_epsilon(ledger, size, plan.delta) for size in accounting.GROUPS
        },
        corpus_epsilon=together,
        **common,
    )
    return replace(statement, digest=accounting.statement_digest(statement))


_TOOLS = ("torch", "transformers", "tokenizers", "opacus", "dp-accounting", "numpy")


def _release(run: RunOnCorpus) -> CorpusRelease:
    epsilon = accounting.compose(run.entries, run.delta) if run.private and run.delta else None
    return CorpusRelease(
        run.run_id, run.private, epsilon, run.unit, "finished" if run.finished else "unfinished"
    )


def _together(
    unit: UnitOfPrivacy, ledger: list[LedgerEntry], others: list[RunOnCorpus], delta: float
) -> float | None:
    """ε of this and all other private runs on the corpus; None where one of them protects a smaller unit."""
    private = [other for other in others if other.private]
    size = {claim.SEQUENCE: 0, claim.DOCUMENT: 1}  # anything else is a key, and holds whole documents
    if any(size.get(other.unit, 2) < size.get(unit.name, 2) for other in private):
        return None
    return accounting.compose([*ledger, *(entry for other in private for entry in other.entries)], delta)


def _sizes(sampler: SamplerCheck) -> dict[str, float]:
    """Realised batch sizes, standardised: they say whether the sampler did what was claimed, and not n."""
    return {
        "mean_z": sampler.mean_z,
        "variance_ratio": sampler.variance_ratio,
        "variance_p": sampler.p_value,
        "steps": float(sampler.steps),
        **{name: float(count) for name, count in sampler.histogram.items()},
    }


def _tokenizer_kind(settings: TrainSettings) -> str:
    if settings.tokenizer in _LEARNT:
        return "dp" if settings.tokenizer == "dp" else "private"
    named = settings.tokenizer or (settings.init if settings.init not in (None, "scratch") else None)
    return "named" if named else "shipped"


def _card(statement: PrivacyStatement, facts: Mapping[str, object]) -> str:
    """The model card: Hugging Face front matter and what may be said."""
    if statement.private and statement.epsilon is not None:
        said = (
            f"Trained with differential privacy: **ε = {show_epsilon(statement.epsilon)} at "
            f"δ = {statement.delta:g}**, unit: {statement.unit} ({statement.unit_definition}), "
            f"adjacency: {statement.adjacency}. Covers {statement.covers}."
        )
    else:
        said = "**Not private**: trained without differential privacy. Treat the weights like the corpus."
    lines = "\n".join(
        f"| {name.replace('_', ' ')} | {value} |" for name, value in facts.items() if value not in ("", None)
    )
    return (
        "---\nlibrary_name: transformers\npipeline_tag: fill-mask\n"
        "tags: [mlmguard, masked-language-model]\n---\n\n"
        f"# Masked language model\n\n{said}\n\n"
        "The whole statement, with its ledger and hazards, is in `privacy.json`. "
        "Before a release, run `mlmguard audit` on this folder.\n\n"
        f"| | |\n|---|---|\n{lines}\n\nWritten by mlmguard {__version__} on {source_date()}.\n"
    )


__all__ = ["SIZES", "Interrupted", "TrainResult", "TrainSettings", "train"]
