"""A stranger's file is read by a process that may die: a crash, a hang or a bomb costs that file.

The child has no secret and writes nothing but lines of JSON, which the parent takes apart. A document has
seconds of processor time (not of the clock, so that a busy machine reads the same documents), the child an
amount of memory. One child reads file after file; where it dies the next file gets another.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from mlmguard.corpus.read.document import Settings
from mlmguard.corpus.read.left_out import LeftOut
from mlmguard.types import Document, Skipped

SECONDS = 10.0
"""Of processor time for one document: a thousand times what an ordinary one takes."""
MEMORY = 4 << 30
"""Bytes that a child may map for what it reads: a JSON file of 256 MiB, parsed, takes most of them."""
_SILENT = 600.0  # seconds of the clock without a byte: a file system that hangs
_PIECE = 1 << 16
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_IO_THREADS")

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from mlmguard.corpus.read.documents import serve; serve()"


# --- the parent ---------------------------------------------------------------------------------------


class Child:
    """A process that reads the files it is given, one after the other."""

    def __init__(self) -> None:
        # isolated: no module of the working folder is imported in place of one of Python's
        command = [sys.executable, "-I", "-c", _PROGRAM, *sys.path]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **dict.fromkeys(_THREADS, "1")},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._asks, self._answers = self._process.stdin, self._process.stdout
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._answers, selectors.EVENT_READ)

    def read(
        self, path: Path, name: str, settings: Settings, advance: Callable[[int], None]
    ) -> Iterator[Document | Skipped]:
        """Yield what the child reads in one file. It is dead afterwards where :attr:`alive` says so."""
        ask = {"path": os.fspath(path.absolute()), "name": name, "settings": asdict(settings)}
        try:
            self._asks.write(json.dumps(ask).encode() + b"\n")
            self._asks.flush()
            for line in self._lines(64 * settings.max_chars + _PIECE):
                at, item = _item(json.loads(line))
                if item is None:
                    return
                advance(at)
                yield item
        except (ValueError, TypeError, KeyError, RecursionError, BrokenPipeError):
            self.kill()  # what it wrote is not what a child of ours writes
        yield Skipped(name, self._fate())

    def _lines(self, longest: int) -> Iterator[bytes]:
        """Whole lines of the answer, until the child is silent for good."""
        rest = b""
        while self._ready.select(_SILENT):
            data = os.read(self._answers.fileno(), 1 << 20)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n") if b"\n" in data else (rest + data,)
            yield from lines
            if len(rest) > longest:
                break
        self.kill()

    def _fate(self) -> str:
        """Why there is no more of the file."""
        code = self._process.wait()
        self.kill()
        if code == -signal.SIGPROF:
            return f"takes more than {SECONDS:g} seconds of processor time"
        if code == _NO_MEMORY:
            return f"takes more than {MEMORY >> 30} GiB of memory"
        return f"reading it crashed ({signal.Signals(-code).name})" if code < 0 else "reading it broke off"

    @property
    def alive(self) -> bool:
        """Can it be given another file?"""
        return self._process.poll() is None

    @property
    def spent(self) -> float:
        """Seconds of processor time that it has taken, where the system tells; 0 otherwise."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._ready.close()
        for stream in (self._asks, self._answers):
            with suppress(OSError):
                stream.close()


_IDLE: list[Child] = []
"""Children without a file: starting one takes a tenth of a second. They end with this process."""


def read(
    path: Path, name: str, settings: Settings, advance: Callable[[int], None]
) -> Iterator[Document | Skipped]:
    """Yield the documents of one file and what of it was left out, as a child reads them."""
    child = _IDLE.pop() if _IDLE else Child()
    if not child.alive:  # killed by somebody else while it had nothing to do
        child.kill()
        child = Child()
    whole = False
    try:
        yield from child.read(path, name, settings, advance)
        whole = True
    finally:
        if whole and child.alive:
            _IDLE.append(child)
        else:
            child.kill()


def _item(said: Any) -> tuple[int, Document | Skipped | None]:
    """An item of a child's answer; :class:`TypeError` or :class:`ValueError` for anything else."""
    at, kind, *values = said
    if not isinstance(at, int):
        raise TypeError("place")
    if kind == "end":
        return at, None
    if kind == "skipped":
        source, reason, line, records = values
        if not (isinstance(source, str) and isinstance(reason, str) and isinstance(line, int)):
            raise TypeError("skipped")
        if type(records) is not int or records < 1:
            raise TypeError("records")
        return at, Skipped(source, reason, line, records)
    id, text, source, unit, metadata, taken = values
    if not all(isinstance(value, str) for value in (id, text, source, unit, *metadata, *metadata.values())):
        raise TypeError("document")
    return at, Document(id, text, source, unit, metadata, bool(taken))


# --- the child ----------------------------------------------------------------------------------------

_NO_MEMORY = 12


def serve(reader: Callable[..., Iterator[Document | Skipped]]) -> None:
    """Read what is asked for on standard input until it ends, by ``reader``; items go to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too: the parent says the line
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _limit(resource.RLIMIT_AS, MEMORY + _mapped())
    _limit(resource.RLIMIT_CORE, 0)  # it would hold text
    with os.fdopen(os.dup(1), "wb", buffering=1 << 18) as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        for line in sys.stdin.buffer:
            try:
                _answer(json.loads(line), reader, answers)
            except MemoryError:
                os._exit(_NO_MEMORY)
            except BrokenPipeError:  # nobody listens
                os._exit(1)


def _answer(ask: Any, reader: Callable[..., Iterator[Document | Skipped]], answers: IO[bytes]) -> None:
    at, left_out = 0, LeftOut()

    def advance(now: int) -> None:
        nonlocal at
        at = now

    def say(*values: object) -> None:
        line = json.dumps((at, *values), ensure_ascii=False, separators=(",", ":"))
        answers.write(line.encode("utf-8", "surrogatepass") + b"\n")

    def say_skipped(item: Skipped) -> None:
        say("skipped", item.source, item.reason, item.line, item.records)

    _start_clock()
    try:
        for item in reader(Path(ask["path"]), ask["name"], Settings(**ask["settings"]), advance):
            if isinstance(item, Skipped):
                if left_out.add(item):
                    say_skipped(item)
            else:
                metadata = dict(item.metadata)
                say("document", item.id, item.text, item.source, item.unit, metadata, item.id_was_taken)
            _start_clock()
    except (MemoryError, BrokenPipeError):
        raise
    except Exception as error:  # a stranger's bytes in a library of somebody else's: anything may be raised
        say_skipped(Skipped(ask["name"], f"cannot be read ({type(error).__name__})"))
    for counted in left_out.counted():
        say_skipped(counted)
    signal.setitimer(signal.ITIMER_PROF, 0)
    say("end")
    answers.flush()


def _start_clock() -> None:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)


def _mapped() -> int:
    """Bytes of address space that Python and its libraries have taken before the first file."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (allowed, allowed))
