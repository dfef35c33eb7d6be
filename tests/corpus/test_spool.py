"""What a kill leaves behind: whole frames are kept, torn ones cut away, nothing of another making used."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from mlmguard.corpus.spool import Finished, Spool, Spools, forget_abandoned, frame
from mlmguard.errors import InputError

RECORDS = [[{"text": f"text {i}\n\u2028é", "i": i}, {"skipped": ["x", "y", 0]}] for i in range(3)]
FRAMES = [frame(records, bytes([i]) * i) for i, records in enumerate(RECORDS)]


def filled(run: Path, made_by: str = "us") -> Path:
    with Spool(run, made_by) as spool:
        for one in FRAMES:
            spool.append(one)
    (path,) = run.iterdir()
    return path


def test_what_was_put_in_comes_out(tmp_path: Path) -> None:
    path = filled(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Spool(tmp_path, "us") as spool:
        assert spool.frames == 3
        for _ in range(2):
            assert list(spool) == [(records, bytes([i]) * i) for i, records in enumerate(RECORDS)]
        assert [spool.text(i) for i in range(3)] == [r[0]["text"] for r in RECORDS]
        spool.remove()
    assert not path.exists()


def test_a_file_cut_anywhere_gives_its_whole_frames(tmp_path: Path) -> None:
    whole = filled(tmp_path).read_bytes()
    ends = [65]
    for one in FRAMES:
        ends.append(ends[-1] + len(one))
    for cut in range(len(whole)):
        (tmp_path / "examined.part").write_bytes(whole[:cut])
        with Spool(tmp_path, "us") as spool:
            assert spool.frames == max(0, sum(end <= cut for end in ends) - 1)
            spool.append(FRAMES[0])
            assert len(list(spool)) == spool.frames


def test_a_frame_that_was_damaged_and_all_behind_it_are_done_again(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = bytearray(path.read_bytes())
    data[65 + len(FRAMES[0]) + 60] ^= 1
    path.write_bytes(data)
    with Spool(tmp_path, "us") as spool:
        assert spool.frames == 1 and len(list(spool)) == 1


def test_another_version_starts_anew(tmp_path: Path) -> None:
    filled(tmp_path)
    with Spool(tmp_path, "others") as spool:
        assert spool.frames == 0


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with Spool(tmp_path, "us"):
        with (
            pytest.raises(InputError, match="another scan of this corpus is under way"),
            Spool(tmp_path, "us"),
        ):
            pass
        forget_abandoned(tmp_path.parent / "scan-other")
        assert (tmp_path / "examined.part").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_where_there_are_no_locks_one_scan_works_and_two_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def without(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", without)
    path = filled(tmp_path)
    with Spool(tmp_path, "us") as spool:
        assert len(list(spool)) == 3
        forget_abandoned(tmp_path.parent / "scan-other")
        assert path.exists()  # perhaps somebody writes it
        with Spool(tmp_path, "us") as other:
            other.append(FRAMES[1])
        spool.append(FRAMES[2])
        with pytest.raises(OSError, match="somebody else wrote to it"):
            list(spool)


def test_finished_spools_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlmguard.corpus.spool._OPEN", 1)
    finished = []
    for number, held in enumerate(([0, 1], [], [2], [1, 0, 2])):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Spool(folder, f"shard {number}") as spool:
            for one in held:
                spool.put(FRAMES[one])
            finished.append(Finished(folder, spool.frames, spool.finished(), f"shard {number}"))
    order = [0, 1, 2, 1, 0, 2]
    with Spools(finished) as spools:
        for _ in range(2):
            assert [records for records, _ in spools] == [RECORDS[one] for one in order]
        for document in (5, 0, 3, 2, 4, 1):
            assert spools.text(document) == RECORDS[order[document]][0]["text"]
        passed = iter(spools)
        next(passed)
        assert spools.text(5) == RECORDS[2][0]["text"]  # another file is open by now
        assert next(passed)[0] == RECORDS[1]
    whole = (tmp_path / "3" / "examined.part").read_bytes()
    for damaged in (whole[:-1], whole[:200], b"x" + whole[1:], whole[:65] + FRAMES[2] + whole[65:]):
        (tmp_path / "3" / "examined.part").write_bytes(damaged)
        with Spools(finished) as spools, pytest.raises(InputError, match="shard 3: what it left is damaged"):
            list(spools)


def test_abandoned_spools_of_other_scans_go(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("scan-1", "scan-2", "scan-3", "train-1")]
    for run in runs:
        run.mkdir()
        filled(run)
    with Spool(runs[1], "us"):
        forget_abandoned(runs[0])
        assert [any(run.iterdir()) for run in runs] == [True, True, False, True]
