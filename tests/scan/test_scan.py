"""The verb: the files it promises, the same bytes every time, nothing personal outside, all or nothing."""

from __future__ import annotations

import base64
import errno
import html
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.parse
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from mlmguard import artifacts
from mlmguard.corpus.clean import read_clean
from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.installed import entity
from mlmguard.corpus.read.originals import originals
from mlmguard.corpus.spool import Spool
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.engine import LocalEngine
from mlmguard.errors import InputError, PartialRun
from mlmguard.scan import ScanSettings, scan
from mlmguard.scan import examining as scan_examining
from mlmguard.scan.job import made_by
from mlmguard.types import ColumnCount, Manifest, RepeatedIds, Watcher

KEY = artifacts.Key(b"k" * 32)


class Place:
    """A working folder with a corpus, and what a scan makes of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.corpus = root, root / "corpus"
        self.clean, self.reports, self.runs = root / "clean", root / "reports", root / ".mlmguard" / "runs"

    def put(self, name: str, content: str | bytes) -> None:
        path = self.corpus / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def scan(self, key: artifacts.Key = KEY, **settings: Any) -> Manifest:
        chosen = ScanSettings(**settings)
        return scan(
            self.corpus, self.clean, self.reports, key=key, settings=chosen, runs=self.runs, overwrite=True
        )

    @property
    def run(self) -> Path:
        (folder,) = self.runs.glob("scan-*")
        return folder

    def rows(self, split: str = "*") -> list[dict[str, str]]:
        return [row for file in sorted(self.clean.glob(f"{split}-*.jsonl")) for row in jsonl(file)]


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """300 notes in every format, scanned once by author."""
    place = Place(tmp_path_factory.mktemp("notes"))
    write_corpus(place.corpus, place.root / "gold.jsonl", notes=300)
    place.put("letters/readme.xyz", "?")
    place.scan()
    return place


# --- what it writes -----------------------------------------------------------------------------------


def test_it_writes_the_files_of_the_architecture_and_no_others(notes: Place) -> None:
    run = f".mlmguard/runs/{notes.run.name}"
    made = {name for name in files(notes.root) if not name.startswith(("corpus/", "gold"))}
    assert made == {
        "clean/manifest.json",
        "clean/test-00000.jsonl",
        "clean/train-00000.jsonl",
        "clean/validation-00000.jsonl",
        "reports/findings.jsonl",
        "reports/scan.json",
        "reports/scan.run.json",
        ".mlmguard/.gitignore",
        f"{run}/documents.jsonl",
        f"{run}/passages.jsonl",
        f"{run}/scan.json",
        f"{run}/spans.jsonl",
    }
    assert stat.S_IMODE(notes.run.stat().st_mode) == 0o700
    assert stat.S_IMODE(notes.clean.stat().st_mode) == 0o700
    private = artifacts.read_json(notes.run / "scan.json")
    assert {"corpus", "settings", "salt", "clean", "files", "clean_files"} <= set(private)
    for name, digest in private["clean_files"].items():
        assert artifacts.sha256_file(notes.clean / name) == digest


def test_manifest_counts_add_up(notes: Place) -> None:
    manifest = artifacts.read_noun(notes.clean / "manifest.json", Manifest)
    documents = jsonl(notes.run / "documents.jsonl")
    status = [d["status"] for d in documents]
    assert manifest.documents_read == len(documents) == 300
    assert (
        manifest.documents_written
        == status.count("kept")
        == len(notes.rows())
        == sum(manifest.splits.values())
    )
    assert manifest.duplicates.exact == status.count("exact-duplicate") > 0
    assert manifest.duplicates.near == status.count("near-duplicate") > 0
    assert [s.reason for s in manifest.skipped] == ["unknown extension .xyz"]
    assert {shard.path: shard.documents for shard in manifest.outputs} == {
        f"{split}-00000.jsonl": len(notes.rows(split)) for split in ("train", "validation", "test")
    }
    findings = jsonl(notes.reports / "findings.jsonl")
    in_text = [f for f in findings if not f["location"]["column"]]
    assert sum(c.found for c in manifest.findings) == len(in_text)
    kept = [f for f in in_text if f["status"] == "kept"]
    assert sum(c.redacted for c in manifest.findings) == len(kept) == len(jsonl(notes.run / "spans.jsonl"))
    copies = {d["id"]: (d["status"], d["copies"]) for d in documents}
    holders: dict[str, set[str]] = defaultdict(set)
    for finding in in_text:
        holders[finding["fingerprint"]].add(finding["location"]["document_id"])
    for finding in findings:
        found_in = finding["location"]["document_id"]
        assert (finding["status"], finding["document_copies"]) == copies[found_in]
        assert finding["value_documents"] == max(1, len(holders[finding["fingerprint"]]))
    for row in manifest.repetition:
        of_rule = [f for f in in_text if f["rule"] == row.rule]
        repeated = {f["fingerprint"] for f in of_rule if f["value_documents"] > 1}
        assert (row.values, row.most) == (len(repeated), max(f["value_documents"] for f in of_rule))
        assert row.most_copies == max(f["document_copies"] for f in of_rule)

    assert {c.source for c in manifest.findings} == {"letters", "notes", "tables"}
    assert {d.status for d in manifest.coverage} == {"available", "no detector"}
    report = artifacts.read_json(notes.reports / "scan.json")
    assert report["schema"] == "mlmguard/scan/v1" and report["skipped"] == {"unknown extension .xyz": 1}
    assert report["repeated"][0]["documents"] >= 5
    weight = {"high": 3, "medium": 2, "low": 1}
    risks = [weight[entity(row["rule"]).severity] * row["documents"] for row in report["repeated"]]
    assert risks == sorted(risks, reverse=True)
    risks = [weight[row.severity] * row.most for row in manifest.repetition]
    assert risks == sorted(risks, reverse=True) and len(risks) > 3


def test_rows_spans_and_originals_fit_together(notes: Place) -> None:
    raw = dict(originals(notes.run))
    clean = {row["id"]: row["text"] for row in notes.rows()}
    documents = {d["id"]: d for d in jsonl(notes.run / "documents.jsonl")}
    assert set(raw) == set(documents) and set(clean) == {
        i for i, d in documents.items() if d["status"] == "kept"
    }
    at: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for span in jsonl(notes.run / "spans.jsonl"):
        id, before = span["id"], at[span["id"]]
        outside = clean[id][before[1] : span["clean_start"]]
        assert outside == raw[id][before[0] : span["raw_start"]]
        assert (
            clean[id][span["clean_start"] : span["clean_end"]] == f"<{span['rule']}>"
            and span["redacted"] is True
        )
        at[id] = (span["raw_end"], span["clean_end"])
    for id, text in clean.items():
        assert text[at[id][1] :] == raw[id][at[id][0] :]
        assert pii.finder().find(text) == []
    for document in documents.values():
        assert document["copies"] >= 1 and document["cluster"] in documents
        assert (document["split"] == "") == (document["status"] != "kept")


def test_originals_notice_a_changed_corpus(place: Place) -> None:
    place.put("a.txt", "first text about cats")
    place.put("b.txt", "second text about dogs")
    place.scan()
    assert list(originals(place.run, {"b.txt"})) == [("b.txt", "second text about dogs")]
    with pytest.raises(InputError, match="not in this scan"):
        list(originals(place.run, {"c.txt"}))
    place.corpus.rename(place.root / "moved")
    assert dict(originals(place.run, corpus=place.root / "moved")).keys() == {"a.txt", "b.txt"}
    (place.root / "moved" / "b.txt").write_text("another")
    with pytest.raises(InputError, match="1 files changed"):
        list(originals(place.run, corpus=place.root / "moved"))
    (place.root / "moved" / "b.txt").unlink()
    with pytest.raises(InputError, match="1 files gone"):
        list(originals(place.run, corpus=place.root / "moved"))


# --- the same bytes -----------------------------------------------------------------------------------


def outputs(place: Place) -> dict[str, bytes]:
    """Everything but timings, and but the absolute paths in the run folder's scan.json."""
    found = {
        n: b
        for n, b in files(place.root).items()
        if not n.startswith(("corpus/", "gold")) and "scan.run" not in n
    }
    return {n: b.replace(str(place.root).encode(), b"ROOT") for n, b in found.items()}


