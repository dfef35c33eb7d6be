"""Files appear whole or not at all; bytes from outside are refused by name; the key stays out of sight."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlmguard import artifacts
from mlmguard.errors import InputError
from mlmguard.types import LedgerEntry, Manifest, Measurement


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    artifacts.write_text(path, "old")
    with pytest.raises(RuntimeError), artifacts.replacing(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_half_a_file_of_the_killed_goes_and_of_the_living_stays(tmp_path):
    program = """
import os, sys
from pathlib import Path
from mlmguard.artifacts import replacing
with replacing(Path(sys.argv[1]) / "a.json") as stream:
    stream.write(b"half")
    stream.flush()
    print("open", flush=True)
    sys.stdin.readline()
"""
    start = [sys.executable, "-c", program, str(tmp_path)]
    killed, living = (
        subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    assert [one.stdout.readline() for one in (killed, living)] == ["open\n"] * 2
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 2
    artifacts.write_text(tmp_path / "b.json", "whole")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2 and left[0].startswith(".tmp-") and left[1] == "b.json"
    assert living.communicate("\n")[0] == "" and living.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


@pytest.mark.parametrize("kind", ["device", "pipe", "itself", "folder"])
def test_a_digest_is_of_a_file(tmp_path, kind):
    path = tmp_path / "model.safetensors"
    {
        "device": lambda: path.symlink_to("/dev/zero"),
        "pipe": lambda: os.mkfifo(path),
        "itself": lambda: path.symlink_to(path.name),
        "folder": path.mkdir,
    }[kind]()
    with pytest.raises(InputError, match=path.name) as refused:
        artifacts.weights_digest(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_noun_survives_its_file(tmp_path):
    noun = LedgerEntry("poisson-gaussian", 1.5, 0.1, 10, what="training")
    artifacts.write_json(tmp_path / "x.json", noun)
    assert artifacts.read_noun(tmp_path / "x.json", LedgerEntry) == noun


@pytest.mark.parametrize(
    "text, said",
    [
        ('{"mechanism": "x", "stepz": 3}', "stepz"),
        ('{"mechanism": "x", "steps": "many"}', "steps"),
        ('{"mechanism"', "cut short"),
        ("[]", "not a JSON object"),
        ("{}", "mechanism"),
    ],
)
def test_a_damaged_file_is_named_with_its_fault(tmp_path, text, said):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        artifacts.read_noun(path, LedgerEntry)
    assert "x.json" in str(caught.value)


def test_another_schema_is_refused(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema": "mlmguard/manifest/v9"}))
    with pytest.raises(InputError, match=r"manifest/v9.*another version"):
        artifacts.read_noun(path, Manifest)
    path.write_text(json.dumps({"schema": "mlmguard/scan/v1"}))
    with pytest.raises(InputError, match=r"scan/v1.*a file of another kind"):
        artifacts.read_noun(path, Manifest)


def test_the_offending_value_is_never_in_the_message(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"mechanism": "x", "steps": "Zebulon Quaverly"}')
    with pytest.raises(InputError) as caught:
        artifacts.read_noun(path, LedgerEntry)
    assert "Zebulon" not in str(caught.value)


def test_a_number_that_is_not_one_never_reaches_a_file(tmp_path):
    with pytest.raises(ValueError):
        artifacts.write_json(tmp_path / "x.json", Measurement("a", "b", float("nan"), None, None, 0.95, 1))
    assert not list(tmp_path.iterdir())


def test_the_key_is_made_once_private_and_invisible(tmp_path, monkeypatch):
    path = tmp_path / "config" / "key"
    monkeypatch.setenv("MLMGUARD_KEY_FILE", str(path))
    key = artifacts.load_key()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert artifacts.load_key().id == key.id
    assert path.read_text().strip() not in repr(key) + str(vars(key).keys())
    assert key.fingerprint("EMAIL", "a@example.com") != key.fingerprint("PHONE", "a@example.com")


def test_a_key_file_that_holds_no_key_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "key"
    path.write_text("secret")
    monkeypatch.setenv("MLMGUARD_KEY_FILE", str(path))
    with pytest.raises(InputError, match="not a key"):
        artifacts.load_key()


def test_no_home_for_the_key_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLMGUARD_KEY_FILE", str(tmp_path / "file" / "below" / "key"))
    with pytest.raises(InputError, match="MLMGUARD_KEY_FILE: the key cannot be written"):
        artifacts.load_key()
    assert artifacts.key_at_hand() is None


def test_run_folders_are_private_and_ignored(tmp_path):
    folder = artifacts.run_folder("train-x", tmp_path / ".mlmguard" / "runs")
    for path in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert (tmp_path / ".mlmguard" / ".gitignore").read_text() == "*\n"
    assert artifacts.find_run_folder("train-x", tmp_path) == folder


@pytest.mark.parametrize("name", ["", "../../etc", "a/b", ".hidden"])
def test_a_run_id_cannot_leave_the_run_folder(tmp_path, name):
    assert artifacts.find_run_folder(name, tmp_path) is None


def test_modes_are_what_they_are_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        artifacts.write_json(tmp_path / "reports" / "below" / "x.json", {})
        with artifacts.scratch(tmp_path / "runs", "x") as folder:
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)]
    finally:
        os.umask(before)
    assert modes == [0o700, 0o750]
    for folder in (tmp_path / "reports", tmp_path / "reports" / "below"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "reports" / "below" / "x.json").stat().st_mode) == 0o644


def test_scratch_of_the_living_stays_and_of_the_killed_goes(tmp_path):
    program = """
import sys, time
from pathlib import Path
from mlmguard.artifacts import scratch
with scratch(Path(sys.argv[1]), "x") as folder:
    (folder / "text").write_text("of a member")
    print(folder, flush=True)
    time.sleep(60)
"""
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    left = Path(other.stdout.readline().strip())
    with artifacts.scratch(tmp_path, "x") as own:
        assert left.exists() and own != left
    assert not own.exists()
    other.kill()
    other.wait()
    assert left.exists()
    with artifacts.scratch(tmp_path, "y"):
        assert left.exists()  # of another name
    with artifacts.scratch(tmp_path, "x"):
        assert not left.exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no file system without files here")
@pytest.mark.parametrize("name", ["page.html", "new/page.html"])
def test_a_place_where_the_system_keeps_no_files_is_refused(name):
    with pytest.raises(InputError, match=r"^/proc/\S+: the system keeps no files there"):
        artifacts.write_text(Path("/proc") / name, "")
