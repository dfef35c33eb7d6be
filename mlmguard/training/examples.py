"""Units as examples, and examples as padded batches.

An example is a window of one unit, framed by special tokens and masked: (input ids, labels), both (T,). Where
a drawn unit gives several, they stand next to each other, as many for each unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mlmguard.training.recipes import Recipe
from mlmguard.training.text.masking import IGNORED, Ids, mask, own_rng
from mlmguard.training.text.objectives import OBJECTIVES
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit, micro_batches, shuffled_draw

Batch = dict[str, Tensor]
Examples = Sequence[tuple[Ids, Ids]]


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


def views(
    unit: Unit,
    tokenizer: Tokenizer,
    recipe: Recipe,
    rng: np.random.Generator,
    step: int = 0,
    alike: bool = False,
) -> Examples:
    """Return what one drawn ``unit`` gives a private step: ``recipe.views`` windows, drawn and masked afresh.

    Their mean gradient varies less than that of one and is clipped as one, so that less of it is cut off, and
    the unit moves the sum by C as before (augmentation multiplicity: De et al. 2022). A text
    shorter than a window gives the same one several times, under other masks. ``alike``: of one length.
    """
    if alike and len(unit.sequences) > 1:
        which = int(rng.integers(len(unit.sequences)))
        notes = unit.notes[which : which + 1]
        unit = replace(unit, sequences=unit.sequences[which : which + 1], notes=notes)
    return [example(unit, tokenizer, recipe, rng, step) for _ in range(recipe.views)]


def shuffled_examples(units: Sequence[Unit], tokenizer: Tokenizer, recipe: Recipe, step: int) -> Examples:
    """Return the examples of one plain step, a function of the step and the seed."""
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


def collate(
    examples: Examples,
    pad_id: int,
    micro_tokens: int,
    device: torch.device,
    alike: bool = False,
    views: int = 1,
) -> list[Batch]:
    """Micro-batches of similar length; the attention mask keeps padding out of every other record.

    ``alike``: of one length each, for a model that sees padding all the same. ``views`` neighbours are one
    unit's, and in one batch: a unit that was parted would be clipped part by part, and move the sum by more.
    """
    units = [examples[k : k + views] for k in range(0, len(examples), views)]
    longest = [max((ids for ids, _ in own), key=len) for own in units]
    return [
        padded([one for k in members for one in units[k]], pad_id, device, views)
        for members in micro_batches(longest, micro_tokens // views, alike)
    ]


def padded(examples: Examples, pad_id: int, device: torch.device, views: int = 1) -> Batch:
    """Examples (ids, labels) as one batch, as wide as the longest; ``views`` neighbours are one unit's."""
    length = max(len(ids) for ids, _ in examples)
    input_ids = torch.full((len(examples), length), pad_id)
    labels = torch.full((len(examples), length), IGNORED)
    attention = torch.zeros((len(examples), length), dtype=torch.long)
    for row, (ids, targets) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.from_numpy(ids)
        labels[row, : len(ids)] = torch.from_numpy(targets)
        attention[row, : len(ids)] = 1
    batch = {"input_ids": input_ids, "attention_mask": attention, "labels": labels}
    if views > 1:
        batch["unit_ids"] = torch.arange(len(examples)) // views
    return {key: tensor.to(device) for key, tensor in batch.items()}
