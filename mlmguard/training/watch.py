"""What a plain run does about its own failures. A private run does none of it but the first.

* Out of memory: the same batch in smaller pieces. What a step computes does not change, so private runs may.
* The loss leaves for good, or is not finite: back to the last good state at half the rate, once.
* Validation loss stops falling while the gap to training loss grows: stop, and keep the best state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TypeVar

import torch

from mlmguard.errors import MlmguardError

_T = TypeVar("_T")

RECENT = 9  # losses whose median is compared: one hard batch is no spike
LOST = 0.5  # share of what the loss had come down by: where half of it is lost, the loss has left
LEAST = 0.5  # nats: with little learnt yet, noise alone is half of it
EASED = 0.5  # of the learning rate after falling back


def within_memory(work: Callable[[int], _T], tokens: int, least: int) -> tuple[_T, int]:
    """``work(tokens)``, with half the tokens a pass whenever the device runs out of memory, and what fitted.

    Raises :class:`MlmguardError` when ``least``, one unit, does not fit.
    """
    while True:
        try:
            return work(tokens), tokens
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            if tokens <= least:
                raise MlmguardError(
                    f"out of memory with one unit of {least} tokens a pass; "
                    "use --gradient-checkpointing, a smaller --size or a shorter --window"
                ) from None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        tokens = max(least, tokens // 2)


def _out_of_memory(error: RuntimeError) -> bool:
    """A GPU's allocator has an exception of its own; the CPU's says it in words."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


class LossWatch:
    """Sees every loss of a run and says when it has left."""

    def __init__(self, losses: Sequence[float | None] = ()) -> None:
        self._recent: list[float] = []
        self._first = -math.inf
        self._lowest = math.inf
        for loss in losses:
            self.left(math.nan if loss is None else loss)

    def left(self, loss: float) -> bool:
        """Is ``loss`` not finite, or the median of the last nine half-way back to where it began?

        A model that learns a small corpus by heart has losses that jump from batch to batch; one that has
        diverged is back where it started, or worse.
        """
        if not math.isfinite(loss):
            return True
        self._recent = [*self._recent[1 - RECENT :], loss]
        if len(self._recent) < RECENT:
            return False
        now = median(self._recent)
        if self._lowest == math.inf:
            self._first = now
        self._lowest = min(self._lowest, now)
        return now > self._limit

    def well(self, loss: float) -> bool:
        """Not even this one loss is where a spike would be: a state that may be kept as good."""
        return loss <= self._limit

    @property
    def _limit(self) -> float:
        return self._lowest + max(LEAST, LOST * (self._first - self._lowest))


@dataclass(frozen=True)
class Evaluation:
    """Validation loss after ``step`` steps, beside the mean training loss since the one before."""

    step: int
    validation: float
    training: float

    @property
    def gap(self) -> float:
        return self.validation - self.training


def evaluation(
    seen: Sequence[Evaluation], step: int, validation: float, losses: Sequence[float | None]
) -> Evaluation:
    """Return the evaluation after ``step`` of a run with these training losses."""
    since = [loss for loss in losses[seen[-1].step if seen else 0 :] if loss is not None]
    return Evaluation(step, validation, fmean(since) if since else math.nan)


def best(seen: Sequence[Evaluation]) -> Evaluation:
    """Return the one with the lowest validation loss, the earliest of equals."""
    return min(seen, key=lambda one: one.validation)


def overfits(seen: Sequence[Evaluation], patience: int) -> bool:
    """For ``patience`` evaluations in a row: no new lowest validation loss, and a growing gap."""
    if not patience or len(seen) <= patience:
        return False
    late = seen[-patience - 1 :]
    grows = all(after.gap > before.gap for before, after in itertools.pairwise(late))
    return grows and best(seen).step <= late[0].step
