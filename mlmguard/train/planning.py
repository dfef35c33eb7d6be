"""The numbers of a run before its first step: recipe, noise, what planning itself has spent.

``mlmguard plan`` calls :func:`private_plan` too, so that it refuses what ``mlmguard train`` would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from mlmguard import accounting
from mlmguard.artifacts import as_noun
from mlmguard.errors import InputError
from mlmguard.settings import Size, TrainSettings, read_mix
from mlmguard.train import mechanism as self_tests
from mlmguard.training import mechanism, models, numerics
from mlmguard.training.clipping.clip import Engine
from mlmguard.training.modes import Mode, Plain, Private
from mlmguard.training.numerics import best_device
from mlmguard.training.privacy import releases
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.recipes import Recipe
from mlmguard.training.text.masking import Masking, Mix
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.tokens import Tokens
from mlmguard.types import DpPlan, LedgerEntry

if TYPE_CHECKING:
    from mlmguard.train.run import Run

PLAIN_EPOCHS = 8  # passes over the units of a plain run
PLAIN_BATCH, PRIVATE_BATCH = 64, 512  # units a step
PRIVATE_STEPS = 120
PLAIN_MASKS, PRIVATE_MASKS = 0.15, 0.3  # more masked tokens a window: more signal under the same noise
MOST_NOISE = 1 / 8  # of the units of a step: above it a step is noise


@dataclass(frozen=True)
class Plan:
    """What was planned; on resume, exactly what was planned before."""

    recipe: Recipe
    dp: DpPlan | None  # None: the run is not private
    spent: tuple[LedgerEntry, ...]  # by planning: the noised size, and a tokenizer learnt under noise
    margin_known: bool = False  # ``dp`` holds the margin for rounding that an earlier start measured


def plan(run: Run, settings: TrainSettings, units: int, unit: UnitOfPrivacy) -> Plan:
    """Settings from a public size, noise from the target ε; the same again on resume.

    Raises :class:`InputError` for a corpus too small for its ε, or a δ too large for it.
    """
    known = run.facts()
    if "recipe" in known:
        recipe = as_noun(known["recipe"], Recipe, "run.json")
        before = as_noun(known["plan"], DpPlan, "run.json") if known["plan"] else None
        return Plan(recipe, before, _spent(known), "margin" in known)
    dp: DpPlan | None = None
    spent: tuple[LedgerEntry, ...] = ()
    if settings.dp_epsilon is None:
        recipe = plain_recipe(settings, units)
    else:
        size, spent = public_size(run, settings, units, unit)
        dp = private_plan(settings, size, spent, unit.name)
        recipe = private_recipe(settings, dp)
    run.update(
        recipe=asdict(recipe), plan=asdict(dp) if dp else None, spent=[asdict(entry) for entry in spent]
    )
    return Plan(recipe, dp, spent)


def _spent(known: dict[str, Any]) -> tuple[LedgerEntry, ...]:
    return tuple(as_noun(entry, LedgerEntry, "run.json") for entry in known["spent"])


def public_size(
    run: Run, settings: TrainSettings, count: int, unit: UnitOfPrivacy
) -> tuple[int, tuple[LedgerEntry, ...]]:
    """The number of units that settings may derive from, and what it cost; the same again on resume.

    A noised one is in the ledger of the corpus before anything can be told of it.
    """
    known = run.facts()
    if "size" in known:
        return int(known["size"]), _spent(known)
    spent: tuple[LedgerEntry, ...] = ()
    if settings.public_size is not None:
        size = settings.public_size
    else:
        refuse_unaffordable_count(settings)
        size, entry = releases.noisy_count(count)
        spent = (entry,)
        run.charge(unit, accounting.default_delta(size), spent)
    run.update(size=size, spent=[asdict(entry) for entry in spent])
    return size, spent


def refuse_unaffordable_count(settings: TrainSettings) -> None:
    """Raise :class:`InputError` where counting the units would cost half of ε, before they are counted."""
    assert settings.dp_epsilon is not None
    if settings.dp_epsilon <= 2 * releases.COUNT_EPSILON:
        raise InputError(
            f"--dp-epsilon {settings.dp_epsilon:g}",
            f"the noised number of units alone costs {releases.COUNT_EPSILON:g}",
            f"more than {2 * releases.COUNT_EPSILON:g}",
            "name the size with --public-size, or choose a larger ε",
        )


def delta_of(settings: TrainSettings, size: int) -> float:
    """δ as it was given, or the default for ``size`` units; :class:`InputError` for 1/n or more."""
    delta = settings.delta if settings.delta is not None else accounting.default_delta(size)
    if delta * size >= 1:
        raise InputError(
            "--delta",
            f"{delta:g}",
            f"less than 1/n = {1 / size:.2g}",
            "with a δ this large whole records can be released",
        )
    return delta


def private_plan(settings: TrainSettings, size: int, spent: Sequence[LedgerEntry], unit: str) -> DpPlan:
    """σ for ``size`` units. Large batches and few steps: noise is per step, so what counts is units a step.

    ``spent`` is what the noised count cost, empty where ``size`` is exact or public. Raises
    :class:`InputError` where a step would be mostly noise, or δ is too large.
    """
    assert settings.dp_epsilon is not None
    batch = min(settings.batch_units or PRIVATE_BATCH, size)
    steps = settings.steps or PRIVATE_STEPS
    delta = delta_of(settings, size)
    rate = batch / size
    sigma = accounting.noise_multiplier(settings.dp_epsilon, delta, rate, steps, spent)
    most = batch * MOST_NOISE
    if sigma > most:
        counted = f" (counted under noise of about ±{releases.COUNT_SPREAD})" if spent else ""
        raise InputError(
            f"--dp-epsilon {settings.dp_epsilon:g}",
            f"{size:,} units{counted} are too few: a step would sum {batch} of them under noise of"
            f" {sigma:.1f} units",
            f"noise below {most:.2g}",
            "more documents, a larger ε, or fewer --steps would help"
            + (", or --public-size where the number is no secret" if spent else ""),
        )
    norm, epsilon = float(settings.max_grad_norm), float(settings.dp_epsilon)
    return DpPlan(sigma, norm, rate, steps, delta, unit, float(batch), epsilon, mechanism.GRID)


def private_recipe(settings: TrainSettings, dp: DpPlan) -> Recipe:
    """The recipe of a run under ``dp``."""
    warmup = max(1, dp.steps // 20) if settings.warmup_steps is None else settings.warmup_steps
    return Recipe(
        steps=dp.steps,
        batch_units=int(dp.normaliser),
        learning_rate=settings.learning_rate or learning_rate(settings),
        warmup_steps=warmup,
        window=settings.window,
        views=views(settings),
        masking=masking_of(settings, PRIVATE_MASKS),
        objective=settings.objective,
        schedule=settings.schedule,
        micro_tokens=settings.micro_tokens,
        precision=numerics.chosen(settings.precision, best_device(), True),
        weight_decay=0.0,  # decay pulls on every weight where only some have signal
        seed=settings.seed,
    )


def views(settings: TrainSettings) -> int:
    """How many windows a drawn unit gives a step."""
    return settings.augmentation_multiplicity or 1


def plain_recipe(settings: TrainSettings, size: int) -> Recipe:
    """The recipe of a run that is not private, on ``size`` units."""
    batch = settings.batch_units or min(PLAIN_BATCH, size)
    steps = settings.steps or max(100, PLAIN_EPOCHS * size // batch)
    return Recipe(
        steps=steps,
        batch_units=batch,
        learning_rate=settings.learning_rate or learning_rate(settings),
        warmup_steps=max(1, steps // 10) if settings.warmup_steps is None else settings.warmup_steps,
        window=settings.window,
        masking=masking_of(settings, PLAIN_MASKS),
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


def masking_of(settings: TrainSettings, rate: float) -> Masking:
    """How a run masks; ``rate`` where the settings name none."""
    return Masking(
        strategy=settings.masking,
        rate=rate if settings.mask_rate is None else settings.mask_rate,
        final_rate=settings.final_mask_rate,
        mix=Mix(*read_mix(settings.mask_mix)),
        pii=settings.pii_targets or "",
        static=settings.static_masks,
    )


def learning_rate(settings: TrainSettings) -> float:
    """Narrow models take larger steps, a few trained parameters too; a good checkpoint takes small ones.

    Held-out loss of nano after 60 steps at ε = 8 on 1,700 notes, at the rate of ``full`` and at three times
    it: LoRA 5.83, 5.64; BitFit 6.01, 5.76 (``full``: 5.00). Under ε there is no time for small steps: of what
    plain training gains, a 2 x 128 checkpoint kept 0.56 at 2e-3 and 0.71 at 4e-3 (benchmarks/README.md).
    """
    start = settings.starts_from
    if start is None:
        rate = RATES[settings.size]
    elif not settings.private:
        rate = CAREFUL
    else:
        rate = max(CAREFUL, RATES[models.size_of(start)])
    return rate if settings.adapt == "full" else 3 * rate


RATES: dict[str, float] = {
    Size.NANO: 1e-2,
    Size.TINY: 4e-3,
    Size.MINI: 1e-3,
    Size.SMALL: 5e-4,
    Size.BASE: 2e-4,
}
CAREFUL = 5e-4


def mode(
    run: Run, plan: Plan, settings: TrainSettings, model: Any, tokenizer: Tokenizer, units: Tokens
) -> Mode:
    """The mode of the run: :class:`Private` under a plan with ε, else :class:`Plain`."""
    if plan.dp is None:
        return Plain(model, tokenizer, units, plan.recipe, team=run.team)
    return Private(
        model, tokenizer, units, plan.recipe, plan.dp,
        engine=cast(Engine | None, settings.engine), margin_known=plan.margin_known,
        audit=self_tests.opened(run, plan.dp), team=run.team,
    )  # fmt: skip
