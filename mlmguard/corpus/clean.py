"""The rows of ``clean/``, read back and held against what the scan wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlmguard.artifacts import find_run_folder, lines_of, read_json, read_noun, sha256_file
from mlmguard.errors import InputError
from mlmguard.types import Manifest


@dataclass(frozen=True)
class CleanCorpus:
    """The rows of ``clean/`` by split; ``held_out`` is validation and test together."""

    manifest: Manifest
    train: tuple[Mapping[str, str], ...]
    held_out: tuple[Mapping[str, str], ...]

    def __repr__(self) -> str:
        return f"CleanCorpus(train={len(self.train)}, held_out={len(self.held_out)})"


def read_clean(clean: Path) -> CleanCorpus:
    """The rows that ``mlmguard scan`` wrote; :class:`InputError` when they are not there or were edited."""
    if not (clean / "manifest.json").is_file():
        raise InputError(
            str(clean),
            "no manifest.json",
            "a folder written by `mlmguard scan`",
            "run `mlmguard scan CORPUS` first",
        )
    manifest = read_noun(clean / "manifest.json", Manifest)
    digests: Mapping[str, str] = {}
    scan_run = find_run_folder(manifest.run_id, clean.parent)
    if scan_run is not None:
        digests = read_json(scan_run / "scan.json").get("clean_files", {})
    rows: dict[str, list[Mapping[str, str]]] = {"train": [], "validation": [], "test": []}
    for shard in manifest.outputs:
        path = clean / Path(shard.path).name
        if not path.is_file():
            raise InputError(
                str(path), "missing", "every file the manifest names", "run `mlmguard scan` again"
            )
        if digests and digests.get(path.name) not in (None, sha256_file(path)):
            raise InputError(
                str(path),
                "changed since it was written",
                "the file its manifest names",
                "run `mlmguard scan` again",
            )
        for number, line in enumerate(lines_of(path), 1):
            try:
                row = json.loads(line)
                rows[shard.split].append({"id": row["id"], "text": row["text"], "unit": row["unit"]})
            except (ValueError, KeyError, TypeError):
                raise InputError(
                    f"{path}: line {number}", "not a row of clean text", '"id", "text" and "unit"'
                ) from None
    if not rows["train"]:
        raise InputError(str(clean), "no training document", "at least one row in train-*.jsonl")
    return CleanCorpus(manifest, tuple(rows["train"]), tuple(rows["validation"] + rows["test"]))
