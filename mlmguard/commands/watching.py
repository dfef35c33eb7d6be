"""Whoever watches a command: the progress bar, the log, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlmguard import console, logs
from mlmguard.types import Watcher

STEPPED = ("train", "warm up on public text")
"""Stages in which a first Ctrl-C waits for the step to end, so that the run can go on from there."""


@contextmanager
def watched(quiet: bool) -> Iterator[Watcher]:
    """Show progress, and let work end at the first Ctrl-C or SIGTERM of a stage that has steps.

    The second one, and any in a stage without steps, raises KeyboardInterrupt at once.
    """
    stopping, running = False, ""

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping or running not in STEPPED:
            raise KeyboardInterrupt
        stopping = True
        console.say("stopping after this step; again to stop at once", quiet)

    # where SIGINT is ignored (nohup, a job in the background) it stays ignored
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGTERM
    ]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        with console.progress_bar(quiet) as progress:

            def noticed(stage: str, done: int, total: int | None) -> None:
                nonlocal running
                running = stage
                progress(stage, done, total)

            yield Watcher(logs.followed(noticed), lambda line: console.say(line, quiet), lambda: stopping)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible(quiet: bool) -> Iterator[Watcher]:
    """Show progress of work that starts anew: SIGTERM is a Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with console.progress_bar(quiet) as progress:
            yield Watcher(logs.followed(progress), lambda line: console.say(line, quiet))
    finally:
        signal.signal(signal.SIGTERM, before)
