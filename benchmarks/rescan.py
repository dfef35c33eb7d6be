"""Scanning what a scan has cleaned: which of the values found first are found again, and what else is.

    python benchmarks/rescan.py ../shared/data [NAME ...]      mail, prose, clinical and pii if none is named

Every corpus is scanned in each mode of redaction, copies and shared passages kept, and the rows written are
scanned again with the same key. Counted: fingerprints of the first scan's values among the second scan's
findings in texts, all findings of the second in texts (those in names of files apart: of web addresses and
the like a name is not freed), and characters outside findings that are not what they were. ``drop-document``
is compared with the fingerprints that ``replace`` found. No text is printed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pii_throughput import clinical, labelled

from mlmguard.artifacts import Key
from mlmguard.corpus.read.originals import originals
from mlmguard.corpus.redact import MODES
from mlmguard.scan import ScanSettings, scan

KEY = Key(b"benchmark" * 4)
CORPORA = ("mail", "prose", "clinical", "pii")


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as rows:
        yield from map(json.loads, rows)


def corpus(data: Path, name: str, into: Path) -> Path:
    """The corpus as it lies there; of tables and lists of sentences the texts as rows."""
    if name in ("mail", "prose"):
        return data / name
    texts = clinical(data) if name == "clinical" else labelled(data)
    (into / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return into / "texts.jsonl"


def scanned(what: Path, into: Path, mode: str) -> tuple[set[tuple[str, str]], int]:
    """(rule, fingerprint) of every finding in a text, and how many there are beside the texts."""
    settings = ScanSettings(mode=mode, keep="all", cut_passages="nowhere", workers=2)
    scan(what, into / "clean", into / "reports", key=KEY, settings=settings, runs=into / "runs")
    found = list(lines(into / "reports" / "findings.jsonl"))
    texts = [(f["rule"], f["fingerprint"]) for f in found if not f["location"]["column"]]
    return set(texts), len(found) - len(texts)


def changed_outside(into: Path) -> int:
    """Characters outside findings that differ between the raw texts and the rows written."""
    (run,) = (into / "runs").glob("scan-*")
    clean = {row["id"]: row["text"] for path in (into / "clean").glob("*.jsonl") for row in lines(path)}
    at = dict.fromkeys(clean, (0, 0))
    outside: dict[str, list[tuple[slice, slice]]] = {id: [] for id in clean}
    for span in lines(run / "spans.jsonl"):
        raw, shown = at[span["id"]]
        outside[span["id"]].append((slice(raw, span["raw_start"]), slice(shown, span["clean_start"])))
        at[span["id"]] = (span["raw_end"], span["clean_end"])
    changed = 0
    for id, text in originals(run):
        if id in clean:
            raw, shown = at[id]
            for before, after in [*outside[id], (slice(raw, None), slice(shown, None))]:
                changed += len(text[before]) if text[before] != clean[id][after] else 0
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=CORPORA)
    options = parser.parse_args()
    for name in options.names:
        found: set[tuple[str, str]] = set()
        for mode in ("replace", *(mode for mode in MODES if mode != "replace")):
            root = Path(tempfile.mkdtemp())
            first, second = root / "first", root / "second"
            for folder in (first, second, root / "rows"):
                folder.mkdir()
            original, _ = scanned(corpus(options.data, name, root), first, mode)
            found = found or original
            for path in (first / "clean").glob("*.jsonl"):
                shutil.copy(path, root / "rows")
            again, beside = scanned(root / "rows", second, "replace")
            print(f"{name:8} {mode:13} {len(found):6} values found, again {len(found & again)}, "
                  f"anything {len(again):6} (in names {beside}), characters changed outside "
                  f"{changed_outside(first)}",
                  flush=True)  # fmt: skip
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