def test_same_input_same_output_for_one_worker_or_two(notes: Place, tmp_path: Path) -> None:
    other = Place(tmp_path)
    write_corpus(other.corpus, None, notes=300)
    other.put("letters/readme.xyz", "?")
    other.scan(workers=2)
    assert outputs(other) == outputs(notes)
    other.scan()
    assert outputs(other) == outputs(notes)


def test_a_line_break_that_is_none_in_json_breaks_no_row(place: Place) -> None:
    """U+2028 and U+0085 end a line for ``str.splitlines`` and stand in JSON strings as they are."""
    text = "First half of a sentence\u2028second half of it\u0085and a third about the weather."
    place.put("odd.txt", text)
    for number in range(12):
        place.put(f"{number}.txt", f"Ordinary note number {number} about boats.")
    place.scan(splits={"train": 1.0, "validation": 0.0, "test": 0.0})
    assert text in {row["text"] for row in read_clean(place.clean).train}


def test_another_key_or_setting_is_another_run(place: Place) -> None:
    place.put("a.txt", "call 212-555-0112 about the cat")
    first = place.scan()
    again = place.scan(key=artifacts.Key(b"x" * 32))
    third = place.scan(mode="mask")
    assert len({first.run_id, again.run_id, third.run_id}) == 3
    assert len({first.commitment, again.commitment, third.commitment}) == 3
    assert first.key_id != again.key_id


