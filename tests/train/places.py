"""A small corpus, scanned."""

from __future__ import annotations

import json
from pathlib import Path

from mlmguard.artifacts import Key
from mlmguard.scan import ScanSettings, scan

KEY = Key(b"a key that only tests use, 32 b.")


def scanned(folder: Path, rows: int = 40) -> Path:
    """``folder`` with ``clean/`` in it: rows of invented words, each of them another."""
    corpus = folder / "corpus"
    corpus.mkdir()
    words = [f"word{chr(97 + k)}" for k in range(12)]
    texts = [" ".join(words[(i * k + k) % 12] for k in range(1, 14)) + f" number {i}" for i in range(rows)]
    lines = [json.dumps({"id": f"n{i}", "text": text}) for i, text in enumerate(texts)]
    (corpus / "notes.jsonl").write_text("\n".join(lines))
    places = (corpus, folder / "clean", folder / "reports")
    scan(*places, key=KEY, settings=ScanSettings(keep="all"), runs=folder / "runs")
    return folder
