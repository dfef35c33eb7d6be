"""Null audits deal what a scan deals: whole units."""

from pathlib import Path

import numpy as np

from mlmguard.audit.checkpoint import Audited
from mlmguard.audit.selftest import shuffled_labels


def test_no_unit_is_in_both_splits_of_a_null():
    rows = [{"id": f"d{k}", "text": "", "unit": f"author{k // 5}"} for k in range(100)]
    audited = Audited(Path("ckpt"), None, None, True, 32, rows[:80], rows[80:], None)
    for seed in range(20):
        null = shuffled_labels(audited, np.random.default_rng(seed))
        sides = [{row["unit"] for row in side} for side in (null.members, null.held_out)]
        assert [len(side) for side in sides] == [16, 4] and not sides[0] & sides[1]
        assert sorted(row["id"] for side in (null.members, null.held_out) for row in side) == sorted(
            row["id"] for row in rows
        )
    assert sides[1] != {row["unit"] for row in audited.held_out}
