"""Nouns to files and back: written to a temporary name, flushed to disk, renamed last.

A reader of these files sees either the old file or the whole new one, never half of one. Bytes from
outside become nouns through pydantic with ``extra="forbid"``: a key nobody knows is an error, not noise.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import hmac
import json
import math
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mlmguard.errors import InputError

_T = TypeVar("_T")

RUNS = Path(".mlmguard") / "runs"
LARGEST = 1 << 28
"""Bytes of a file that is read whole: reports have a few million, ``/dev/zero`` has no end."""


# --- files --------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A binary file that takes ``path``'s place when the block ends well, and vanishes when it does not.

    What killed processes have left half-written beside it is removed first.
    """
    try:
        _sweep(made(path.parent))
        handle, name = _temporary(path.parent)
    except FileNotFoundError:  # as in /proc
        raise InputError(str(path), "the system keeps no files there", do="name another place") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


_SWEPT: set[Path] = set()
"""Folders in which this process has looked for what others left: once is enough, and they may be large."""


def _sweep(folder: Path) -> None:
    """Remove temporary files that nobody writes to: the lock of a killed process fell with it."""
    if folder.absolute() in _SWEPT:
        return
    _SWEPT.add(folder.absolute())
    for left in folder.glob(f"{_TEMPORARY}*"):
        with suppress(OSError), left.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _temporary(folder: Path) -> tuple[int, str]:
    """A new file in ``folder``, open and locked, so that :func:`_sweep` of another process leaves it."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=_TEMPORARY)
        with suppress(OSError):  # somebody sweeps it this moment; or a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if Path(name).exists():
            return handle, name
        os.close(handle)


_TEMPORARY = ".tmp-"


def made(folder: Path) -> Path:
    """``folder``, and what is missing above it, made for its owner and group alone, whatever the umask."""
    if not folder.is_dir():
        made(folder.parent)
        with suppress(FileExistsError):  # made by somebody else by now; or a file, which whoever writes names
            folder.mkdir()
            folder.chmod(0o750)
    return folder


@contextmanager
def locked(*folders: Path) -> Iterator[None]:
    """Let one process at a time work in each of ``folders``, which are; a killed one holds nothing."""
    with ExitStack() as held:
        for folder in sorted({folder.resolve() for folder in folders}):
            descriptor = os.open(folder, os.O_RDONLY)
            held.callback(os.close, descriptor)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """A folder (0700) in ``parent`` that is gone after the block, renamed or not.

    What a killed process has left of this name is removed first: its lock fell with it.
    """
    prefix = f".mlmguard-{name}-"
    with locked(made(parent)):
        for left in parent.glob(f"{glob.escape(prefix)}*"):
            if (lock := _lock_of(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        lock = _lock_of(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def hold(folder: Path, shared: bool = False) -> int:
    """A descriptor that keeps others from ``folder`` until it is closed, or the process ends (``shared``:
    those who want it alone). Raises :class:`InputError` where somebody else has it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        found, do = "another process works in it", "wait for it, or give it another place or other settings"
        raise InputError(str(folder), found, "one at a time", do) from None
    except OSError:
        pass  # a file system without locks
    return descriptor


def _lock_of(folder: Path) -> int | None:
    """A descriptor that keeps others away from ``folder``; None where somebody else has it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write ``text`` as UTF-8 to ``path``, all or nothing."""
    with replacing(path, mode) as stream:
        stream.write(text.encode("utf-8"))


def to_json(value: object) -> str:
    """JSON of a noun or of plain data: sorted keys, no NaN (a number that is not one is a bug here)."""
    data = asdict(value) if hasattr(value, "__dataclass_fields__") else value  # type: ignore[call-overload]
    return (
        json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
    )


def _plain(value: object) -> object:
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)  # type: ignore[call-overload]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def write_json(path: Path, value: object, mode: int = 0o644) -> None:
    """Write a noun or plain data as JSON to ``path``, all or nothing."""
    write_text(path, to_json(value), mode)


def lines_of(path: Path) -> list[str]:
    """The lines of a JSON Lines file. Not ``splitlines``: it breaks at U+0085 and U+2028, which may stand in
    a JSON string as they are."""
    text = path.read_text("utf-8").removesuffix("\n")
    return text.split("\n") if text else []


def read_json(path: Path) -> Any:
    """Plain data of a JSON file; :class:`InputError` if it is missing, not UTF-8 or cut short, nested beyond
    reason, or holds a number that is none (no file of ours does)."""
    return json_of(text_of(path, "a JSON file written by mlmguard"), str(path))


