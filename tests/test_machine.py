"""The real command on a machine that gives little, or takes it away: full disks, few descriptors, kills.

``MLMGUARD_KILLS=20`` kills each verb as often; the default is five times.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mlmguard import cli
from mlmguard.corpus.synthetic import write_corpus
from tests.test_cli import SMALL, mlmguard, write_notes

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("MLMGUARD_KILLS", "5"))
EMAIL, CARD = "zebulon.quaverly@thistlemoor.example.org", "4539 5787 6362 1486"
SCAN = ("scan", "corpus", "--no-names", "--workers", "2", "-q")
TRAIN = ("train", "--dp-epsilon", "8", "--size", "nano", "--init", "scratch", "--canaries", "20",
         "--steps", "60", "--batch-units", "30", "--delta", "1e-3", "--overwrite", "-q")  # fmt: skip
AUDIT = ("audit", "ckpt", "-q", "--documents", "30", "--spans", "4", "--restarts", "4", "--samples", "20",
         "--windows", "300")  # fmt: skip


# --- full disks ---------------------------------------------------------------------------------------


def unmount(disk: Path) -> None:
    """Workers notice that the command has ended a moment after it: until then the disk is in use."""
    for _ in range(100):
        if subprocess.run(["umount", disk], capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("something still works there ten seconds after the command")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_exit_1_and_leaves_nothing_half_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount here")
    try:
        write_notes(tmp_path / "corpus", 4000)
        done = mlmguard("scan", str(tmp_path / "corpus"), cwd=disk)
        assert done.returncode == 1, done.stderr
        assert "space" in done.stderr.lower() or "disk" in done.stderr.lower()
        assert not (disk / "clean").exists()
    finally:
        unmount(disk)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills_while_weights_are_written_leaves_no_checkpoint(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("no right to mount here")
    try:
        write_notes(tmp_path / "corpus")
        assert mlmguard("scan", str(tmp_path / "corpus"), cwd=disk).returncode == 0
        done = mlmguard("train", cwd=disk, **SMALL)
        assert done.returncode == 1 and "No space left" in done.stderr and "bug" not in done.stderr
        assert {p.name for p in disk.iterdir()} == {".mlmguard", "clean", "reports"}
    finally:
        unmount(disk)


# --- what a machine lacks is told ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["longer than names are", "itself"])
def test_a_path_that_is_none_is_exit_2_and_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("x" * 5000 if kind == "longer than names are" else "loop")
    if kind == "itself":
        path.symlink_to(path.name)
    people = ["--reason", "r", "--owner", "a", "--approver", "b", "--ticket", "t"]
    for command in (["gate", path], ["doctor", path], ["waive", path, "leak", *people], ["scan", path]):
        assert cli.run([str(word) for word in command]) == 2, command
        assert len(capsys.readouterr().err.splitlines()) == 1, command


def test_a_file_that_numpy_wrote_half_of_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gives the number of items and no error of the system."""

    def broken(*given: object, **named: object) -> int:
        with Path("/dev/full").open("wb", buffering=0) as full:
            np.zeros(1 << 16).tofile(full)
        return 0

    monkeypatch.setattr(cli.cli, "main", broken)
    assert cli.run(["doctor"]) == 1
    said = capsys.readouterr().err
    assert "could not be written whole" in said and len(said.splitlines()) == 1


# --- little of everything -----------------------------------------------------------------------------


def limited(folder: Path, what: int, most: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlmguard", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(what, (most, most)),
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "most"),
    [
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_AS, 3 << 30),
        (resource.RLIMIT_FSIZE, 8 << 10),
    ],
    ids=["64 descriptors", "3 GiB", "files of 8 KiB"],
)
def test_a_scan_with_little_is_done_and_with_no_room_one_line_and_nothing_half_written(
    tmp_path: Path, what: int, most: int
) -> None:
    write_corpus(tmp_path / "corpus", None, notes=40)
    done = limited(tmp_path, what, most, *SCAN)
    assert done.returncode == (1 if what == resource.RLIMIT_FSIZE else 0), done.stderr
    assert len(done.stderr.splitlines()) == done.returncode and "bug of ours" not in done.stderr
    assert (tmp_path / "clean").exists() == (done.returncode == 0)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith((".tmp-", ".mlmguard-"))]


