"""All or nothing: foreign folders, wrong settings, full disks and poisoned records."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from mlmguard.corpus.read.left_out import LISTED
from mlmguard.corpus.read.originals import originals
from mlmguard.errors import InputError, PartialRun
from mlmguard.scan import examining, scan
from mlmguard.types import Skipped, Watcher
from tests.scan.places import KEY, Place, files


def test_clean_is_replaced_only_if_it_is_ours(place: Place) -> None:
    place.put("1.txt", "one text")
    place.scan()
    place.put("2.txt", "two texts")
    place.scan()
    assert len(place.rows()) == 2
    (place.clean / "thesis.docx").write_text("mine")
    before = files(place.root)
    with pytest.raises(InputError, match="did not write"):
        place.scan()
    assert files(place.root) == before
    assert not [p for p in place.root.iterdir() if p.name.startswith((".clean", ".mlmguard-"))]


def test_of_two_scans_into_one_place_the_second_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one, of another corpus, begins later and publishes while this one is between its passes."""
    place.put("1.txt", "one text")
    other = Place(place.root / "other")
    other.put("2.txt", "another text")
    between = examining.examine

    def overtaken(*given: Any) -> None:
        between(*given)
        monkeypatch.setattr("mlmguard.scan.examine", between)
        scan(other.corpus, place.clean, place.reports, key=KEY, runs=other.runs)

    monkeypatch.setattr("mlmguard.scan.examine", overtaken)
    with pytest.raises(InputError, match="was written here while this scan ran"):
        place.scan()
    whole = files(place.clean) | files(place.reports)
    scan(other.corpus, place.clean, place.reports, key=KEY, runs=other.runs)
    again = files(place.clean) | files(place.reports)
    assert {n: b for n, b in whole.items() if "run.json" not in n} == {
        n: b for n, b in again.items() if "run.json" not in n
    }


def test_what_a_killed_scan_left_is_removed_by_the_next(place: Place) -> None:
    place.put("1.txt", "one text")
    left = place.root / ".mlmguard-clean-abandoned"
    left.mkdir()
    (left / "train-00000.jsonl").write_text("half")
    mine = place.root / ".clean-mine"
    mine.mkdir()
    place.scan()
    assert not left.exists() and mine.exists()


def test_foreign_folders_are_refused(place: Place) -> None:
    place.put("1.txt", "one text")
    place.clean.mkdir()
    place.scan()  # an empty folder is nobody's
    (place.clean / "manifest.json").write_text('{"schema": "something/else"}')
    with pytest.raises(InputError, match="did not write"):
        place.scan()
    with pytest.raises(InputError, match="holds the corpus"):
        scan(place.corpus, place.root, place.reports, key=KEY, runs=place.runs)
    (place.root / "file").write_text("x")
    with pytest.raises(InputError, match="not a folder"):
        scan(place.corpus, place.root / "file", place.reports, key=KEY, runs=place.runs)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "shred"},
        {"threshold": 0.0},
        {"near_threshold": 1.5},
        {"permutations": 1},
        {"splits": {"train": 1.0}},
        {"entities": ("SHOE_SIZE",)},
        {"languages": ("xx",)},
    ],
)
def test_wrong_settings_start_nothing(place: Place, settings: dict[str, Any]) -> None:
    place.put("1.txt", "one text")
    with pytest.raises(InputError):
        place.scan(**settings)
    assert set(files(place.root)) == {"corpus/1.txt"}


def test_missing_and_empty_corpora_leave_nothing_behind(place: Place) -> None:
    with pytest.raises(InputError, match="no such folder"):
        place.scan()
    place.corpus.mkdir()
    with pytest.raises(InputError, match="empty"):
        place.scan()
    place.put("a.txt", b"\xff")
    with pytest.raises(InputError, match="no readable document"):
        place.scan()
    assert not place.clean.exists() and not place.reports.exists()


