"""Neither a person nor a copy crosses, whatever the order, and no split is empty without need."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmguard.artifacts import Key
from mlmguard.corpus.split import FRACTIONS, SPLITS, assign
from mlmguard.errors import InputError
from mlmguard.settings import ScanSettings, check

KEY = Key(b"s" * 32)


def divide(
    units: Sequence[str],
    clusters: Sequence[int] | None = None,
    kept: Sequence[bool] | None = None,
    key: Key = KEY,
    **fractions: float,
) -> list[str]:
    orders = np.array([int(key.fingerprint("split", unit), 16) for unit in units], np.uint64)
    cluster = np.array([clusters.index(c) for c in clusters] if clusters else range(len(units)))
    sides = assign(orders, cluster, np.array(kept or [True] * len(units)), fractions or FRACTIONS)
    return [SPLITS[side] for side in sides]


RECORDS = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 40), st.booleans()), min_size=1, max_size=60)


@given(RECORDS)
def test_no_unit_and_no_cluster_crosses(records: list[tuple[int, int, bool]]) -> None:
    sides = divide([f"u{u}" for u, _, _ in records], [c for _, c, _ in records], [k for _, _, k in records])
    for part in (0, 1):
        seen = defaultdict(set)
        for record, side in zip(records, sides):
            seen[record[part]].add(side)
        assert all(len(s) == 1 for s in seen.values())


@given(RECORDS, st.randoms())
def test_the_order_of_the_records_does_not_matter(
    records: list[tuple[int, int, bool]], chance: random.Random
) -> None:
    def run(some: list[tuple[int, int, bool]]) -> dict[tuple[int, int, bool], str]:
        sides = divide([f"u{u}" for u, _, _ in some], [c for _, c, _ in some], [k for _, _, k in some])
        return dict(zip(some, sides))

    shuffled = list(records)
    chance.shuffle(shuffled)
    assert run(records) == run(shuffled)


@given(st.integers(10, 300))
def test_no_split_is_empty_from_ten_units_on(count: int) -> None:
    sizes = Counter(divide([f"u{i}" for i in range(count)]))
    assert min(sizes[s] for s in ("train", "validation", "test")) >= 1
    assert sizes["train"] >= 0.75 * count


def test_shares_are_kept() -> None:
    sizes = Counter(divide([f"u{i % 400}" for i in range(4000)]))
    assert abs(sizes["test"] - 200) <= 20 and abs(sizes["validation"] - 200) <= 20


def test_a_giant_component_trains() -> None:
    """A hundred different keys: the giant is never what the model is tested on."""
    for seed in range(100):
        key = Key(seed.to_bytes(16, "big"))
        units = ["giant"] * 900 + [f"u{i}" for i in range(100)]
        sides = divide(units, key=key)
        assert sides[0] == "train" and 40 <= Counter(sides)["test"] <= 60


def test_a_chain_of_copies_ties_many_people_together() -> None:
    units = [f"u{i // 2}" for i in range(20)]
    clusters = [(i + 1) // 2 for i in range(20)]  # u0-u1-u2-... share a copy each
    assert len(set(divide(units, clusters))) == 1


def test_a_dropped_copy_still_ties_its_people() -> None:
    units, clusters = ["a", "a", "b", "b", *(f"u{i}" for i in range(30))], [0, 1, 1, 2, *range(3, 33)]
    kept = [True, False, True, True] + [True] * 30
    sides = divide(units, clusters, kept)
    assert len(set(sides[:4])) == 1


def test_another_key_splits_otherwise() -> None:
    units = [f"u{i}" for i in range(200)]
    other = Key(b"t" * 32)
    assert divide(units) != divide(units, key=other)


@pytest.mark.parametrize("few", [1, 2, 3, 4])
def test_very_few_units(few: int) -> None:
    sides = divide([f"u{i}" for i in range(few)])
    assert "train" in sides and len(set(sides)) == min(few, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        "1",
        "0.9,0.2,0.1",
        "1.1,0,-0.1",
        "0.9,0.1",
        "a,b,c",
        "nan,0,1",
        "",
    ],
)
def test_shares_must_make_a_whole(wrong: str) -> None:
    with pytest.raises(
        InputError, match=r"--splits: .*; expected shares of train, validation, test that add up to 1"
    ):
        check(ScanSettings(splits=wrong))


def test_texts_of_which_there_were_copies_are_held_out_as_often_as_others() -> None:
    # every third text had two copies; in the order of the least name nearly three times as many of them were
    singles, copied = range(2000), range(2000, 3000)
    units = [str(k) for k in singles] + [f"{k} copy {copy}" for k in copied for copy in range(3)]
    clusters = [*singles, *(k for k in copied for _ in range(3))]
    kept = [True] * 2000 + [True, False, False] * 1000
    held_out = Counter({"single": 0, "copied": 0})
    for seed in range(10):
        sides = divide(units, clusters, kept, key=Key(bytes([seed]) * 32))
        held_out["single"] += sum(side != "train" for side in sides[:2000])
        held_out["copied"] += sum(side != "train" for side in sides[2000::3])
    # 1,000 of 10,000 copied ones expected, with a deviation of 24 where 3,000 are drawn ten times
    assert abs(held_out["copied"] - held_out["single"] / 2) < 150, held_out