# --- nothing personal outside -------------------------------------------------------------------------

PLANTED = {
    "mail": "zebediah.quux@example.org",
    "card": "4111 1111 1111 1111",
    "name": "Zebediah Quuxworth",
    "ssn": "536-90-4399",
}


def disguises(value: str) -> list[bytes]:
    plain = value.encode()
    return [
        plain,
        base64.b64encode(plain).rstrip(b"="),
        urllib.parse.quote(value).encode(),
        html.escape(value).replace("@", "&#64;").encode(),
        value.replace("-", "").replace(" ", "").encode(),
    ]


def test_planted_values_are_in_no_report_log_or_error(
    place: Place,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = f"{PLANTED['name']} <{PLANTED['mail']}> card {PLANTED['card']} ssn {PLANTED['ssn']}"
    place.put("a.txt", text)
    place.put(f"{PLANTED['mail']}/{PLANTED['ssn']}.txt", text + " again")
    place.put(
        "rows.jsonl", json.dumps({"id": "x-1", "text": text, "who": PLANTED["name"]}) + "\n{" + text + "\n"
    )
    place.put("poison.txt", text + " poison")
    place.put(f"broken/{PLANTED['mail']}.txt", text.encode() + b"\xff")

    real = pii.Finder.find

    def fails_on_poison(self: pii.Finder, text: str) -> Any:
        if "poison" in text and "card" in text:
            raise ValueError(text)
        return real(self, text)

    monkeypatch.setattr(pii.Finder, "find", fails_on_poison)
    manifest = place.scan()
    with pytest.raises(PartialRun) as raised:
        place.scan(max_skipped=0)
    shown = [*files(place.reports).values(), (place.clean / "manifest.json").read_bytes()]
    shown += [caplog.text.encode(), *(s.encode() for s in capfd.readouterr()), str(raised.value).encode()]
    shown += [repr(manifest).encode(), *(name.encode() for name in files(place.clean))]
    for value in PLANTED.values():
        for disguise in disguises(value):
            assert not any(disguise in page for page in shown), disguise
    assert sorted(s.reason for s in manifest.skipped) == [
        "a detector failed on it (ValueError)",
        "malformed JSON",
        "not UTF-8",
    ]
    kept = "".join(row["text"] for row in place.rows())
    assert PLANTED["name"] in kept and PLANTED["mail"] not in kept and PLANTED["ssn"] not in kept


def test_ids_with_personal_data_are_fingerprinted_and_still_distinct(place: Place) -> None:
    place.put("by/jane@example.org/1.txt", "the first note is about cats")
    place.put("by/kim@example.org/1.txt", "a second one is about dogs and rain")
    place.put("rows.jsonl", '{"id": "tel-2125550112", "text": "hello there"}\n')
    place.put("notes_2024-01-02.md", "a plain name stays as it is")
    place.scan()
    ids = sorted(d["id"] for d in jsonl(place.run / "documents.jsonl"))
    assert len(set(ids)) == 4 and "notes_2024-01-02.md" in ids
    assert all("example" not in id and "2125550112" not in id for id in ids)
    assert sum("<EMAIL_ADDRESS:" in id for id in ids) == 2 and sum("<PHONE_NUMBER:" in id for id in ids) == 1
    assert {row["id"] for row in place.rows()} == {id for id, _ in originals(place.run)}


# --- units, copies, splits ----------------------------------------------------------------------------


def test_no_author_and_no_copy_crosses(tmp_path: Path) -> None:
    place = Place(tmp_path)
    write_corpus(place.corpus, None, notes=300)
    manifest = place.scan(unit_key="author")
    assert {s.reason for s in manifest.skipped} == {'no "author"'}
    authors = {}
    for file in sorted(place.corpus.rglob("*.jsonl")):
        authors |= {f"{file.relative_to(place.corpus)}#{row['id']}": row["author"] for row in jsonl(file)}
    split = {row["id"]: side for side in ("train", "validation", "test") for row in place.rows(side)}
    sides, units, clusters = defaultdict(set), defaultdict(set), defaultdict(set)
    for document in jsonl(place.run / "documents.jsonl"):
        if document["split"]:
            clusters[document["cluster"]].add(document["split"])
        if (author := authors.get(document["id"])) and document["id"] in split:
            sides[author].add(split[document["id"]])
    for row in place.rows():
        if row["id"] in authors:
            units[authors[row["id"]]].add(row["unit"])
    assert all(len(s) == 1 for s in [*sides.values(), *units.values(), *clusters.values()])
    assert not any("staff" in row["unit"] for row in place.rows())
    assert min(manifest.splits.values()) >= 1


def test_the_first_copy_is_kept_and_found_in_the_raw_text(place: Place) -> None:
    letter = (
        "Dear {}, your order of the kettle has left our house and will arrive on Monday before lunch. " * 2
    )
    place.put("1.txt", letter.format("a.b@example.com", "a.b@example.com"))
    place.put("2.txt", letter.format("a.b@example.com", "a.b@example.com") + "\n")
    place.put("3.txt", letter.format("c.d@example.com", "c.d@example.com"))
    manifest = place.scan()
    assert [d["status"] for d in jsonl(place.run / "documents.jsonl")] == ["kept", "exact-duplicate", "kept"]
    assert manifest.duplicates.clusters == (2,)


@pytest.mark.parametrize(("keep", "kept"), [("first", "1"), ("longest", "3"), ("fewest-findings", "2")])
def test_the_kept_copy_is_chosen_by_the_rule(place: Place, keep: str, kept: str) -> None:
    letter = " ".join(f"word{i}" for i in range(60))
    place.put("1.txt", f"{letter} a.b@example.com")
    place.put("2.txt", letter)
    place.put("3.txt", f"{letter} a.b@example.com and more")
    place.put("4.txt", letter + "\n")
    place.put("5.txt", "something else")
    manifest = place.scan(keep=keep)
    status = {d["id"]: d["status"] for d in jsonl(place.run / "documents.jsonl")}
    assert [id for id, s in status.items() if s == "kept"] == [f"{kept}.txt", "5.txt"]
    assert manifest.duplicates.exact == 1 and manifest.duplicates.near == 2
    assert {status[f"{n}.txt"] for n in (2, 4)} >= {"exact-duplicate"}


def test_other_columns_survive_and_are_cleaned(place: Place) -> None:
    rows = [
        {"id": "n-1", "text": "the first note", "topic": "cats", "year": 2001, "by": "a.b@example.com"},
        {"id": "n-2", "text": "another one about dogs", "tags": ["x", "y"], "none": None},
        {"id": "n-3", "text": "and a third"},
    ]
    place.put("r.jsonl", "\n".join(json.dumps(row) for row in rows))
    manifest = place.scan(unit_key=None)
    assert manifest.findings == () and manifest.columns == (ColumnCount("EMAIL_ADDRESS", "by", 1, 1),)
    (finding,) = jsonl(place.reports / "findings.jsonl")
    assert finding["location"] == {"document_id": "r.jsonl#n-1", "start": 0, "end": 15, "column": "by"}
    assert finding["fingerprint"] == KEY.fingerprint("EMAIL_ADDRESS", "a.b@example.com")
    assert {row["id"]: row.get("metadata") for row in place.rows()} == {
        "r.jsonl#n-1": {"topic": "cats", "year": "2001", "by": "<EMAIL_ADDRESS>"},
        "r.jsonl#n-2": {"tags": '["x", "y"]'},
        "r.jsonl#n-3": None,
    }


def test_a_value_that_stays_stays_in_every_column(place: Place) -> None:
    place.put("r.jsonl", '{"text": "from a.b@example.com", "by": "a.b@example.com"}')
    mark = KEY.fingerprint("EMAIL_ADDRESS", "a.b@example.com")
    manifest = place.scan(kept=(("EMAIL_ADDRESS", mark),))
    (row,) = place.rows()
    assert "a.b@example.com" in row["text"] and row["metadata"] == {"by": "a.b@example.com"}
    assert manifest.findings == () and manifest.columns == ()


def test_rows_with_one_id_are_kept_and_told(place: Place) -> None:
    rows = [
        {"id": "n-1", "text": "the first note"},
        {"id": "n-1", "text": "another note with its id"},
        {"id": 7, "text": "a number is no name, but an id"},
        {"id": 7, "text": "and stands there twice"},
        {"id": "", "text": "nothing"},
        {"id": "", "text": "and nothing again"},
    ]
    place.put("r.jsonl", "\n".join(json.dumps(row) for row in rows))
    place.put("s.jsonl", '{"id": "n-1", "text": "in another file it is another one"}')
    manifest = place.scan()
    assert manifest.repeated_ids == (RepeatedIds("r.jsonl", 2, "r.jsonl#L2"),)
    assert manifest.documents_written == 7 and manifest.skipped == ()
    assert artifacts.read_json(place.reports / "scan.json")["repeated_ids"][0]["documents"] == 2


def test_another_run_is_not_replaced_unasked(place: Place) -> None:
    def scan_again(clean: Path = place.clean, reports: Path = place.reports, **said: Any) -> Manifest:
        return scan(place.corpus, clean, reports, key=KEY, runs=place.runs, **said)

    place.put("1.txt", "one text")
    first = scan_again()
    assert scan_again() == first  # the same command, again
    place.put("2.txt", "two texts")
    before = files(place.root)
    with pytest.raises(InputError, match=f"{first.run_id}, another run.*--overwrite"):
        scan_again()
    with pytest.raises(InputError, match="reports: it holds"):
        scan_again(place.root / "other")
    assert files(place.root) == before
    assert scan_again(place.root / "other", place.root / "others").documents_read == 2
    assert scan_again(overwrite=True).documents_read == 2


def passage(name: str, count: int = 60) -> str:
    return " ".join(f"{name}{i}" for i in range(count))


@pytest.mark.parametrize("cut", ["between-splits", "everywhere", "nowhere"])
def test_no_passage_crosses_a_split(place: Place, cut: str) -> None:
    """Sixty documents with a footer in common: none is left in validation or test, and none is lost."""
    for number in range(60):
        place.put(
            f"{number:02}.txt", f"{passage(f'own{number}x', 150)}.\n\n{passage('footer')}, n{number} said."
        )
    manifest = place.scan(cut_passages=cut)
    assert manifest.documents_written == 60 and manifest.duplicates.near == 0
    holders = {split: sum("footer59" in r["text"] for r in place.rows(split)) for split in manifest.splits}
    sizes = manifest.splits
    expected = {
        "between-splits": {"train": sizes["train"], "validation": 0, "test": 0},
        "everywhere": {"train": 1, "validation": 0, "test": 0},
        "nowhere": dict(sizes),
    }
    assert holders == expected[cut] and sizes["test"] > 0 and sizes["validation"] > 0
    report = artifacts.read_json(place.reports / "scan.json")
    held_out = sizes["validation"] + sizes["test"]
    assert report["passages"]["shared_with"] == {
        "other splits": held_out,
        "the same split": sizes["train"] - 1,
    }
    assert manifest.duplicates.passages == 59
    assert (
        manifest.duplicates.passages_cut == {"between-splits": held_out, "everywhere": 59, "nowhere": 0}[cut]
    )
    assert report["boilerplate"][0]["documents"] == 59
    raw = dict(originals(place.run))
    cuts = jsonl(place.run / "passages.jsonl")
    assert len(cuts) == manifest.duplicates.passages_cut
    for row in cuts:  # never inside a word, and nothing else is gone
        assert raw[row["id"]][row["raw_start"] : row["raw_end"]] == passage("footer")
        (text,) = (r["text"] for r in place.rows() if r["id"] == row["id"])
        assert text == raw[row["id"]].replace(passage("footer"), "")


def test_a_cut_brings_nothing_personal_together(place: Place) -> None:
    shared = passage("shared")
    place.put("1.txt", shared)
    place.put("2.txt", f"her social security number {shared} 536-90-4399 it is")
    place.scan(cut_passages="everywhere")
    assert all(not pii.finder().find(row["text"]) for row in place.rows())
    assert "536-90-4399" not in "".join(row["text"] for row in place.rows())


def test_a_document_of_shared_passages_only_is_left_out(place: Place) -> None:
    place.put("1.txt", f"{passage('a')} {passage('b')}")
    place.put("2.txt", passage("a"))
    place.put("3.txt", "something else")
    manifest = place.scan(cut_passages="everywhere", splits={"train": 1.0, "validation": 0.0, "test": 0.0})
    documents = {d["id"]: (d["status"], d["split"]) for d in jsonl(place.run / "documents.jsonl")}
    assert documents["2.txt"] == ("passages-only", "") and manifest.documents_written == 2


def test_what_stands_in_an_evaluation_set_is_taken_out(place: Place, tmp_path: Path) -> None:
    sets = [tmp_path / "eval-a", tmp_path / "eval-b"]
    for number, folder in enumerate(sets):
        folder.mkdir()
        rows = [{"text": passage(f"set{number}r{i}x", 80)} for i in range(5)]
        (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken")
    place.put("exact.txt", passage("set0r1x", 80) + "\n")
    place.put("near.txt", passage("set1r4x", 80) + " and so on")
    place.put(
        "part.txt",
        f"Before it. {passage('set1r2x', 80)[: -len(' set1r2x79')]} and after it. " + passage("own", 200),
    )
    place.put("clean.txt", passage("nothing", 100))
    place.put("twice.txt", passage("nothing", 100) + " of it")
    manifest = place.scan(against=tuple(sets))
    status = {d["id"]: (d["status"], d["copies"]) for d in jsonl(place.run / "documents.jsonl")}
    assert status == {
        "clean.txt": ("kept", 2), "exact.txt": ("evaluation-copy", 1), "near.txt": ("evaluation-copy", 1),
        "part.txt": ("kept", 1), "twice.txt": ("near-duplicate", 2),
    }  # fmt: skip
    assert manifest.documents_read == 5 and manifest.duplicates.evaluation == 2
    assert "set1r2x" not in "".join(row["text"] for row in place.rows())
    assert artifacts.read_json(place.reports / "scan.json")["passages"] == {
        "shared_with": {"evaluation sets": 1}, "against": 10,
    }  # fmt: skip
    assert [(s.source, s.reason) for s in manifest.skipped] == [("against: rows.jsonl", "malformed JSON")] * 2
    again = place.scan()
    assert again.duplicates.evaluation == 0 and again.run_id != manifest.run_id
    (sets[0] / "rows.jsonl").write_text('{"text": "another set"}')
    assert place.scan(against=tuple(sets)).run_id != manifest.run_id
    with pytest.raises(InputError, match="no such folder"):
        place.scan(against=(tmp_path / "nowhere",))


@pytest.mark.parametrize("mode", ["replace", "mask", "pseudonym", "drop-document"])
def test_modes(place: Place, mode: str) -> None:
    place.put("1.txt", "write to a.b@example.com about the cat")
    place.put("2.txt", "nothing personal in this one")
    place.put("3.txt", "and nothing to see here either")
    place.scan(mode=mode)
    kept = [row["text"] for row in place.rows()]
    assert len(kept) == (2 if mode == "drop-document" else 3)
    assert all("a.b@example.com" not in text and not pii.finder().find(text) for text in kept)


# --- places and failures ------------------------------------------------------------------------------


def test_clean_is_replaced_only_if_it_is_ours(place: Place) -> None:
    place.put("1.txt", "one text")
    place.scan()
    place.put("2.txt", "two texts")
    place.scan()
    assert len(place.rows()) == 2
    (place.clean / "thesis.docx").write_text("mine")
    before = files(place.root)
    with pytest.raises(InputError, match="did not write"):
        place.scan()
    assert files(place.root) == before
    assert not [p for p in place.root.iterdir() if p.name.startswith(".clean")]


def test_foreign_folders_are_refused(place: Place) -> None:
    place.put("1.txt", "one text")
    place.clean.mkdir()
    place.scan()  # an empty folder is nobody's
    (place.clean / "manifest.json").write_text('{"schema": "something/else"}')
    with pytest.raises(InputError, match="did not write"):
        place.scan()
    with pytest.raises(InputError, match="holds the corpus"):
        scan(place.corpus, place.root, place.reports, key=KEY, runs=place.runs)
    (place.root / "file").write_text("x")
    with pytest.raises(InputError, match="not a folder"):
        scan(place.corpus, place.root / "file", place.reports, key=KEY, runs=place.runs)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "shred"},
        {"threshold": 0.0},
        {"near_threshold": 1.5},
        {"permutations": 1},
        {"splits": {"train": 1.0}},
        {"entities": ("PERSON",)},
        {"language": "xx"},
    ],
)
def test_wrong_settings_start_nothing(place: Place, settings: dict[str, Any]) -> None:
    place.put("1.txt", "one text")
    with pytest.raises(InputError):
        place.scan(**settings)
    assert set(files(place.root)) == {"corpus/1.txt"}


