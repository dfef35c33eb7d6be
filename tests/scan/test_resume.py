"""An interrupted scan goes on, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlmguard.corpus.spool import Spool
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.engine import LocalEngine
from mlmguard.scan import ScanSettings, scan
from mlmguard.scan import examining as scan_examining
from mlmguard.scan.job import made_by
from mlmguard.types import Watcher
from tests.scan.places import KEY, Place, outputs

CHILD = """
import sys
from pathlib import Path
from mlmguard import artifacts
from mlmguard.scan import ScanSettings, examining, scan
if __name__ == "__main__":
    root = Path(sys.argv[1])
    examining.BATCH_CHARS = 4000
    settings = ScanSettings(workers=int(sys.argv[2]))
    scan(root / "corpus", root / "clean", root / "reports", key=artifacts.Key(b"k" * 32),
         settings=settings, runs=root / ".mlmguard" / "runs")
"""


def killed(place: Place, workers: int, after: int) -> None:
    """A scan in a process of its own, killed once its spool holds ``after`` bytes."""
    script = place.root.parent / f"{place.root.name}.py"
    script.write_text(CHILD)
    child = subprocess.Popen([sys.executable, str(script), str(place.root), str(workers)], process_group=0)
    try:
        while child.poll() is None:
            parts = list(place.runs.glob("scan-*/examined.part"))
            if parts and parts[0].stat().st_size >= after:
                break
            time.sleep(0.005)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_scan_goes_on_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(scan_examining, "BATCH_CHARS", 4000)
    straight, broken = Place(tmp_path / "straight"), Place(tmp_path / "broken")
    for place in (straight, broken):
        write_corpus(place.corpus, None, notes=150)
    straight.scan()
    for after in (66, 60_000):
        killed(broken, workers, after)
        assert not broken.clean.exists()
    batches = 0
    real = LocalEngine.map

    def counted(self: LocalEngine, work: Any, shards: Any) -> Any:
        nonlocal batches
        for result in real(self, work, shards):
            batches += 1
            yield result

    monkeypatch.setattr(LocalEngine, "map", counted)
    broken.scan()
    afterwards, batches = batches, 0
    straight.scan(workers=1)
    assert outputs(broken) == outputs(straight) and 0 < afterwards < batches
    assert not list(broken.runs.glob("*/examined.part"))


def test_an_interrupt_keeps_what_was_done(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_examining, "BATCH_CHARS", 10)
    for number in range(6):
        place.put(f"{number}.txt", f"text number {number} about cats")
    done: list[int] = []

    def stop(stage: str, at: int, total: int | None) -> None:
        done.append(at)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(place.corpus, place.clean, place.reports, key=KEY, runs=place.runs, watcher=Watcher(stop))
    with Spool(place.run, made_by(ScanSettings())) as spool:
        assert spool.frames == 3
    assert place.scan().documents_written == 6 and not list(place.run.glob("*.part"))
