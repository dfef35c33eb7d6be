"""What a checkpoint is worth downstream: a linear probe and a short fine-tuning on a labelled file.

A probe asks what the representations hold already (Alain and Bengio 2017); fine-tuning what they can become.
Both are measured on rows that neither saw, and given as scores: what they mean is computed elsewhere.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlmguard.artifacts import text_of
from mlmguard.errors import InputError
from mlmguard.training.clipping.unit_batch import encoder_of
from mlmguard.training.embeddings import last_layer
from mlmguard.training.examples import padded
from mlmguard.training.text.masking import IGNORED, Ids
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import micro_batches

Floats = NDArray[np.float64]
Task = Literal["classification", "token-classification"]
TASKS: tuple[Task, ...] = ("classification", "token-classification")
FEWEST = 20  # labelled rows
APART = 0.3  # of the rows, to measure on
PENALTY = 1e-3  # of the linear probe, on squared weights


@dataclass(frozen=True)
class Labelled:
    """Rows of (words, labels): one label a row, or one a word. Neither is ever shown."""

    task: Task
    rows: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...] = field(repr=False)
    names: tuple[str, ...]

    def halves(self) -> tuple[list[int], list[int]]:
        """Indices to learn from and to measure on; the same for every model."""
        order = np.random.default_rng(0).permutation(len(self.rows))
        apart = max(1, round(APART * len(order)))
        return order[apart:].tolist(), order[:apart].tolist()


@dataclass(frozen=True)
class Scores:
    """Probabilities (N, classes) and truths (N,) of the rows, or words, that were measured on."""

    probabilities: Floats = field(repr=False)
    truth: NDArray[np.int64] = field(repr=False)


def read_labelled(path: Path, task: str) -> Labelled:
    """JSON lines: ``{"text", "label"}``, or ``{"tokens", "labels"}`` for token classification.

    Raises :class:`InputError` for a file that is missing, too short, without labels, or with one label only.
    """
    if task not in TASKS:
        raise InputError("--task", repr(task), "one of " + ", ".join(TASKS))
    key, many = ("text", "label") if task == "classification" else ("tokens", "labels")
    read: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for number, line in enumerate(text_of(path, "a labelled file").removesuffix("\n").split("\n"), 1):
        place = f"{path}: line {number}"
        try:
            row = json.loads(line)
            words, labels = row[key], row[many]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(place, f'no "{key}" with its "{many}"', "a labelled row") from None
        if task == "classification":
            words, labels = [words], [labels]
        lists = isinstance(words, list) and isinstance(labels, list) and 0 < len(words) == len(labels)
        if not lists or not all(isinstance(word, str) for word in words):
            raise InputError(place, "words and labels do not match", "one label for each")
        if any("\ud800" <= c <= "\udfff" for word in words for c in word):
            raise InputError(place, "half of a character", "whole ones")
        read.append((tuple(words), tuple(map(str, labels))))
    names = sorted({label for _, labels in read for label in labels})
    if len(read) < FEWEST or len(names) < 2:
        raise InputError(
            str(path), f"{len(read)} rows with {len(names)} labels", f"at least {FEWEST} rows and two labels"
        )
    at = {name: k for k, name in enumerate(names)}
    rows = tuple((words, tuple(at[label] for label in labels)) for words, labels in read)
    return Labelled(task, rows, tuple(names))


def linear_probe(
    model: nn.Module, tokenizer: Tokenizer, labelled: Labelled, window: int, device: torch.device
) -> Scores:
    """Multinomial logistic regression on frozen representations: mean over a text, first piece of a word."""
    model.to(device).eval()
    vectors, truths, owners = [], [], []
    with torch.inference_mode():
        for members, batch, targets in _batches(
            labelled, tokenizer, window, device, range(len(labelled.rows))
        ):
            hidden = last_layer(model, batch, device)
            for place, row in enumerate(members):
                for vector, truth in _pooled(hidden[place], batch, targets, place, labelled.task):
                    vectors.append(vector.float().cpu())
                    truths.append(truth)
                    owners.append(row)
    x, y = torch.stack(vectors).clone(), torch.tensor(truths)
    learn, apart = (np.isin(owners, half) for half in labelled.halves())
    spread = x[learn].std(0).clamp(min=1e-6)
    x = (x - x[learn].mean(0)) / spread
    weights = torch.zeros(len(labelled.names), x.shape[1] + 1, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def logits(part: Tensor) -> Tensor:
        return part @ weights[:, :-1].T + weights[:, -1]

    def closure() -> Tensor:
        solver.zero_grad()
        loss = nn.functional.cross_entropy(logits(x[learn]), y[learn])
        loss = loss + PENALTY * weights[:, :-1].square().sum()
        torch.autograd.backward(loss)
        return loss

    solver.step(closure)
    found = logits(x[apart]).detach().softmax(-1).double().numpy()
    return Scores(found, y[apart].numpy())


def fine_tune(
    model: nn.Module,
    tokenizer: Tokenizer,
    labelled: Labelled,
    window: int,
    device: torch.device,
    epochs: int = 3,
    learning_rate: float = 5e-4,
) -> Scores:
    """A linear head on a copy of the encoder, both trained for a few passes; ``model`` stays as it was."""
    torch.manual_seed(0)
    tuned = copy.deepcopy(model).to(device)
    head = nn.Linear(tuned.config.hidden_size, len(labelled.names)).to(device)  # type: ignore[union-attr,arg-type]
    parameters = [*encoder_of(tuned).parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
    learn, apart = labelled.halves()
    rng = np.random.default_rng(0)
    tuned.train()
    for _ in range(epochs):
        order = rng.permutation(learn)
        for start in range(0, len(order), 32):
            for members, batch, targets in _batches(
                labelled, tokenizer, window, device, order[start : start + 32].tolist()
            ):
                hidden = last_layer(tuned, batch, device)
                pairs = [
                    pair
                    for place in range(len(members))
                    for pair in _pooled(hidden[place], batch, targets, place, labelled.task)
                ]
                truth = torch.tensor([label for _, label in pairs], device=device)
                loss = nn.functional.cross_entropy(head(torch.stack([v for v, _ in pairs])).float(), truth)
                torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    tuned.eval()
    found, truths = [], []
    with torch.inference_mode():
        for members, batch, targets in _batches(labelled, tokenizer, window, device, apart):
            hidden = last_layer(tuned, batch, device)
            for place in range(len(members)):
                for vector, label in _pooled(hidden[place], batch, targets, place, labelled.task):
                    found.append(head(vector).float().softmax(-1).cpu().double().numpy())
                    truths.append(label)
    return Scores(np.stack(found), np.array(truths))


def macro_f1(scores: Scores, names: Sequence[str]) -> float:
    """F1 averaged over the classes other than "O", each over all words measured on (not over spans)."""
    predicted = scores.probabilities.argmax(1)
    values = []
    for k, name in enumerate(names):
        right = float(((predicted == k) & (scores.truth == k)).sum())
        words, true = float((predicted == k).sum()), float((scores.truth == k).sum())
        if name != "O" and words + true:
            values.append(2 * right / (words + true))
    return float(np.mean(values)) if values else float("nan")


def _pooled(
    hidden: Tensor, batch: dict[str, Tensor], targets: Tensor, place: int, task: Task
) -> list[tuple[Tensor, int]]:
    """(vector, label) of a row: its mean over real tokens, or one for the first piece of each word."""
    if task == "classification":
        return [(hidden[batch["attention_mask"][place].bool()].mean(0), int(targets[place].max()))]
    return [(hidden[k], int(targets[place, k])) for k in (targets[place] != IGNORED).nonzero()[:, 0].tolist()]


def _batches(
    labelled: Labelled, tokenizer: Tokenizer, window: int, device: torch.device, members: Sequence[int]
) -> list[tuple[list[int], dict[str, Tensor], Tensor]]:
    """Padded micro-batches of rows: their indices, model inputs, and labels at first pieces (or at [CLS])."""
    encoded: list[tuple[Ids, Ids]] = []
    for row in members:
        ids, targets = [tokenizer.cls], [IGNORED]
        words, labels = labelled.rows[row]
        for word, label in zip(words, labels):
            pieces = tokenizer.encode([word])[0]
            first = [label] if labelled.task == "token-classification" else [IGNORED]
            ids += pieces
            targets += [*first, *[IGNORED] * (len(pieces) - 1)][: len(pieces)]
        if labelled.task == "classification":
            targets[0] = labels[0]
        encoded.append(
            (np.array([*ids[: window - 1], tokenizer.sep]), np.array([*targets[: window - 1], IGNORED]))
        )
    found = []
    for group in micro_batches([ids for ids, _ in encoded], 8192):
        batch = padded([encoded[k] for k in group], tokenizer.pad, device)
        labels_at = batch.pop("labels").cpu()
        found.append(([members[k] for k in group], batch, labels_at))
    return found
