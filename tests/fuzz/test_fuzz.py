"""Mutants at every run of the tests: those that once broke something, and some drawn anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import FORMATS, KEPT, Broken, mutant, run, tried


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_is_read(name: str, tmp_path: Path) -> None:
    """What cannot be read whole would make every mutant a refusal, and this a test that cannot fail."""
    assert {tried(name, seed, tmp_path) for seed in FORMATS[name].seeds()} <= {"read", "exit 0", "exit 3"}


@pytest.mark.parametrize("path", sorted(KEPT.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_something_breaks_nothing(path: Path, tmp_path: Path) -> None:
    tried(path.parent.name, path.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_some_mutants_are_read_or_refused(name: str, tmp_path: Path) -> None:
    run(name, 12, 2.0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_mutants_are_read_or_refused(name: str, tmp_path: Path) -> None:
    outcomes = run(name, 10_000, 8.0, tmp_path, seed=1)
    assert sum(outcomes.values()) > 20, outcomes


def test_a_mutant_that_breaks_something_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(data: bytes, folder: Path) -> str:
        raise BaseException("Ada Example")

    monkeypatch.setattr("tests.fuzz.KEPT", tmp_path / "kept")
    monkeypatch.setitem(FORMATS, "json", type(FORMATS["json"])(lambda: [b"x"], panics))  # type: ignore[arg-type]
    with pytest.raises(Broken, match="BaseException got out"):
        run("json", 1, 1.0, tmp_path)
    assert len(list((tmp_path / "kept" / "json").iterdir())) == 1


def test_the_time_of_a_process_that_reads_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of a second of work in the child, where a tenth is allowed: the parent only waits."""
    monkeypatch.setattr("tests.fuzz.LONGEST", 0.1)
    row = b'{"text": "' + b"\\u00e9" * 100_000 + b'"}\n'
    assert tried("json", row, tmp_path) == "read"
    with pytest.raises(Broken, match="seconds"):
        tried("json", row * 300, tmp_path)


def test_mutants_differ_and_are_the_same_for_the_same_seed() -> None:
    import random

    drawn = [[mutant(b"a whole file", random.Random(k)) for k in range(50)] for _ in range(2)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) > 40