def text_of(path: Path, expected: str, most: int = LARGEST) -> str:
    """The text of a file that a stranger may have made: no device, no pipe, nothing endless."""
    try:
        with open(path, "rb", opener=_at_once) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InputError(str(path), "not a regular file", expected)
            data = stream.read(most + 1)
        if len(data) > most:
            raise InputError(str(path), f"larger than {most:,} bytes", expected)
        return data.decode("utf-8")
    except FileNotFoundError:
        raise InputError(str(path), "no such file", do="check the path") from None
    except UnicodeDecodeError:
        raise InputError(str(path), "not UTF-8 text", expected) from None
    except OSError as error:
        raise InputError(str(path), os.strerror(error.errno or 0).lower(), expected) from None
    except ValueError:  # a NUL in the path
        raise InputError(repr(str(path)), "not a path", expected) from None


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe that nobody fills must not hold us up


def json_of(text: str, thing: str) -> Any:
    """Plain data of JSON; :class:`InputError` names ``thing`` and never shows what stands in it."""
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise InputError(
            thing, f"not valid JSON at line {error.lineno}", "a complete file", "was it cut short?"
        ) from None
    except RecursionError:
        raise InputError(thing, "nested too deep", "a file written by a program for another") from None
    except ValueError:  # NaN, Infinity, 1e999 or an integer of thousands of digits
        raise InputError(thing, "a number that is none, or beyond every measure", "finite numbers") from None


