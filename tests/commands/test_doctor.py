"""Doctor: what is installed, who may read what, and what cannot be detected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlmguard import cli
from mlmguard.artifacts import key_path, load_key, run_folder, write_json
from mlmguard.commands.doctor import Row, doctor, of_folder
from tests.fixtures.evidence import manifest


def rows(**given: object) -> dict[str, Row]:
    return {row.what: row for row in doctor(**given)}  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def key_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLMGUARD_KEY_FILE", str(tmp_path / "secrets" / "key"))


def test_a_plain_scan_looks_for_names_and_doctor_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--json"]) == 0
    found = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    assert "PERSON" in found["detectors"]["found"] and "no detector" not in found
    assert found["secure enclaves"]["health"] == "optional"


def test_what_is_optional_is_neither_well_nor_ill(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlmguard.commands import doctor as module

    monkeypatch.setitem(module.OPTIONAL, "no-such-package", "a test")
    assert rows()["no-such-package"].health == "optional"
    assert cli.run(["doctor"]) == 0
    assert "–  no-such-package" in capsys.readouterr().out


def test_versions_are_named_without_importing_anything_heavy() -> None:
    assert rows()["torch"].health == "ok"
    assert rows()["policies"].found == "base" or "base" in rows()["policies"].found


def test_a_key_that_others_can_read_is_a_warning_and_its_path_is_not_shown() -> None:
    assert rows()["key file"].found == "not made yet"
    load_key()
    assert rows()["key file"].health == "ok"
    key_path().chmod(0o644)
    found = rows()["key file"]
    assert (found.health, found.found) == ("warn", "mode 0644, 0600 at most")
    assert "secrets" not in f"{found}"


def test_run_folders_that_others_can_enter_are_a_warning(tmp_path: Path) -> None:
    assert rows(folder=tmp_path)["run folders"].found == "none here"
    folder = run_folder("scan-1", tmp_path / ".mlmguard" / "runs")
    assert rows(folder=tmp_path)["run folders"].health == "ok"
    folder.chmod(0o755)
    assert rows(folder=tmp_path)["run folders"].health == "warn"


def test_a_corpus_that_everybody_can_read_is_a_warning_and_its_path_is_not_shown(tmp_path: Path) -> None:
    corpus, clean = tmp_path / "patients", tmp_path / "clean"
    for folder in (corpus, clean):
        folder.mkdir(mode=0o750)
        folder.chmod(0o750)
    run = run_folder("scan-1", tmp_path / ".mlmguard" / "runs")
    write_json(run / "scan.json", {"corpus": str(corpus), "clean": str(clean)})
    found = rows(folder=tmp_path)
    assert (found["corpus"].health, found["clean"].health) == ("ok", "ok")
    corpus.chmod(0o755)
    found = rows(folder=tmp_path)
    assert (found["corpus"].health, found["clean"].health) == ("warn", "ok")
    assert "patients" not in f"{found}"


def test_types_without_a_detector_are_named() -> None:
    assert rows()["detectors"].found == "not checked"
    found = rows(coverage=manifest().coverage)
    assert found["no detector"].found == "LOCATION, ORGANIZATION"
    assert "EMAIL_ADDRESS" in found["detectors"].found


def test_the_device_is_what_the_caller_knows() -> None:
    assert rows(device="CUDA: H200")["device"].found == "CUDA: H200"
    assert rows()["device"].found


def test_the_command_asks_the_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "API_KEY" in said and "PERSON" in said and "no detector" not in said


def test_what_could_run_in_a_checkpoint_is_listed_and_nothing_of_it_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = tmp_path / "ckpt"
    ckpt.mkdir()
    assert cli.run(["doctor", str(ckpt)]) == 0
    assert "nothing" in capsys.readouterr().out
    (ckpt / "config.json").write_text('{"auto_map": {"AutoConfig": "ev.C"}}', "utf-8")
    (ckpt / "ev.py").write_text("raise SystemExit(7)", "utf-8")
    (ckpt / "notes.txt").write_bytes(b"\x80\x04pickled")
    (ckpt / "pytorch_model.bin").write_bytes(b"")
    (ckpt / "chat_template.jinja").write_text("{{ x }}", "utf-8")
    (ckpt / "model.safetensors.index.json").write_text('{"weight_map": {"w": "../w.safetensors"}}', "utf-8")
    (ckpt / "elsewhere").symlink_to("/etc")
    (ckpt / "circle").symlink_to("circle")
    found = {(row.what, row.found.split(":")[0]): row.health for row in of_folder(ckpt)}
    assert found == {
        ("auto_map, code by name", "config.json"): "warn",
        ("program", "ev.py"): "warn",
        ("pickle", "notes.txt"): "warn",
        ("pickle", "pytorch_model.bin"): "warn",
        ("template", "chat_template.jinja"): "warn",
        ("index entry that leaves the folder", "model.safetensors.index.json"): "missing",
        ("link that leaves the folder", "elsewhere"): "missing",
        ("link that leaves the folder", "circle"): "missing",
    }
    assert cli.run(["doctor", str(tmp_path / "none")]) == 2
