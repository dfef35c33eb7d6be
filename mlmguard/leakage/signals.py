"""What a masked language model says at masked positions, as plain numbers.

The unit of work is a :class:`Probe`: a window of token ids and the positions to hide in it. All hidden
positions of one probe are hidden at once; hiding them one at a time (pseudo-log-likelihood, Salazar et al.
2020) is several probes. The scorer is in evaluation mode, its answers do not depend on padding or batch
size beyond rounding (1e-4), and identical probes are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
LogitsAt = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(input ids (B, T), attention mask (B, T), where (B, T) bool) -> logits (where.sum(), V), row-major."""


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


class Scorer:
    """Answers probes with one model."""

    def __init__(
        self,
        logits_at: LogitsAt,
        mask_id: int,
        pad_id: int,
        device: torch.device,
        alphabets: Sequence[Ids] = (),
        micro_tokens: int = 8192,
    ) -> None:
        self._logits_at = logits_at
        self.mask_id = mask_id
        self._pad_id = pad_id
        self._device = device
        self._alphabets = alphabets
        self._table: Tensor | None = None
        self._micro_tokens = micro_tokens
        self.queries = 0  # windows the model has seen, the budget an attacker pays

    def answer(self, probes: Sequence[Probe], *, top: int = 1, moments: bool = False) -> list[Answer]:
        """One :class:`Answer` a probe, in order, with ``top`` choices a position, ``moments`` if asked."""
        first: dict[tuple[bytes, tuple[int, ...], tuple[int, ...]], int] = {}
        same = [
            first.setdefault((p.ids.tobytes(), p.positions, p.alphabets), k) for k, p in enumerate(probes)
        ]
        answers: dict[int, Answer] = {}
        for group in self._groups(probes, sorted(first.values())):
            answers.update(zip(group, self._forward([probes[k] for k in group], top, moments)))
        return [answers[k] for k in same]

    def sample(
        self, windows: Ids, positions: Ids, generator: torch.Generator, allowed: Tensor | None = None
    ) -> Ids:
        """(N,) a token drawn from the model's distribution at ``positions`` (N,) of ``windows`` (N, T).

        ``allowed`` (V,) bool leaves other tokens out. All windows have the same length; the position is
        hidden whatever stands there.
        """
        drawn = [
            self._drawn(windows[start : start + rows], positions[start : start + rows], generator, allowed)
            for rows in [max(1, self._micro_tokens // windows.shape[1])]
            for start in range(0, len(windows), rows)
        ]
        return np.concatenate(drawn)

    def _groups(self, probes: Sequence[Probe], indices: Sequence[int]) -> Iterator[list[int]]:
        """Probes of similar length, each group at most ``micro_tokens`` padded tokens."""
        group: list[int] = []
        for k in sorted(indices, key=lambda k: len(probes[k].ids)):
            if group and (len(group) + 1) * len(probes[k].ids) > self._micro_tokens:
                yield group
                group = []
            group.append(k)
        if group:
            yield group

    @torch.inference_mode()
    def _drawn(self, windows: Ids, positions: Ids, generator: torch.Generator, allowed: Tensor | None) -> Ids:
        ids, rows = windows.copy(), np.arange(len(windows))
        where = np.zeros(ids.shape, dtype=bool)
        where[rows, positions] = True
        logits = self._logits(ids, np.ones_like(ids), where).float().cpu()
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        drawn = torch.multinomial(torch.softmax(logits, dim=-1), 1, generator=generator)
        return drawn[:, 0].numpy()

    def _logits(self, ids: Ids, attention: Ids, where: NDArray[np.bool_]) -> Tensor:
        """(where.sum(), V) logits with the tokens at ``where`` hidden, in place of ``ids``."""
        self.queries += len(ids)
        ids[where] = self.mask_id
        return self._logits_at(*(torch.from_numpy(x).to(self._device) for x in (ids, attention, where)))

    def _allowed(self, size: int) -> Tensor:
        """(A + 1, V) which tokens each alphabet holds; the last row, the one numbered −1, holds all."""
        if self._table is None:
            self._table = torch.zeros(len(self._alphabets) + 1, size, dtype=torch.bool)
            for row, tokens in enumerate(self._alphabets):
                self._table[row, torch.from_numpy(tokens)] = True
            self._table[-1] = True
            self._table = self._table.to(self._device)
        return self._table

    @torch.inference_mode()
    def _forward(self, probes: Sequence[Probe], top: int, moments: bool) -> list[Answer]:
        length = max(len(p.ids) for p in probes)
        ids = np.full((len(probes), length), self._pad_id, dtype=np.int64)
        attention = np.zeros((len(probes), length), dtype=np.int64)
        where = np.zeros((len(probes), length), dtype=bool)
        for row, probe in enumerate(probes):
            ids[row, : len(probe.ids)] = probe.ids
            attention[row, : len(probe.ids)] = 1
            where[row, list(probe.positions)] = True
        truth = torch.from_numpy(ids[where])
        logits = self._logits(ids, attention, where)
        scores = torch.log_softmax(logits.float(), dim=-1)
        true_score = scores.gather(1, truth.to(self._device)[:, None])
        rank = 1 + (scores > true_score).sum(1)
        spread = _moments(scores) if moments else None
        if any(p.alphabets for p in probes):
            kinds = torch.tensor([kind for p in probes for kind in _in_order(p)], device=self._device)
            scores = scores.masked_fill(~self._allowed(scores.shape[1])[kinds], -torch.inf)
        confidence, choices = scores.topk(top, dim=1) if top > 1 else scores.max(1, keepdim=True)
        columns = [true_score[:, 0].double(), rank, choices, confidence.double()]
        values, ranks, chosen, certain = (column.cpu().numpy() for column in columns)
        spreads = None if spread is None else spread.double().cpu().numpy()
        out, start = [], 0
        for probe in probes:
            # rows come in window order
            back = start + np.argsort(np.argsort(probe.positions))
            start += len(probe.positions)
            out.append(
                Answer(
                    values[back],
                    ranks[back],
                    chosen[back],
                    certain[back],
                    None if spreads is None else spreads[back],
                )
            )
        return out


class NextTokenScorer(Scorer):
    """Answers probes with a causal model: each position given what stands before it, and nothing is hidden.

    One pass answers for all positions of a window, and text after a position never counts.
    """

    def _logits(self, ids: Ids, attention: Ids, where: NDArray[np.bool_]) -> Tensor:
        self.queries += len(ids)
        return self._logits_at(*(torch.from_numpy(x).to(self._device) for x in (ids, attention, where)))


def _in_order(probe: Probe) -> list[int]:
    """The probe's alphabets in window order, as the logits come; −1 where anything may stand."""
    kinds = probe.alphabets or (-1,) * len(probe.positions)
    return [alphabet for _, alphabet in sorted(zip(probe.positions, kinds))]


def _moments(scores: Tensor) -> Tensor:
    """(N, 2) mean and standard deviation of log p under p itself, from log-probabilities (N, V)."""
    p = scores.exp()
    mean = (p * scores).sum(1)
    return torch.stack([mean, ((p * scores.square()).sum(1) - mean.square()).clamp(min=0).sqrt()], dim=1)


# --- scores of a span ---------------------------------------------------------------------------------


def pseudo_log_likelihood(
    scorer: Scorer,
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
    answers = iter(scorer.answer(probes))
    return np.array([sum(float(next(answers).log_probability[0]) for _ in span) for span in spans])


def masked_span_score(scorer: Scorer, windows: Sequence[Ids], spans: Sequence[Sequence[int]]) -> Floats:
    """Σ over the span of log p(token | the rest), the whole span hidden at once, shape (N,)."""
    answers = scorer.answer([Probe(ids, tuple(span)) for ids, span in zip(windows, spans)])
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
    scorer: Scorer,
    windows: Sequence[Ids],
    hidden: Sequence[Sequence[tuple[int, ...]]],
    *,
    moments: bool = False,
) -> list[list[Answer]]:
    """The answers for each window and each of its mask patterns.

    Give the same patterns to model and reference: paired masks remove most of the variance of the ratio.
    """
    probes = [Probe(ids, positions) for ids, patterns in zip(windows, hidden) for positions in patterns]
    answers = iter(scorer.answer(probes, moments=moments))
    return [[next(answers) for _ in patterns] for patterns in hidden]