def _refused(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("infinite")
    return number


def read_noun(path: Path, noun: type[_T]) -> _T:
    """The noun stored in ``path``; :class:`InputError` names the key or value that does not fit."""
    return as_noun(read_json(path), noun, str(path))


def as_noun(data: Any, noun: type[_T], thing: str) -> _T:
    """``data`` (from JSON) as a noun; values of a wrong type are named, never shown."""
    expected = getattr(noun, "schema", "")
    if not isinstance(data, dict):
        raise InputError(thing, "not a JSON object", f"a {noun.__name__}")
    found = data.get("schema", "")
    if found != expected:
        alike = str(found).rpartition("/")[0] == expected.rpartition("/")[0]
        do = "was it written by another version of mlmguard?" if alike else "that is a file of another kind"
        raise InputError(thing, f"schema {str(found)[:60]!r}", f"{expected!r}", do)
    try:
        # as JSON, for which strict means: no text where a number belongs, and "yes" is no boolean
        return TypeAdapter(noun).validate_json(json.dumps(data, default=_plain), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(thing, f"{place}: {first['msg'].lower()}", f"a {noun.__name__}") from None


def json_schema(noun: type[Any]) -> dict[str, Any]:
    """The JSON Schema of a noun's file form."""
    return TypeAdapter(noun).json_schema()


# --- digests ------------------------------------------------------------------------------------------


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces; :class:`InputError` for what is none, or cannot be read.

    In a stranger's folder a name may stand for a device without end, a pipe that nobody fills, or itself.
    """
    try:
        with open(path, "rb", opener=_at_once) as stream:
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return hashlib.file_digest(stream, "sha256").hexdigest()
            found = "not a regular file"
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        found = os.strerror(error.errno).lower()
    raise InputError(str(path), found, "a file that can be read")


_OF_THE_FILE = (errno.ELOOP, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO)
"""Errors that say something of the file, and not of this machine."""


WEIGHTS = (".safetensors", ".bin")


def folder_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in ``folder`` and the folders in it, by its path from there."""
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files_below(folder)}


def files_below(folder: Path) -> list[Path]:
    """Every file in ``folder`` and the folders in it, sorted; links to folders are not followed."""
    return sorted(path for here, _, names in walk(folder) for n in names if (path := here / n).is_file())


def walk(folder: Path, lost: Callable[[Path], object] = bool) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As :func:`os.walk`, sorted, and however deep; ``lost`` hears of folders that cannot be read."""
    left = [folder]
    while left:
        here, inner, names = left.pop(), list[str](), list[str]()
        try:
            for path in sorted(here.iterdir()):
                (inner if path.is_dir() else names).append(path.name)
        except OSError:
            lost(here)
        yield here, inner, names
        left += [path for path in (here / name for name in reversed(inner)) if not path.is_symlink()]


def together(digests: Mapping[str, str]) -> str:
    """One SHA-256 over names and digests."""
    total = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


def weights_digest(checkpoint: Path) -> str:
    """One SHA-256 over the names and digests of a checkpoint's weight files."""
    files = [path for path in checkpoint.iterdir() if path.suffix in WEIGHTS]
    return together({path.name: sha256_file(path) for path in files})


# --- the key ------------------------------------------------------------------------------------------


class Key:
    """The secret behind fingerprints. It is never in a ``repr``, a report or a run folder."""

    def __init__(self, secret: bytes) -> None:
        self.__secret = secret

    def __repr__(self) -> str:
        return f"Key(id={self.id})"

    @property
    def id(self) -> str:
        """A name for the key that does not give it away: two runs with one id can be compared."""
        return hmac.new(self.__secret, b"mlmguard key id", hashlib.sha256).hexdigest()[:12]

    def fingerprint(self, kind: str, value: str) -> str:
        """A keyed name for ``value``: the same for the same value, useless to who lacks the key."""
        message = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.digest(self.__secret, message, "sha256").hex()[:16]

    def seal(self, message: str) -> str:
        """An HMAC of ``message`` under a key of its own, so that no fingerprint is ever a seal."""
        own = self.derived("seal v1")
        return hmac.new(own, message.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def derived(self, purpose: str) -> bytes:
        """32 bytes for another use: they lead neither back to the key nor to those of a third."""
        return hmac.new(self.__secret, f"mlmguard {purpose}".encode(), hashlib.sha256).digest()


def _of_the_user(named: str, base: str, *usual: str) -> Path:
    """What the variable ``named`` says, else ``usual`` in the user's folder of XDG's variable ``base``."""
    if os.environ.get(named):
        return Path(os.environ[named])
    root, *below = usual
    chosen = os.environ.get(base)
    return (Path(chosen) if chosen else Path.home() / root).joinpath("mlmguard", *below)


def key_path() -> Path:
    """Where the key lies: ``MLMGUARD_KEY_FILE``, else the user's configuration folder."""
    return _of_the_user("MLMGUARD_KEY_FILE", "XDG_CONFIG_HOME", ".config", "key")


def state_folder() -> Path:
    """Where what belongs to all working folders lies: ``MLMGUARD_STATE``, else the user's state folder."""
    return _of_the_user("MLMGUARD_STATE", "XDG_STATE_HOME", ".local/state")


def made_state_folder() -> Path:
    """The :func:`state_folder`, made (0700) at first use; :class:`InputError` where it cannot be written."""
    folder: Path | str = "there is no home"
    try:
        folder = state_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        raise InputError(
            "MLMGUARD_STATE",
            f"the state folder cannot be written ({folder})",
            "a folder of yours, where every run on a corpus is entered",
            "name another with MLMGUARD_STATE",
        ) from None


def load_key() -> Key:
    """The user's key, created (0600) at first use."""
    path: Path | str = "there is no home"
    try:
        path = key_path()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text(path, secrets.token_hex(32) + "\n", mode=0o600)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            "MLMGUARD_KEY_FILE",
            f"the key cannot be written ({path})",
            "a file of yours, which seals and fingerprints are made with",
            "name another with MLMGUARD_KEY_FILE",
        ) from None
    try:
        secret = bytes.fromhex(Path(path).read_text("utf-8", errors="replace").strip())
    except (ValueError, OSError):
        secret = b""
    if len(secret) < 16:
        raise InputError(
            str(path), "not a key", "at least 32 hexadecimal digits", "name another with MLMGUARD_KEY_FILE"
        )
    return Key(secret)


def key_at_hand() -> Key | None:
    """The user's key where there is one; :class:`InputError` where there is and it cannot be read."""
    try:
        there = key_path().exists()
    except (OSError, RuntimeError):  # no home, or one that may not be looked into
        return None
    return load_key() if there else None


# --- run folders --------------------------------------------------------------------------------------


def run_folder(run_id: str, base: Path | None = None) -> Path:
    """Make (0700) and return the private folder of a run: what nobody outside should have."""
    root = base if base is not None else RUNS
    for folder in (root.parent, root, root / run_id):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    ignore = root.parent / ".gitignore"
    if not ignore.exists():
        write_text(ignore, "*\n", mode=0o600)
    return root / run_id


def run_folders(run_id: str, *near: Path) -> list[Path]:
    """Every folder of that run: beside each path in ``near``, which what it is of named, and then here."""
    if not run_id or "/" in run_id or run_id.startswith("."):
        return []
    found = [base / RUNS / run_id for base in (*near, Path())]
    known = {path.resolve(): path for path in reversed(found) if path.is_dir()}
    return [path for path in found if known.get(path.resolve()) is path]


def find_run_folder(run_id: str, *near: Path) -> Path | None:
    """The nearest folder of a finished or interrupted run: beside a path in ``near``, else here."""
    return next(iter(run_folders(run_id, *near)), None)


def source_date() -> str:
    """ISO date for files that people read: ``SOURCE_DATE_EPOCH`` when set, else today (UTC)."""
    from datetime import UTC, datetime

    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch and epoch.isdigit() else datetime.now(UTC)
    return moment.date().isoformat()
