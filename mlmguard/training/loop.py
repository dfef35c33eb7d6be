"""The training loop, private or plain, on one page.

A private step draws units by Poisson sampling, charges the ledger, clips and sums, adds noise, divides by a
public number and hands the result to the optimiser. A plain step draws a shuffled batch and averages. The
optimiser, the schedule and the data path are the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlmguard.errors import MlmguardError
from mlmguard.training import mechanism, models
from mlmguard.training.clipping.clip import Engine, clipped_gradient_sum
from mlmguard.training.device import DeviceLoad
from mlmguard.training.distributed import ALONE, Team
from mlmguard.training.journal import Journal
from mlmguard.training.models import masked_logits
from mlmguard.training.numerics import autocast, best_device
from mlmguard.training.text import packing
from mlmguard.training.text.masking import IGNORED, Ids, Masking, mask, own_rng
from mlmguard.training.text.objectives import OBJECTIVES
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit, micro_batches, shuffled_draw
from mlmguard.training.watch import LossWatch, best, evaluation, overfits, within_memory
from mlmguard.types import DpPlan, Progress, silent

Batch = dict[str, Tensor]
Examples = Sequence[tuple[Ids, Ids]]


@dataclass(frozen=True)
class Recipe:
    """What an optimiser needs to know; every number is public."""

    steps: int
    batch_units: int  # expected units a step
    learning_rate: float
    warmup_steps: int
    window: int
    masking: Masking = field(default_factory=Masking)
    objective: str = "mlm"
    schedule: str = "linear"
    last_rate: float = 0.1  # share of the learning rate that "linear" and "cosine" end at
    weight_decay: float = 0.01
    max_grad_norm: float = (
        1.0  # of a plain step's gradient; a private one is clipped by unit, as its plan says
    )
    micro_tokens: int = 8192  # padded tokens a forward pass; memory, not mathematics
    precision: str = "fp32"  # of the passes: "fp32", "bf16", or in a plain run "fp16"
    packed: bool = False  # several examples in one row, blind to each other; plain runs only
    evaluate_every: int = 0  # steps; 0: never
    patience: int = 0  # evaluations without a gain after which a plain run stops; 0: never
    seed: int = 0

    @property
    def keep_every(self) -> int:
        """Steps between states to fall back to, ten in a run: a function of the plan, not of the clock."""
        return max(1, -(-self.steps // 10))


class Interrupted(MlmguardError):
    """Asked to stop between two steps; the journal holds what is needed to go on."""

    exit_code = 130


def train(
    model: nn.Module,
    units: Sequence[Unit],
    tokenizer: Tokenizer,
    recipe: Recipe,
    journal: Journal,
    plan: DpPlan | None = None,
    *,
    engine: Engine = "one-pass",
    device: torch.device | None = None,
    team: Team = ALONE,
    progress: Progress = silent,
    stop: Callable[[], bool] = bool,
    validate: Callable[[], float] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> nn.Module:
    """Train ``model`` in place for ``recipe.steps`` steps, under ``plan`` if there is one.

    Resumes from ``journal``: steps that it shows charged are never run again, so the ledger never exceeds
    the plan. A plain run falls back once when its loss leaves for good, and may stop early by
    ``validate()``, the held-out loss of ``model`` (``watch``); ``tell`` hears of it. A private one does
    neither. Raises :class:`Interrupted` after a whole step when ``stop()`` turns true, and
    :class:`MlmguardError` when a plain loss leaves a second time.
    """
    device = device or best_device()
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        decayed_groups(model, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.99)
    )
    # a 16-bit float has few exponents: small gradients would be 0 but for the factor, enabled or 1
    scaler = journal.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
    step = journal.restore(model, optimizer)
    draw_rng = team.agree(mechanism.entropy_rng())  # one draw for all processes, and the same windows
    noise = mechanism.entropy_generator(device)
    watch, micro_tokens = LossWatch(journal.losses), recipe.micro_tokens
    load = DeviceLoad(device)
    shuffled = Ahead(lambda step: shuffled_examples(units, tokenizer, recipe, step))
    if plan is None and not (journal.folder / "good.json").exists():
        journal.save(model, optimizer, 0, "good")
    while step < recipe.steps:
        began = time.monotonic()
        rate = recipe.learning_rate * schedule(step, recipe) * journal.eased
        for group in optimizer.param_groups:
            group["lr"] = rate
        if plan is None:
            torch.manual_seed(recipe.seed * 1_000_003 + step)  # dropout: a resumed run repeats it
            examples = shuffled(step)
        else:
            drawn = mechanism.draw(len(units), plan, step, journal, draw_rng)
            examples = [example(units[k], tokenizer, recipe, draw_rng, step) for k in drawn]
        loading = time.monotonic() - began

        def gradient(micro: int, drawn: Examples = examples) -> float:
            how, pad = recipe.precision, tokenizer.pad
            if plan is None:
                optimizer.zero_grad(set_to_none=True)  # what a pass left that ran out of memory
                packed = recipe.window if recipe.packed else 0
                return plain_gradient(model, drawn, pad, micro, device, team, packed, how, scaler)
            return private_gradient(model, drawn, pad, plan, noise, engine, micro, device, team, how)

        loss, micro_tokens = within_memory(gradient, micro_tokens, recipe.window)
        if plan is None and watch.left(loss):
            if journal.eased < 1:
                raise MlmguardError(f"step {step + 1}: {_left(loss)} again; lower --learning-rate")
            team.wait()
            left, step = step, journal.fall_back(model, optimizer)
            watch = LossWatch(journal.losses)
            tell(f"step {left + 1}: {_left(loss)}; back to step {step} at half the learning rate")
            continue
        scaler.unscale_(optimizer)
        norm = gradient_norm(model, recipe.max_grad_norm if plan is None else math.inf)
        scaler.step(optimizer)  # not where a scaled gradient has overflowed: the factor is halved instead
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        numbers = {"rate": rate, "gradient_norm": norm, "tokens": float(sum(len(ids) for ids, _ in examples))}
        took = {"seconds": time.monotonic() - began, "loading_seconds": loading}
        journal.completed(step - 1, loss, **numbers, **took, **load.sample())
        progress("train", step, recipe.steps)
        if plan is None and step % recipe.keep_every == 0 and watch.well(loss):
            journal.save(model, optimizer, step, "good")
        if plan is None and validate and recipe.evaluate_every and step % recipe.evaluate_every == 0:
            seen = journal.evaluations
            seen.append(evaluation(seen, step, team.agree(validate()), journal.losses))
            if recipe.patience and best(seen) is seen[-1]:
                journal.save(model, optimizer, step, "best")
            if overfits(seen, recipe.patience):
                tell(f"step {step}: the validation loss has stopped falling; back to step {best(seen).step}")
                break
        if team.agree(stop()):
            journal.save(model, optimizer, step)
            raise Interrupted(f"stopped after step {step} of {recipe.steps}; run the same command to go on")
        if journal.save_due():
            journal.save(model, optimizer, step)
    if recipe.patience and journal.evaluations:
        team.wait()
        journal.restore_weights(model, "best")
    return model.eval()


def _left(loss: float) -> str:
    return f"the loss has left for {loss:.3g}" if math.isfinite(loss) else "the loss is not finite"


def private_gradient(
    model: nn.Module,
    examples: Examples,
    pad_id: int,
    plan: DpPlan,
    noise: torch.Generator,
    engine: Engine,
    micro_tokens: int,
    device: torch.device,
    team: Team = ALONE,
    precision: str = "fp32",
) -> float:
    """Set every ``.grad`` to (Σ clipped + N(0, (σC)²)) / normaliser. An empty draw is noise only.

    ``examples`` are those of the whole team: each process clips its share, the first adds noise to the sum
    and tells the others.

    Returns the draw's mean loss, nan for an empty one: private, for the run folder, steering nothing.
    """
    batches = collate(team.share(examples), pad_id, micro_tokens, device)
    total, losses = clipped_total(model, batches, plan.max_grad_norm, engine, autocast(device, precision))
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        summed = total.pop(name, None)
        if summed is None:  # an empty draw: noise alone
            summed = torch.zeros(parameter.shape, dtype=torch.float32, device=device)
        team.add_to_first(summed)
        if team.first:
            summed = mechanism.noisy_mean(summed, plan, noise)
        parameter.grad = team.tell(summed).to(parameter.dtype)
    losses = losses.to(device)
    team.add_to_first(losses)
    total_loss, count = losses.tolist()
    return total_loss / count if count else math.nan


def clipped_total(
    model: nn.Module,
    batches: Iterable[Batch],
    max_grad_norm: float,
    engine: Engine,
    precision: AbstractContextManager[Any],
) -> tuple[dict[str, Tensor], Tensor]:
    """Σ clipped over all ``batches`` of a draw, and the (2,) sum and number of their units' losses."""
    total: dict[str, Tensor] = {}
    losses = torch.zeros(2, dtype=torch.float64)
    for batch in batches:
        with precision:
            clipped = clipped_gradient_sum(model, batch, max_grad_norm, engine=engine)
        losses += torch.tensor([float(clipped.losses.double().sum()), len(clipped.losses)])
        for name, gradient in clipped.gradients.items():
            total[name] = total[name].add_(gradient) if name in total else gradient
    return total, losses


