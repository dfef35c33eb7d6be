"""Every choice of a dial has its row in the room that carries it out, and no row is without its choice."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

import pytest

from mlmguard.settings import (
    Adaptation,
    Masking,
    Objective,
    Precision,
    Schedule,
    Size,
)
from mlmguard.train.planning import RATES
from mlmguard.training import adapt, models, numerics
from mlmguard.training.recipes import SCHEDULES
from mlmguard.training.text.masking import STRATEGIES
from mlmguard.training.text.objectives import OBJECTIVES


@pytest.mark.parametrize(
    ("choices", "table"),
    [
        (Size, set(models.SIZES)),
        (Size, RATES),
        (Adaptation, adapt.KINDS),
        (Precision, numerics.PRECISIONS),
        (Schedule, SCHEDULES),
        (Objective, OBJECTIVES),
        (Masking, STRATEGIES),
    ],
)
def test_tables_are_complete(choices: type[StrEnum], table: Collection[str]) -> None:
    assert set(map(str, table)) == set(map(str, choices))
