"""Held-out masked loss beside the unigram baseline that any useful model must beat."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mlmguard.artifacts import read_json
from mlmguard.training.examples import collate
from mlmguard.training.models import masked_logits
from mlmguard.training.modes import Mode
from mlmguard.training.numerics import autocast
from mlmguard.training.text.masking import IGNORED, Flags, Ids
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.tokens import Text, tokenised
from mlmguard.training.text.units import Row, micro_batches, windows
from mlmguard.types import Curve

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Per window, in order: summed masked loss, summed unigram loss, hits at rank 1, masked tokens.

    Beside them hits among the first five, and hits and masked tokens at rare and at personal positions.
    """

    loss: Floats
    unigram: Floats
    hits: Floats
    tokens: Floats
    top_5: Floats
    rare_hits: Floats
    rare_tokens: Floats
    personal_hits: Floats
    personal_tokens: Floats
    samples: tuple[Sample, ...] = ()

    @property
    def mean_loss(self) -> float:
        return float(self.loss.sum() / self.tokens.sum())

    @property
    def mean_unigram(self) -> float:
        return float(self.unigram.sum() / self.tokens.sum())

    @property
    def accuracy(self) -> float:
        return float(self.hits.sum() / self.tokens.sum())

    @property
    def perplexity(self) -> float:
        return float(np.exp(min(self.mean_loss, 700.0)))

    def numbers(self) -> dict[str, float]:
        """Return what a run says of it; accuracies only where there was something to predict."""
        found = {
            "heldout_loss": self.mean_loss,
            "heldout_perplexity": self.perplexity,
            "heldout_accuracy": self.accuracy,
            "heldout_top5_accuracy": float(self.top_5.sum() / self.tokens.sum()),
            "heldout_tokens": float(self.tokens.sum()),
            "unigram_loss": self.mean_unigram,
        }
        for kind in ("rare", "personal"):
            count = float(getattr(self, f"{kind}_tokens").sum())
            if count:
                found[f"heldout_{kind}_accuracy"] = float(getattr(self, f"{kind}_hits").sum()) / count
                found[f"heldout_{kind}_tokens"] = count
        return found


def gain(before: Floats, after: Floats, tokens: Floats) -> tuple[float, float]:
    """Nats a token that ``after`` saves against ``before``, and the lower end of a 95 % interval.

    Losses and tokens are sums a window, (windows,); windows are drawn, so the interval is over them (a ratio
    of means, with the linearised standard error of Cochran 1977, section 6.4).

    >>> gain(np.array([4.0, 6.0]), np.array([2.0, 3.0]), np.array([2.0, 3.0]))
    (1.0, 1.0)
    """
    saved = before - after
    mean = float(saved.sum() / tokens.sum())
    count = len(tokens)
    if count < 2:
        return mean, -math.inf
    spread = float(np.square(saved - mean * tokens).sum()) * count / (count - 1)
    return mean, mean - 1.96 * math.sqrt(spread) / float(tokens.sum())


@dataclass(frozen=True)
class Sample:
    """One prediction without its text: what kind of token was hidden, and how well it was found."""

    hidden: str  # "word", "number", "punctuation", "piece", or "no token": a row of the model that none has
    predicted: str
    rank: int
    probability: float


RARE = 10  # a token that training text holds less often than this is rare
SAMPLES = 20
BLOCK = 4096  # texts measured at a time, so that their number costs no memory


def unigram_log_probabilities(counts: NDArray[np.int64]) -> Floats:
    """Log of each token's share by its ``counts`` (V,), one added to every count."""
    shares: Floats = np.log((counts + 1) / (counts + 1).sum())
    return shares


NO_TOKEN = "no token"
"""The kind of an id that no token has: a gap, or a row that fills a vocabulary up to a round number."""


def kind_of(token: str) -> str:
    """Classify a token of any vocabulary by its looks alone; "" is none."""
    if not token:
        return NO_TOKEN
    inner = token.removeprefix("##").lstrip("\u0120\u2581")
    if inner.isdigit():
        return "number"
    if not any(character.isalnum() for character in inner):
        return "punctuation"
    return "piece" if token.startswith("##") else "word"


