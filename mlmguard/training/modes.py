"""What differs between a private run and a plain one, so that the loop need not know which it is.

Charging and Poisson draws belong to :class:`Private`; falling back after divergence, early stopping and
batches that are made ahead belong to :class:`Plain`. Nothing computed on private text steers a private run.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from mlmguard.errors import InputError, MlmguardError
from mlmguard.loading.folder import some
from mlmguard.settings import TrainSettings
from mlmguard.training import adapt, gradients, mechanism, models, numerics
from mlmguard.training.clipping import precision
from mlmguard.training.clipping.clip import (
    CHECKED_UNITS,
    TOLERANCE,
    Engine,
    distance_from_loop,
    refuse_unclippable,
    self_check,
)
from mlmguard.training.distributed import ALONE, Team
from mlmguard.training.examples import Ahead, Examples, collate, shuffled_examples, views
from mlmguard.training.journal import Journal
from mlmguard.training.privacy.self_audit import SelfAudit, split
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import packing
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit
from mlmguard.training.watch import LossWatch, best, evaluation, overfits
from mlmguard.types import SILENT, DpPlan, Watcher

TRIED = 8  # tokens of the windows that the engine is chosen by: the shortest window there may be
PLAIN_DROPOUT = 0.1  # a private run has none: its noise regularises, and dropout would add to it

Optimizer = torch.optim.Optimizer


def public_batch(tokenizer: Tokenizer) -> dict[str, torch.Tensor]:
    """Two windows of random tokens, all to be predicted: what an engine is tried on before any text is."""
    ids = torch.stack([models.random_window(tokenizer, n)[:TRIED] for n in (TRIED, TRIED + 1)])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


def refuse_untrainable(model: nn.Module, tokenizer: Tokenizer, settings: TrainSettings) -> None:
    """Raise :class:`InputError` for settings that ``model`` cannot be trained with privacy by.

    They would be refused later, too, by when counting the units has cost something. ``model`` stays as it is.
    """
    tried = copy.deepcopy(model)
    adapt.adapt(tried, settings.adapt, settings.seed, settings.lora_rank, settings.lora_targets)
    adapt.freeze(tried, settings.freeze)
    models.set_dropout(tried, 0.0)
    refuse_unclippable(tried)
    adapt.freeze_unreached(tried, tokenizer)
    if settings.engine is not None:
        self_check(
            tried, public_batch(tokenizer), float(settings.max_grad_norm), cast(Engine, settings.engine)
        )


class Mode(ABC):
    """A model, its units and its recipe, on a device: what a step needs beside the optimiser."""

    plan: DpPlan | None = None

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        units: Sequence[Unit],
        recipe: Recipe,
        *,
        team: Team = ALONE,
        device: torch.device | None = None,
    ) -> None:
        self.model, self.tokenizer, self.units, self.recipe = model, tokenizer, units, recipe
        self.team, self.device = team, device or numerics.best_device()
        # a 16-bit float has few exponents: small gradients would be 0 but for the factor, enabled or 1
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        self.trained_parameters = adapt.trained_parameters(model)

    def prepare(self, settings: TrainSettings, watcher: Watcher = SILENT) -> None:
        """Make the model ready for its first step; :class:`InputError` if it cannot be trained so.

        Parameters that no forward pass reaches are left as they are, and told.
        """
        adapt.adapt(self.model, settings.adapt, settings.seed, settings.lora_rank, settings.lora_targets)
        adapt.freeze(self.model, settings.freeze)
        unreached = adapt.freeze_unreached(self.model, self.tokenizer)
        if unreached:
            lost = f"{len(unreached):,} parameters that no forward pass reaches"
            watcher.tell(f"{lost} are left as they are: {some(unreached)}")
        self.trained_parameters = adapt.trained_parameters(self.model)
        if settings.gradient_checkpointing:
            models.checkpoint_gradients(self.model)
        self.prepare_mode(settings, watcher)

    @property
    def largest_norm(self) -> float:
        """What the norm of a whole step's gradient is scaled down to."""
        return math.inf

    @abstractmethod
    def prepare_mode(self, settings: TrainSettings, watcher: Watcher) -> None:
        """Do what :meth:`prepare` does for this mode alone."""

    @abstractmethod
    @contextmanager
    def running(self, journal: Journal, optimizer: Optimizer) -> Iterator[int]:
        """Restore what ``journal`` holds and give the first step to run; clean up after the last."""

    @abstractmethod
    def draw(self, step: int) -> Examples:
        """Draw the examples of ``step``."""

    @abstractmethod
    def gradient(self, examples: Examples) -> Callable[[int], float]:
        """A function that sets every ``.grad`` and returns the mean loss; its argument: tokens a pass."""

    def diverged(self, loss: float) -> bool:
        """Must the run go back to an earlier state? Never in a private one: losses steer nothing."""
        return False

    def fall_back(self, step: int, loss: float, watcher: Watcher) -> int:
        """Go back after :meth:`diverged`; return the step to go on from."""
        raise NotImplementedError

    def finished(
        self, step: int, loss: float, validate: Callable[[], float] | None, watcher: Watcher
    ) -> bool:
        """Do what follows ``step`` done steps; is it time to stop early?"""
        return False


