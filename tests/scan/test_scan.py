"""The verb: the files it promises, the same bytes every time, nothing personal outside."""

from __future__ import annotations

import base64
import html
import json
import logging
import stat
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
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError, PartialRun
from mlmguard.types import Manifest
from tests.scan.places import Place, files, jsonl, outputs


def test_it_writes_the_files_of_the_architecture_and_no_others(notes: Place) -> None:
    run = f".mlmguard/runs/{notes.run.name}"
    made = {name for name in files(notes.root) if not name.startswith(("corpus/", "gold"))}
    assert made == {
        "clean/README.md",
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
    assert {d.status for d in manifest.coverage} == {"available"}
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
    place.scan(splits="1,0,0")
    assert text in {row["text"] for row in read_clean(place.clean).train}


def test_another_key_or_setting_is_another_run(place: Place) -> None:
    place.put("a.txt", "call 212-555-0112 about the cat")
    first = place.scan()
    again = place.scan(key=artifacts.Key(b"x" * 32))
    third = place.scan(mode="mask")
    assert len({first.run_id, again.run_id, third.run_id}) == 3
    assert len({first.commitment, again.commitment, third.commitment}) == 3
    assert first.key_id != again.key_id


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
    caplog.set_level(logging.DEBUG)
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
    assert not any(PLANTED[kind] in kept for kind in ("name", "mail", "ssn"))


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


def test_documents_are_counted_by_language_and_what_nobody_looked_for_is_said(place: Place) -> None:
    """A Spanish corpus scanned with English words is one whose identifiers nobody looked for."""
    spanish = "El paciente acude a la consulta por un dolor que empezó hace {} semanas. NHC: 36850{}."
    for n in range(4):
        place.put(f"{n}.txt", spanish.format(["dos", "tres", "cuatro", "cinco"][n], n))
    place.put("5.txt", "The patient came because of a pain that had begun three weeks before, she said.")
    place.put("6.txt", "MRN 4482913")
    before = place.scan()
    assert [(row.language, row.documents, row.status) for row in before.languages] == [
        ("es", 4, "not looked for"),
        ("en", 1, "looked for"),
        ("und", 1, "undetermined"),
    ]
    assert before.languages[0].made == () and "MEDICAL_RECORD_NUMBER" in before.languages[1].made
    asked = place.scan(languages=("es",))
    assert asked.languages[0].status == "looked for"
    assert "MEDICAL_RECORD_NUMBER" in asked.languages[0].measured
    found = sum(row.found for row in asked.findings if row.rule == "MEDICAL_RECORD_NUMBER")
    assert found == 5
    report = json.loads((place.reports / "scan.json").read_text("utf-8"))
    assert report["languages"][0]["documents"] == 4


def test_what_stays_in_the_text_is_counted_by_type(place: Place) -> None:
    """What was not asked for stays, and what lay in a copy that was removed does not."""
    text = "Write to anna.berger@example.org or call +1 415 555 0132 about the order of last week.\n"
    place.put("mail/a.txt", text)
    place.put("mail/b.txt", text)
    place.put("mail/c.txt", "The parcel came on time and nobody complained about it at all.\n")
    asked = {row.rule: row for row in place.scan(entities=("EMAIL_ADDRESS",)).findings}
    assert (asked["EMAIL_ADDRESS"].found, asked["EMAIL_ADDRESS"].redacted) == (2, 1)
    assert asked["EMAIL_ADDRESS"].left == 0
    phone = asked["PHONE_NUMBER"]
    assert (phone.found, phone.redacted, phone.documents, phone.left) == (0, 0, 0, 1)
    assert all(row.left == 0 for row in place.scan().findings)
