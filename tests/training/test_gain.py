"""Whether a model has been shown to have learnt: the gain over another on the same held-out windows."""

from __future__ import annotations

import numpy as np
import pytest

from mlmguard.commands.train import useless
from mlmguard.training.evaluation import gain


def test_the_gain_is_a_ratio_of_sums_with_the_interval_of_its_windows() -> None:
    rng = np.random.default_rng(3)
    tokens = rng.integers(3, 12, 300).astype(float)
    saved = 0.2 * tokens + rng.normal(0, 1, 300)
    after = 4.0 * tokens
    mean, low = gain(after + saved, after, tokens)
    assert mean == pytest.approx(saved.sum() / tokens.sum())
    picks = rng.integers(0, 300, (4000, 300))
    ratios = saved[picks].sum(1) / tokens[picks].sum(1)
    assert low == pytest.approx(np.quantile(ratios, 0.025), abs=0.004)


@pytest.mark.statistical
def test_no_gain_is_shown_where_there_is_none() -> None:
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(2000):
        tokens = rng.integers(3, 12, 60).astype(float)
        loss = 4.0 * tokens
        alarms += gain(loss + rng.normal(0, 2, 60), loss, tokens)[1] > 0
    assert alarms / 2000 <= 0.025 + 3 * (0.025 / 2000) ** 0.5


def test_one_window_shows_nothing() -> None:
    assert gain(np.array([9.0]), np.array([1.0]), np.array([2.0])) == (4.0, -np.inf)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"gain_over_start_low": 0.01, "gain_over_unigram_low": 0.3}, ""),
        ({"gain_over_start_low": -0.01, "gain_over_unigram_low": 0.3}, "than its start:"),
        ({"gain_over_start_low": 0.2, "gain_over_unigram_low": 0.0}, "than word frequencies:"),
        ({"gain_over_start_low": -1.0, "gain_over_unigram_low": -1.0}, "its start or word frequencies"),
        ({}, ""),
    ],
)
def test_a_model_that_was_not_shown_to_learn_is_named(numbers: dict[str, float], said: str) -> None:
    found = useless(numbers)
    assert said in found and bool(found) == bool(said)
