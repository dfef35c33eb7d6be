"""What a stranger's file can do to the process that reads it: that file is lost, named, and nothing else."""

from __future__ import annotations

import io
import time
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from mlmguard.corpus.read import child
from mlmguard.corpus.read.document import Refused, Settings
from mlmguard.corpus.read.documents import read
from mlmguard.corpus.read.html import html_text
from mlmguard.corpus.read.mail import mail
from mlmguard.types import Document, Skipped

POISONED = """
import os, signal, sys
sys.path[:] = sys.argv[1:]
from mlmguard.corpus.read import child
from mlmguard.types import Document
child.SECONDS, child.MEMORY = 0.3, 1 << 30

def reader(path, name, settings, advance):
    yield Document(f"{name}#1", "a good text", name)
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "hang":
        while True: pass
    if name == "bomb":
        yield Document(f"{name}#2", "x" * (2 << 30), name)
    if name == "leave":
        os._exit(3)
    if name == "raise":
        raise BufferError("Ada Example, 4 Oak Road")
    yield Document(f"{name}#2", "and another", name)

child.serve(reader)
"""


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_PROGRAM", POISONED)
    monkeypatch.setattr(child, "_IDLE", [])


def items(name: str, path: Path = Path("/nowhere")) -> list[Document | Skipped]:
    return list(child.read(path, name, Settings(), lambda at: None))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash", "reading it crashed (SIGSEGV)"),
        ("hang", "takes more than 10 seconds of processor time"),
        ("bomb", "takes more than 4 GiB of memory"),
        ("leave", "reading it broke off"),
        ("raise", "cannot be read (BufferError)"),
    ],
)
def test_what_kills_its_reader_costs_its_file_and_the_next_is_read(
    poisoned: None, name: str, reason: str
) -> None:
    found = items(name)
    assert found[-1] == Skipped(name, reason)
    assert "Ada" not in repr(found)
    assert [i.id for i in items("next") if isinstance(i, Document)] == ["next#1", "next#2"]
    for one in child._IDLE:
        one.kill()


@pytest.mark.parametrize(
    "line",
    [
        "no JSON", "[]", '{"a": 1}', '[0, "skipped", 1, 2, 3]', '[0, "document", "a", 7, "b", "", {}, false]',
        '["0", "end"]', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_child_that_says_what_ours_does_not_is_not_believed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "said").write_text(f"{line}\n")
    program = f"print(open({str(tmp_path / 'said')!r}).read(), flush=True); input()"
    monkeypatch.setattr(child, "_PROGRAM", program)
    monkeypatch.setattr(child, "_IDLE", [])
    assert [type(i) for i in items("file")] == [Skipped] and child._IDLE == []


def test_one_child_reads_file_after_file_and_ends_with_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_IDLE", [])
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    assert len(list(read(tmp_path))) == 2
    (one,) = child._IDLE
    assert len(list(read(tmp_path))) == 2 and [one] == child._IDLE
    reading = read(tmp_path)
    next(reading)
    reading.close()  # in the middle of a file
    assert child._IDLE == [] and not one.alive


def test_no_module_of_the_working_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json.py", "email.py", "csv.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "a.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "_IDLE", [])
    assert len([i for i in read(tmp_path / "a.txt") if isinstance(i, Document)]) == 1
    assert not (tmp_path / "ran").exists()


def test_arrow_with_any_byte_changed_is_read_or_refused(tmp_path: Path) -> None:
    """Offsets and lengths are believed by the library: one changed byte was a segmentation fault."""
    row = {"text": "a text of some length", "at": datetime(2026, 1, 2), "of": [{"a": 1, "b": "x"}, {"a": 2}]}
    table = pa.Table.from_pylist([row, row | {"text": "another"}])
    for opened in (pa.ipc.new_stream, pa.ipc.new_file):
        sink = io.BytesIO()
        with opened(sink, table.schema) as writer:
            writer.write_table(table)
        whole, path = sink.getvalue(), tmp_path / "x.arrow"
        for at in range(0, len(whole), 3):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
            found = items("x.arrow", path)
            assert all(isinstance(one, Document | Skipped) for one in found)
            assert not any("crashed" in one.reason for one in found if isinstance(one, Skipped)), at


# --- what takes the square of its size ----------------------------------------------------------------


@pytest.mark.parametrize("piece", ["<!--", "<?", "</a", "<!x ", "<script", "<a ", "<![CDATA[", "&", '<a b="'])
def test_a_page_of_beginnings_takes_no_time(piece: str) -> None:
    began = time.process_time()
    html_text(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 2


def test_what_no_reader_sees_is_gone_and_the_rest_stays() -> None:
    assert html_text("wo<!-- x > y -->rd <![CDATA[a > b]]>and<script>if (a <!b) { '<p>' }</script> more") == (
        "word and more"
    )
    assert html_text("a < b and c > d") == "a < b and c > d"
    assert html_text("<p>seen</p><!-- never closed <p>unseen") == "seen"
    assert html_text("seen <a href='x") == "seen"


@pytest.mark.parametrize(
    "head",
    [
        "To: " + ", ".join(f"x{k}@example.org" for k in range(7000)) + "\n\nbody",
        "Content-Type: multipart/mixed; " + "boundary=x; " * 8000 + "\n\nbody",
        "Content-Type: multipart/mixed; boundary=x\n\n" + "--x\n\nt\n" * 25_000 + "--x--\n",
    ],
    ids=("addresses", "parameters", "parts"),
)
def test_a_mail_without_end_is_refused_in_little_time(head: str) -> None:
    began = time.process_time()
    with pytest.raises(Refused, match=r"a mail (with a header field|of more than)"):
        mail(f"From: a@example.org\n{head}".encode(), Settings())
    assert time.process_time() - began < 5


def test_a_row_of_a_hundred_thousand_columns_is_skipped(tmp_path: Path) -> None:
    wide = ",".join(f'"c{k}":"v"' for k in range(100_000))
    (tmp_path / "w.jsonl").write_text(f'{{"text":"t",{wide}}}\n{{"text":"fine"}}\n')
    found = items("w.jsonl", tmp_path / "w.jsonl")
    assert [getattr(one, "reason", "") for one in found] == ["more than 1,000 columns", ""]
