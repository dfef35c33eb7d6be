"""A scan of a small and of a large corpus: memory; by one worker and by two: wall and CPU time.

    python benchmarks/scan_scale.py [SMALL LARGE BOTH]     megabytes; 10, 200 and 20 if not said

The corpus is made up: notes of about 2 KB, one in ten a copy of another, two with something personal in ten.
Each scan runs in a process of its own. Memory is the peak of that process, with one worker and with the
detector of e-mail addresses only, which changes nothing but the time; workers are compared with all of them.
"Examining" is measured from the first batch that came back to the last: loading the detectors is a fixed
cost. On a machine that is busy with something else wall times say little: "by CPU" is the time of one worker
over the parent's and half the workers' of two, as if nothing of the parent's ran beside them.
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


def child(root: Path, workers: int, entities: tuple[str, ...] | None) -> None:
    from mlmguard import artifacts
    from mlmguard.corpus import pii
    from mlmguard.scan import ScanSettings, scan

    pii.finder().find("loads the detectors")
    moments: list[float] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "scan (MB)":
            moments.append(time.perf_counter())

    loaded, began = time.process_time(), time.perf_counter()
    place = Path(tempfile.mkdtemp(dir=root))
    settings = ScanSettings(workers=workers, entities=entities)
    key = artifacts.Key(b"benchmark" * 4)
    scan(root / "corpus.jsonl", place / "clean", place / "reports", key=key, settings=settings,
         runs=place / "runs" / "x", progress=progress)  # fmt: skip
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "examining": moments[-1] - moments[0],
        "wall": time.perf_counter() - began,
        "parent": time.process_time() - loaded,
        "loading": loaded,
        "workers": theirs.ru_utime + theirs.ru_stime,
    }))  # fmt: skip


def run(folder: str, workers: int, entities: str) -> dict[str, float]:
    command = [sys.executable, __file__, CHILD, folder, str(workers), entities]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(made.stdout))


def main() -> None:
    if sys.argv[1:2] == [CHILD]:
        child(Path(sys.argv[2]), int(sys.argv[3]), (sys.argv[4],) if sys.argv[4] else None)
        return
    small, large, both = [int(size) for size in sys.argv[1:]] or [10, 200, 20]
    peaks, counts = [], []
    for size in (small, large):
        with tempfile.TemporaryDirectory() as folder:
            counts.append(write(Path(folder) / "corpus.jsonl", size))
            peaks.append(run(folder, 1, "EMAIL_ADDRESS")["peak"])
            print(f"{size} MB, {counts[-1]:,} documents: peak {peaks[-1] / 1e6:.0f} MB", flush=True)
    print(f"{(peaks[1] - peaks[0]) / (counts[1] - counts[0]):.0f} bytes a document between the two")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "corpus.jsonl", both)
        one, two = run(folder, 1, ""), run(folder, 2, "")
    work = two["workers"] - 2 * two["loading"]  # each worker loads the detectors too
    print(f"{both} MB, one worker: examining {one['examining']:.1f} s, wall {one['wall']:.1f} s, "
          f"CPU {one['parent']:.1f} s")  # fmt: skip
    print(f"{both} MB, two workers: examining {two['examining']:.1f} s, wall {two['wall']:.1f} s, "
          f"CPU {two['parent']:.1f} s in the parent, {work:.1f} s in the workers after loading")  # fmt: skip
    by_cpu = one["parent"] / (two["parent"] + work / 2)
    print(f"two workers over one: examining {one['examining'] / two['examining']:.2f}×, wall "
          f"{one['wall'] / two['wall']:.2f}×, by CPU {by_cpu:.2f}×")  # fmt: skip


if __name__ == "__main__":
    main()
