"""Work over shards, on one process or several, with results in the order of the shards."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Protocol, TypeVar

S = TypeVar("S")
R = TypeVar("R")


class Engine(Protocol):
    """Anything that maps a picklable function over shards, keeping their order."""

    def map(self, work: Callable[[S], R], shards: Iterable[S]) -> Iterator[R]: ...


class LocalEngine:
    """Processes of this machine. One worker runs in this process: easier to debug, same results.

    ``preload`` names modules that are slow to import, start no thread and touch no GPU: a server imports
    them once, from now on and beside this process, and workers are forked from it. Without any, every worker
    starts from nothing.
    """

    def __init__(self, workers: int = 1, preload: Sequence[str] = ()) -> None:
        self.workers = max(1, workers)
        self._method = "spawn"
        # never a fork of this process: the child inherits torch's and tokenizers' threads in a broken state
        if preload and self.workers > 1 and "forkserver" in multiprocessing.get_all_start_methods():
            multiprocessing.set_forkserver_preload([*preload])
            with suppress(OSError):  # its socket cannot be: the name of the temporary folder is too long
                multiprocessing.forkserver.ensure_running()
                self._method = "forkserver"

    def map(self, work: Callable[[S], R], shards: Iterable[S]) -> Iterator[R]:
        """Yield ``work(shard)`` in order. At most two shards a worker are in flight: memory is bounded."""
        if self.workers == 1:
            yield from map(work, shards)
            return
        context = multiprocessing.get_context(self._method)
        try:
            hands = ProcessPoolExecutor(self.workers, context, _ready, (self.workers,))
        except OSError:  # a container without a /dev/shm that may be written to has no locks to share
            yield from map(work, shards)
            return
        with hands as pool:
            pending = []
            for shard in shards:
                with _without_the_script(work):
                    pending.append(pool.submit(work, shard))  # starts the workers
                if len(pending) >= 2 * self.workers:
                    yield pending.pop(0).result()
            for future in pending:
                yield future.result()


@contextmanager
def _without_the_script(work: Callable[..., object]) -> Iterator[None]:
    """Workers started in this block do not import the program that calls us, unless ``work`` stands in it.

    Python has them do so, and a script that calls us outside of ``if __name__ == "__main__"`` would begin
    anew in each of them.
    """
    program = sys.modules["__main__"]
    if "__main__" in (getattr(work, "__module__", ""), type(work).__module__):
        yield
        return
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def _ready(workers: int) -> None:
    """Make a worker ready: its share of the cores, no voice, and no life of its own.

    torch would otherwise start a thread for every core; a library's warning may quote a record, and here it
    would reach the terminal as it is; and a worker whose parent was killed would wait for ever, with records
    in its memory.
    """
    gc.freeze()  # what was preloaded stays shared: a collection would write to every page of it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # Ctrl-C reaches it too: the parent says the line
    if "OMP_NUM_THREADS" not in os.environ:
        cores = max(1, default_workers() // workers)
        os.environ["OMP_NUM_THREADS"] = str(cores)
        if "torch" in sys.modules:  # preloaded: it has read the variable already
            sys.modules["torch"].set_num_threads(cores)
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def default_workers() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
