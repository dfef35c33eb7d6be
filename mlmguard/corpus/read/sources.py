"""A corpus that does not lie in a folder: standard input, and places that only fsspec reaches.

Both become files in a private folder beside the run folders, because the audit reads the corpus again. The
network is used only where the user names a place that is reached by it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mlmguard import artifacts
from mlmguard.errors import InputError


def local(named: str, key: artifacts.Key, stdin: IO[bytes], runs: Path | None = None) -> Path:
    """Return the path of the corpus ``named`` on the command line: itself, or where it was copied to.

    ``-`` is standard input: JSON lines if it begins with a brace, a mailbox if with "From ", else one text.
    """
    if named == "-":
        return _received(stdin, key, runs)
    if "://" in named:
        return _fetched(named, key, runs)
    return Path(named)


def _received(stdin: IO[bytes], key: artifacts.Key, runs: Path | None) -> Path:
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stdin, copy)
        copy.seek(0)
        start = copy.read(1000).lstrip()
        if not start:
            raise InputError("standard input", "empty", "a text, JSON lines or a mailbox")
        suffix = ".jsonl" if start[:1] == b"{" else ".mbox" if start.startswith(b"From ") else ".txt"
        copy.seek(0)
        name = key.fingerprint("received", hashlib.file_digest(copy, "sha256").hexdigest())
        copy.seek(0)
        path = artifacts.run_folder(f"received-{name}", runs) / f"stdin{suffix}"
        with artifacts.replacing(path, mode=0o600) as stream:
            shutil.copyfileobj(copy, stream)
    return path


def _fetched(url: str, key: artifacts.Key, runs: Path | None) -> Path:
    from fsspec.core import url_to_fs

    shown = f"{url.partition('://')[0]}://…"  # the rest can hold a password
    folder = artifacts.run_folder(f"fetched-{key.fingerprint('fetched', url)}", runs)
    target = folder / "corpus"
    coming = Path(tempfile.mkdtemp(dir=folder, prefix=".coming-"))
    try:
        system, root = url_to_fs(url)
        single = system.isfile(root)
        for path in [root] if single else sorted(system.find(root)):
            name = PurePosixPath(path).relative_to(PurePosixPath(root).parent if single else root)
            if ".." not in name.parts:
                _copy(system, path, coming / name)
        if not any(coming.iterdir()):
            raise InputError(shown, "nothing there", "files with text", "check the address")
        shutil.rmtree(target, ignore_errors=True)
        coming.rename(target)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            shown, f"needs the package {error.name or 'of that protocol'}", do="install it"
        ) from None
    except Exception as error:  # every protocol fails in its own way, and its words can hold the address
        raise InputError(
            shown, f"cannot be read ({type(error).__name__})", "a place that fsspec reaches"
        ) from None
    finally:
        shutil.rmtree(coming, ignore_errors=True)
    return target


def _copy(system: Any, path: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with system.open(path, "rb") as far, to.open("wb") as near:
        shutil.copyfileobj(far, near)
