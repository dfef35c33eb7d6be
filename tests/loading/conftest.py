"""A whole folder of a small model, and a copy of it for a test to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fixtures.folders import whole


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(tmp_path_factory.mktemp("made") / "ckpt")


@pytest.fixture
def ckpt(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "ckpt"))
