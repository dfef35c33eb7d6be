"""Rendering evidence of 100,000 finding rows: seconds and bytes, against the bar of 10 s and 400 KB.

No peer renders such evidence: the bar itself stands beside the figure. Run: python benchmarks/report_size.py
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mlmguard.commands.gate import judge_evidence
from mlmguard.policy.reading import load
from mlmguard.report.formats import render
from mlmguard.types import FindingCount
from tests.fixtures.evidence import clean


def main() -> None:
    rows = tuple(FindingCount(f"TYPE_{i % 70}", f"source-{i}", 3, 2, 1) for i in range(100_000))
    evidence = clean()
    assert evidence.manifest is not None
    big = replace(evidence, manifest=replace(evidence.manifest, findings=rows))
    started = time.perf_counter()
    page = render("html", judge_evidence(Path("audit.json"), big, load("base")).case)
    seconds = time.perf_counter() - started
    kilobytes = len(page.encode()) / 1000
    print(f"html of 100,000 rows: {seconds:.1f} s (bar 10), {kilobytes:.0f} KB (bar 400)")


if __name__ == "__main__":
    main()
