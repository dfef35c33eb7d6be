"""Will the training show its canaries to the loss? Told before the first step, while it can be changed.

A canary of which no token is ever predicted teaches the model nothing: the audit then measures nothing, and
would report that it found nothing. Short windows, few draws, low rates of masking and a vocabulary that does
not know the secret's characters each do that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlmguard.leakage.canaries import Secret
from mlmguard.train.planning import Plan
from mlmguard.training.examples import example
from mlmguard.training.recipes import Recipe, epochs
from mlmguard.training.text.masking import Notes, notes_of
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit
from mlmguard.types import Watcher

LOOKED_AT = 200
"""Canaries that are tried, of each run: a share of so many is known to a few per cent."""
MOST_DRAWS = 64
"""What is never shown in so many draws is not shown."""
WORTH_TELLING = 0.1
"""Share of canaries without loss above which it is told."""


def tell_unseen(
    secrets: Sequence[Secret], tokenizer: Tokenizer, plan: Plan, units: int, watcher: Watcher
) -> None:
    """Say how many of the canaries, planted or not, this plan shows to the loss in none of its draws."""
    looked_at = secrets[:LOOKED_AT]
    if not looked_at or not tokenizer.knows_words:
        return
    blind = unseen(looked_at, tokenizer, plan.recipe, draws(plan, units))
    if blind > WORTH_TELLING * len(looked_at):
        of = f"{blind:,} of {len(looked_at):,} canaries"
        how = (
            f"window {plan.recipe.window}, {100 * plan.recipe.masking.rate:.0f} % of tokens masked, each "
            f"drawn {draws(plan, units):.2g} times"
        )
        watcher.tell(
            f"{of} receive no loss in this plan ({how}): the audit cannot tell whether they leak; take more "
            "steps, a larger --window or --mask-rate, or a tokenizer that knows digits"
        )


def tell_mostly_planted(secrets: Sequence[Secret], plan: Plan, units: int, watcher: Watcher) -> None:
    """Say where more of what is trained on is planted canaries than text of the corpus.

    A private plan knows the size that it derives from, and the exact one is not told. Half of the canaries
    are planted, by coin.
    """
    size = units if plan.dp is None else round(plan.dp.normaliser / plan.dp.sample_rate)
    planted = sum(secret.canary.repetitions for secret in secrets) // 2
    if planted and size < 2 * planted:
        watcher.tell(
            f"about {max(0, size - planted):,} of {size:,} units are text of the corpus, the others planted "
            "canaries: the model learns those; more documents or fewer --canaries would help"
        )


def draws(plan: Plan, units: int) -> float:
    """How many windows the plan is expected to draw of one unit."""
    if plan.dp is not None:
        return plan.dp.sample_rate * plan.dp.steps * plan.recipe.views
    return epochs(plan.recipe.steps, plan.recipe.batch_units, units)


def unseen(secrets: Sequence[Secret], tokenizer: Tokenizer, recipe: Recipe, drawn: float) -> int:
    """How many of ``secrets`` have no token predicted in as many draws as are expected, by the run's masks.

    The tokens of the secret are told from the rest of its text by an id that no entry has:
    window and masks depend on ids by nothing but which are special, and those stay. Where rows are cut into
    pieces a canary is one piece around its secret: its random windows here hide the secret more often.
    """
    rng, special = np.random.default_rng(recipe.seed), set(tokenizer.special_ids)
    blind, mark = 0, len(tokenizer)
    for secret, encoded in zip(secrets, tokenizer.encode_with_places([one.text for one in secrets])):
        ids = np.array(encoded.ids, dtype=np.int64)
        inside = (encoded.offsets[:, 0] < secret.end) & (encoded.offsets[:, 1] > secret.start)
        ids[inside & ~np.isin(ids, list(special))] = mark
        notes: tuple[Notes, ...] = (notes_of(encoded, ()),) if recipe.masking.needs_notes else ()
        unit = Unit(secret.canary.unit_id, (ids,), notes)
        times = int(np.clip(rng.poisson(drawn * secret.canary.repetitions), 0, MOST_DRAWS))
        steps = rng.integers(0, recipe.steps, times)
        blind += not any(
            (example(unit, tokenizer, recipe, rng, int(step), [unit])[1][1:] == mark).any() for step in steps
        )
    return blind
