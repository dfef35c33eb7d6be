"""What a scan remembers on disk and in little memory, against a dict and a set."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmguard.corpus import records
from mlmguard.corpus.records import Numbers, Parts

NUMBERS = st.lists(st.integers(0, (1 << 64) - 1) | st.integers(0, 40), max_size=200)


@given(NUMBERS)
def test_marks_are_a_set(numbers: list[int]) -> None:
    held, oracle = Numbers(), set()
    for number in numbers:
        assert held.add(number) == (number not in oracle)
        oracle.add(number)
        assert number in held
    assert all((n in held) == (n in oracle) for n in range(50))


def test_marks_grow_and_stay_small() -> None:
    chance = random.Random(0)
    held, numbers = Numbers(), [chance.getrandbits(64) for _ in range(20_000)]
    assert all(held.add(number) for number in numbers)
    assert not any(held.add(number) for number in numbers)
    assert not any(chance.getrandbits(64) in held for _ in range(1000))
    assert held._table.itemsize * len(held._table) <= 22 * len(numbers)


@pytest.mark.parametrize("together", [8, 1 << 16])
def test_equal_records_are_in_one_piece_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(records, "_PIECE", together)
    monkeypatch.setattr(records, "_BLOCK", together)  # on disk piece by piece, or in memory to the end
    kind = np.dtype([("mark", "<u8"), ("document", "<u4")])
    chance = random.Random(1)
    rows = [(chance.choice([chance.getrandbits(64), chance.randrange(30)]), i) for i in range(2000)]
    expected = defaultdict(list)
    for mark, document in rows:
        expected[mark].append(document)
    with Parts(kind, 4, tmp_path) as parts:
        for start in range(0, len(rows), 300):
            batch = np.array(rows[start : start + 300], kind)
            parts.append(batch, batch["mark"])
        pieces = [piece.tolist() for piece in parts.pieces("mark")]
    found: dict[int, list[int]] = {}
    for piece in pieces:
        own = defaultdict(list)
        for mark, document in piece:
            own[mark].append(document)
        assert not own.keys() & found.keys()
        found |= own
    assert found == expected
    assert (len(pieces) > 4) == (together == 8)