def test_missing_and_empty_corpora_leave_nothing_behind(place: Place) -> None:
    with pytest.raises(InputError, match="no such folder"):
        place.scan()
    place.corpus.mkdir()
    with pytest.raises(InputError, match="empty"):
        place.scan()
    place.put("a.txt", b"\xff")
    with pytest.raises(InputError, match="no readable document"):
        place.scan()
    assert not place.clean.exists() and not place.reports.exists()


def test_outputs_inside_the_corpus_are_not_read_again(place: Place) -> None:
    place.put("1.txt", "one text")
    inside = Place(place.root)
    inside.clean, inside.reports = place.corpus / "clean", place.corpus / "reports"
    inside.runs = place.corpus / ".mlmguard" / "runs"
    first = inside.scan()
    assert inside.scan() == first and first.documents_read == 1
    assert list(originals(inside.run)) == [("1.txt", "one text")]


@pytest.mark.parametrize(
    ("limit", "fails"), [(None, False), (0.4, True), (0.6, False), (1, True), (2, False)]
)
def test_too_many_skipped_is_a_partial_run(place: Place, limit: float | None, fails: bool) -> None:
    for name, content in (("a.txt", b"good"), ("b.txt", b"fine"), ("c.txt", b"\xff"), ("d.txt", b"\xfe")):
        place.put(name, content)
    if not fails:
        assert len(place.scan(max_skipped=limit).skipped) == 2
        return
    with pytest.raises(PartialRun, match="2 records skipped") as raised:
        place.scan(max_skipped=limit)
    assert raised.value.exit_code == 1 and not place.clean.exists()


