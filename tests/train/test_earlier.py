"""A private checkpoint is not replaced unasked, and the same command does not pay twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlmguard.errors import InputError
from mlmguard.settings import TrainSettings
from mlmguard.train import TrainResult, train
from mlmguard.training.privacy.ledger import CorpusLedger
from mlmguard.types import Watcher
from tests.train.test_trainer import PRIVATE, scanned

Place = tuple[Path, TrainResult]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = scanned(tmp_path_factory.mktemp("earlier"))
    return folder, _trained(folder, PRIVATE)


def _trained(
    folder: Path, settings: TrainSettings, told: list[str] | None = None, **more: object
) -> TrainResult:
    watcher = Watcher(tell=(told if told is not None else []).append)
    places = {"clean": folder / "clean", "ckpt": folder / "ckpt", "reports": folder / "reports", **more}
    return train(settings=settings, runs=folder / "runs", watcher=watcher, **places)  # type: ignore[arg-type]


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_command_tells_again_what_it_has_trained(place: Place) -> None:
    folder, first = place
    before, told, ledger = _contents(folder), list[str](), CorpusLedger(folder / "runs").read()
    again = _trained(folder, PRIVATE, told)
    assert again.statement == first.statement and dict(again.unprotected) == dict(first.unprotected)
    assert _contents(folder) == before and CorpusLedger(folder / "runs").read() == ledger
    assert first.trained and not again.trained
    assert any("nothing was trained again; --overwrite" in line for line in told)


@pytest.mark.parametrize("other", ["settings", "reports"])
def test_another_run_does_not_replace_it(place: Place, other: str, tmp_path: Path) -> None:
    folder, first = place
    before = _contents(folder)
    settings = replace(PRIVATE, seed=9) if other == "settings" else PRIVATE
    more = {} if other == "settings" else {"reports": tmp_path / "none"}
    with pytest.raises(InputError, match=f"{first.statement.run_id}.*--overwrite") as refused:
        _trained(folder, settings, **more)
    assert refused.value.exit_code == 2 and _contents(folder) == before and not (tmp_path / "none").exists()


@pytest.mark.parametrize("changed", ["model.safetensors", "privacy.json"])
def test_what_was_changed_since_is_not_told_as_trained(tmp_path: Path, changed: str) -> None:
    folder = scanned(tmp_path)
    _trained(folder, PRIVATE)
    path = folder / "ckpt" / changed
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"steps_applied": ', b'"steps_applied": 1') if b"steps_applied" in data
                     else data[:-4] + bytes(4))  # fmt: skip
    with pytest.raises(InputError):
        _trained(folder, PRIVATE)


def test_overwriting_trains_anew_and_pays_for_it(tmp_path: Path) -> None:
    folder = scanned(tmp_path)
    first = _trained(folder, PRIVATE)
    second = _trained(folder, PRIVATE, overwrite=True)
    assert second.statement.run_id != first.statement.run_id
    assert [run.finished for run in CorpusLedger(folder / "runs").read()] == [True, True]
    plain = replace(PRIVATE, dp_epsilon=None, delta=None, public_size=None)
    with pytest.raises(InputError, match="--overwrite"):
        _trained(folder, plain)
    _trained(folder, plain, overwrite=True)
    _trained(folder, replace(plain, seed=9))  # what is not private comes back by its own command
