"""Of a file that lost many records a few are named and all are counted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmguard.corpus.read import documents as readers
from mlmguard.corpus.read.left_out import LISTED, OTHER, LeftOut
from mlmguard.types import Skipped

ITEMS = st.builds(
    Skipped, st.sampled_from("ab"), st.sampled_from([f"r{k}" for k in range(30)]), st.integers(0, 9),
    st.integers(1, 3),
)  # fmt: skip


@given(st.lists(ITEMS, max_size=400))
def test_every_record_is_counted_and_the_list_has_an_end(items: list[Skipped]) -> None:
    left_out, alone = LeftOut(), 0
    for item in items:
        alone += left_out.add(item)
    assert left_out.records == sum(item.records for item in items) == sum(left_out.by_reason().values())
    assert alone <= 2 * LISTED and len(list(left_out)) <= 2 * (2 * LISTED + 1)
    again = LeftOut()  # as a child says it, and the books count it
    for item in left_out:
        again.add(item)
    assert again.by_reason() == left_out.by_reason()


def test_the_first_are_named_and_the_rest_has_its_reasons() -> None:
    left_out = LeftOut()
    for line in range(1, 1001):
        left_out.add(Skipped("a", f"{line // 10} columns", line))
    listed, counted = list(left_out)[:LISTED], left_out.counted()
    assert [one.line for one in listed] == list(range(1, LISTED + 1))
    assert counted[0] == Skipped("a", "2 columns", 21, 9)
    assert counted[-1].reason == OTHER and len(counted) == LISTED + 1
    assert left_out.records == 1000


def test_a_file_of_broken_lines_is_a_few_entries_and_takes_no_time(tmp_path: Path) -> None:
    """Of a third of a million each was told and written down."""
    lines = 60_000
    (tmp_path / "bad.jsonl").write_text("{\n" * lines + '{"text": "a text of some words"}\n')
    began = time.process_time()
    read = list(readers.read(tmp_path))
    assert time.process_time() - began < 1 and len(read) == LISTED + 2
    assert read[-1] == Skipped("bad.jsonl", "malformed JSON", LISTED + 1, lines - LISTED)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a text of some words")
    listed = Path.iterdir

    def iterdir(self: Path) -> Iterator[Path]:
        if self.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    read = list(readers.read(tmp_path))
    assert [one for one in read if isinstance(one, Skipped)] == [
        Skipped("closed", "a folder that cannot be read")
    ]
    assert len(read) == 2


def test_a_pipe_in_the_place_of_a_manifest_holds_nobody_up(tmp_path: Path) -> None:
    """Whether a folder is one that we wrote is asked of its manifest."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.txt").write_text("a text of some words")
    os.mkfifo(tmp_path / "a" / "manifest.json")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").symlink_to("/dev/zero")
    read = list(readers.read(tmp_path))
    assert [type(one).__name__ for one in read] == ["Document", "Skipped", "Skipped"]


def test_folders_a_thousand_deep_are_read_in_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.process_time()
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        Path("d").mkdir()
        os.chdir("d")
    Path("a.txt").write_text("a text of some words")
    os.chdir(tmp_path)
    assert [type(one).__name__ for one in readers.read(tmp_path)] == ["Document"]
    assert time.process_time() - began < 5
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # Python's own cannot
