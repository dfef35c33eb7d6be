"""A scan of a small and of a large corpus, by one worker and by two: memory, wall and CPU time.

    python benchmarks/scan_scale.py [SMALL LARGE]     megabytes; 10 and 100 if not said

The corpus is made up: notes of about 2 KB, one in ten a copy of another, two with something personal in ten.
Each scan runs in a process of its own; memory is the peak of that process (of its largest worker, for two).
"Examining" is measured from the first batch that came back to the last: loading the detectors is a fixed
cost.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHILD = "--child"


def write(path: Path, megabytes: int) -> int:
    """A JSON-lines corpus of that size; the number of its documents."""
    chance = random.Random(0)
    vocabulary = [f"word{i}" if i % 3 else "of" for i in range(5000)]
    count, size, last = 0, 0, ""
    with path.open("w") as stream:
        while size < megabytes * 1_000_000:
            text = " ".join(chance.choices(vocabulary, k=280))
            if count % 10 == 3:
                text = last + f" {count}"
            elif count % 10 in (5, 6):
                text += f" write to user{count}@example.com or call 212-555-{count % 10000:04}"
            size += stream.write(json.dumps({"text": text}) + "\n")
            count, last = count + 1, text
    return count


def child(root: Path, workers: int) -> None:
    from mlmguard import artifacts
    from mlmguard.scan import ScanSettings, scan

    moments: list[float] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "scan (MB)":
            moments.append(time.perf_counter())

    began = time.perf_counter()
    place = Path(tempfile.mkdtemp(dir=root))
    settings = ScanSettings(workers=workers)
    key = artifacts.Key(b"benchmark" * 4)
    scan(root / "corpus.jsonl", place / "clean", place / "reports", key=key, settings=settings,
         runs=place / "runs" / "x", progress=progress)  # fmt: skip
    own, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    examining = moments[-1] - moments[0]
    cpu = own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime
    print(json.dumps({"own": own.ru_maxrss / 1024, "worker": theirs.ru_maxrss / 1024, "examining": examining,
                      "wall": time.perf_counter() - began, "cpu": cpu}))  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == [CHILD]:
        child(Path(sys.argv[2]), int(sys.argv[3]))
        return
    sizes = [int(size) for size in sys.argv[1:]] or [10, 100]
    peaks, counts, times = [], [], {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            counts.append(write(Path(folder) / "corpus.jsonl", size))
            for workers in (1, 2) if size == sizes[-1] else (1,):
                made = subprocess.run([sys.executable, __file__, CHILD, folder, str(workers)],
                                      check=True, capture_output=True, text=True)  # fmt: skip
                result = times[workers] = json.loads(made.stdout)
                if workers == 1:
                    peaks.append(result["own"])
                print(
                    f"{size} MB, {counts[-1]:,} documents, {workers} worker(s): peak {result['own']:.0f} MiB "
                    f"(worker {result['worker']:.0f}), examining {result['examining']:.1f} s, "
                    f"wall {result['wall']:.1f} s, CPU {result['cpu']:.1f} s"
                )
    each = (peaks[-1] - peaks[0]) * 2**20 / (counts[-1] - counts[0])
    print(f"{each:.0f} bytes a document between the two sizes, base {peaks[0]:.0f} MiB")
    for what in ("examining", "wall"):
        print(f"two workers over one, {what}: {times[1][what] / times[2][what]:.2f}×")


if __name__ == "__main__":
    main()