def plain_gradient(
    model: nn.Module,
    examples: Examples,
    pad_id: int,
    micro_tokens: int,
    device: torch.device,
    team: Team = ALONE,
    packed: int = 0,
    precision: str = "fp32",
    scaler: torch.amp.GradScaler | None = None,
) -> float:
    """Set every ``.grad`` to the gradient of the mean loss over all masked tokens; return that loss.

    ``packed`` is the length of the rows that examples are packed into, 0 for one row each. With a ``scaler``
    the gradient is multiplied by its factor.
    """
    masked = sum(int((labels != IGNORED).sum()) for _, labels in examples)
    total = torch.zeros(1, device=device)
    share = team.share(examples)
    batches = collate(share, pad_id, micro_tokens, device)
    if packed:
        batches = packing.collate(share, pad_id, micro_tokens, packed, models.first_position(model), device)
    for batch in batches:
        with autocast(device, precision):
            where = batch["labels"] != IGNORED
            logits = masked_logits(
                model, batch["input_ids"], batch["attention_mask"], where, batch.get("position_ids")
            )
        loss = nn.functional.cross_entropy(logits.float(), batch["labels"][where], reduction="sum") / max(
            masked, 1
        )
        torch.autograd.backward(scaler.scale(loss) if scaler else loss)
        total += loss.detach()
    if team.size > 1:
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:  # no work here, or none that reaches it
                    parameter.grad = torch.zeros_like(parameter)
                team.add_to_first(parameter.grad)
                team.tell(parameter.grad)
        team.add_to_first(total)
    return float(team.tell(total))


