"""A model of torch that answers probes: the one file of the attacks that knows torch.

The scorer is in evaluation mode, its answers do not depend on padding or batch size beyond rounding (1e-4),
and identical probes are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlmguard.errors import InputError
from mlmguard.leakage.answers import Answer, Draw, Ids, Probe

LogitsAt = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(input ids (B, T), attention mask (B, T), where (B, T) bool) -> logits (where.sum(), V), row-major."""


HIDDEN = 1 / 8
"""Of the tokens of a pass, those that may be hidden: each of them has logits over the whole vocabulary."""

FLOOR = -100.0
"""The least log-probability that is told. With a bias of −1e9 on one rare token, which costs a model nothing,
every mean over texts would be that token's, and whatever is compared with one would say nothing any more."""


class Scorer:
    """Answers probes with one model.

    Raises :class:`InputError` where it answers with no numbers: a comparison with NaN finds nothing, ever.
    """

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
        """One :class:`Answer` a probe, in order, with ``top`` choices a position, ``moments`` on request."""
        first: dict[tuple[bytes, tuple[int, ...], tuple[int, ...]], int] = {}
        same = [
            first.setdefault((p.ids.tobytes(), p.positions, p.alphabets), k) for k, p in enumerate(probes)
        ]
        places = sum(len(probes[k].positions) for k in first.values())
        # in place for all: what each pass left of its own would lie between the logits of the others, and
        # the memory of those could not be used again
        columns: list[NDArray[Any]] = [np.empty(places), np.empty(places, np.int64)]
        columns += [np.empty((places, top), np.int64), np.empty((places, top))]
        columns += [np.empty((places, 2))] if moments else []
        answers: dict[int, Answer] = {}
        start = 0
        for group in self._groups(probes, sorted(first.values())):
            found = self._forward([probes[k] for k in group], top, moments)
            for column, part in zip(columns, found):
                column[start : start + len(part)] = part.cpu().numpy()
            for k in group:
                back = _as_named(probes[k].positions, start)
                answers[k] = Answer(*(column[back] for column in columns))
                start += len(probes[k].positions)
        return [answers[k] for k in same]

    def sampler(self, seed: int, allowed: NDArray[np.bool_]) -> Draw:
        """Draw tokens that are ``allowed`` (V,), in a stream that ``seed`` begins.

        Windows of one call have the same length.
        """
        generator = torch.Generator().manual_seed(seed)
        left_out = torch.from_numpy(~allowed)

        def draw(windows: Ids, positions: Ids) -> Ids:
            rows = max(1, self._micro_tokens // windows.shape[1])
            drawn = [
                self._drawn(
                    windows[start : start + rows], positions[start : start + rows], generator, left_out
                )
                for start in range(0, len(windows), rows)
            ]
            return np.concatenate(drawn)

        return draw

    def _groups(self, probes: Sequence[Probe], indices: Sequence[int]) -> Iterator[list[int]]:
        """Probes of similar length, each group at most ``micro_tokens`` padded tokens, few of them hidden."""
        group: list[int] = []
        hidden = 0
        for k in sorted(indices, key=lambda k: len(probes[k].ids)):
            hidden += len(probes[k].positions)
            tokens = (len(group) + 1) * len(probes[k].ids)
            if group and (tokens > self._micro_tokens or hidden > self._micro_tokens * HIDDEN):
                yield group
                group, hidden = [], len(probes[k].positions)
            group.append(k)
        if group:
            yield group

    @torch.inference_mode()
    def _drawn(self, windows: Ids, positions: Ids, generator: torch.Generator, left_out: Tensor) -> Ids:
        ids, rows = windows.copy(), np.arange(len(windows))
        where = np.zeros(ids.shape, dtype=bool)
        where[rows, positions] = True
        logits = self._logits(ids, np.ones_like(ids), where).float().cpu()
        # rows of a model that no token has (a vocabulary filled up to a round number) are not allowed either
        logits[:, len(left_out) :] = -torch.inf
        logits[:, : len(left_out)].masked_fill_(left_out, -torch.inf)
        chances = _numbers(torch.softmax(logits, dim=-1))
        return torch.multinomial(chances, 1, generator=generator)[:, 0].numpy()

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
    def _forward(self, probes: Sequence[Probe], top: int, moments: bool) -> list[Tensor]:
        """The columns of the answers, a row for each hidden position in window order."""
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
        true_score = _numbers(scores.gather(1, truth.to(self._device)[:, None]))
        # counted in floats, which is exact to 2^24 tokens and takes a quarter of what booleans take
        rank = 1 + torch.gt(scores, true_score, out=torch.empty_like(scores)).sum(1).long()
        spread = _moments(scores) if moments else None
        if any(p.alphabets for p in probes):
            kinds = torch.tensor([kind for p in probes for kind in _in_order(p)], device=self._device)
            scores = scores.masked_fill(~self._allowed(scores.shape[1])[kinds], -torch.inf)
        confidence, choices = scores.topk(top, dim=1) if top > 1 else _highest(scores)
        told = true_score[:, 0].clamp(min=FLOOR)
        return [told, rank, choices, confidence, *([] if spread is None else [spread])]


class NextTokenScorer(Scorer):
    """Answers probes with a causal model: each position given what stands before it, and nothing is hidden.

    One pass answers for all positions of a window, and text after a position never counts.
    """

    def _logits(self, ids: Ids, attention: Ids, where: NDArray[np.bool_]) -> Tensor:
        self.queries += len(ids)
        return self._logits_at(*(torch.from_numpy(x).to(self._device) for x in (ids, attention, where)))


def _numbers(answers: Tensor) -> Tensor:
    """``answers`` (N, W); :class:`InputError` where a model gave none: where one is NaN its whole row is."""
    if bool(answers[:, 0].isnan().any()):
        do = "take another checkpoint: what it says of other texts is no evidence either"
        raise InputError("the checkpoint", "its answers to a text are NaN", "numbers", do)
    return answers


def _highest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1) the highest of each row of ``scores`` (N, V), and its column."""
    if scores.device.type != "cpu":
        return scores.max(1, keepdim=True)
    # numpy takes a sixth of the time of torch
    choices = torch.from_numpy(scores.numpy().argmax(1, keepdims=True))
    return scores.gather(1, choices), choices


def _as_named(positions: tuple[int, ...], start: int) -> slice | Ids:
    """The rows of a probe's ``positions``, which come in window order from ``start`` on, as it names them."""
    if all(a < b for a, b in pairwise(positions)):
        return slice(start, start + len(positions))
    return start + np.argsort(np.argsort(positions))


def _in_order(probe: Probe) -> list[int]:
    """The probe's alphabets in window order, as the logits come; −1 where anything may stand."""
    kinds = probe.alphabets or (-1,) * len(probe.positions)
    return [alphabet for _, alphabet in sorted(zip(probe.positions, kinds))]


def _moments(scores: Tensor) -> Tensor:
    """(N, 2) mean and standard deviation of log p under p itself, from log-probabilities (N, V)."""
    scores = scores.clamp(min=FLOOR)
    p = scores.exp()
    mean = (p * scores).sum(1)
    return torch.stack([mean, ((p * scores.square()).sum(1) - mean.square()).clamp(min=0).sqrt()], dim=1)
