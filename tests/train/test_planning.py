"""`mlmguard plan` and `mlmguard train` refuse the same: one derivation, asked by both."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlmguard.commands.plan import plan
from mlmguard.errors import InputError
from mlmguard.policy.reading import load
from mlmguard.settings import TrainSettings
from mlmguard.train import initial, train
from mlmguard.train.run import Run
from tests.fixtures.places import scanned

GRID = [
    (size, epsilon, steps, batch)
    for size in (1, 100, 4000, 10**6)
    for epsilon, steps, batch in ((0.001, None, None), (0.3, 1, 1), (8.0, None, None), (0.3, 1, 2048))
]


class Accepted(Exception):
    """Planning is over and nothing has refused the run."""


def asked(size: int, epsilon: float, steps: int | None = None, batch: int | None = None) -> TrainSettings:
    return TrainSettings(dp_epsilon=epsilon, public_size=size, steps=steps, batch_units=batch, canaries=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scanned(tmp_path_factory.mktemp("planning"))


@pytest.mark.parametrize(("size", "epsilon", "steps", "batch"), GRID)
def test_both_refuse_or_both_accept(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    epsilon: float,
    steps: int | None,
    batch: int | None,
) -> None:
    planned = {}

    def accept(run: Run, *rest: object) -> None:
        planned.update(run.facts()["plan"])
        raise Accepted

    monkeypatch.setattr(initial, "model", accept)
    settings = TrainSettings(
        dp_epsilon=epsilon, steps=steps, batch_units=batch, public_size=size, canaries=0, init="scratch"
    )
    with pytest.raises((InputError, Accepted)) as said:
        train(
            place / "clean", place / "ckpt", place / "reports", settings, runs=place / "runs", overwrite=True
        )
    if isinstance(said.value, InputError):
        with pytest.raises(InputError) as refused:
            plan(asked(size, epsilon, steps, batch), load("base"))
        assert str(refused.value) == str(said.value)
    else:
        found = plan(asked(size, epsilon, steps, batch), load("base"))
        both = ("noise_multiplier", "sample_rate", "steps", "delta")
        assert {name: getattr(found, name) for name in both} == {name: planned[name] for name in both}


def test_a_plan_for_too_few_units_is_refused() -> None:
    """A hundred units at ε = 0.001: a step would be noise."""
    with pytest.raises(InputError, match="units are too few"):
        plan(asked(100, 0.001), load("base"))