@torch.inference_mode()
def held_out(
    model: nn.Module,
    sequences: Sequence[Ids],
    unigram: Floats,
    tokenizer: Tokenizer,
    window: int,
    device: torch.device,
    rate: float = 0.15,
    micro_tokens: int = 8192,
    rare: Flags | None = None,
    personal: Sequence[Flags] | None = None,
    kinds: Sequence[str] = (),
) -> HeldOut:
    """Loss on one window a sequence, 15 % of its tokens hidden by [MASK], the same masks every time.

    All chosen tokens are hidden (no 10 % kept, no 10 % swapped): the figure is about prediction alone.
    ``rare`` (V,) and ``personal``, one (T,) a sequence, say where accuracy is counted apart; ``kinds`` (V,)
    of all tokens let some predictions be told by kind.
    """
    rng = np.random.default_rng(0)
    totals, shares = np.zeros((9, len(sequences))), unigram
    samples: list[Sample] = []
    was_training = model.training
    model.eval()
    for start in range(0, len(sequences), BLOCK):
        examples, apart = [], []
        for number, ids in enumerate(sequences[start : start + BLOCK], start):
            framed = windows(ids, window, tokenizer.cls, tokenizer.sep)[0]
            hidden, labels = framed.copy(), np.full_like(framed, IGNORED)
            ordinary = np.arange(1, len(framed) - 1)
            if len(ordinary):
                chosen = rng.permutation(ordinary)[: max(1, round(rate * len(ordinary)))]
                labels[chosen] = framed[chosen]
                hidden[chosen] = tokenizer.mask_id
            examples.append((hidden, labels))
            inside = personal[number] if personal is not None else np.zeros(0, dtype=bool)
            apart.append(np.pad(inside[: len(ordinary)], (1, len(framed)))[: len(framed)])
        order = [k for group in micro_batches([ids for ids, _ in examples], micro_tokens) for k in group]
        seen = 0
        for batch in collate(examples, tokenizer.pad, micro_tokens, device):
            where = batch["labels"] != IGNORED
            truth = batch["labels"][where]
            with autocast(device):
                logits = masked_logits(model, batch["input_ids"], batch["attention_mask"], where).float()
            nats = nn.functional.cross_entropy(logits, truth, reduction="none").double().cpu().numpy()
            rows, columns = where.nonzero().T.cpu().numpy()
            own = [order[seen + row] for row in rows]
            truth_np = truth.cpu().numpy()
            ranks = (logits > logits.gather(1, truth[:, None])).sum(1).cpu().numpy()  # 0: none is above it
            first = (logits.argmax(-1) == truth).cpu().numpy()
            seldom = rare[truth_np] if rare is not None else np.zeros(len(truth_np), dtype=bool)
            named = np.array([apart[k][column] for k, column in zip(own, columns)], dtype=bool)
            for offset, values in enumerate(
                (
                    nats, -shares[truth_np], first, np.ones(len(truth_np)), ranks < 5,
                    first & seldom, seldom, first & named, named,
                )
            ):  # fmt: skip
                np.add.at(totals[offset, start:], own, values)
            if kinds:
                guessed = logits[: SAMPLES - len(samples)].argmax(-1).cpu().numpy()
                samples += [
                    Sample(
                        kinds[truth_np[k]],
                        kinds[guess] if guess < len(kinds) else NO_TOKEN,
                        int(ranks[k]) + 1,
                        float(np.exp(-nats[k])),
                    )
                    for k, guess in enumerate(guessed)
                ]
            seen += len(batch["input_ids"])
    model.train(was_training)
    loss, unigram, hits, count, top_5, rare_hits, rare_tokens, personal_hits, personal_tokens = totals
    return HeldOut(
        loss,
        unigram,
        hits,
        count,
        top_5,
        rare_hits,
        rare_tokens,
        personal_hits,
        personal_tokens,
        tuple(samples),
    )