class Plain(Mode):
    """A run that is not private: shuffled epochs, and remedies for its own failures (``watch``)."""

    _compile = False

    def prepare_mode(self, settings: TrainSettings, watcher: Watcher) -> None:
        models.set_dropout(self.model, PLAIN_DROPOUT)
        self._compile = settings.compile
        if settings.compile:
            numerics.refuse_uncompilable(self.model.to(self.device), self.device)
        if settings.packing:
            window, pad = self.recipe.window, self.tokenizer.pad
            packing.refuse_unpackable(self.model.to(self.device), len(self.tokenizer), window, pad)

    @property
    def largest_norm(self) -> float:
        return self.recipe.max_grad_norm

    @contextmanager
    def running(self, journal: Journal, optimizer: Optimizer) -> Iterator[int]:
        model, recipe = self.model, self.recipe
        self._journal, self._optimizer, journal.scaler = journal, optimizer, self.scaler
        first = journal.restore(model, optimizer)
        self._watch = LossWatch(journal.losses)
        self._ahead = Ahead(lambda step: shuffled_examples(self.units, self.tokenizer, recipe, step))
        if not (journal.folder / "good.json").exists():
            journal.save(model, optimizer, 0, "good")
        with numerics.compiled(model) if self._compile else nullcontext():
            yield first
        if recipe.patience and journal.evaluations:
            self.team.wait()
            journal.restore_weights(model, "best")

    def draw(self, step: int) -> Examples:
        torch.manual_seed(self.recipe.seed * 1_000_003 + step)  # dropout: a resumed run repeats it
        return self._ahead(step)

    def gradient(self, examples: Examples) -> Callable[[int], float]:
        recipe = self.recipe
        packed = recipe.window if recipe.packed else 0

        def work(micro_tokens: int) -> float:
            self._optimizer.zero_grad(set_to_none=True)  # what a pass left that ran out of memory
            return gradients.plain_gradient(
                self.model, examples, self.tokenizer.pad, micro_tokens, self.device, self.team,
                packed, recipe.precision, self.scaler,
            )  # fmt: skip

        return work

    def diverged(self, loss: float) -> bool:
        return self._watch.left(loss)

    def fall_back(self, step: int, loss: float, watcher: Watcher) -> int:
        what = f"the loss has risen to {loss:.3g}" if math.isfinite(loss) else "the loss is not finite"
        if self._journal.eased < 1:
            raise MlmguardError(f"step {step + 1}: {what} again; lower --learning-rate")
        self.team.wait()
        back = self._journal.fall_back(self.model, self._optimizer)
        self._watch = LossWatch(self._journal.losses)
        watcher.tell(f"step {step + 1}: {what}; back to step {back} at half the learning rate")
        return back

    def finished(
        self, step: int, loss: float, validate: Callable[[], float] | None, watcher: Watcher
    ) -> bool:
        recipe, journal, model = self.recipe, self._journal, self.model
        if step % recipe.keep_every == 0 and self._watch.well(loss):
            journal.save(model, self._optimizer, step, "good")
        if not (validate and recipe.evaluate_every and step % recipe.evaluate_every == 0):
            return False
        seen = journal.evaluations
        seen.append(evaluation(seen, step, self.team.agree(validate()), journal.losses))
        if recipe.patience and best(seen) is seen[-1]:
            journal.save(model, self._optimizer, step, "best")
        if not overfits(seen, recipe.patience):
            return False
        watcher.tell(f"step {step}: the validation loss has stopped falling; back to step {best(seen).step}")
        return True


