"""Every format, and every way a file can be broken: named, counted, and the rest goes on."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlmguard.corpus.read.documents import Settings, digests, read, read_file, size
from mlmguard.corpus.read.html import html_text
from mlmguard.errors import InputError
from mlmguard.types import Document, Skipped


def put(folder: Path, name: str, content: bytes | str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def texts(folder: Path, settings: Settings | None = None) -> dict[str, str]:
    return {d.id: d.text for d in read(folder, settings) if isinstance(d, Document)}


def skipped(folder: Path, settings: Settings | None = None) -> list[tuple[str, str, int]]:
    """What was left out, with one good file beside so that there is something to read."""
    put(folder, "zzz-good.txt", "fine")
    return [(s.source, s.reason, s.line) for s in read(folder, settings) if isinstance(s, Skipped)]


# --- formats ------------------------------------------------------------------------------------------


def test_plain_files_keep_every_character(tmp_path: Path) -> None:
    raw = "one\r\ntwo\ttabs  and  blanks \u2028 and \U0001f600\n\n"
    for name in ("a.txt", "b/c.md", "b/d.rst"):
        put(tmp_path, name, raw)
    put(tmp_path, "e.txt.gz", gzip.compress(raw.encode()))
    assert texts(tmp_path) == dict.fromkeys(("a.txt", "b/c.md", "b/d.rst", "e.txt.gz"), raw)


def test_order_is_that_of_paths_and_source_is_the_top(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a.txt", "b/10.txt", "B/1.txt"):
        put(tmp_path, name, name)
    documents = [d for d in read(tmp_path) if isinstance(d, Document)]
    assert [d.id for d in documents] == ["B/1.txt", "a.txt", "b/10.txt", "b/2.txt"]
    assert [d.source for d in documents] == ["B", "a.txt", "b", "b"]


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", b"\xef\xbb\xbfhello")
    put(tmp_path, "b.jsonl", b'\xef\xbb\xbf{"text": "hello"}\n')
    put(tmp_path, "c.csv", b"\xef\xbb\xbftext,n\nhello,1\n")
    put(tmp_path, "d.json", b'\xef\xbb\xbf[{"text": "hello"}]')
    assert set(texts(tmp_path).values()) == {"hello"} and len(texts(tmp_path)) == 4


def test_rows_go_by_their_own_id_only_where_it_is_one(tmp_path: Path) -> None:
    ids = ["note-00001", "Jane Roe", 17, "555-12-1234", "note-00001", None, "note-2"]
    put(tmp_path, "r.jsonl", "\n".join(json.dumps({"id": i, "text": "t"}) for i in ids))
    given = ["note-00001", "L2", "L3", "L4", "L5", "L6", "note-2"]
    assert list(texts(tmp_path)) == [f"r.jsonl#{id}" for id in given]


def test_csv_with_quotes_and_line_breaks(tmp_path: Path) -> None:
    put(tmp_path, "t.csv", 'id,text\nx-1,"a, ""b""\nc"\nx-2,d\n')
    assert texts(tmp_path) == {"t.csv#x-1": 'a, "b"\nc', "t.csv#x-2": "d"}


def test_json_lists_and_single_objects(tmp_path: Path) -> None:
    put(tmp_path, "a.json", '{"text": "one"}')
    put(tmp_path, "b.json", '[{"text": "two"}, {"body": 1}, 3, {"text": "four"}]')
    assert texts(tmp_path) == {"a.json#L1": "one", "b.json#L1": "two", "b.json#L4": "four"}
    assert skipped(tmp_path) == [
        ("b.json", 'item 2: no "text"', 0),
        ("b.json", "item 3: neither a JSON object nor a text", 0),
    ]


def test_lists_of_texts_are_as_many_documents(tmp_path: Path) -> None:
    put(tmp_path, "a.json", '["one", "two", ["three"], ""]')
    put(tmp_path, "b.json", '{"data": ["four", "five"]}')
    put(tmp_path, "c.json", '{"text": ["six", "seven"]}')  # one row, whose text is in parts
    put(tmp_path, "d.ndjson", '"eight"\n"nine"\n')
    assert texts(tmp_path) == {
        "a.json#L1": "one", "a.json#L2": "two",
        "b.json#L1": "four", "b.json#L2": "five",
        "c.json#L1": "six\nseven",
        "d.ndjson#L1": "eight", "d.ndjson#L2": "nine",
    }  # fmt: skip
    assert skipped(tmp_path) == [
        ("a.json", "item 3: neither a JSON object nor a text", 0),
        ("a.json", "item 4: no text in it", 0),
    ]
    with pytest.raises(InputError, match="no readable document"):  # a text names no unit
        texts(tmp_path, Settings(unit_key="who"))


def test_mail_is_decoded(tmp_path: Path) -> None:
    put(
        tmp_path,
        "m.eml",
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nFrom: A <a@example.org>\nTo: b@example.org\nX-Secret: no\n"
        'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n'
        '--x\nContent-Type: multipart/alternative; boundary="y"\n\n'
        "--y\nContent-Type: text/plain; charset=iso-8859-1\n"
        "Content-Transfer-Encoding: quoted-printable\n\ncaf=E9\n"
        "--y\nContent-Type: text/html\n\n<b>not this</b>\n--y--\n"
        "--x\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
        "PHA+cGFydCAyPC9wPg==\n"
        "--x\nContent-Type: text/plain\nContent-Disposition: attachment\n\nnot that\n"
        "--x\nContent-Type: text/csv; charset=klingon\nContent-Disposition: attachment\n\nnot this\n--x--\n",
    )
    with_headers = "Subject: Grüße\nFrom: A <a@example.org>\nTo: b@example.org\n\n"
    assert texts(tmp_path)["m.eml"] == "café\npart 2\nnot that"
    assert texts(tmp_path, Settings(mail_headers=True))["m.eml"] == with_headers + "café\npart 2\nnot that"


def test_a_plain_file_that_is_a_mail_is_read_as_one(tmp_path: Path) -> None:
    mail = (
        "From kim Thu Aug 22\nReceived: by x\n\tfor y\nFrom: a@example.org\nTo: b\nSubject: s\n\nthe body\n"
    )
    note = "From: the office\nTo: everybody\n\nno subject, no mail\n"
    prose = "Subject: Object: Date: a grammar\nwhose lines are sentences.\n\nand more\n"
    for name, text in (("mail.txt", mail), ("crlf.txt", mail.replace("\n", "\r\n")), ("note.txt", note)):
        put(tmp_path, name, text)
    put(tmp_path, "prose.txt", prose)
    assert texts(tmp_path) == {
        "mail.txt": "the body\n", "crlf.txt": "the body\r\n", "note.txt": note, "prose.txt": prose,
    }  # fmt: skip


def test_mailboxes(tmp_path: Path) -> None:
    put(
        tmp_path,
        "m.mbox",
        "From a@b Thu\nSubject: one\n\nfirst\n>From here on\nFrom inside a paragraph\n\n"
        "From c@d Fri\nSubject: two\n\nsecond\n",
    )
    assert texts(tmp_path) == {
        "m.mbox#L1": "first\nFrom here on\nFrom inside a paragraph\n\n",
        "m.mbox#L8": "second\n",
    }
    long = "From a\nSubject: x\n\n" + "y" * 5000 + "\n" + "z\n" * 5000 + "\nFrom b\nSubject: x\n\nshort\n"
    put(tmp_path, "long.mbox", long)
    put(tmp_path, "none.mbox", "a text\n")
    found = skipped(tmp_path, Settings(max_chars=1000))
    assert found == [("long.mbox", "longer than 1,000 characters", 1), ("none.mbox", "not a mailbox", 0)]
    assert "short\n" in texts(tmp_path, Settings(max_chars=1000)).values()


ROWS = [{"id": "n-1", "text": "one\ttext", "who": "kim", "age": 7}, {"id": "n-2", "text": "two", "who": None}]


def packed(content: bytes) -> dict[str, bytes]:
    return {
        "gz": gzip.compress(content),
        "bz2": bz2.compress(content),
        "xz": lzma.compress(content),
        "zst": pa.compress(content, "zstd", asbytes=True),
    }


def tables() -> dict[str, bytes]:
    """The same two rows in every format that has rows."""
    table = pa.Table.from_pylist(ROWS)
    parquet, stream, file = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return {
        "r.jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
        "r.json": json.dumps(ROWS).encode(),
        "r.csv": b"id,text,who,age\nn-1,one\ttext,kim,7\nn-2,two,,\n",
        "r.tsv": b'id\ttext\twho\tage\nn-1\t"one\ttext"\tkim\t7\nn-2\ttwo\t\t\n',
        "r.parquet": parquet.getvalue(),
        "s/r.arrow": stream.getvalue(),
        "f/r.arrow": file.getvalue(),
    }


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz", "zst"])
def test_rows_and_their_other_columns_in_every_format_and_packing(tmp_path: Path, packing: str) -> None:
    for name, content in tables().items():
        if packing:
            put(tmp_path, f"{name}.{packing}", packed(content)[packing])
        else:
            put(tmp_path, name, content)
    items = list(read(tmp_path))
    documents = [item for item in items if isinstance(item, Document)]
    assert len(items) == len(documents) == 2 * len(tables())
    assert {(d.id.partition("#")[2], d.text, tuple(d.metadata.items())) for d in documents} == {
        ("n-1", "one\ttext", (("who", "kim"), ("age", "7"))),
        ("n-2", "two", ()),
    }
    assert "kim" not in repr(documents)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_broken_packings_and_bombs_are_named(tmp_path: Path, packing: str) -> None:
    names = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
    content = packed(bytes(range(256)) * 400)[packing]
    put(tmp_path, f"cut.txt.{packing}", content[: len(content) // 2])
    put(tmp_path, f"other.jsonl.{packing}", b"nothing packed")
    put(tmp_path, f"bomb.jsonl.{packing}", packed((b" " * 1000 + b"\n") * 20_000)[packing])
    put(tmp_path, f"bomb.parquet.{packing}", packed(b"a" * (20 << 20))[packing])
    broken, bomb = f"broken {names[packing]}", "expands more than 200-fold"
    assert [reason for _, reason, _ in skipped(tmp_path)] == [bomb, bomb, broken, broken]


def test_tables_that_are_none_or_blow_up(tmp_path: Path) -> None:
    good = tables()
    for name in ("r.parquet", "s/r.arrow", "f/r.arrow"):
        put(tmp_path, f"cut/{name}", good[name][:-40])
        put(tmp_path, f"not/{name}", b"ARROW1 or PAR1, but no table")
    blown = io.BytesIO()
    pq.write_table(pa.table({"text": ["x" * 1_000_000] * 100}), blown)  # 100 MB in a few kilobytes
    put(tmp_path, "blown.parquet", blown.getvalue())
    other = io.BytesIO()
    pq.write_table(pa.table({"body": ["x"]}), other)
    put(tmp_path, "other.parquet", other.getvalue())
    reasons = {source: reason for source, reason, _ in skipped(tmp_path)}
    assert reasons.pop("blown.parquet") == "expands more than 200-fold"
    assert reasons.pop("other.parquet") == 'no column "text" in 1 column (body)'
    assert set(reasons.values()) == {"broken Parquet", "broken Arrow"} and len(reasons) == 6


def test_the_rows_of_a_table_without_a_text_are_counted(tmp_path: Path) -> None:
    """As one record a lost table of half the corpus was met by the rule on what could not be read."""
    put(tmp_path, "a.csv", b"id,note\n" + b"1,x\n" * 50 + b"\n")
    other = io.BytesIO()
    pq.write_table(pa.table({"body": ["x"] * 70}), other)
    put(tmp_path, "b.parquet", other.getvalue())
    put(tmp_path, "c.txt", b"a text")
    lost = {item.source: item.records for item in read(tmp_path, Settings()) if isinstance(item, Skipped)}
    assert lost == {"a.csv": 50, "b.parquet": 70}


def test_a_saved_dataset_is_its_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"text": f"row {i}"} for i in range(6)])
    datasets.DatasetDict({"train": rows.select([5, 1]), "test": rows.select([3])}).save_to_disk(
        tmp_path / "d"
    )
    rows.select([4]).save_to_disk(tmp_path / "e")
    assert [item.text for item in read(tmp_path) if isinstance(item, Document)] == [
        "row 3",
        "row 5",
        "row 1",
        "row 4",
    ]
    assert not [item for item in read(tmp_path) if isinstance(item, Skipped)]


def test_patterns_and_single_files(tmp_path: Path) -> None:
    for name in ("a/1.txt", "a/2.md", "a/b/3.txt", "a/.hidden/4.txt", "c/5.txt"):
        put(tmp_path, name, name)
    assert list(texts(tmp_path / "a" / "**" / "*.txt")) == ["1.txt", "b/3.txt"]
    assert list(texts(tmp_path / "*" / "*.txt")) == ["a/1.txt", "c/5.txt"]
    assert list(texts(tmp_path / "a" / "2.md")) == ["2.md"]
    assert set(digests(tmp_path / "a" / "**" / "*.txt")) == {"1.txt", "b/3.txt"}
    with pytest.raises(InputError, match="no file there"):
        list(read(tmp_path / "*.xml"))


def test_bytes_passed_add_up(tmp_path: Path) -> None:
    for name, content in tables().items():
        put(tmp_path, name, content)
    told: list[int] = []
    list(read(tmp_path, advance=told.append))
    assert told == sorted(told) and told[-1] == size(tmp_path) == sum(map(len, tables().values()))


def test_html_shows_what_a_browser_shows() -> None:
    page = "<html><title>T</title><style>x{}</style><body><p>a &amp;\n b</p><script>no</script>c<br>d"
    assert html_text(page) == "T\na & b\nc\nd"


# --- units --------------------------------------------------------------------------------------------


def test_units_come_from_the_column_or_the_record_is_skipped(tmp_path: Path) -> None:
    put(tmp_path, "r.jsonl", '{"text": "a", "author": "kim"}\n{"text": "b"}\n{"text": "c", "author": 7}\n')
    put(tmp_path, "p.txt", "nobody's")
    read_as = list(read(tmp_path, Settings(unit_key="author")))
    assert [d.unit for d in read_as if isinstance(d, Document)] == ["kim", "7"]
    assert [(s.source, s.line) for s in read_as if isinstance(s, Skipped)] == [("p.txt", 0), ("r.jsonl", 2)]
    assert "kim" not in repr(read_as)


# --- broken input -------------------------------------------------------------------------------------

BOMB = gzip.compress((b" " * 1000 + b"\n") * 30_000, 9, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "reason", "line"),
    [
        ("a.txt", b"caf\xe9", "not UTF-8", 0),
        ("a.txt", b"\x89PNG\r\n\0\0", "a binary file", 0),
        ("a.txt", b"words\0", "a binary file", 0),
        ("a.txt", b"", "no text in it", 0),
        ("a.txt", b" \n\t ", "no text in it", 0),
        ("a.html", b"a" * 1001, "longer than 1,000 characters", 0),
        ("a.html", b"a" * 100_000, "longer than 1,000 characters", 0),
        ("a.xyz", b"?", "unknown extension .xyz", 0),
        ("a", b"?", "unknown extension", 0),
        ("a.gz", b"?", "unknown extension", 0),
        ("a.txt.gz", b"\x1f\x8bnonsense", "broken gzip", 0),
        ("a.txt.gz", gzip.compress(b"hello" * 50, mtime=0)[:-9], "broken gzip", 0),
        ("a.txt.gz", b"plain text", "broken gzip", 0),
        ("a.jsonl.gz", BOMB, "expands more than 200-fold", 0),
        ("a.jsonl", b'{"text": "ok"}\n{"text": \n', "malformed JSON", 2),
        ("a.jsonl", b'\n\n{"text": "\xff"}\n', "not UTF-8", 3),
        ("a.jsonl", b'{"other": "x"}\n', 'no "text"', 1),
        ("a.jsonl", b'{"text": 5}\n', '"text" is not text', 1),
        ("a.jsonl", b'{"text": ""}\n', "no text in it", 1),
        ("a.jsonl", b'["text"]\n', "neither a JSON object nor a text", 1),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "holds lone surrogates", 1),
        ("a.jsonl", b'{"text": "a\\u0000b"}\n', "holds NUL characters", 1),
        ("a.jsonl", b'{"text": ' + b"[" * 5000 + b"\n", "JSON nested too deep", 1),
        ("a.jsonl", b'{"text": "x", "n": ' + b"9" * 5000 + b"}\n", "malformed JSON", 1),
        ("a.jsonl", b'{"text": "' + b"x" * 5_000_000 + b'"}\n', "longer than 1,000 characters", 1),
        ("a.json", b"[" * 100_000, "JSON nested too deep", 0),
        ("a.json", b'[{"text": "a"}', "malformed JSON", 1),
        ("a.json", b'"text"', "neither a JSON object nor a list of objects or texts", 0),
        ("a.csv", b"id,body\n1\n", 'no column "text" in the first row (2 columns between ",": id, body)', 0),
        (
            "a.csv",
            b"7;Ann Lee;asthma;note id\n",
            'no column "text" in the first row (4 columns between ";": note id)',
            0,
        ),
        ("a.csv", b"", 'no column "text" in the first row (0 columns between ",")', 0),
        ("a.csv", b"id,text\n1\n", "1 columns where the header has 2", 2),
        ("a.csv", b"id,text\n1,caf\xe9\n", "not UTF-8", 2),
        ("a.csv", b'id,text\n1,"' + b"x\n" * 20_000, "malformed CSV", None),
        ("a.eml", b"Subject: x\n\n", "no text in it", None),
        ("a.eml", b"Content-Type: text/plain; charset=klingon\n\nx", "a mail in an unknown character set", 0),
        ("a.eml", b"Content-Type: text/plain; charset=utf-8\n\n\xe9", "not UTF-8", 0),
        ("a.html", b"<p>\xe9</p>", "not UTF-8", 0),
    ],
)  # fmt: skip
def test_broken_records_are_named(
    tmp_path: Path, name: str, content: bytes, reason: str, line: int | None
) -> None:
    put(tmp_path, name, content)
    found = skipped(tmp_path, Settings(max_chars=1000, mail_headers=False))
    assert [(s, r) for s, r, _ in found] == [(name, reason)]
    assert line is None or found[0][2] == line
    assert "fine" in texts(tmp_path).values()


def test_what_follows_a_broken_row_is_read(tmp_path: Path) -> None:
    huge = b'{"text": "' + b"x" * 50_000 + b'"}\n'
    put(tmp_path, "a.jsonl", b'{"text": "one"}\nnot json\n' + huge + b'{"text": "four"}\n')
    assert texts(tmp_path, Settings(max_chars=1000)) == {"a.jsonl#L1": "one", "a.jsonl#L4": "four"}


def test_a_bomb_is_contained_in_memory(tmp_path: Path) -> None:
    put(tmp_path, "bomb.txt.gz", gzip.compress(b"a" * (200 << 20), 9))
    put(tmp_path, "line.jsonl.gz", gzip.compress(b"a" * (200 << 20), 9))
    tracemalloc.start()
    # in this process, whose memory is measured; as a rule a child reads
    settings, here = Settings(max_chars=100_000), [tmp_path / "bomb.txt.gz", tmp_path / "line.jsonl.gz"]
    reasons = [item for path in here for item in read_file(path, path.name, settings, lambda at: None)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [type(item) for item in reasons] == [Skipped, Skipped] and peak < 20 << 20


def test_places_that_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside, "secret.txt", "secret")
    inside = tmp_path / "corpus"
    put(inside, "real.txt", "real")
    (inside / "leaves.txt").symlink_to(outside / "secret.txt")
    (inside / "folder").symlink_to(outside)
    (inside / "stays.txt").symlink_to(inside / "real.txt")
    (inside / "gone.txt").symlink_to(inside / "nowhere.txt")
    (inside / "round.txt").symlink_to(inside / "about.txt")
    (inside / "about.txt").symlink_to(inside / "round.txt")
    os.mkfifo(inside / "pipe.txt")
    put(inside, ".hidden.txt", "hidden")
    put(inside, ".git/x.txt", "hidden")
    put(inside, "clean/manifest.json", '{"schema": "mlmguard/manifest/v1"}')
    put(inside, "clean/train-00000.jsonl", '{"text": "ours"}')
    read_now = list(read(inside))
    assert {d.text for d in read_now if isinstance(d, Document)} == {"real"}
    assert {(s.source, s.reason) for s in read_now if isinstance(s, Skipped)} == {
        ("folder", "symbolic link to a folder"),
        ("gone.txt", "not a regular file"),
        ("round.txt", "not a regular file"),
        ("about.txt", "not a regular file"),
        ("leaves.txt", "symbolic link that leaves the corpus"),
        ("pipe.txt", "not a regular file"),
    }
    assert set(digests(inside)) == {"real.txt", "stays.txt"}


def test_names_that_are_not_text_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9\n.txt")).write_text("x")
    (id,) = texts(tmp_path)
    assert id == "caf\\xe9\\n.txt"
    id.encode("utf-8")


@pytest.mark.parametrize("content", [{}, {"a.xyz": "x"}, {"a.jsonl": '{"body": "x"}'}, {"a.txt": ""}])
def test_nothing_to_read_is_an_input_error(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        put(tmp_path, name, text)
    with pytest.raises(InputError) as raised:
        list(read(tmp_path))
    assert raised.value.exit_code == 2 and "\n" not in str(raised.value)


def test_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        list(read(tmp_path / "nowhere"))


def test_mails_of_2002(shared_data: Path) -> None:
    items = list(read(shared_data / "mail"))
    assert sum(isinstance(item, Document) for item in items) == 1849
    assert {item.reason for item in items if isinstance(item, Skipped)} == {
        "not UTF-8",
        "not in the character set it names",
        "a mail in an unknown character set",
        "no text in it",
    }


@pytest.mark.parametrize(
    ("row", "key", "text", "left"),
    [
        ({"m": {"text": "a", "by": "kim"}}, "m.text", "a", {"m": '{"by": "kim"}'}),
        ({"m": [{"c": "a", "r": "u"}, {"c": "b"}]}, "m.c", "a\nb", {"m": '[{"r": "u"}, null]'}),
        ({"messages": [{"role": "u", "content": "a"}]}, "text", "a", {"messages": '[{"role": "u"}]'}),
        ({"messages.content": "a", "messages": "b"}, "messages.content", "a", {"messages": "b"}),
        ({"m": {"text": "a"}}, "m.text", "a", {}),
    ],
)
def test_what_a_column_holds_beside_the_text_stays(
    tmp_path: Path, row: object, key: str, text: str, left: dict[str, str]
) -> None:
    put(tmp_path, "r.jsonl", json.dumps(row))
    (document,) = read(tmp_path, Settings(text_key=key))
    assert isinstance(document, Document) and document.text == text and document.metadata == left
