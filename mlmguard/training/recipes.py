"""What an optimiser needs to know of a run, and the learning rate at each of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from mlmguard.settings import Schedule
from mlmguard.training.text.masking import Masking


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
    views: int = 1  # windows that one drawn unit gives a private step, each masked by itself
    micro_tokens: int = 8192  # padded tokens a forward pass; memory, not mathematics
    precision: str = "fp32"  # of the passes: "fp32", "bf16", or in a plain run "fp16"
    packed: bool = False  # several examples in one row, none attending to another; plain runs only
    evaluate_every: int = 0  # steps; 0: never
    patience: int = 0  # evaluations without a gain after which a plain run stops; 0: never
    seed: int = 0

    @property
    def keep_every(self) -> int:
        """Steps between states to fall back to, ten in a run: a function of the plan, not of the clock."""
        return max(1, -(-self.steps // 10))


def epochs(steps: int, batch_units: int, units: int) -> float:
    """How often a plain run of so many ``steps`` draws each of its ``units``."""
    return steps * min(batch_units, units) / units


def schedule(step: int, recipe: Recipe) -> float:
    """Return the factor on the learning rate at ``step``: linear warm-up, then what the schedule says."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.last_rate + (1 - recipe.last_rate) * SCHEDULES[recipe.schedule](done)


SCHEDULES: dict[str, Callable[[float], float]] = {
    Schedule.LINEAR: lambda done: 1 - done,
    Schedule.COSINE: lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    Schedule.CONSTANT: lambda done: 1.0,
}
"""What is left of the learning rate above the last one, by the share of the steps after warm-up."""
