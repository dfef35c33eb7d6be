"""A line every half minute where no terminal shows a bar: a log tells a long run from a dead one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlmguard.types import Progress

EVERY = 30.0  # seconds


@contextmanager
def heartbeat(say: Callable[[str], None], every: float = EVERY) -> Iterator[Progress]:
    """A :class:`mlmguard.types.Progress` that says where the work is, once in ``every`` seconds.

    Nothing is said of work that ends before.
    """
    began, ended = time.monotonic(), threading.Event()
    at: list[tuple[str, int, int | None]] = []

    def advance(stage: str, done: int, total: int | None) -> None:
        at[:] = [(stage, done, total)]

    def beat() -> None:
        while not ended.wait(every):
            minutes, seconds = divmod(int(time.monotonic() - began), 60)
            for stage, done, total in at[:] or [("starting", 0, None)]:
                counted = f"{done:,} of {total:,}" if total and total > 1 else f"{done:,}" if done else ""
                say(" · ".join(filter(None, (stage, counted, f"{minutes}:{seconds:02} since the start"))))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield advance
    finally:
        ended.set()
        thread.join()