class HeldOutTexts:
    """Texts apart from training, and how often each token stands in the training texts (``counts``, (V,)).

    ``validation`` of the ``sequences`` come first and may steer a plain run; the rest only measure.
    """

    def __init__(
        self,
        sequences: Sequence[Ids],
        validation: int,
        counts: NDArray[np.int64],
        tokenizer: Tokenizer,
        window: int,
        personal: Sequence[Flags] | None = None,
        kinds: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        self.sequences = sequences
        self._names = names
        self.validation = sequences[:validation]
        self.counts = counts
        self._unigram = unigram_log_probabilities(self.counts)
        self._tokenizer, self._window = tokenizer, window
        self._personal, self._kinds = personal, kinds

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        validation: Iterable[Text],
        test: Iterable[Text],
        counts: NDArray[np.int64],
        window: int,
        *,
        noted: bool,
    ) -> HeldOutTexts:
        """Return one window of each text; ``noted``: with the findings in it.

        The test texts stand in for validation where there are no others.
        """
        rows: list[Row] = []
        first = 0
        for texts in (validation, test):
            rows += [
                Row(row.unit, row.ids[:window].copy(), row.notes and row.notes.part(slice(window)))
                for row in tokenised(tokenizer, texts, noted)
                if len(row.ids)
            ]
            first = first or len(rows)
        return cls(
            [row.ids for row in rows],
            first,
            counts,
            tokenizer,
            window,
            [row.notes.personal for row in rows if row.notes] or None,
            [kind_of(token) for token in tokenizer.tokens()],
            [row.unit for row in rows],
        )

    def loss_of(self, mode: Mode) -> Callable[[], float]:
        """:meth:`validation_loss` of the mode's model, as it is when called."""
        return partial(self.validation_loss, mode.model, mode.device)

    def validation_loss(self, model: nn.Module, device: torch.device) -> float:
        """Compute the mean masked loss on the validation texts."""
        measured = held_out(model, self.validation, self._unigram, self._tokenizer, self._window, device)
        return measured.mean_loss

    def measure(self, model: nn.Module, device: torch.device) -> HeldOut | None:
        """Everything about all texts; None where there is none."""
        if not self.sequences:
            return None
        return held_out(
            model, self.sequences, self._unigram, self._tokenizer, self._window, device,
            rare=self.counts < RARE, personal=self._personal, kinds=self._kinds,
        )  # fmt: skip

    def by_row(self, measured: HeldOut) -> list[tuple[str, float, float]]:
        """(id, summed loss, masked tokens) of each text, so that two runs can be compared row by row."""
        return list(zip(self._names, measured.loss.tolist(), measured.tokens.tolist()))

    def coverage(self) -> dict[str, float]:
        """Shares of the vocabulary, special tokens apart, that the training texts hold at all, and often."""
        ordinary = np.delete(self.counts, sorted(self._tokenizer.special_ids))
        return {
            "vocabulary_seen": float((ordinary > 0).mean()),
            "vocabulary_seen_often": float((ordinary >= RARE).mean()),
        }

    def histogram(self) -> dict[str, int]:
        """Return how many vocabulary entries the training texts hold 0, 1, 2–3, 4–7, … times."""
        doubled = np.where(self.counts > 0, np.floor(np.log2(np.maximum(self.counts, 1))) + 1, 0).astype(int)
        return {
            ("0" if level == 0 else str(2 ** (level - 1))): int((doubled == level).sum())
            for level in range(int(doubled.max(initial=0)) + 1)
        }


LATENCIES = 40  # passes


@torch.inference_mode()
def latency(model: nn.Module, vocabulary: int, window: int, device: torch.device) -> tuple[float, float]:
    """Milliseconds of one forward pass of one full window of random tokens: median and 95th percentile."""
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, vocabulary, (1, window))).to(device)
    model.eval()
    taken = []
    for _ in range(LATENCIES):
        began = time.perf_counter()
        float(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0, 0])  # waits for a GPU
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 95))


# --- what is kept of a run ----------------------------------------------------------------------------

CURVES = {
    "loss": ("training loss", "nats a masked token"),
    "rate": ("learning rate", "learning rate"),
    "gradient_norm": ("gradient norm", "norm before clipping"),
    "gpu_utilisation": ("GPU utilisation", "share of the time"),
}
POINTS = 400  # of a curve: a page is read


def recorded_curves(metrics: Path) -> tuple[Curve, ...]:
    """Return the curves of a run's ``metrics.json``, for a report; nothing where there is no such file."""
    if not metrics.is_file():
        return ()
    known = read_json(metrics)
    found = []
    for key, (name, label) in CURVES.items():
        points = [(step + 1, y) for step, y in enumerate(known["curves"].get(key, ())) if y is not None]
        thin = points[:: max(1, len(points) // POINTS)]
        if thin:
            found.append(_curve(name, label, "training", thin))
    seen = [(one["step"], one["validation"]) for one in known["evaluations"]]
    if seen:
        found.append(_curve("training loss", CURVES["loss"][1], "validation", seen))
    counted = {int(least): entries for least, entries in known.get("token_histogram", {}).items()}
    if counted:
        levels = [(least.bit_length(), entries) for least, entries in sorted(counted.items())]
        found.append(_curve("token frequency", "vocabulary entries", "training text", levels, DOUBLINGS))
    return tuple(found)


DOUBLINGS = "k: 2^(k−1) to 2^k − 1 times in the training text; 0: never"


def _curve(
    name: str, label: str, series: str, points: Sequence[tuple[int, float]], along: str = "step"
) -> Curve:
    x, y = zip(*points)
    return Curve("training", name, along, label, series, tuple(map(float, x)), tuple(map(float, y)))
