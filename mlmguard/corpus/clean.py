"""The rows of ``clean/``, read back and compared with what the scan wrote."""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlmguard.artifacts import find_run_folder, read_json, read_noun, sha256_file
from mlmguard.corpus.split import SPLITS
from mlmguard.errors import InputError
from mlmguard.types import Manifest, Shard

Row = Mapping[str, str]
KEYS = ("id", "text", "unit")


@dataclass(frozen=True)
class Damaged:
    """A shard that is not what the scan wrote. ``documents`` is how many it held, by the manifest."""

    shard: str
    split: str
    documents: int
    reason: str


@dataclass(frozen=True)
class CleanFolder:
    """``clean/`` with every shard looked at; its rows are read when they are needed, one at a time."""

    folder: Path
    manifest: Manifest
    sound: tuple[Shard, ...]
    damaged: tuple[Damaged, ...]
    sealed: bool  # compared with the digests in the scan's run folder, not only read
    digests: Mapping[str, str] = field(repr=False)  # SHA-256 of each sound shard

    def rows(self, *splits: str) -> Iterator[Row]:
        """``{"id", "text", "unit"}`` of every row in the sound shards of ``splits``, in their order."""
        for shard in self.sound:
            if shard.split in splits:
                yield from _rows(self.folder / shard.path)


@dataclass(frozen=True)
class CleanCorpus:
    """The rows of ``clean/`` by split; ``held_out`` is validation and test together."""

    manifest: Manifest
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]

    def __repr__(self) -> str:
        return f"CleanCorpus(train={len(self.train)}, held_out={len(self.held_out)})"


def open_clean(clean: Path, without: Collection[str] = ()) -> CleanFolder:
    """What ``mlmguard scan`` wrote, each shard compared with its digest, or read where there is none at hand.

    Shards named in ``without`` are not looked at. Raises :class:`InputError` when ``clean`` is no such
    folder, when its manifest names other files than the scan wrote, or when no training row is left.
    """
    if not (clean / "manifest.json").is_file():
        raise InputError(
            str(clean),
            "no manifest.json",
            "a folder written by `mlmguard scan`",
            "run `mlmguard scan CORPUS` first",
        )
    manifest = read_noun(clean / "manifest.json", Manifest)
    scan_run = find_run_folder(manifest.run_id, clean.parent)
    written: Mapping[str, str] = {}
    if scan_run is not None:
        written = read_json(scan_run / "scan.json").get("clean_files", {})
    if written and set(written) != {shard.path for shard in manifest.outputs}:
        raise InputError(
            str(clean / "manifest.json"), "it names other files than the scan wrote",
            "the manifest as it was", "run `mlmguard scan` again",
        )  # fmt: skip
    sound, damaged, digests = [], [], {}
    for shard in manifest.outputs:
        if shard.path in without:
            continue
        path = clean / Path(shard.path).name
        reason = _damage(path, shard, written.get(shard.path))
        if reason:
            damaged.append(Damaged(shard.path, shard.split, shard.documents, reason))
        else:
            sound.append(shard)
            digests[shard.path] = written.get(shard.path) or sha256_file(path)
    found = CleanFolder(clean, manifest, tuple(sound), tuple(damaged), bool(written), digests)
    if not any(shard.split == "train" for shard in sound):
        refuse_damaged(found)
        raise InputError(str(clean), "no training document", "at least one row in train-*.jsonl")
    return found


def read_clean(clean: Path, without: Collection[str] = ()) -> CleanCorpus:
    """All rows at once, but those of the shards ``without``; :class:`InputError` where a shard is damaged."""
    found = open_clean(clean, without)
    refuse_damaged(found)
    return whole(found)


def whole(folder: CleanFolder) -> CleanCorpus:
    """All rows of ``folder`` at once."""
    return CleanCorpus(folder.manifest, tuple(folder.rows("train")), tuple(folder.rows("validation", "test")))


def of_run(known: Mapping[str, Any], do: str) -> CleanFolder:
    """Open the corpus that a run was trained on, by what its ``run.json`` holds.

    Raises :class:`InputError` where a shard is damaged, or, with what to ``do``, where it is another corpus.
    """
    corpus = open_clean(Path(known["clean"]), [shard["shard"] for shard in known.get("left_out", ())])
    refuse_damaged(corpus)
    if corpus.manifest.commitment != known["commitment"]:
        found = "another corpus than the checkpoint was trained on"
        raise InputError(known["clean"], found, "the one with its digest", do)
    return corpus


def refuse_damaged(corpus: CleanFolder, splits: Collection[str] = SPLITS, more: str = "") -> None:
    """Raise :class:`InputError` by the name of the first damaged shard of ``splits``, if there is one."""
    for shard in (one for one in corpus.damaged if one.split in splits):
        raise InputError(
            str(corpus.folder / shard.shard), shard.reason + more, "the file as the scan wrote it",
            "run `mlmguard scan` again",
        )  # fmt: skip


def _damage(path: Path, shard: Shard, digest: str | None) -> str:
    """Why ``path`` is not ``shard`` as it was written; "" if it is, as far as can be known."""
    try:
        if not path.is_file():
            return "missing"
        if digest is not None:
            return "" if sha256_file(path) == digest else "changed since it was written"
        count = sum(1 for _ in _rows(path))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except InputError as error:
        return f"{error.thing.removeprefix(f'{path}: ')}: {_NO_ROW}"
    return "" if count == shard.documents else f"{count} rows, {shard.documents} by the manifest"


_NO_ROW = "not a row of clean text"


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:  # as bytes: text lines would break at U+2028, too
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                known = {key: row[key] for key in KEYS}
                whole = all(isinstance(value, str) for value in known.values())
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                raise InputError(f"{path}: line {number}", _NO_ROW, '"id", "text" and "unit"')
            yield known


# --- what the scan found in them ----------------------------------------------------------------------


class Findings:
    """Where the scan took something personal out of each row, in characters of the clean text.

    24 bytes a finding: rows are known by a hash of their id, because all of a corpus' findings as Python
    objects would weigh more than its text.
    """

    def __init__(self, spans: Path) -> None:
        hashes, starts, ends = array("q"), array("q"), array("q")
        with spans.open("rb") as lines:
            for line in lines:
                span = json.loads(line)
                if not span["redacted"]:
                    continue
                hashes.append(hash(span["id"]))
                starts.append(span["clean_start"])
                ends.append(span["clean_end"])
        own = np.frombuffer(hashes, np.int64)
        order = np.argsort(own, kind="stable")
        self._hashes = own[order]
        self._spans = np.stack([np.frombuffer(starts, np.int64), np.frombuffer(ends, np.int64)], 1)[order]

    def of(self, row_id: str) -> list[tuple[int, int]]:
        """(start, end) of each finding in the row ``row_id``, end exclusive."""
        own = hash(row_id)
        first, last = np.searchsorted(self._hashes, own), np.searchsorted(self._hashes, own, "right")
        return [(int(start), int(end)) for start, end in self._spans[first:last]]


def findings_of(corpus: CleanFolder) -> Findings | None:
    """Return the findings of the scan that wrote ``corpus``; None where its run folder is not at hand."""
    folder = find_run_folder(corpus.manifest.run_id, corpus.folder.resolve().parent)
    spans = folder / "spans.jsonl" if folder else None
    return Findings(spans) if spans is not None and spans.is_file() else None


def source_of(row_id: str) -> str:
    """Return the top-level folder or file that a row came from."""
    return row_id.partition("/")[0].partition("#")[0]
