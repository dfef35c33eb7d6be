"""How far rounding to 16 bits may carry one unit past the clipping norm.

Norms, sums and noise are fp32, and the norm is that of what is summed: one unit alone adds at most C. But
under autocast a product is rounded differently when the batch has another shape, so adding a unit also
moves, by a little, what all others add. No library bounds that; it is measured, on a draw of public random
tokens as large as a step, and enters the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlmguard.training import models
from mlmguard.training.clipping.clip import Engine
from mlmguard.training.examples import Examples, collate, views
from mlmguard.training.gradients import clipped_total
from mlmguard.training.recipes import Recipe
from mlmguard.training.text.masking import Masking
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit

TRIALS = 3  # units left out in turn: the shortest, the middle and the longest of the draw
SAFETY = 2.0  # what three units show of what the worst one does
TINY = 1e-3  # of an ordinary gradient: every unit of the trial is clipped, which is when rounding counts


def precision_margin(
    model: nn.Module,
    tokenizer: Tokenizer,
    recipe: Recipe,
    engine: Engine,
    device: torch.device,
    precision: AbstractContextManager[Any],
) -> float:
    """The share of C by which the noise is widened: twice the largest ‖S(D) − S(D − u)‖ / C − 1, at least 0.

    D is a draw of ``recipe.batch_units`` random sequences of all lengths that fit the window, from a fixed
    seed: nothing private steers the noise. ``precision`` is the autocast of the run; ``model`` is left as it
    was. Costs four clipped sums.
    """
    units = _public_draw(tokenizer, recipe)
    alike = models.sees_padding(model)

    def released(draw: Sequence[Examples]) -> dict[str, Tensor]:
        rows = [row for own in draw for row in own]
        batches = collate(rows, tokenizer.pad, recipe.micro_tokens, device, alike, recipe.views)
        return clipped_total(model, batches, TINY, engine, precision)[0]

    whole = released(units)
    by_length = sorted(range(len(units)), key=lambda k: len(units[k][0][0]))
    excess = 0.0
    for place in np.linspace(0, len(units) - 1, TRIALS).round().astype(int):
        without = by_length[place]
        rest = released([own for k, own in enumerate(units) if k != without])
        squares = [(whole[name] - rest[name]).double().square().sum() for name in whole if name in rest]
        excess = max(excess, math.sqrt(float(torch.stack(squares).sum())) / TINY - 1)
    return SAFETY * excess


def _public_draw(tokenizer: Tokenizer, recipe: Recipe) -> list[Examples]:
    rng = np.random.default_rng(0)
    ordinary = np.setdiff1d(np.arange(tokenizer.size), list(tokenizer.special_ids))
    lengths = rng.integers(1, recipe.window - 1, max(2, recipe.batch_units))
    drawn = [Unit(f"trial {k}", (rng.choice(ordinary, length),)) for k, length in enumerate(lengths)]
    by_token = replace(recipe, masking=Masking(rate=recipe.masking.rate))  # random tokens make no words
    return [views(unit, tokenizer, by_token, rng) for unit in drawn]
