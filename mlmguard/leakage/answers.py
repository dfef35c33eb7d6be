"""What attacks ask of a model, and what it answers: plain numbers.

The unit of work is a :class:`Probe`: a window of token ids and the positions to hide in it. All hidden
positions of one probe are hidden at once; hiding them one at a time (pseudo-log-likelihood, Salazar et al.
2020) is several probes. Nothing here knows torch: an attack can be tried on a model of ten lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Draw = Callable[[Ids, Ids], Ids]
"""(windows (N, T), positions (N,)) -> (N,) a token drawn at each position, hidden whatever stands there."""


@dataclass(frozen=True)
class Probe:
    """Hide ``positions`` of the window ``ids``; ``alphabets`` names, per position, what may fill it."""

    ids: Ids = field(repr=False)
    positions: tuple[int, ...]
    alphabets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the model says at the P hidden positions of a probe, in the order the probe names them."""

    log_probability: Floats = field(repr=False)  # (P,) of the truth
    rank: Ids = field(repr=False)  # (P,) of the truth, 1 = first
    choices: Ids = field(repr=False)  # (P, k) the likeliest allowed tokens, best first
    confidence: Floats = field(repr=False)  # (P, k) their log-probabilities
    moments: Floats | None = field(default=None, repr=False)  # (P, 2) mean and deviation of log p under p

    @property
    def best(self) -> Ids:
        """(P,) the likeliest allowed token at each position."""
        return self.choices[:, 0]


class Answers(Protocol):
    """A model as attacks see it."""

    @property
    def queries(self) -> int:
        """Windows the model was shown so far: the budget an attacker pays."""

    @property
    def mask_id(self) -> int:
        """The token that stands where nothing is known."""

    def answer(self, probes: Sequence[Probe], *, top: int = 1, moments: bool = False) -> Sequence[Answer]:
        """One :class:`Answer` a probe, in order, with ``top`` choices a position, ``moments`` on request."""

    def sampler(self, seed: int, allowed: NDArray[np.bool_]) -> Draw:
        """Draw from the model's distribution over the ``allowed`` (V,) tokens, in a stream of ``seed``."""


# --- scores of a span ---------------------------------------------------------------------------------


def pseudo_log_likelihood(
    model: Answers,
    windows: Sequence[Ids],
    spans: Sequence[Sequence[int]],
    words: Sequence[Sequence[int]] | None = None,
) -> Floats:
    """Σ over the span of log p(token | everything else), one position hidden at a time, shape (N,).

    Salazar et al. 2020, equation 1, restricted to a span. With ``words``, the number of the word that each
    position of a span belongs to, the later tokens of a token's own word are hidden with it
    (PLL-word-l2r; Kauf and Ivanova 2023, section 3): a long word is then no easier for giving itself away.
    """
    probes = []
    for row, (ids, span) in enumerate(zip(windows, spans)):
        for place, position in enumerate(span):
            own = words[row] if words is not None else range(len(span))
            later = [q for k, q in enumerate(span) if k > place and own[k] == own[place]]
            probes.append(Probe(ids, (position, *later)))
    answers = iter(model.answer(probes))
    return np.array([sum(float(next(answers).log_probability[0]) for _ in span) for span in spans])


def masked_span_score(model: Answers, windows: Sequence[Ids], spans: Sequence[Sequence[int]]) -> Floats:
    """Σ over the span of log p(token | the rest), the whole span hidden at once, shape (N,)."""
    answers = model.answer([Probe(ids, tuple(span)) for ids, span in zip(windows, spans)])
    return np.array([float(answer.log_probability.sum()) for answer in answers])


def spaced_masks(length: int, rate: float, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Patterns that hide each of the positions 1 … ``length`` − 2 once, a share ``rate`` of them a pass.

    An approximation of hiding them one at a time, 1 / ``rate`` windows instead of ``length``: what a pattern
    hides is missing as context. It is the condition the model was trained under.
    """
    inner = length - 2
    passes = min(inner, max(1, round(1 / rate)))
    order = 1 + rng.permutation(inner)
    return [tuple(sorted(int(p) for p in part)) for part in np.array_split(order, passes)]


def masked_answers(
    model: Answers,
    windows: Sequence[Ids],
    hidden: Sequence[Sequence[tuple[int, ...]]],
    *,
    moments: bool = False,
) -> list[list[Answer]]:
    """Give the answers for each window and each of its mask patterns.

    Give the same patterns to model and reference: paired masks remove most of the variance of the ratio.
    """
    probes = [Probe(ids, positions) for ids, patterns in zip(windows, hidden) for positions in patterns]
    answers = iter(model.answer(probes, moments=moments))
    return [[next(answers) for _ in patterns] for patterns in hidden]
