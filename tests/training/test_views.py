"""Several windows of a drawn unit, their mean gradient clipped as one: the sum, its bound, no unit parted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlmguard.training import gradients, loop, mechanism, modes
from mlmguard.training.distributed import Team
from mlmguard.training.examples import Examples, collate, views
from mlmguard.training.journal import Journal
from mlmguard.training.privacy.randomness import NoiseSource
from mlmguard.training.recipes import Recipe
from mlmguard.training.text.masking import IGNORED, Masking
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Unit
from mlmguard.types import DpPlan, Watcher
from tests.fixtures.models import small

TOKENIZER = Tokenizer.load(None)
CPU = torch.device("cpu")
K = 4
RECIPE = Recipe(3, 4, 1e-3, 1, 32, views=K, masking=Masking(rate=0.3))
PLAN = DpPlan(0.0, 1.0, 0.5, 3, 1e-5, "document", 1.0, 8.0)  # without noise, and not divided


def unit_of(name: str, *lengths: int) -> Unit:
    rng = np.random.default_rng(sum(lengths))
    return Unit(name, tuple(rng.integers(10, len(TOKENIZER), n) for n in lengths))


#: One token; less than a window; two windows where K are drawn; many; a person of many rows.
UNITS = [unit_of("a", 1), unit_of("b", 12), unit_of("c", 60), unit_of("d", 900), unit_of("e", 5, 70, 30)]


def drawn(units: list[Unit], recipe: Recipe = RECIPE) -> list[Examples]:
    return [views(unit, TOKENIZER, recipe, np.random.default_rng(len(unit.id))) for unit in units]


def summed(model: Any, own: list[Examples], micro_tokens: int = 8192, norm: float = 1.0) -> torch.Tensor:
    rows, plan = [row for some in own for row in some], replace(PLAN, max_grad_norm=norm)
    noise = NoiseSource(bytes(32))
    gradients.private_gradient(
        model, rows, TOKENIZER.pad, plan, noise, "one-pass", micro_tokens, CPU, views=K
    )
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def naive(model: Any, own: list[Examples], norm: float) -> tuple[torch.Tensor, list[float]]:
    """One row after the other: the mean of a unit, cut to ``norm``, added up; and how long the means were."""
    total, lengths = torch.zeros(sum(p.numel() for p in model.parameters())), []
    for rows in own:
        loss, count = torch.zeros(()), 0
        for ids, labels in rows:
            where = torch.from_numpy(labels != IGNORED)
            logits = model(input_ids=torch.from_numpy(ids)[None]).logits[0][where]
            truth = torch.from_numpy(labels)[where]
            loss = loss + torch.nn.functional.cross_entropy(logits, truth, reduction="sum")
            count += int(where.sum())
        found = torch.autograd.grad(loss / count, list(model.parameters()), allow_unused=True)
        flat = torch.cat(
            [
                torch.zeros(p.numel()) if g is None else g.flatten()
                for p, g in zip(model.parameters(), found, strict=True)
            ]
        )
        lengths.append(float(flat.norm()))
        total = total + flat * min(1.0, norm / lengths[-1])
    return total, lengths


@pytest.mark.parametrize("norm", [0.3, 1e3])  # all of them cut, none of them
def test_the_sum_is_that_of_a_loop_over_units(norm: float) -> None:
    model, own = small(TOKENIZER), drawn(UNITS)
    truth, lengths = naive(model, own, norm)
    assert all((length > norm) == (norm < 1) for length in lengths)
    assert float((summed(model, own, norm=norm) - truth).norm() / truth.norm()) <= 1e-6


def test_every_unit_gives_as_many_windows_and_a_short_one_the_same_under_other_masks() -> None:
    for unit, rows in zip(UNITS, drawn(UNITS), strict=True):
        assert len(rows) == K
        for ids, labels in rows:
            inner = np.where(labels != IGNORED, labels, ids)[1:-1]
            assert any(
                (inner == text[start : start + len(inner)]).all()
                for text in unit.sequences
                for start in range(len(text) - len(inner) + 1)
            )
    short = drawn(UNITS)[1]
    assert {len(ids) for ids, _ in short} == {14}
    assert len({tuple(np.flatnonzero(labels != IGNORED)) for _, labels in short}) > 1
    assert len({tuple(np.where(labels != IGNORED, labels, ids)) for ids, labels in short}) == 1


@pytest.mark.parametrize("micro_tokens", [1, 40, 130, 500, 8192])
def test_memory_never_parts_a_unit_and_changes_no_sum(micro_tokens: int) -> None:
    model, own = small(TOKENIZER), drawn([*UNITS, *UNITS])
    rows = [row for some in own for row in some]
    batches = collate(rows, TOKENIZER.pad, micro_tokens, CPU, views=K)
    whole = [some for batch in batches for some in batch["labels"].split(K)]
    assert len(whole) == len(own)
    for batch in batches:
        count = len(batch["labels"]) // K
        assert batch["unit_ids"].tolist() == [unit for unit in range(count) for _ in range(K)]
        assert count == 1 or batch["labels"].numel() <= micro_tokens

    def trace(labels: list[np.ndarray[Any, Any]]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(int(label) for label in row if label != IGNORED) for row in labels)

    assert sorted(trace([row.numpy() for row in some]) for some in whole) == sorted(
        trace([labels for _, labels in some]) for some in own
    )
    apart = summed(model, own, micro_tokens) - summed(model, own)
    assert float(apart.norm() / summed(model, own).norm()) <= 1e-6


def test_processes_share_whole_units() -> None:
    rows = list(range(7 * K))
    shares = [Team(rank, 3).share(rows, K) for rank in range(3)]
    assert sorted(row for share in shares for row in share) == rows
    for share in shares:
        parts = [share[k : k + K] for k in range(0, len(share), K)]
        assert all(part == list(range(part[0], part[0] + K)) and part[0] % K == 0 for part in parts)


def outlier(model: Any) -> None:
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[777] *= 1000


MORE = {
    "ordinary": (lambda model: None, unit_of("x", 20)),
    "long": (lambda model: None, unit_of("x", 5000)),
    "one token": (lambda model: None, unit_of("x", 1)),
    "hoarder": (outlier, Unit("x", tuple(np.full(n, 777) for n in [32_000, *range(1, 200)]))),
}


@pytest.mark.parametrize("name", MORE)
@pytest.mark.parametrize("norm", [0.1, 1.0])
def test_one_unit_moves_the_sum_by_at_most_c(name: str, norm: float) -> None:
    change, unit = MORE[name]
    model = small(TOKENIZER)
    change(model)
    others, own = drawn(UNITS), drawn([unit])
    for micro_tokens in (100, 8192):
        without = summed(model, others, micro_tokens, norm).clone()
        moved = float((summed(model, [*others, *own], micro_tokens, norm) - without).norm())
        assert 0.9 * norm < moved <= norm * (1 + 1e-3)  # met, not slack


def test_a_model_that_sees_padding_is_given_windows_of_one_length() -> None:
    person = UNITS[-1]
    lengths = {len(ids) for ids, _ in views(person, TOKENIZER, RECIPE, np.random.default_rng(1))}
    assert len(lengths) > 1
    seen = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        (length,) = {len(ids) for ids, _ in views(person, TOKENIZER, RECIPE, rng, alike=True)}
        seen.add(length)
    assert seen == {7, 32}


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With draws, masks and noise that are functions of the step, which those of a real run never are."""
    original = modes.Private.draw

    def draw(mode: Any, step: int) -> Examples:
        mode._rng, mode._noise = np.random.default_rng(step), NoiseSource(step.to_bytes(32, "little"))
        return original(mode, step)

    monkeypatch.setattr(modes.Private, "draw", draw)
    plan = replace(PLAN, noise_multiplier=1.0, normaliser=4.0, grid=mechanism.GRID)

    def ends(folder: Path, *stops: bool) -> tuple[list[torch.Tensor], str]:
        for stop in (*stops, False):
            model = small(TOKENIZER)
            journal, watcher = Journal(folder, plan), Watcher(stop=lambda stop=stop: stop)
            try:
                loop.train(model, UNITS, TOKENIZER, RECIPE, journal, plan, watcher=watcher)
            except loop.Interrupted:
                assert stop
        return list(model.parameters()), (folder / "ledger.jsonl").read_text()

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, parts = ends(tmp_path / "a"), ends(tmp_path / "b", True, True)
    assert all(torch.equal(a, b) for a, b in zip(whole[0], parts[0], strict=True)) and whole[1] == parts[1]