@pytest.mark.parametrize("at", range(1, 8))
def test_a_full_disk_leaves_the_old_corpus_and_nothing_half_written(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    place.put("1.txt", "one text about cats")
    place.scan()
    before = files(place.clean)
    place.put("2.txt", "two texts about dogs and more")
    real, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PartialRun, match="the disk is full"):
        place.scan()
    assert files(place.clean) == before
    left = [name for name in files(place.root) if "/.tmp-" in name or "/.spool-" in name or ".clean-" in name]
    assert left == []


def test_poisoned_documents_are_contained(place: Place) -> None:
    place.put("good.txt", "a good text")
    place.put("line.txt", "x" * 5_000_000)
    place.put("rows.jsonl", '{"text": "' + "y" * 5_000_000 + '"}\n{"text": "fine"}\n{"text": "a\\u0000b"}\n')
    place.put("crlf.txt", "one\r\ntwo\r\n")
    place.put("nul.txt", b"a\0b")
    manifest = place.scan()
    assert sorted(row["text"] for row in place.rows()) == ["a good text", "fine", "one\r\ntwo\r\n"]
    assert sorted((s.source, s.line) for s in manifest.skipped) == [
        ("line.txt", 0), ("nul.txt", 0), ("rows.jsonl", 1), ("rows.jsonl", 3),
    ]  # fmt: skip


