"""Work over shards, on one process or several, with results in the order of the shards."""

from __future__ import annotations

import logging
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Protocol, TypeVar

S = TypeVar("S")
R = TypeVar("R")


class Engine(Protocol):
    """Anything that maps a picklable function over shards, keeping their order."""

    def map(self, work: Callable[[S], R], shards: Iterable[S]) -> Iterator[R]: ...


class LocalEngine:
    """Processes of this machine. One worker runs in this process: easier to debug, same results."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = max(1, workers)

    def map(self, work: Callable[[S], R], shards: Iterable[S]) -> Iterator[R]:
        """Yield ``work(shard)`` in order. At most two shards a worker are in flight: memory is bounded."""
        if self.workers == 1:
            yield from map(work, shards)
            return
        # spawn, not fork: a forked child inherits torch's and tokenizers' threads in a broken state
        context = multiprocessing.get_context("spawn")
        try:
            hands = ProcessPoolExecutor(self.workers, context, _ready, (self.workers,))
        except OSError:  # a container without a /dev/shm that may be written to has no locks to share
            yield from map(work, shards)
            return
        with hands as pool:
            pending = []
            for shard in shards:
                pending.append(pool.submit(work, shard))
                if len(pending) >= 2 * self.workers:
                    yield pending.pop(0).result()
            for future in pending:
                yield future.result()


def _ready(workers: int) -> None:
    """Make a worker ready: its share of the cores, and no voice.

    torch would otherwise start a thread for every core; a library's warning may quote a record, and here it
    would reach the terminal as it is.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, default_workers() // workers)))
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")


def default_workers() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