# --- data ---------------------------------------------------------------------------------------------


def example(
    unit: Unit,
    tokenizer: Tokenizer,
    recipe: Recipe,
    rng: np.random.Generator,
    step: int = 0,
    units: Sequence[Unit] = (),
) -> tuple[Ids, Ids]:
    """One random window of ``unit``, masked afresh, (input ids, labels); always the same if masks are static.

    ``units`` is where an objective over pairs, in a plain run, finds another one.
    """
    if recipe.masking.static:
        rng = own_rng(unit.id, recipe.seed)
    frame = OBJECTIVES[recipe.objective]
    framed = frame(unit, recipe.window, tokenizer, rng, lambda: units[int(rng.integers(len(units)))])
    rate = recipe.masking.at(step, recipe.steps)
    ids, labels = mask(framed.ids, tokenizer, rng, recipe.masking, framed.notes, rate)
    if framed.answer is not None:
        labels[0] = framed.answer
    return ids, labels


def shuffled_examples(units: Sequence[Unit], tokenizer: Tokenizer, recipe: Recipe, step: int) -> Examples:
    """The examples of one plain step, a function of the step and the seed."""
    rng = np.random.default_rng([recipe.seed, step, 1])
    drawn = shuffled_draw(len(units), recipe.batch_units, step, recipe.seed)
    return [example(units[k], tokenizer, recipe, rng, step, units) for k in drawn]


class Ahead:
    """Makes what the next step needs while this one is computed. Plain runs only: a private draw is charged
    when it is made, and one that was made ahead would be lost with every stop."""

    def __init__(self, make: Callable[[int], Examples]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Examples]] | None = None

    def __call__(self, step: int) -> Examples:
        made = self._next[1].result() if self._next and self._next[0] == step else self._make(step)
        self._next = (step + 1, self._thread.submit(self._make, step + 1))
        return made


def collate(examples: Examples, pad_id: int, micro_tokens: int, device: torch.device) -> list[Batch]:
    """Micro-batches of similar length; the attention mask keeps padding out of every other record."""
    return [
        padded([examples[k] for k in members], pad_id, device)
        for members in micro_batches([ids for ids, _ in examples], micro_tokens)
    ]


def padded(examples: Examples, pad_id: int, device: torch.device) -> Batch:
    """Examples (ids, labels) as one batch, as wide as the longest."""
    length = max(len(ids) for ids, _ in examples)
    input_ids = torch.full((len(examples), length), pad_id)
    labels = torch.full((len(examples), length), IGNORED)
    attention = torch.zeros((len(examples), length), dtype=torch.long)
    for row, (ids, targets) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.from_numpy(ids)
        labels[row, : len(ids)] = torch.from_numpy(targets)
        attention[row, : len(ids)] = 1
    return {
        "input_ids": input_ids.to(device),
        "attention_mask": attention.to(device),
        "labels": labels.to(device),
    }


# --- numerics -----------------------------------------------------------------------------------------


def schedule(step: int, recipe: Recipe) -> float:
    """The factor on the learning rate at ``step``: linear warm-up, then what the schedule says."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.last_rate + (1 - recipe.last_rate) * SCHEDULES[recipe.schedule](done)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "constant": lambda done: 1.0,
}
"""What is left of the learning rate above the last one, by the share of the steps after warm-up."""


def gradient_norm(model: nn.Module, limit: float) -> float:
    """Scale all gradients together down to Euclidean norm ``limit``; return the norm they had."""
    return float(nn.utils.clip_grad_norm_(model.parameters(), limit))


def decayed_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only, as BERT was trained: not for biases and normalisation."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
