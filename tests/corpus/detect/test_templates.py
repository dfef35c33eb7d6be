"""The values that benchmarks draw are the same for one seed, in any process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
PROGRAM = """
import pii_forms, pii_templates
for kind in pii_forms.LABELS["en"]:
    print(kind, list(pii_forms.texts("en", kind, 40, 18)))
print(pii_templates.sentences(pii_templates.HELD_OUT, 12, 8))
"""


@pytest.mark.slow
def test_one_seed_gives_one_set_of_values() -> None:
    drawn = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=BENCHMARKS, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True,
            check=True, timeout=120,
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert drawn[0] == drawn[1] and len(drawn[0]) > 15