def test_progress_is_told(place: Place) -> None:
    place.put("1.txt", "one text")
    told: list[tuple[str, int, int | None]] = []
    scan(
        place.corpus,
        place.clean,
        place.reports,
        key=KEY,
        runs=place.runs,
        watcher=Watcher(lambda *a: told.append(a)),
    )
    assert ("scan (MB)", 0, 1) in told and told[-1] == ("write", 1, 1)


@pytest.mark.slow
def test_real_mail(shared_data: Path, place: Place) -> None:
    place.corpus = shared_data / "mail"
    manifest = place.scan(workers=2)
    assert manifest.documents_read == 1849 and len(manifest.skipped) == 51
    found = {count.rule for count in manifest.findings}
    assert {"EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS"} <= found
    assert manifest.duplicates.exact > 50 and manifest.duplicates.near > 90


# --- interruptions ------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from mlmguard import artifacts
from mlmguard.scan import ScanSettings, examining, scan
if __name__ == "__main__":
    root = Path(sys.argv[1])
    examining.BATCH_CHARS = 4000
    settings = ScanSettings(workers=int(sys.argv[2]))
    scan(root / "corpus", root / "clean", root / "reports", key=artifacts.Key(b"k" * 32),
         settings=settings, runs=root / ".mlmguard" / "runs")
