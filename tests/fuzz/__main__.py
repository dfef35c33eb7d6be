"""``python -m tests.fuzz [--mutants N] [--seconds S] [--seed K] [FORMAT …]``: outcomes, a line a format."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz import FORMATS, Broken, run

if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("formats", nargs="*", default=list(FORMATS))
    ask.add_argument("--mutants", type=int, default=10_000)
    ask.add_argument("--seconds", type=float, default=3600.0)
    ask.add_argument("--seed", type=int, default=0)
    given, broken = ask.parse_args(), False
    for name in given.formats:
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcomes = run(name, given.mutants, given.seconds, Path(folder), given.seed)
                print(f"{name}: {sum(outcomes.values()):,} mutants, {dict(outcomes)}", flush=True)
            except Broken as problem:
                broken = True
                print(f"{name}: {problem} (kept under tests/data/fuzz/{name})", flush=True)
    sys.exit(broken)
