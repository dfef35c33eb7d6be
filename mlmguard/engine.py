"""Work over shards, on one process or several, with results in the order of the shards."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import multiprocessing.forkserver
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, Protocol, Self, TypeVar

from mlmguard.errors import InputError, MlmguardError, PartialRun

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
            hands = ProcessPoolExecutor(self.workers, context, _ready, (self.workers, dict(os.environ)))
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
    def beside(self, work: Callable[[S], None], shards: Sequence[S]) -> Iterator[Callable[[], None]]:
        """Run ``work(shard)`` of each shard in a process of its own beside the block; what it gives waits for
        them all.

        What they leave are files: one that is lost, or breaks, is for the caller to notice. Those that still
        run at the end of the block are ended.
        """
        context: Any = multiprocessing.get_context(self._method)
        together = len(shards) + 1
        hands = [
            context.Process(target=_alone, args=(work, shard, together, dict(os.environ)), daemon=True)
            for shard in shards
        ]
        with _without_the_script(work):
            for hand in hands:
                hand.start()

        def wait() -> None:
            for hand in hands:
                hand.join()

        try:
            with _fewer_threads(together):
                yield wait
        finally:
            for hand in hands:
                hand.terminate()
            wait()


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


def _ready(workers: int, environment: Mapping[str, str]) -> None:
    """Make a worker ready: the parent's variables, its share of the cores, no voice, and no life of its own.

    The server that it may be a fork of has those of when it began: perhaps another state folder or key.

    torch would otherwise start a thread for every core; a library's warning may quote a record, and here it
    would reach the terminal as it is; and a worker whose parent was killed would wait for ever, with records
    in its memory.
    """
    os.environ.clear()
    os.environ.update(environment)
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


def _alone(work: Callable[[S], None], shard: S, workers: int, environment: Mapping[str, str]) -> None:
    """Work on one shard until the parent says to end, and then leave nothing half done behind."""
    _ready(workers, environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with suppress(Exception):  # the parent does this part again, and an error of ours is told there
        work(shard)


@contextmanager
def _fewer_threads(workers: int) -> Iterator[None]:
    """Leave the others their share of the cores, where torch is in use and nobody has set its threads."""
    torch = sys.modules.get("torch")
    if torch is None or workers == 1 or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, default_workers() // workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


# --- Ray ----------------------------------------------------------------------------------------------

_RETRIES = 5  # of one shard, where its worker or its machine is lost


class RayEngine:
    """Tasks of a Ray cluster, or of one on this machine where no ``address`` is given.

    Shards and results pass through this process and Ray's own files, so they must not hold a text: what a
    task works on and what it leaves are files that every machine sees. ``variables`` are set where it runs.
    """

    def __init__(self, address: str | None, workers: int, variables: Mapping[str, str]) -> None:
        self._address, self._workers, self._variables = address, max(1, workers), dict(variables)

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        self._ray = ray = _imported_ray()
        about: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address:
            about["address"] = self._address
        else:  # nobody else is to reach it
            about |= {"address": "local", "num_cpus": self._workers, "_node_ip_address": "127.0.0.1"}
            about["include_dashboard"] = False
        try:
            ray.init(**about)
        except RuntimeError as error:
            if "mismatch" not in str(error):
                raise
            here = f"Python {sys.version_info.major}.{sys.version_info.minor} and Ray {ray.__version__}"
            do = "run this on a machine of the cluster, or in its image"
            raise InputError("--address", "the cluster has another Python or Ray", here, do) from None
        except (ConnectionError, ValueError, TimeoutError, OSError):
            do = "check the address"
            raise InputError(
                "--address", "no Ray cluster answers", "its host and port, or auto", do
            ) from None
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        return self

    def __exit__(self, *exception: object) -> None:
        self._ray.shutdown()

    def map(self, work: Callable[[S], R], shards: Iterable[S]) -> Iterator[R]:
        """Yield ``work(shard)`` in order. A shard whose machine is lost is given to another."""
        task = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(_task)
        given, pending = self._ray.put((work, self._variables)), []
        try:
            for shard in shards:
                pending.append(task.remote(given, shard))
                if len(pending) >= 2 * self.workers:
                    yield _result(self._ray.get(pending.pop(0)))
            while pending:
                yield _result(self._ray.get(pending.pop(0)))
        except self._ray.exceptions.RayError as error:
            raise PartialRun(
                f"a task of Ray was lost {_RETRIES} times ({type(error).__name__}), perhaps for lack of "
                "memory; what is done is kept: run the same line again."
            ) from None


def _imported_ray() -> Any:
    try:
        import ray
    except ImportError:
        do = "pip install 'mlmguard[ray]', here and on every machine of the cluster"
        raise InputError("--engine ray", "Ray is not installed", do=do) from None
    return ray


def _task(given: tuple[Callable[[S], R], Mapping[str, str]], shard: S) -> tuple[R | None, tuple[str, int]]:
    """On the other machine: what the work gives, or a line and an exit code. Of an exception Ray would write
    down the words, which can hold text."""
    work, variables = given
    os.environ.update(variables)
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    try:
        return work(shard), ("", 0)
    except MlmguardError as error:
        return None, (str(error), error.exit_code)
    except Exception as error:
        return None, (f"shard {shard} broke ({type(error).__name__}).", 1)


def _result(told: tuple[R | None, tuple[str, int]]) -> R:
    result, (line, code) = told
    if code:
        failure = MlmguardError(line)
        failure.exit_code = code
        raise failure
    return result  # type: ignore[return-value]


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def default_workers(most: int | None = None) -> int:
    """The cores this process may use, or ``most`` of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, most or cores)
