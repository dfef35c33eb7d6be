"""A scanned corpus, and a command line in a folder of its own that holds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlmguard import cli
from tests.fixtures.commands import Run, place_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place_of(tmp_path_factory.mktemp("place"))


@pytest.fixture
def run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "clean", tmp_path / "clean")
    shutil.copytree(place / "runs", tmp_path / ".mlmguard" / "runs")  # of the scan

    def command(*words: object) -> tuple[int, str]:
        code = cli.run([str(word) for word in words])
        return code, capsys.readouterr().err.strip().rpartition("\n")[2]

    return command