class Private(Mode):
    """A run under ``plan``: Poisson draws that are charged, per-unit clipping, noise."""

    plan: DpPlan

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        units: Sequence[Unit],
        recipe: Recipe,
        plan: DpPlan,
        *,
        engine: Engine | None = "one-pass",
        margin_known: bool = False,
        audit: SelfAudit | None = None,
        team: Team = ALONE,
        device: torch.device | None = None,
    ) -> None:
        """Hold a plan and the engine that clips; None for the fastest that is exact for this model.

        ``margin_known``: an earlier start of this run measured ``plan.precision_margin`` already. ``audit``
        holds the canaries of the run, in the first process of a team.
        """
        super().__init__(model, tokenizer, units, recipe, team=team, device=device)
        self.plan, self.margin_known, self.audit = plan, margin_known, audit
        self.engine: Engine = engine or "one-pass"
        self._chosen = engine is not None

    def prepare_mode(self, settings: TrainSettings, watcher: Watcher) -> None:
        """No dropout, clippable, the self-check passed; ``plan`` with noise for what 16-bit passes round."""
        model, recipe, tokenizer = self.model, self.recipe, self.tokenizer
        models.set_dropout(model, 0.0)
        refuse_unclippable(model)
        appended = len(self.audit.planted) if self.audit else 0
        mechanism.refuse_too_many(sum(p.numel() for p in model.parameters() if p.requires_grad) + appended)
        model.to(self.device)
        if not self._chosen:
            self._choose_engine(watcher)
        rng = mechanism.private_rng()
        alike = models.sees_padding(model)
        trial = [row for unit in self.units[:4] for row in views(unit, tokenizer, recipe, rng, alike=alike)]
        batches = collate(trial, tokenizer.pad, recipe.micro_tokens, self.device, alike, recipe.views)
        self_check(model, batches[0], self.plan.max_grad_norm, self.engine)
        if self.team.first and recipe.precision != "fp32" and not self.margin_known:
            short = numerics.autocast(self.device, recipe.precision)
            margin = precision.precision_margin(model, tokenizer, recipe, self.engine, self.device, short)
            self.plan = replace(self.plan, precision_margin=margin)
        self.plan = self.team.agree(self.plan)

    def _choose_engine(self, watcher: Watcher) -> None:
        """One record after the other where the one-pass engine is not exact, on public random tokens."""
        why = ""
        try:
            batch = public_batch(self.tokenizer)
            away = distance_from_loop(self.model, {k: v.to(self.device) for k, v in batch.items()})
            if not away <= TOLERANCE:
                why = f"its sums would be {away:.1g} of their length away from exact ones"
        except InputError as refused:
            why = str(refused).partition(";")[0]
        if why:
            self.engine = "opacus"
            watcher.tell(f"gradients are clipped one record after the other, which takes longer: {why}")

    @contextmanager
    def running(self, journal: Journal, optimizer: Optimizer) -> Iterator[int]:
        self._journal, journal.scaler, journal.audit = journal, self.scaler, self.audit
        first = journal.restore(self.model, optimizer)
        self._rng = self.team.agree(mechanism.private_rng())  # one draw for all processes, and one window
        self._canaries = self.team.agree(self.audit.taking_part if self.audit else 0)
        self._noise = mechanism.noise_source()
        yield first
        if self.audit:
            self.audit.finish()

    def draw(self, step: int) -> Examples:
        """Charge ``step`` and draw its units: when this returns, the step is paid for."""
        count = self._canaries + len(self.units)
        canaries, texts = split(
            mechanism.draw(count, self.plan, step, self._journal, self._rng), self._canaries
        )
        if self.audit:
            self.audit.drew(step, canaries)
        alike = models.sees_padding(self.model)
        drawn = (views(self.units[k], self.tokenizer, self.recipe, self._rng, step, alike) for k in texts)
        return [row for own in drawn for row in own]

    def gradient(self, examples: Examples) -> Callable[[int], float]:
        pad, together = self.tokenizer.pad, self.recipe.views
        if self.audit and self.audit.looks() and examples:
            few, alike = examples[: CHECKED_UNITS * together], models.sees_padding(self.model)
            batch = collate(few, pad, self.recipe.micro_tokens, self.device, alike, together)[0]
            self.audit.saw_clipping(distance_from_loop(self.model, batch, self.engine))

        def work(micro_tokens: int) -> float:
            return gradients.private_gradient(
                self.model, examples, pad, self.plan, self._noise, self.engine,
                micro_tokens, self.device, self.team, self.recipe.precision, self.audit, together,
            )  # fmt: skip

        return work
