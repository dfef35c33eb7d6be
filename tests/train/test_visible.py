"""Canaries that a plan never shows to the loss are told before the first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlmguard.leakage import canaries
from mlmguard.settings import TrainSettings
from mlmguard.train import train, visible
from mlmguard.train.planning import Plan
from mlmguard.training.recipes import Recipe
from mlmguard.training.text.masking import Masking
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan, Watcher
from tests.fixtures.places import scanned

RECIPE = Recipe(steps=100, batch_units=8, learning_rate=1e-3, warmup_steps=0, window=64)


@pytest.fixture(scope="module")
def secrets() -> list[canaries.Secret]:
    return canaries.draw(100, np.random.default_rng(0))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(None)


def test_an_ordinary_plan_shows_them_all(secrets: list[canaries.Secret], tokenizer: Tokenizer) -> None:
    assert visible.unseen(secrets, tokenizer, RECIPE, drawn=20.0) == 0


@pytest.mark.parametrize("masking", [Masking(), Masking("word"), Masking("span"), Masking(pii="exclude")])
def test_what_is_never_drawn_is_never_seen(
    secrets: list[canaries.Secret], tokenizer: Tokenizer, masking: Masking
) -> None:
    recipe = replace(RECIPE, masking=masking)
    assert visible.unseen(secrets, tokenizer, recipe, drawn=0.0) == 100
    few = visible.unseen(secrets, tokenizer, recipe, drawn=0.1)
    assert 80 <= few <= 100  # e^-0.1 of them are not drawn at all
    assert visible.unseen(secrets, tokenizer, recipe, drawn=20.0) <= few / 4


def test_the_share_is_that_of_independent_masks(secrets: list[canaries.Secret], tokenizer: Tokenizer) -> None:
    """A secret of k tokens that is drawn Poisson(d) times is missed with exp(-d (1 - .85^k))."""
    drawn = 1.0
    sizes = [
        len({k for k, (a, b) in enumerate(row.offsets) if a < one.end and b > one.start})
        for one, row in zip(secrets, tokenizer.encode_with_places([s.text for s in secrets]))
    ]
    expected = sum(np.exp(-drawn * (1 - 0.85**k)) for k in sizes)
    found = visible.unseen(secrets, tokenizer, RECIPE, drawn)
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected / 100))


def test_a_short_window_shows_fewer(secrets: list[canaries.Secret], tokenizer: Tokenizer) -> None:
    long, short = (
        visible.unseen(secrets, tokenizer, replace(RECIPE, window=window), 3.0) for window in (64, 8)
    )
    assert short > long + 20


def test_a_static_mask_that_misses_the_secret_misses_it_always(
    secrets: list[canaries.Secret], tokenizer: Tokenizer
) -> None:
    recipe = replace(RECIPE, masking=Masking(rate=0.02, static=True))
    assert visible.unseen(secrets, tokenizer, recipe, 50.0) > 50


def test_a_secret_of_unknown_characters_is_unseen(
    secrets: list[canaries.Secret], tokenizer: Tokenizer
) -> None:
    odd = [
        replace(one, text=one.text[: one.start] + "\U0001f0a1" * 6 + one.text[one.end :]) for one in secrets
    ]
    assert visible.unseen(odd, tokenizer, RECIPE, 20.0) == 100


@pytest.mark.parametrize("drawn, told", [(0.05, True), (20.0, False)])
def test_it_is_told_and_not_told(
    secrets: list[canaries.Secret], tokenizer: Tokenizer, drawn: float, told: bool
) -> None:
    heard: list[str] = []
    recipe = replace(RECIPE, steps=int(drawn * 1000), batch_units=1)
    visible.tell_unseen(secrets, tokenizer, Plan(recipe, None, ()), 1000, Watcher(tell=heard.append))
    assert bool(heard) == told
    assert all("of 100 canaries receive no loss in this plan (window 64, 15 % of tokens" in h for h in heard)


def test_train_says_so_before_its_first_step(tmp_path: Path) -> None:
    place, heard = scanned(tmp_path, rows=60), []
    settings = TrainSettings(
        init="scratch", size="nano", steps=1, batch_units=2, canaries=20, canary_repetitions=1, window=32
    )

    def progress(what: str, done: int, total: int) -> None:
        heard.append(what)

    train(
        place / "clean", place / "ckpt", place / "reports", settings, runs=place / ".mlmguard" / "runs",
        watcher=Watcher(tell=heard.append, progress=progress),
    )  # fmt: skip
    told = next(k for k, line in enumerate(heard) if "receive no loss" in line)
    assert not any("step" in line or line == "training" for line in heard[:told])


@pytest.mark.parametrize("units, told", [(1, True), (99, True), (100, False), (5_000, False)])
def test_a_corpus_that_is_mostly_canaries_is_told(
    secrets: list[canaries.Secret], units: int, told: bool
) -> None:
    heard: list[str] = []
    plan, watcher = Plan(RECIPE, None, ()), Watcher(tell=heard.append)
    visible.tell_mostly_planted(secrets, plan, units, watcher)
    assert bool(heard) == told
    assert all(f"about {max(0, units - 50)} of {units} units are text of the corpus" in h for h in heard)
    heard.clear()
    # a private plan is told by the size that it derives from, and not by the exact number
    private = replace(plan, dp=DpPlan(1.0, 1.0, 0.5, 10, 1e-5, "document", 30.0, 8.0))
    visible.tell_mostly_planted(secrets, private, units, watcher)
    assert heard == [h for h in heard if "about 10 of 60 units" in h] and len(heard) == 1
    heard.clear()
    visible.tell_mostly_planted([], plan, units, watcher)
    assert heard == []
