"""Standard input and places that fsspec reaches, with real parts: pipes, memory, archives."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import fsspec
import pytest

from mlmguard.artifacts import Key
from mlmguard.corpus.read import documents as readers
from mlmguard.corpus.read.sources import local
from mlmguard.errors import InputError
from mlmguard.types import Document

KEY = Key(b"k" * 32)


def texts(named: str, runs: Path, stdin: bytes = b"") -> dict[str, str]:
    corpus = local(named, KEY, io.BytesIO(stdin), runs)
    return {d.id: d.text for d in readers.read(corpus) if isinstance(d, Document)}


def test_a_path_is_itself(tmp_path: Path) -> None:
    assert local("corpus/a*.txt", KEY, io.BytesIO(), tmp_path) == Path("corpus/a*.txt")


def test_standard_input(tmp_path: Path) -> None:
    runs = tmp_path / ".mlmguard" / "runs"
    assert texts("-", runs, b"one text\nof two lines") == {"stdin.txt": "one text\nof two lines"}
    assert texts("-", runs, b' {"text": "a"}\n{"text": "b"}\n') == {
        "stdin.jsonl#L1": "a",
        "stdin.jsonl#L2": "b",
    }
    assert texts("-", runs, b"From a@b\nSubject: s\n\nhello\n") == {"stdin.mbox#L1": "hello\n"}
    for path in runs.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    with pytest.raises(InputError, match="empty"):
        texts("-", runs, b"  \n")


def test_addresses(tmp_path: Path) -> None:
    runs = tmp_path / ".mlmguard" / "runs"
    memory = fsspec.filesystem("memory")
    memory.pipe({"/far/a/1.txt": b"one", "/far/2.jsonl": b'{"text": "two"}'})
    assert texts("memory://far", runs) == {"2.jsonl#L1": "two", "a/1.txt": "one"}
    memory.pipe("/far/a/1.txt", b"changed")
    assert texts("memory://far", runs) == {"2.jsonl#L1": "two", "a/1.txt": "changed"}
    assert texts("memory://far/a/1.txt", runs) == {"1.txt": "changed"}
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("in/3.txt", "three")
        archive.writestr("../../out.txt", "escapes")
    assert texts(f"zip://::file://{tmp_path}/x.zip", runs) == {"in/3.txt": "three"}
    assert not list(tmp_path.rglob("out.txt"))


@pytest.mark.parametrize(
    "url", ["memory://kim:secret@nowhere", "nonsense://kim:secret@x", "file:///kim/secret"]
)
def test_an_address_that_cannot_be_read_is_named_without_its_secrets(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError) as raised:
        texts(url, tmp_path / "runs")
    assert "secret" not in str(raised.value) and "kim" not in str(raised.value)


@pytest.mark.slow
def test_the_command_reads_standard_input(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlmguard", "scan", "-", "--workers", "1", "--json"],
        input=b'{"text": "write to a.b@example.com"}\n{"text": "the second one"}\n{"text": "and a third"}\n',
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["documents_written"] == 3
    assert b"<EMAIL_ADDRESS>" in b"".join(path.read_bytes() for path in tmp_path.glob("clean/*.jsonl"))