"""


def killed(place: Place, workers: int, after: int) -> None:
    """A scan in a process of its own, killed once its spool holds ``after`` bytes."""
    script = place.root.parent / f"{place.root.name}.py"
    script.write_text(CHILD)
    child = subprocess.Popen([sys.executable, str(script), str(place.root), str(workers)], process_group=0)
    try:
        while child.poll() is None:
            parts = list(place.runs.glob("scan-*/examined.part"))
            if parts and parts[0].stat().st_size >= after:
                break
            time.sleep(0.005)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_scan_goes_on_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(scan_examining, "BATCH_CHARS", 4000)
    straight, broken = Place(tmp_path / "straight"), Place(tmp_path / "broken")
    for place in (straight, broken):
        write_corpus(place.corpus, None, notes=150)
    straight.scan()
    for after in (66, 60_000):
        killed(broken, workers, after)
        assert not broken.clean.exists()
    batches = 0
    real = LocalEngine.map

    def counted(self: LocalEngine, work: Any, shards: Any) -> Any:
        nonlocal batches
        for result in real(self, work, shards):
            batches += 1
            yield result

    monkeypatch.setattr(LocalEngine, "map", counted)
    broken.scan()
    afterwards, batches = batches, 0
    straight.scan(workers=1)
    assert outputs(broken) == outputs(straight) and 0 < afterwards < batches
    assert not list(broken.runs.glob("*/examined.part"))


def test_an_interrupt_keeps_what_was_done(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_examining, "BATCH_CHARS", 10)
    for number in range(6):
        place.put(f"{number}.txt", f"text number {number} about cats")
    done: list[int] = []

    def stop(stage: str, at: int, total: int | None) -> None:
        done.append(at)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(place.corpus, place.clean, place.reports, key=KEY, runs=place.runs, watcher=Watcher(stop))
    with Spool(place.run, made_by(ScanSettings())) as spool:
        assert spool.frames == 3
    assert place.scan().documents_written == 6 and not list(place.run.glob("*.part"))
