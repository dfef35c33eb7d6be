"""Memory of `mlmguard train` over invented corpora of two sizes: what grows with the corpus, and by how much.

    python benchmarks/train_memory.py [--megabytes 20 100] [--dp-epsilon 8]

Documents of about 2 KB of invented words are written as a finished scan would; each size is trained on by the
command itself, in a process of its own, for 20 steps of the smallest model. The peak is the operating
system's (resident, so that pages of a memory-mapped file count while they are there).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mlmguard import __version__
from mlmguard.artifacts import to_json
from mlmguard.types import DuplicateCounts, Manifest, Shard

STEPS = 20
SHARD_ROWS = 10_000
WORDS_A_DOCUMENT = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--dp-epsilon", type=float)
    options = parser.parse_args()
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            documents = write_clean(place / "clean", megabytes)
            peak, seconds = trained(place, documents, options.dp_epsilon)
        print(f"{megabytes:>5} MB, {documents:>7,} documents: peak {peak / 1e6:7,.0f} MB, {seconds:,.0f} s")


def write_clean(clean: Path, megabytes: int) -> int:
    """Shards of invented text and their manifest; returns how many documents were written."""
    rng = np.random.default_rng(0)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
    lexicon = np.array(["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(20_000)])
    often = 1 / np.arange(1, len(lexicon) + 1)
    clean.mkdir(parents=True)
    shards, number, written = [], 0, 0
    while written < megabytes * 1_000_000:
        name = f"train-{len(shards):05}.jsonl"
        rows = 0
        with (clean / name).open("w", encoding="utf-8") as stream:
            while rows < SHARD_ROWS and written < megabytes * 1_000_000:
                text = " ".join(rng.choice(lexicon, WORDS_A_DOCUMENT, p=often / often.sum()))
                stream.write(f'{{"id": "d{number}", "text": "{text}", "unit": "d{number}"}}\n')
                rows, number, written = rows + 1, number + 1, written + len(text)
        shards.append(Shard(name, "train", rows))
    (clean / "validation-00000.jsonl").write_text('{"id": "v", "text": "a validation", "unit": "v"}\n')
    shards.append(Shard("validation-00000.jsonl", "validation", 1))
    manifest = Manifest(
        run_id="scan-invented", documents_read=number + 1, documents_written=number + 1,
        splits={"train": number, "validation": 1, "test": 0}, outputs=tuple(shards), skipped=(), findings=(),
        duplicates=DuplicateCounts(0, 0, 0), coverage=(), commitment="0" * 64, key_id="", settings={},
        tool_version=__version__,
    )  # fmt: skip
    (clean / "manifest.json").write_text(to_json(manifest))
    return number


def trained(place: Path, documents: int, epsilon: float | None) -> tuple[int, float]:
    """(peak resident bytes, seconds) of the command."""
    command = [
        sys.executable, "-m", "mlmguard", "train", "--quiet", "--init", "scratch", "--canaries", "0",
        "--steps", str(STEPS), "--batch-units", "256",
    ]  # fmt: skip
    if epsilon is not None:
        command += ["--dp-epsilon", str(epsilon), "--public-size", str(documents)]
    began = time.monotonic()
    child = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit("train ended with an error")
    return used.ru_maxrss * 1024, time.monotonic() - began


if __name__ == "__main__":
    main()
