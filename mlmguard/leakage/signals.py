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
    """Per hidden position: log-probability and rank (1 = first) of the truth, and the best allowed token."""

    log_probability: Floats = field(repr=False)
    rank: Ids = field(repr=False)
    best: Ids = field(repr=False)
    confidence: Floats = field(repr=False)  # log-probability of ``best``


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
        self._mask_id = mask_id
        self._pad_id = pad_id
        self._device = device
        self._alphabets = alphabets
        self._micro_tokens = micro_tokens
        self.queries = 0  # windows the model has seen, the budget an attacker pays

    def answer(self, probes: Sequence[Probe]) -> list[Answer]:
        """One :class:`Answer` a probe, in order."""
        first: dict[tuple[bytes, tuple[int, ...], tuple[int, ...]], int] = {}
        same = [
            first.setdefault((p.ids.tobytes(), p.positions, p.alphabets), k) for k, p in enumerate(probes)
        ]
        answers: dict[int, Answer] = {}
        for group in self._groups(probes, sorted(first.values())):
            answers.update(zip(group, self._forward([probes[k] for k in group])))
        return [answers[k] for k in same]

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
    def _forward(self, probes: Sequence[Probe]) -> list[Answer]:
        self.queries += len(probes)
        length = max(len(p.ids) for p in probes)
        ids = np.full((len(probes), length), self._pad_id, dtype=np.int64)
        attention = np.zeros((len(probes), length), dtype=np.int64)
        where = np.zeros((len(probes), length), dtype=bool)
        for row, probe in enumerate(probes):
            ids[row, : len(probe.ids)] = probe.ids
            attention[row, : len(probe.ids)] = 1
            where[row, list(probe.positions)] = True
        truth = torch.from_numpy(ids[where])
        ids[where] = self._mask_id
        logits = self._logits_at(
            torch.from_numpy(ids).to(self._device),
            torch.from_numpy(attention).to(self._device),
            torch.from_numpy(where).to(self._device),
        )
        scores = torch.log_softmax(logits.float(), dim=-1).cpu()
        true_score = scores.gather(1, truth[:, None])
        rank = 1 + (scores > true_score).sum(1)
        allowed = scores
        if self._alphabets and any(p.alphabets for p in probes):
            allowed = torch.full_like(scores, -torch.inf)
            row = 0
            for probe in probes:
                for alphabet in _in_order(probe):
                    columns = torch.from_numpy(self._alphabets[alphabet])
                    allowed[row, columns] = scores[row, columns]
                    row += 1
        confidence, best = allowed.max(1)
        out, start = [], 0
        for probe in probes:
            end = start + len(probe.positions)
            back = np.argsort(np.argsort(probe.positions))  # rows come in window order
            out.append(
                Answer(
                    true_score[start:end, 0].double().numpy()[back],
                    rank[start:end].numpy()[back],
                    best[start:end].numpy()[back],
                    confidence[start:end].double().numpy()[back],
                )
            )
            start = end
        return out


def _in_order(probe: Probe) -> list[int]:
    """The probe's alphabets in window order, as the logits come."""
    return [alphabet for _, alphabet in sorted(zip(probe.positions, probe.alphabets))]


def pseudo_log_likelihood(scorer: Scorer, windows: Sequence[Ids], spans: Sequence[Sequence[int]]) -> Floats:
    """Σ over the span of log p(token | everything else), one position hidden at a time, shape (N,).

    Salazar et al. 2020, equation 1, restricted to a span.
    """
    probes = [Probe(ids, (position,)) for ids, span in zip(windows, spans) for position in span]
    answers = iter(scorer.answer(probes))
    return np.array([sum(float(next(answers).log_probability[0]) for _ in span) for span in spans])


def masked_log_probabilities(
    scorer: Scorer, windows: Sequence[Ids], hidden: Sequence[Sequence[tuple[int, ...]]]
) -> list[list[Floats]]:
    """For each window and each of its mask patterns, log p of the hidden tokens.

    Give the same patterns to model and reference: paired masks remove most of the variance of the ratio.
    """
    probes = [Probe(ids, positions) for ids, patterns in zip(windows, hidden) for positions in patterns]
    answers = iter(scorer.answer(probes))
    return [[next(answers).log_probability for _ in patterns] for patterns in hidden]
