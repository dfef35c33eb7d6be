"""One ledger for all working folders: where it lies, what it takes over, and who may not write it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from mlmguard import cli
from mlmguard.artifacts import state_folder
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings, scan
from mlmguard.train import TrainSettings, train, warm
from mlmguard.training.privacy.ledger import SEED, ChainedFile, CorpusLedger
from mlmguard.types import LedgerEntry, Watcher
from tests.fixtures.places import KEY, scanned

PLAIN = TrainSettings(init="scratch", size="nano", steps=1, canaries=0, batch_units=4, window=32)
STEPS = LedgerEntry("poisson-gaussian", 2.0, 0.1, 50, what="training")


def trained(
    folder: Path, settings: TrainSettings = PLAIN, said: list[str] | None = None, clean: str = "clean"
):  # type: ignore[no-untyped-def]
    watcher = Watcher(tell=said.append) if said is not None else Watcher()
    places = (folder / clean, folder / "ckpt", folder / "reports")
    return train(*places, settings, runs=folder / ".mlmguard" / "runs", overwrite=True, watcher=watcher)


def start(run: str, corpus: str = "c") -> dict[str, object]:
    """A line as the last version wrote it."""
    facts = {"corpus": corpus, "raw": "", "private": True, "unit": "document", "delta": 1e-5}
    return {"event": "start", "run": run, "planned": [asdict(STEPS)], **facts}


def left_by_the_last_version(runs: Path, *lines: dict[str, object]) -> None:
    runs.mkdir(parents=True, exist_ok=True)
    old = ChainedFile(runs / "ledger.jsonl", SEED)
    for line in lines:
        old.append(line)


def test_another_working_folder_knows_of_every_run(tmp_path: Path) -> None:
    here = scanned(tmp_path / "here") if (tmp_path / "here").mkdir() is None else None
    there = tmp_path / "there"
    scan(
        tmp_path / "here" / "corpus", there / "clean", there / "reports", key=KEY,
        settings=ScanSettings(keep="all"), runs=there / ".mlmguard" / "runs",
    )  # fmt: skip
    assert here is not None
    scan_runs = here / ".mlmguard"
    (here / "runs").rename(here / "moved")
    scan_runs.mkdir()
    (here / "moved").rename(scan_runs / "runs")
    first = trained(here).statement
    second = trained(there).statement
    assert [release.run_id for release in second.corpus_releases] == [first.run_id]
    assert not list(tmp_path.glob("*/.mlmguard/runs/ledger.jsonl"))
    assert (state_folder() / "ledger.jsonl").stat().st_mode & 0o077 == 0


def test_what_the_last_version_left_is_taken_over_once_and_said(tmp_path: Path) -> None:
    left_by_the_last_version(tmp_path, start("train-a"), start("train-b"))
    before = (tmp_path / "ledger.jsonl").read_bytes()
    CorpusLedger(tmp_path / "elsewhere").start("train-n", corpus="c", raw="", private=False, unit="document",
                                               delta=None, planned=[])  # fmt: skip
    said = CorpusLedger(tmp_path).take_over()
    assert said.startswith(f"2 entries of {tmp_path / 'ledger.jsonl'} are taken over")
    assert CorpusLedger(tmp_path).take_over() == ""
    anywhere = CorpusLedger(tmp_path / "elsewhere").read()
    assert [run.run_id for run in anywhere] == ["train-n", "train-a", "train-b"]
    assert anywhere[1].entries == (STEPS,) and anywhere[1].unit_kind == ""
    assert (tmp_path / "ledger.jsonl").read_bytes() == before
    left_by_the_last_version(tmp_path, {"event": "finish", "run": "train-b", "charged": []})
    assert CorpusLedger(tmp_path).take_over().startswith("1 entries of")
    assert [run.finished for run in CorpusLedger(tmp_path).read()] == [False, False, True]


def test_lines_copied_from_a_state_folder_are_taken_over_once_too(tmp_path: Path) -> None:
    left_by_the_last_version(tmp_path, {**start("train-a"), "folder": "/there", "taken_from": "/there"})
    assert CorpusLedger(tmp_path).take_over().startswith("1 entries of")
    assert CorpusLedger(tmp_path).take_over() == ""


def test_steps_of_an_unfinished_run_elsewhere_are_counted_where_they_are(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    left_by_the_last_version(runs, start("train-a"))
    (runs / "train-a").mkdir()
    (runs / "train-a" / "ledger.jsonl").write_text("one\ntwo\n")
    CorpusLedger(runs).take_over()
    (run,) = CorpusLedger(tmp_path / "elsewhere").read()
    assert run.entries[0].steps == 2


def test_lines_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    left_by_the_last_version(tmp_path, start("train-a"), start("train-b"))
    path = tmp_path / "ledger.jsonl"
    path.write_text(path.read_text()[:-40])
    assert CorpusLedger(tmp_path).take_over().endswith("; 1 lines that were cut short could not be read")


def test_train_and_ledger_say_what_they_take_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scanned(tmp_path)
    left_by_the_last_version(folder / ".mlmguard" / "runs", start("train-a"))
    said: list[str] = []
    trained(folder, said=said)
    assert [line for line in said if "taken over" in line]
    monkeypatch.setenv("MLMGUARD_STATE", str(tmp_path / "another"))
    assert cli.run(["ledger", "--runs", str(folder / ".mlmguard" / "runs"), "--json"]) == 0
    told = capsys.readouterr()
    assert "taken over" in told.err and json.loads(told.out)[0]["runs"][0]["run_id"] == "train-a"


def test_a_state_folder_that_cannot_be_written_is_refused_before_anything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scanned(tmp_path)
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("MLMGUARD_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(InputError, match="MLMGUARD_STATE: the state folder cannot be written") as refused:
        trained(folder)
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_place_is_the_users_state_folder_unless_named(
    own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [sys.executable, "-c", "from mlmguard.artifacts import state_folder; print(state_folder())"]
    child = subprocess.run(told, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(own_state) == str(state_folder())
    monkeypatch.delenv("MLMGUARD_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/var/xdg")
    assert state_folder() == Path("/var/xdg/mlmguard")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert state_folder() == Path("/home/somebody/.local/state/mlmguard")


def test_a_warmed_up_model_that_was_changed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "STEPS", 1)
    monkeypatch.setattr(warm, "BATCH", 4)
    folder = scanned(tmp_path)
    asked = TrainSettings(**{**vars(PLAIN), "init": None})
    trained(folder, asked)
    (model,) = (state_folder() / "starts").glob("*/model.safetensors")
    whole, said = model.read_bytes(), []
    trained(folder, TrainSettings(**{**vars(asked), "steps": 2}), said=said)
    assert not [line for line in said if "made anew" in line] and model.read_bytes() == whole
    model.write_bytes(whole[:-4] + b"\0\0\0\1")
    trained(folder, TrainSettings(**{**vars(asked), "steps": 3}), said=said)
    assert [line for line in said if "made anew" in line]
    assert model.read_bytes() == whole
