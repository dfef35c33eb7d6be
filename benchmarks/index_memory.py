"""Memory, time and disk of an index: a corpus that is put into it, and one of the same size held against it.

    python benchmarks/index_memory.py [SMALL LARGE]

Each pass runs in a process of its own; the peak is the operating system's. Documents of 60 words are made
when asked for, as in ``dedup_memory.py``. Of the second corpus every fifth is in the first as it is, every
fifth a near copy of one; these and no others must be found.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from dedup_memory import text as first_text

from mlmguard.artifacts import Key
from mlmguard.corpus.copies import dedup, index
from mlmguard.corpus.copies.earlier import Earlier

HOW = {"near_threshold": "0.8"}
BATCH = 500  # documents


def second_text(number: int) -> str:
    if number % 5 == 0:
        return first_text(number)
    if number % 5 == 1:
        return f"{first_text(number)} m{number}"
    words = np.random.Generator(np.random.PCG64((number, 2))).integers(0, 20_000, 60)
    return " ".join(f"v{word}" for word in words)


def measure(folder: Path, count: int, run: str) -> tuple[int, int, float, float]:
    """(peak bytes, copies of the earlier corpus, CPU seconds within the corpus, and with the index)."""
    text = first_text if run == "scan-1" else second_text
    with index.opened(folder, Key(b"k" * 32), HOW) as there:
        earlier = Earlier(there, len(there.record.scans), dedup.THRESHOLD)
        began = time.process_time()
        with dedup.Copies(text, folder=folder.parent, keyed=earlier.keyed) as copies:
            batches = [range(start, min(count, start + BATCH)) for start in range(0, count, BATCH)]
            for batch in batches:
                copies.add(dedup.sketch([text(number) for number in batch]))
            copies.found()
            within = time.process_time() - began
            known = earlier.known(copies, count, text)
            earlier.remember(
                run, run, copies, known, ([text(number) for number in batch] for batch in batches)
            )
        spent = time.process_time() - began - within
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, int(known.copies.sum()), within, spent


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(*measure(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
        return
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 300_000]
    peaks: dict[str, list[float]] = {"scan-1": [], "scan-2": []}
    for size in sizes:
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / "index"
            folder.mkdir()
            for run, into in peaks.items():
                made = subprocess.run(
                    [sys.executable, __file__, "--one", str(folder), str(size), run],
                    check=True, capture_output=True, text=True,
                )  # fmt: skip
                peak, copies, within, spent = (float(number) for number in made.stdout.split())
                into.append(peak)
                disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                print(
                    f"{size:>9,} documents, {run}: peak {peak / 1e6:7.1f} MB, {copies:,.0f} earlier copies, "
                    f"{within:,.1f} s within, {spent:,.1f} s with the index of {disk / 1e6:,.1f} MB",
                    flush=True,
                )
                assert copies == (0 if run == "scan-1" else len(range(0, size, 5)) + len(range(1, size, 5)))
    for run, of in peaks.items():
        print(f"{run}: {(of[-1] - of[0]) / (sizes[-1] - sizes[0]):.0f} bytes a document")


if __name__ == "__main__":
    main()