def written_short(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    """One line (a warning that a run is not private stands before it), and no half of a file."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: no --dp-epsilon")]
    assert done.returncode == 1 and len(lines) == 1 and "bug of ours" not in done.stderr, done.stderr
    assert "nothing half-written" in lines[0]
    left = (".tmp-", ".mlmguard-", ".old-", ".coming-")
    assert not [path for path in folder.rglob("*") if path.name.startswith(left)]


def ledger(home: Path) -> list[str]:
    """What the ledger of all runs holds: what was ever charged."""
    return [line for path in sorted(home.rglob("ledger.jsonl")) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_files_that_may_not_grow_lose_no_charge_and_leave_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits that are met by state, by weights and by the indices of an audit, one after the other."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLMGUARD_STATE", str(tmp_path / "home" / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    write_corpus(tmp_path / "corpus", None, notes=150)
    size, endless = resource.RLIMIT_FSIZE, resource.RLIM_INFINITY
    assert limited(tmp_path, size, endless, *SCAN).returncode == 0
    plain = [word for word in TRAIN if word not in ("--dp-epsilon", "8", "--delta", "1e-3")]
    written_short(limited(tmp_path, size, 700 << 10, *plain), tmp_path)
    assert not (tmp_path / "ckpt").exists()
    before = ledger(tmp_path / "home")
    for most in (16 << 10, 200 << 10, 700 << 10):
        written_short(limited(tmp_path, size, most, *TRAIN), tmp_path)
        after = ledger(tmp_path / "home")
        assert not (tmp_path / "ckpt").exists() and after[: len(before)] == before
        before = after
    assert limited(tmp_path, size, endless, *TRAIN).returncode == 0
    statement = json.loads((tmp_path / "ckpt" / "privacy.json").read_text())
    assert sum(one["steps"] for one in statement["ledger"]) == 60 and statement["epsilon"] <= 8
    assert (
        ledger(tmp_path / "home")[: len(before)] == before
        and len(ledger(tmp_path / "home")) > len(before) > 0
    )
    for most in (2 << 10, 64 << 10):
        written_short(limited(tmp_path, size, most, *AUDIT), tmp_path)
        assert not (tmp_path / "reports" / "audit.json").exists()
    assert limited(tmp_path, size, endless, *AUDIT).returncode == 0
    assert not list((tmp_path / ".mlmguard").rglob("audit-*"))  # what an audit goes on with


# --- kills --------------------------------------------------------------------------------------------


def spent(pid: int) -> float:
    """Seconds of processor time of a process, its children left out."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Place:
    """A folder of work with its own home and its own temporary folder, and what is killed in it."""

    root: Path

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        own = {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp"), "OMP_NUM_THREADS": "1"}
        own |= {"PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": "1700000000"}
        unset = ("MLMGUARD_KEY_FILE", "MLMGUARD_STATE", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
        with (self.root / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "mlmguard", *arguments],
                cwd=self.root / "w",
                env={**{name: v for name, v in os.environ.items() if name not in unset}, **own},
                stdout=log,
                stderr=subprocess.STDOUT,
                umask=0,
            )

    def whole(self, *arguments: str) -> float:
        """Run a command to its end; the processor time that it took."""
        child, took = self.start(*arguments), 0.0
        while child.poll() is None:
            took = max(took, spent(child.pid))
            time.sleep(0.01)
        assert child.returncode == 0, (self.root / "log").read_text()[-2000:]
        return took

    def killed(self, after: float, *arguments: str) -> bool:
        """Kill a command after so much processor time: by the clock, a machine that does something else as
        well would be another each time. Whether it had not ended by itself."""
        child = self.start(*arguments)
        while child.poll() is None and spent(child.pid) < after:
            time.sleep(0.005)
        told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
        assert EMAIL not in told and CARD not in told
        alive = child.poll() is None
        child.kill()
        child.wait()
        self.holds_nothing_planted()
        return alive

    def holds_nothing_planted(self) -> None:
        """Outside of the corpus, ``clean/`` and the run folder."""
        for path in self.root.rglob("*"):
            inner = path.relative_to(self.root).parts[:2]
            if (inner[1:] and inner[1] in ("corpus", "clean", ".mlmguard")) or not path.is_file():
                continue
            data = path.read_bytes()
            assert not any(v.encode() in data for v in (EMAIL, CARD, CARD.replace(" ", ""))), path

    def is_clean(self) -> None:
        """No half of a file is left, and nothing is anybody's to change."""
        paths = [path for path in (self.root / "w").rglob("*") if "corpus" not in path.parts]
        assert [p for p in paths if p.name.startswith((".tmp-", ".mlmguard-", ".old-", ".coming-"))] == []
        assert [p for p in paths if not p.is_symlink() and p.stat().st_mode & 0o022] == []

    def digest(self, *names: str) -> str:
        total = hashlib.sha256()
        for name in names:
            for path in sorted((self.root / "w" / name).rglob("*")):
                if path.is_file() and path.name != "scan.run.json":
                    total.update(path.name.encode() + path.read_bytes())
        return total.hexdigest()


@pytest.fixture(scope="module")
def killing(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("kills"))
    for name in ("w", "home", "tmp"):
        (place.root / name).mkdir()
    write_corpus(place.root / "w" / "corpus", None, notes=400)
    (place.root / "w" / "corpus" / "p.txt").write_text(f"Write to {EMAIL} or pay with {CARD} today.\n")
    return place


def kills(
    place: Place, whole: float, from_: float, command: tuple[str, ...], after: Callable[[], None]
) -> None:
    """Kill ``command`` in pairs at moments drawn, let it end, and look."""
    rng, cut = random.Random(len(command)), 0
    for number in range(KILLS):
        cut += place.killed(rng.uniform(from_, 0.95) * whole, *command)
        if number % 2 or number == KILLS - 1:
            place.whole(*command)
            place.is_clean()
            after()
    assert cut > KILLS // 2, "most ended before they were killed"


@pytest.mark.slow
def test_a_scan_that_is_killed_ends_as_if_nothing_had_happened(killing: Place) -> None:
    whole = killing.whole(*SCAN)
    wanted = killing.digest("clean", "reports")
    work = killing.root / "w"

    def same_again() -> None:
        assert killing.digest("clean", "reports") == wanted
        for name in ("clean", "reports", ".mlmguard"):
            shutil.rmtree(work / name)

    same_again()
    kills(killing, whole, 0.1, SCAN, same_again)
    killing.whole(*SCAN)


@pytest.mark.slow
def test_a_scan_that_is_killed_between_its_two_renames_recovers(killing: Place) -> None:
    """The old ``clean/`` lies aside, the new one is not in its place: the same command makes it whole."""
    killing.whole(*SCAN)
    wanted = killing.digest("clean", "reports")
    work = killing.root / "w"
    aside = work / ".mlmguard-clean-aside"
    aside.mkdir()
    (work / "clean").rename(aside / "clean")
    killing.whole(*SCAN)
    killing.is_clean()
    assert killing.digest("clean", "reports") == wanted


@pytest.mark.slow
def test_a_private_run_that_is_killed_spends_what_was_planned(killing: Place) -> None:
    if not (killing.root / "w" / "clean").exists():
        killing.whole(*SCAN)
    whole = killing.whole(*TRAIN)
    seen = set()

    def true() -> None:
        statement = json.loads((killing.root / "w" / "ckpt" / "privacy.json").read_text())
        charged = sum(one["steps"] for one in statement["ledger"])
        assert charged == 60 >= statement["steps_applied"] and statement["epsilon"] <= 8
        seen.add(statement["run_id"])
        killing.whole("verify", "ckpt")

    true()
    kills(killing, whole, 0.4, TRAIN, true)
    assert len(seen) > 1


@pytest.mark.slow
def test_an_audit_that_is_killed_gives_the_same_evidence(killing: Place) -> None:
    if not (killing.root / "w" / "ckpt").exists():
        killing.whole(*SCAN)
        killing.whole(*TRAIN)
    path = killing.root / "w" / "reports" / "audit.json"
    whole = killing.whole(*AUDIT)
    wanted = path.read_bytes()

    def same_again() -> None:
        assert path.read_bytes() == wanted
        assert not list((killing.root / "w" / ".mlmguard").rglob("audit-*"))

    kills(killing, whole, 0.4, AUDIT, same_again)