def test_outputs_inside_the_corpus_are_not_read_again(place: Place) -> None:
    place.put("1.txt", "one text")
    inside = Place(place.root)
    inside.clean, inside.reports = place.corpus / "clean", place.corpus / "reports"
    inside.runs = place.corpus / ".mlmguard" / "runs"
    first = inside.scan()
    assert inside.scan() == first and first.documents_read == 1
    assert list(originals(inside.run)) == [("1.txt", "one text")]


@pytest.mark.parametrize(
    ("limit", "fails"), [(None, False), (0.4, True), (0.6, False), (1, True), (2, False)]
)
def test_too_many_skipped_is_a_partial_run(place: Place, limit: float | None, fails: bool) -> None:
    for name, content in (("a.txt", b"good"), ("b.txt", b"fine"), ("c.txt", b"\xff"), ("d.txt", b"\xfe")):
        place.put(name, content)
    if not fails:
        assert len(place.scan(max_skipped=limit).skipped) == 2
        return
    with pytest.raises(PartialRun, match="2 records skipped") as raised:
        place.scan(max_skipped=limit)
    assert raised.value.exit_code == 1 and not place.clean.exists()


@pytest.mark.parametrize("at", range(1, 8))
def test_a_full_disk_leaves_the_old_corpus_and_nothing_half_written(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    place.put("1.txt", "one text about cats")
    place.scan()
    before = files(place.clean)
    place.put("2.txt", "two texts about dogs and more")
    real, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PartialRun, match="the disk is full"):
        place.scan()
    assert files(place.clean) == before
    unfinished = re.compile(r"(^|/)\.(tmp|spool|mlmguard)-")
    left = [name for name in files(place.root) if unfinished.search(name)]
    assert left == []


def test_poisoned_documents_are_contained(place: Place) -> None:
    place.put("good.txt", "a good text")
    place.put("line.txt", "x" * 5_000_000)
    place.put("rows.jsonl", '{"text": "' + "y" * 5_000_000 + '"}\n{"text": "fine"}\n{"text": "a\\u0000b"}\n')
    place.put("crlf.txt", "one\r\ntwo\r\n")
    place.put("nul.txt", b"a\0b")
    manifest = place.scan()
    assert sorted(row["text"] for row in place.rows()) == ["a good text", "fine", "one\r\ntwo\r\n"]
    assert sorted((s.source, s.line) for s in manifest.skipped) == [
        ("line.txt", 0), ("nul.txt", 0), ("rows.jsonl", 1), ("rows.jsonl", 3),
    ]  # fmt: skip


def test_of_a_file_of_broken_lines_a_few_are_listed_and_all_are_counted(place: Place) -> None:
    lines = 5_000
    place.put("bad.jsonl", "{\n" * lines + '{"text": "a text of some words"}\n')
    manifest = place.scan()
    assert manifest.records_skipped == lines and manifest.documents_read == 1
    assert manifest.skipped[-1] == Skipped("bad.jsonl", "malformed JSON", LISTED + 1, lines - LISTED)
    assert len(manifest.skipped) == LISTED + 1
    with pytest.raises(PartialRun, match="5000 records skipped"):
        place.scan(max_skipped=lines - 1)


def test_progress_is_told(place: Place) -> None:
    place.put("1.txt", "one text")
    told: list[tuple[str, int, int | None]] = []
    scan(
        place.corpus,
        place.clean,
        place.reports,
        key=KEY,
        runs=place.runs,
        watcher=Watcher(lambda *a: told.append(a)),
    )
    assert ("scan (MB)", 0, 1) in told and told[-1] == ("write", 1, 1)


@pytest.mark.slow
def test_real_mail(shared_data: Path, place: Place) -> None:
    place.corpus = shared_data / "mail"
    manifest = place.scan(workers=2)
    assert manifest.documents_read == 1849 and len(manifest.skipped) == 51
    found = {count.rule for count in manifest.findings}
    assert {"EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS"} <= found
    assert manifest.duplicates.exact > 50 and manifest.duplicates.near > 90
