"""A labelled sample: drawn at random, shown blinded, kept without its text, counted exactly."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmguard.artifacts import load_key, read_noun, write_json
from mlmguard.commands import sample_review as review
from mlmguard.commands.gate import gate
from mlmguard.errors import InputError
from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load
from mlmguard.scan import ScanSettings, scan
from mlmguard.types import Manifest, Review, Status
from tests.fixtures.evidence import clean as clean_evidence


@pytest.fixture
def scanned(tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for i in range(40):
        text = (
            f"Visit {i}. Mr. Quillfeather{i} wrote from ann{i}@clinic.org.\n"
            + f"Plain sentence number {i}. " * 40
        )
        (corpus / f"{i:02}.txt").write_text(text, "utf-8")
    scan(
        corpus, tmp_path / "clean", tmp_path / "reports", key=load_key(),
        runs=tmp_path / ".mlmguard" / "runs",
        settings=ScanSettings(cut_passages="nowhere", no_names=True),
    )  # fmt: skip
    return tmp_path / "clean"


def answer(number: int, of: int, text: str) -> str:
    return "PERSON" if "Quillfeather" in text else ""


def complain(problem: str) -> None:
    raise AssertionError(problem)


@given(st.text(max_size=3000))
def test_passages_cover_all_that_is_not_blank_once(text: str) -> None:
    cuts = list(review.cut(text))
    assert all(a < b <= c < d for (a, b), (c, d) in pairwise(cuts))
    assert "".join("".join(text[a:b].split()) for a, b in cuts) == "".join(text.split())


def test_blinded_passages_show_bars_and_no_stand_in(scanned: Path) -> None:
    seen: list[str] = []

    def look(number: int, of: int, text: str) -> str:
        seen.append(text)
        return answer(number, of, text)

    found = review.sample_review(scanned, load_key(), look, complain, passages=60)
    assert found.passages == len(seen) == 60
    assert not any("EMAIL_ADDRESS" in text or "clinic.org" in text for text in seen)
    assert any("▇▇▇" in text for text in seen)
    by = {(m.metric, m.slice): m for m in found.measurements}
    names = sum("Quillfeather" in text for text in seen)
    assert by["residual_rate", ""].value == names / 60 and by["residual_rate", ""].examples == 60
    assert by["recall", "PERSON"].value == 0.0 and by["recall", "PERSON"].examples == names
    mails = by["recall", "EMAIL_ADDRESS"]
    assert mails.value == 1.0 and mails.examples == sum("▇▇▇" in text for text in seen)


def test_stopped_and_gone_on_is_the_same_and_keeps_no_text(scanned: Path) -> None:
    asked = Counter[str]()

    def stops(number: int, of: int, text: str) -> str:
        if number > 7:
            raise EOFError
        asked[text] += 1
        return answer(number, of, text)

    with pytest.raises(EOFError):
        review.sample_review(scanned, load_key(), stops, complain, passages=30)
    first = review.sample_review(scanned, load_key(), answer, complain, passages=30)
    again = review.sample_review(
        scanned, load_key(), lambda *_: pytest.fail("asked twice"), complain, passages=30
    )  # type: ignore[arg-type,return-value]
    assert first == again
    run = read_noun(scanned / "manifest.json", Manifest).run_id
    book = scanned.parent / ".mlmguard" / "runs" / run / "review.jsonl"
    kept = book.read_text("utf-8")
    assert "Quillfeather" not in kept and "sentence" not in kept and len(kept.splitlines()) == 30
    assert book.stat().st_mode & 0o077 == 0


def test_a_larger_sample_begins_with_the_smaller_and_every_passage_is_as_likely(scanned: Path) -> None:
    manifest = read_noun(scanned / "manifest.json", Manifest)
    run = scanned.parent / ".mlmguard" / "runs" / manifest.run_id
    some = review.draw(scanned, manifest, run, load_key(), 20)
    more = review.draw(scanned, manifest, run, load_key(), 10_000)
    assert some == more[:20] and len({p.name for p in more}) == len(more)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("", {}),
        ("PERSON", {"PERSON": 1}),
        ("person 2, us_s", {"PERSON": 2, "US_SSN": 1}),
        ("PERSON=3;US_SSN:1", {"PERSON": 3, "US_SSN": 1}),
    ],
)
def test_answers_are_understood(said: str, heard: dict[str, int]) -> None:
    assert review.parse(said, ["PERSON", "PHONE_NUMBER", "US_PASSPORT", "US_SSN"]) == heard


@pytest.mark.parametrize("said", ["P", "nobody", "12", "PERSON two"])
def test_answers_that_say_nothing_certain_are_asked_again(said: str, scanned: Path) -> None:
    with pytest.raises(InputError):
        review.parse(said, ["PERSON", "PHONE_NUMBER"])
    replies = iter([said, ""])
    complaints: list[str] = []
    review.sample_review(scanned, load_key(), lambda *_: next(replies), complaints.append, passages=1)
    assert len(complaints) == 1


def test_none_in_299_shows_one_per_cent() -> None:
    drawn = [review.Passage(str(i), "", ("PERSON",)) for i in range(299)]
    rates = {(m.metric, m.slice): m for m in review.measure(drawn, [{}] * 299)}
    assert rates["residual_rate", ""].high is not None and rates["residual_rate", ""].high < 0.01
    assert rates["recall", "PERSON"].low is not None and rates["recall", "PERSON"].low > 0.99


def test_no_scan_no_review(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no manifest"):
        review.sample_review(tmp_path, load_key(), answer, complain)


# --- what a policy makes of it ------------------------------------------------------------------------


def test_a_review_is_what_the_hipaa_policy_waits_for(tmp_path: Path) -> None:
    evidence = clean_evidence()
    assert evidence.manifest is not None
    write_json(tmp_path / "audit.json", evidence)
    drawn = [review.Passage(str(i), "", ("PERSON",)) for i in range(299)]
    measured = tuple(review.measure(drawn, [{}] * 299))
    commitment = evidence.manifest.commitment
    write_json(tmp_path / "review.json", Review("scan-x", commitment, 299, measured, "0"))

    def names(paths: list[Path]) -> Status:
        judged, _ = gate(paths, "hipaa-safe-harbor")
        return next(v.status for v in judged[0].judgement.verdicts if v.rule == "a-names-recall")

    assert names([tmp_path / "audit.json"]) is Status.INCONCLUSIVE
    assert names([tmp_path / "audit.json", tmp_path / "review.json"]) is Status.PASS
    assert judge(load("base"), evidence) is not None


def test_a_review_of_another_corpus_or_alone_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "audit.json", clean_evidence())
    write_json(tmp_path / "review.json", Review("scan-x", "another", 1, (), "0"))
    with pytest.raises(InputError, match="different corpora"):
        gate([tmp_path / "audit.json", tmp_path / "review.json"])
    with pytest.raises(InputError, match="alone"):
        gate([tmp_path / "review.json"])
    assert json.loads((tmp_path / "review.json").read_text("utf-8"))["schema"] == Review.schema
