"""A scan of corpora of several sizes: memory; by one worker and by two: time, and the serial part.

    python benchmarks/scan_scale.py memory [DOCUMENTS ...]     25000, 100000 and 200000 if not said
    python benchmarks/scan_scale.py large [MEGABYTES]          1000: one scan by two workers, after one of 10
    python benchmarks/scan_scale.py workers [MEGABYTES]        20

The corpora are made up: notes of ten words (memory) or 280 (1.7 KB, the rest), one in ten a copy of
another, two with something personal in ten. Each scan runs in a process of its own. Memory is the peak of
that process, with one worker, and with that of each of its workers, with two. "memory" and "large" look for
e-mail addresses only, which changes little but the time.

"Examining" is measured from the first batch that came back to the last: loading the detectors is a fixed
cost. On a machine that is busy with something else wall times say little, so the serial part is told by
processor time: what the parent of two workers spends after they are done, over that and all spent before.
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


def write(path: Path, documents: int, words: int) -> None:
    """A JSON-lines corpus of that many documents."""
    chance = random.Random(0)
    vocabulary = [f"word{i}" if i % 3 else "of" for i in range(5000)]
    last = ""
    with path.open("w") as stream:
        for count in range(documents):
            text = " ".join(chance.choices(vocabulary, k=words))
            if count % 10 == 3:
                text = last + f" {count}"
            elif count % 10 in (5, 6):
                text += f" write to user{count}@example.com or call 212-555-{count % 10000:04}"
            stream.write(json.dumps({"id": count, "text": text}) + "\n")
            last = text


def child(root: Path, workers: int, entities: tuple[str, ...] | None) -> None:
    from mlmguard import artifacts
    from mlmguard.corpus import pii
    from mlmguard.scan import ScanSettings, scan

    pii.finder().find("loads the detectors")
    moments: list[float] = []

    spent = 0.0  # by this process until the last batch came back

    def progress(stage: str, done: int, total: int | None) -> None:
        nonlocal spent
        if stage == "scan (MB)":
            moments.append(time.perf_counter())
            spent = time.process_time() - loaded

    loaded, began = time.process_time(), time.perf_counter()
    place = Path(tempfile.mkdtemp(dir=root))
    settings = ScanSettings(workers=workers, entities=entities)
    key = artifacts.Key(b"benchmark" * 4)
    scan(root / "corpus.jsonl", place / "clean", place / "reports", key=key, settings=settings,
         runs=place / "runs" / "x", progress=progress)  # fmt: skip
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "worker_peak": theirs.ru_maxrss * 1024,
        "examining": moments[-1] - moments[0],
        "wall": time.perf_counter() - began,
        "parent": time.process_time() - loaded,
        "parent_examining": spent,
        "loading": loaded,
        "workers": theirs.ru_utime + theirs.ru_stime,
    }))  # fmt: skip


def run(folder: str, workers: int, entities: str) -> dict[str, float]:
    command = [sys.executable, __file__, CHILD, folder, str(workers), entities]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(made.stdout))


EMAIL = "EMAIL_ADDRESS"


def scanned(documents: int, words: int, workers: int, entities: str) -> dict[str, float]:
    """What one scan of a corpus of that size took."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write(corpus, documents, words)
        return run(folder, workers, entities) | {"megabytes": corpus.stat().st_size / 1e6}


def memory(sizes: list[int]) -> None:
    peaks = []
    for documents in sizes:
        took = scanned(documents, 10, 1, EMAIL)
        peaks.append(took["peak"])
        print(
            f"{documents:,} documents, {took['megabytes']:.0f} MB: peak {took['peak'] / 1e6:.1f} MB",
            flush=True,
        )
    for smaller, larger in zip(range(len(sizes)), range(1, len(sizes))):
        slope = (peaks[larger] - peaks[smaller]) / (sizes[larger] - sizes[smaller])
        print(f"{sizes[smaller]:,} to {sizes[larger]:,}: {slope:.0f} bytes a document")


def large(megabytes: int) -> None:
    small, big = 10 * 600, megabytes * 600  # notes of 280 words are 1.67 KB
    first, second = scanned(small, 280, 2, EMAIL), scanned(big, 280, 2, EMAIL)
    for documents, took in ((small, first), (big, second)):
        both = took["peak"] + 2 * took["worker_peak"]
        print(f"{took['megabytes']:.0f} MB, {documents:,} documents: peak {took['peak'] / 1e6:.0f} MB in "
              f"the parent, {took['worker_peak'] / 1e6:.0f} MB in each of two workers, {both / 1e6:.0f} MB, "
              f"{took['wall']:.0f} s, {took['parent'] + took['workers']:.0f} s CPU", flush=True)  # fmt: skip
    more = second["peak"] + 2 * second["worker_peak"] - first["peak"] - 2 * first["worker_peak"]
    print(f"{more / (big - small):.0f} bytes a document between the two, "
          f"{(second['peak'] - first['peak']) / (big - small):.0f} of them in the parent")  # fmt: skip


def workers(megabytes: int) -> None:
    one, two = (scanned(megabytes * 600, 280, count, "") for count in (1, 2))
    work = two["workers"] - 2 * two["loading"]  # each worker loads the detectors too
    print(f"{one['megabytes']:.0f} MB, one worker: {one['examining']:.1f} s, wall {one['wall']:.1f} s, "
          f"CPU {one['parent']:.1f} s")  # fmt: skip
    print(f"{two['megabytes']:.0f} MB, two workers: {two['examining']:.1f} s, wall "
          f"{two['wall']:.1f} s, CPU {two['parent']:.1f} s in the parent, {work:.1f} s in the workers after "
          "loading")  # fmt: skip
    beside = work + two["parent_examining"]  # three processes on two cores: at best half of it each
    after = two["parent"] - two["parent_examining"]
    alone = one["parent"] / (beside / 2 + after)
    print(f"two workers over one: examining {one['examining'] / two['examining']:.2f}×, wall "
          f"{one['wall'] / two['wall']:.2f}×; by CPU {after:.1f} s of {beside + after:.1f} s are serial "
          f"({after / (beside + after):.1%}): {alone:.2f}× on two free cores")  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == [CHILD]:
        child(Path(sys.argv[2]), int(sys.argv[3]), (sys.argv[4],) if sys.argv[4] else None)
        return
    sizes = [int(size) for size in sys.argv[2:]]
    rows = sys.argv[1:2] or ["memory", "large", "workers"]
    if "memory" in rows:
        memory(sizes or [25_000, 100_000, 200_000])
    if "large" in rows:
        large(*sizes or [1000])
    if "workers" in rows:
        workers(*sizes or [20])


if __name__ == "__main__":
    main()
