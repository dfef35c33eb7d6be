"""A folder with a corpus, and what a scan makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlmguard import artifacts
from mlmguard.corpus.shards import ShardRecord
from mlmguard.scan import ScanSettings, examine_shard, scan
from mlmguard.types import Manifest

KEY = artifacts.Key(b"k" * 32)


class Place:
    """A working folder with a corpus, and what a scan makes of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.corpus = root, root / "corpus"
        self.clean, self.reports, self.runs = root / "clean", root / "reports", root / ".mlmguard" / "runs"

    def put(self, name: str, content: str | bytes) -> None:
        path = self.corpus / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def scan(self, key: artifacts.Key = KEY, **settings: Any) -> Manifest:
        chosen = ScanSettings(**settings)
        return scan(
            self.corpus, self.clean, self.reports, key=key, settings=chosen, runs=self.runs, overwrite=True
        )

    def shard(self, number: int, of: int, key: artifacts.Key = KEY, **settings: Any) -> ShardRecord:
        overwrite = settings.pop("overwrite", False)
        chosen = ScanSettings(**{"shard": f"{number}/{of}", **settings})
        return examine_shard(
            self.corpus,
            self.clean,
            self.reports,
            key=key,
            settings=chosen,
            runs=self.runs,
            overwrite=overwrite,
        )

    @property
    def shards(self) -> Path:
        (folder,) = self.runs.glob("shards-*")
        return folder

    @property
    def run(self) -> Path:
        (folder,) = self.runs.glob("scan-*")
        return folder

    def rows(self, split: str = "*") -> list[dict[str, str]]:
        return [row for file in sorted(self.clean.glob(f"{split}-*.jsonl")) for row in jsonl(file)]


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def outputs(place: Place) -> dict[str, bytes]:
    """Everything but timings, and but the absolute paths in the run folder's scan.json."""
    found = {
        n: b
        for n, b in files(place.root).items()
        if not n.startswith(("corpus/", "gold")) and "scan.run" not in n
    }
    return {n: b.replace(str(place.root).encode(), b"ROOT") for n, b in found.items()}
