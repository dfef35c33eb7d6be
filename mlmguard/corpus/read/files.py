"""Which files a corpus has: a folder, a file or a pattern, in the order of their paths."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlmguard.artifacts import text_of, walk
from mlmguard.errors import InputError
from mlmguard.types import Skipped


def files(corpus: Path, ignore: Iterable[Path] = ()) -> Iterator[tuple[str, Path | Skipped]]:
    """Yield (name, path) of the corpus's files, sorted; a :class:`Skipped` for what must not be followed.

    Hidden files and folders, and folders that mlmguard wrote, are not part of the corpus. A pattern
    (``notes/**/*.txt``) names its files from its first folder without a star on.
    """
    if corpus.is_file():
        yield _shown(corpus.name), corpus
        return
    if not corpus.exists() and glob.has_magic(str(corpus)):
        root = next(folder for folder in corpus.parents if not glob.has_magic(str(folder)))
        wanted = {path for path in root.glob(str(corpus.relative_to(root))) if not path.is_dir()}
        found = [item for item in _walk(root, ignore) if root / item[0] in wanted] if wanted else []
    elif not corpus.exists():
        raise InputError(str(corpus), "no such folder or file", "a folder with text files", "check the path")
    else:
        found = list(_walk(corpus, ignore))
    if not found:
        raise InputError(str(corpus), "no file there", "text files", "check the path")
    shown = sorted(((_shown(name), thing) for name, thing in found), key=lambda item: item[0])
    for name, thing in shown:
        yield name, thing if isinstance(thing, Path) else Skipped(name, thing)


def _walk(corpus: Path, ignore: Iterable[Path]) -> Iterator[tuple[str, Path | str]]:
    """(name, path) of every file in a folder, or (name, why it is not followed)."""
    root, ours = corpus.resolve(), {place for path in ignore if (place := _place(path))}
    lost: list[Path] = []
    for here, subfolders, names in walk(corpus, lost.append):
        linked = [name for name in subfolders if (here / name).is_symlink() and not name.startswith(".")]
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and name not in linked and not _is_ours(here / name, ours)
        ]
        for name in linked:
            yield (here / name).relative_to(corpus).as_posix(), "symbolic link to a folder"
        about_the_rest = _about_a_dataset(here, set(names))
        for name in names:
            if name.startswith(".") or name in about_the_rest:
                continue
            path = here / name
            shown = path.relative_to(corpus).as_posix()
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                yield shown, "symbolic link that leaves the corpus"
            elif not path.is_file():
                yield shown, "not a regular file"
            else:
                yield shown, path
    for here in lost:
        yield here.relative_to(corpus).as_posix(), "a folder that cannot be read"


def _about_a_dataset(here: Path, names: set[str]) -> frozenset[str]:
    """The files that describe a saved Hugging Face dataset; its rows are in the ``.arrow`` files beside."""
    if {"dataset_info.json", "state.json"} <= names:
        return frozenset({"dataset_info.json", "state.json"})
    if "dataset_dict.json" in names and any(here.glob("*/state.json")):
        return frozenset({"dataset_dict.json"})
    return frozenset()


def size(corpus: Path, ignore: Iterable[Path] = ()) -> int:
    """Count the bytes of all files that :func:`read` would open."""
    return sum(path.stat().st_size for _, path in files(corpus, ignore) if isinstance(path, Path))


def _place(folder: Path) -> tuple[int, int] | None:
    """What a folder is, by whatever path: to resolve one a thousand deep takes a second."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_ours(folder: Path, ours: set[tuple[int, int]]) -> bool:
    if _place(folder) in ours:
        return True
    manifest = folder / "manifest.json"
    try:
        return manifest.is_file() and '"mlmguard/manifest/' in text_of(manifest, "a manifest")
    except (InputError, OSError):
        return False


def _shown(name: str) -> str:
    """A path that can be written anywhere: bytes that are not UTF-8 and control characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def digests(corpus: Path, ignore: Iterable[Path] = ()) -> dict[str, str]:
    """Give name -> SHA-256 of every file that :func:`read` would open."""
    return {name: digest(path) for name, path in files(corpus, ignore) if isinstance(path, Path)}


def digest(path: Path) -> str:
    """Give the SHA-256 of a file, or "unreadable"."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "unreadable"
