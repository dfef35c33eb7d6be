"""Known findings do not stop a pipeline; new, expired and unowned ones do."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlmguard.artifacts import Key, load_key, write_json
from mlmguard.cli import cli
from mlmguard.commands import baseline as known
from mlmguard.errors import InputError

KEY = Key(b"0" * 32)
TODAY = date(2026, 1, 10)
FOUND = [("US_SSN", "a" * 16), ("PERSON", "b" * 16), ("US_SSN", "a" * 16)]


def findings(folder: Path, found: list[tuple[str, str]]) -> Path:
    path = folder / "findings.jsonl"
    path.write_text("".join(json.dumps({"rule": r, "fingerprint": f}) + "\n" for r, f in found), "utf-8")
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    known.write(path, FOUND, KEY, "test data", "ann", "2026-06-30", TODAY)
    return path


def test_what_is_known_is_not_new_until_its_last_day(written: Path, tmp_path: Path) -> None:
    baseline = known.read(written, KEY)
    found = findings(tmp_path, [*FOUND, ("PERSON", "c" * 16)])
    now = known.compare(found, baseline, TODAY)
    assert now.new == (("PERSON", "c" * 16),) and now.known == 2 and not now.expired and not now.stale
    assert len(known.compare(found, baseline, date(2026, 6, 30)).new) == 1
    later = known.compare(found, baseline, date(2026, 7, 1))
    assert len(later.new) == 3 and later.known == 0 and len(later.expired) == 2


def test_what_is_gone_is_stale_and_listed(written: Path, tmp_path: Path) -> None:
    compared = known.compare(findings(tmp_path, FOUND[:1]), known.read(written, KEY), TODAY)
    assert [e.rule for e in compared.stale] == ["PERSON"] and not compared.new
    assert ("stale", "PERSON bbbbbbbbbbbbbbbb, ann") in compared.lines()


def test_entries_that_are_there_stay_as_they_are(written: Path) -> None:
    more = known.write(written, [*FOUND, ("URL", "d" * 16)], KEY, "other", "bob", "2026-02-01", TODAY)
    assert [(e.rule, e.owner) for e in more.entries] == [("PERSON", "ann"), ("US_SSN", "ann"), ("URL", "bob")]


def test_another_key_is_refused(written: Path) -> None:
    with pytest.raises(InputError, match="MLMGUARD_KEY_FILE"):
        known.read(written, Key(b"1" * 32))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"reason": " "}, "no reason"), ({"owner": ""}, "no owner"), ({"expires": "soon"}, "soon")],
)
def test_an_entry_without_reason_owner_or_day_is_refused(
    written: Path, change: dict[str, str], said: str
) -> None:
    baseline = known.read(written, KEY)
    write_json(written, asdict(replace(baseline, entries=(replace(baseline.entries[0], **change),))))
    with pytest.raises(InputError, match=said):
        known.read(written, KEY)


@pytest.mark.parametrize("day", ["2026-01-09", "2027-01-11", "never"])
def test_a_day_in_the_past_or_far_off_is_refused(tmp_path: Path, day: str) -> None:
    with pytest.raises(InputError, match="expires"):
        known.write(tmp_path / "b.json", FOUND, KEY, "r", "o", day, TODAY)
    assert not (tmp_path / "b.json").exists()


def test_findings_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(known.values(tmp_path / "none.jsonl"))
    (tmp_path / "bad.jsonl").write_text('{"rule": 1}\n', "utf-8")
    with pytest.raises(InputError, match="not findings"):
        list(known.values(tmp_path / "bad.jsonl"))


# --- through the command ------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    return CliRunner().invoke(cli, list(arguments), standalone_mode=False).return_value


@pytest.mark.parametrize(
    ("added", "options"),
    [
        ({"01.txt": "Call 212-555-0147 about the red boat."}, ["--mode", "drop-document"]),
        ({"rows.jsonl": '{"text": "A red boat came in.", "by": "ann.doe@clinic.org"}\n'}, []),
        ({"eval/a.txt": "Write to joe.poe@clinic.org about the red boat."}, ["--against", "corpus/eval"]),
    ],
    ids=["in a dropped document", "in another column", "in a copy of an evaluation set"],
)
def test_a_new_value_counts_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: dict[str, str], options: list[str]
) -> None:
    """What is not written to clean/ was in the corpus all the same; once accepted it is known."""
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "corpus"
    (corpus / "eval").mkdir(parents=True)
    (corpus / "eval" / "b.txt").write_text("A blue boat left the harbour yesterday.", "utf-8")
    (corpus / "00.txt").write_text("Nothing personal in this one.", "utf-8")
    scan = ["scan", "corpus", "--workers", "1", "-q", "--overwrite", *options]
    accept = ["baseline", "--reason", "seen", "--owner", "ann", "--expires", "2026-12-31", "-q"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")  # 1 January 2026
    assert run(*scan) == 0 and run(*accept) in (0, None)
    assert run(*scan, "--baseline", "baseline.json") == 0
    for name, text in added.items():
        (corpus / name).write_text(text, "utf-8")
    assert run(*scan, "--baseline", "baseline.json") == 10
    assert run(*accept) in (0, None)
    assert run(*scan, "--baseline", "baseline.json") == 0


def test_the_scan_fails_on_what_is_new_and_keeps_what_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")  # 1 January 2026
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for i in range(20):
        (corpus / f"{i:02}.txt").write_text(f"Case {i} came from desk@clinic.org on a quiet day.", "utf-8")
    scan = ["scan", "corpus", "--workers", "1", "-q", "--overwrite"]
    assert run(*scan) == 0
    assert run("baseline", "--reason", "our own desk", "--owner", "ann", "--expires", "2026-03-01", "-q") in (
        0,
        None,
    )
    assert run(*scan, "--baseline", "baseline.json") == 0
    (corpus / "20.txt").write_text("Case 20 came from jane.roe@example.org yesterday.", "utf-8")
    assert run(*scan, "--baseline", "baseline.json") == 10

    data = json.loads((tmp_path / "baseline.json").read_text("utf-8"))
    data["entries"][0]["keep"] = True
    (tmp_path / "baseline.json").write_text(json.dumps(data), "utf-8")
    assert run(*scan, "--baseline", "baseline.json") == 10
    cleaned = "".join(p.read_text("utf-8") for p in sorted((tmp_path / "clean").glob("*.jsonl")))
    assert "desk@clinic.org" in cleaned and "jane.roe" not in cleaned

    data["key_id"] = "of another key"
    (tmp_path / "baseline.json").write_text(json.dumps(data), "utf-8")
    before = (tmp_path / "clean" / "manifest.json").read_bytes()
    with pytest.raises(InputError):
        CliRunner().invoke(
            cli, [*scan, "--baseline", "baseline.json"], standalone_mode=False, catch_exceptions=False
        )
    assert (tmp_path / "clean" / "manifest.json").read_bytes() == before
    assert load_key().id != "of another key"
