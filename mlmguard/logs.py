"""Log lines of ``--verbose``: what began and ended, when, how fast; one line each, on stderr.

Deny by default. A line holds numbers, and names that pass :func:`mlmguard.report.clearance.name`. What a
library wants to say is a stranger's sentence and may quote a document: where it was said is logged, its words
are not, and without ``--verbose`` nothing is.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO

from mlmguard.report.clearance import name
from mlmguard.types import Progress

#: Seconds between two lines of one stage.
EVERY = 10.0

_began: float | None = None


def begin(command: str, version: str) -> None:
    """Log from here on."""
    global _began
    _began = time.monotonic()
    event("begin", command=command, version=version)


def end(exit_code: int) -> None:
    """The last line: how it ended, how long it took, the most memory that was held. Logging is off again."""
    global _began
    if _began is not None:
        from mlmguard.engine import peak_memory  # no start is to wait for it

        mebibytes = peak_memory() / 2**20
        event("end", exit_code=exit_code, seconds=time.monotonic() - _began, peak_mib=round(mebibytes))
        _began = None


def asked() -> bool:
    """Whether the command runs with --verbose."""
    return _began is not None


def event(what: str, **facts: str | int | float | None) -> None:
    """One line of ``key=value``; nothing without --verbose."""
    if _began is None:
        return
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    pairs = {"time": moment, "event": what, **facts}
    line = " ".join(f"{key}={_value(fact)}" for key, fact in pairs.items() if fact is not None)
    sys.stderr.write(f"{line}\n")


def _value(fact: str | int | float) -> str:
    if isinstance(fact, float):
        return f"{fact:.3g}" if fact < 100 else f"{fact:.0f}"
    text = name(str(fact))
    return f'"{text}"' if " " in text else text


def followed(progress: Progress) -> Progress:
    """``progress``, and a line when a stage begins, every :data:`EVERY` seconds, and when it is done."""
    stages: dict[str, tuple[float, float]] = {}  # name to when it began and when it was last logged

    def follow(stage: str, done: int, total: int | None) -> None:
        progress(stage, done, total)
        now = time.monotonic()
        began, logged = stages.get(stage, (now, 0.0))
        if stage not in stages or done == total or now - logged >= EVERY:
            seconds = now - began
            rate = done / seconds if seconds else None
            event("stage", stage=stage, done=done, total=total, seconds=seconds, rate=rate)
            logged = now
        stages[stage] = (began, logged)

    return follow


# --- what libraries say -------------------------------------------------------------------------------


def hear_libraries() -> None:
    """Send what libraries log, and Python's warnings, here instead of to the terminal as they are."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Places) for handler in root.handlers):
        root.addHandler(_Places())
    warnings.showwarning = _warned
    threading.excepthook = lambda ended: _broke(ended.exc_type, ended.exc_traceback)
    sys.unraisablehook = lambda ended: _taken_down(ended.exc_type, ended.exc_traceback)


def _broke(kind: type[BaseException], traceback: TracebackType | None) -> None:
    """An exception that nobody can catch: in a thread, or while something is taken down. Not its text."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}" if traceback else ""
    event("library", level="error", category=kind.__name__, place=place)


def _taken_down(kind: type[BaseException], traceback: TracebackType | None) -> None:
    """An exception in what takes an object down: a Ctrl-C that fell there is given to the program again."""
    if not issubclass(kind, KeyboardInterrupt):
        _broke(kind, traceback)
    elif not sys.is_finalizing():  # a thread started then never says that it began: one would wait for ever
        # from a thread: here it would be lost once more
        threading.Timer(_AGAIN, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()


_AGAIN = 0.05  # seconds


class _Places(logging.Handler):
    """The logger, the level and the place of a record, and not its message."""

    def emit(self, record: logging.LogRecord) -> None:
        place = f"{record.module}:{record.lineno}"
        event("library", level=record.levelname.lower(), logger=record.name, place=place)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    event("library", level="warning", category=category.__name__, place=f"{Path(filename).name}:{lineno}")
