"""A scan of corpora of several sizes: memory; by one worker and by two: time, and the serial part.

    python benchmarks/scan_scale.py memory [DOCUMENTS ...]     25000, 100000 and 200000 if not said
    python benchmarks/scan_scale.py large [MEGABYTES]          1000: one scan by two workers, after one of 10
    python benchmarks/scan_scale.py workers [MEGABYTES]      400

The corpora are made up: notes of ten words (memory) or 280 (1.7 KB, the rest), one in ten a copy of
another, two with something personal in ten. Each scan runs in a process of its own, from its first import to
its last file. Memory is the peak of that process; for "large" the peak of what it and its workers hold
together, shared pages counted once, looked at twice a second (Linux). "memory" and "large" look for e-mail
addresses only, which changes little but the time.

"Examining" is from the first batch that came back to the last, "after it" from there to the end: copies,
passages and the second pass over the texts, which one process does. What is before it, loading the detectors,
is a fixed cost. On a machine that is busy with something else wall times say little.
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
    began = time.perf_counter()
    from mlmguard import artifacts
    from mlmguard.scan import ScanSettings, scan
    from mlmguard.types import Watcher

    moments: list[float] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "scan (MB)":
            moments.append(time.perf_counter())

    place = Path(tempfile.mkdtemp(dir=root))
    settings = ScanSettings(workers=workers, entities=entities)
    key = artifacts.Key(b"benchmark" * 4)
    scan(root / "corpus.jsonl", place / "clean", place / "reports", key=key, settings=settings,
         runs=place / "runs" / "x", watcher=Watcher(progress))  # fmt: skip
    ended = time.perf_counter()
    print(json.dumps({
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "before": moments[0] - began,
        "examining": moments[-1] - moments[0],
        "after": ended - moments[-1],
        "wall": ended - began,
    }))  # fmt: skip


def family(pid: int) -> list[int]:
    """A process and all that come from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it is over
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def held(pid: int) -> int:
    """Bytes that a process holds, its share of what it holds with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def run(folder: str, workers: int, entities: str, watch: bool) -> dict[str, float]:
    command = [sys.executable, __file__, CHILD, folder, str(workers), entities]
    together = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as made:
        while watch and made.poll() is None:  # a twentieth of a core
            together = max(together, sum(map(held, family(made.pid))))
            time.sleep(0.5)
        result = made.communicate()[0]
    if made.returncode:
        raise subprocess.CalledProcessError(made.returncode, command)
    return dict(json.loads(result)) | {"together": together}


EMAIL = "EMAIL_ADDRESS"


def scanned(documents: int, words: int, workers: int, entities: str, watch: bool = False) -> dict[str, float]:
    """What one scan of a corpus of that size took."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write(corpus, documents, words)
        return run(folder, workers, entities, watch) | {"megabytes": corpus.stat().st_size / 1e6}


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
    first, second = (scanned(size, 280, 2, EMAIL, watch=True) for size in (small, big))
    for documents, took in ((small, first), (big, second)):
        print(f"{took['megabytes']:.0f} MB, {documents:,} documents, two workers: peak "
              f"{took['together'] / 1e6:.0f} MB in all, {took['peak'] / 1e6:.0f} MB of it in the parent, "
              f"{took['wall']:.0f} s", flush=True)  # fmt: skip
    print(f"{(second['together'] - first['together']) / (big - small):.0f} bytes a document between the two, "
          f"{(second['peak'] - first['peak']) / (big - small):.0f} of them in the parent")  # fmt: skip


def workers(megabytes: int) -> None:
    one, two = (scanned(megabytes * 600, 280, count, "") for count in (1, 2))
    for count, took in ((1, one), (2, two)):
        print(f"{one['megabytes']:.0f} MB, {count} worker{'s' * (count > 1)}: {took['wall']:.1f} s, of them "
              f"{took['before']:.1f} s before examining, {took['examining']:.1f} s examining, "
              f"{took['after']:.1f} s after it")  # fmt: skip
    print(f"two workers over one: {one['wall'] / two['wall']:.2f}× in all, examining "
          f"{one['examining'] / two['examining']:.2f}×")  # fmt: skip


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
        workers(*sizes or [400])


if __name__ == "__main__":
    main()
