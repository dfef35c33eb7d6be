"""Memory of a duplicate pass over synthetic documents: a fixed base and so many bytes a document.

    python benchmarks/dedup_memory.py [SMALL LARGE]

Each size runs in a process of its own; the peak is the operating system's. Documents of 60 words are made
when asked for, one in ten a near copy of the one before it, so that no text is counted.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np

from mlmguard.corpus.copies import dedup


def text(number: int) -> str:
    origin = number - (number % 10 == 0 and number > 0)
    words = np.random.Generator(np.random.PCG64(origin)).integers(0, 20_000, 60)
    return " ".join(f"w{word}" for word in words) + ("" if origin == number else f" n{number}")


def measure(count: int) -> tuple[int, int, float]:
    """(peak bytes, joined pairs, CPU seconds) of a pass over ``count`` documents."""
    began = time.process_time()
    with dedup.Copies(text) as copies:
        for start in range(0, count, 500):
            copies.add(dedup.sketch([text(i) for i in range(start, min(count, start + 500))]))
        found = copies.found()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, len(found.pairs), time.process_time() - began


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(*measure(int(sys.argv[2])))
        return
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 1_000_000]
    peaks = []
    for size in sizes:
        made = subprocess.run(
            [sys.executable, __file__, "--one", str(size)], check=True, capture_output=True, text=True
        )
        peak, pairs, seconds = (float(number) for number in made.stdout.split())
        peaks.append(peak)
        print(f"{size:>9,} documents: peak {peak / 1e6:7.1f} MB, {pairs:,.0f} joins, {seconds:,.0f} s CPU")
    each = (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0])
    print(f"base {(peaks[0] - each * sizes[0]) / 1e6:.0f} MB, {each:.0f} bytes a document")


if __name__ == "__main__":
    main()
