"""Cleaning changes the findings and nothing else, and the map leads both ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmguard.artifacts import Key
from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.spans import Span, resolve
from mlmguard.corpus.redact import MODES, Clean, redact, redact_fully
from mlmguard.corpus.surrogate import Surrogates, surrogate
from mlmguard.corpus.synthetic import private_documents
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings, scan

KEY = Key(b"0" * 32)


@st.composite
def found_texts(draw: st.DrawFn) -> tuple[str, list[Span]]:
    text = draw(st.text(min_size=1, max_size=60))
    pairs = draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(1, 9)), max_size=8))
    spans = [Span(a, min(len(text), a + n), "US_SSN", 0.5) for a, n in pairs if a < len(text)]
    return text, resolve(spans)


@given(found_texts(), st.sampled_from(MODES))
def test_everything_outside_findings_is_unchanged(case: tuple[str, list[Span]], mode: str) -> None:
    text, spans = case
    clean = redact(text, spans, mode, KEY.fingerprint)
    assert [(p.raw_start, p.raw_end) for p in clean.placed] == [(s.start, s.end) for s in spans]
    at_raw = at_clean = 0
    for placed in clean.placed:
        assert text[at_raw : placed.raw_start] == clean.text[at_clean : placed.clean_start]
        at_raw, at_clean = placed.raw_end, placed.clean_end
    assert text[at_raw:] == clean.text[at_clean:]


@given(found_texts(), st.sampled_from(MODES))
def test_the_map_leads_there_and_back(case: tuple[str, list[Span]], mode: str) -> None:
    text, spans = case
    clean = redact(text, spans, mode, KEY.fingerprint)
    inside = {i for s in spans for i in range(s.start, s.end)}
    for position, character in enumerate(text):
        there = clean.to_clean(position)
        if position in inside:
            span = next(s for s in spans if s.start <= position < s.end)
            assert clean.to_raw(there) == span.start
        else:
            assert clean.text[there] == character and clean.to_raw(there) == position


def test_one_value_has_one_pseudonym_and_another_key_another() -> None:
    text = "a@example.com wrote to a@example.com and b@example.com"
    spans = [Span(m, m + 13, "EMAIL_ADDRESS", 1.0) for m in (0, 23, 41)]
    first, second, other = (
        redact(text, spans, "pseudonym", KEY.fingerprint).text.split()[i] for i in (0, 3, 5)
    )
    assert first == second != other and "example" not in first
    assert redact(text, spans, "pseudonym", Key(b"1" * 32).fingerprint).text.split()[0] != first


def test_a_mask_does_not_tell_the_length() -> None:
    assert redact("ab", [Span(0, 1, "X", 1.0)], "mask").text == "********b"
    assert redact("aab", [Span(0, 2, "X", 1.0)], "mask").text == "********b"


def test_wrong_use_is_refused() -> None:
    with pytest.raises(InputError):
        redact("ab", [Span(0, 1, "X", 1.0)], "shred")
    with pytest.raises(ValueError, match="overlap"):
        redact("abc", [Span(0, 2, "X", 1.0), Span(1, 3, "X", 1.0)])
    assert "secret" not in repr(Clean("secret", ()))


@pytest.mark.parametrize("mode", MODES)
def test_a_second_scan_finds_nothing(mode: str) -> None:
    documents, _ = private_documents(150)
    find = pii.finder().find
    for document in documents:
        clean = redact_fully(document.text, find, mode, KEY.fingerprint)
        assert find(clean.text) == []


def test_what_moves_within_reach_of_a_context_word_goes_too() -> None:
    text = "account 01/02/2020, 03/04/2021, 05/06/2022: 12345678901234567"
    find = pii.finder().find
    once = redact(text, find(text))
    assert find(once.text)  # taking the dates out brought the word within five words of the number
    assert "12345678901234567" not in redact_fully(text, find).text


WORDS = (
    "account", "call", "212-555-0112", "12345678901", "a.b@example.com", "01/02/2020", "url", "IP",
    "/", "10.1.2.3", "4111111111111111", "MRN 4482913", ",", "-", "<", ">",
    "x", "\n", "536-90-4399", "http:",
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=14,
    )
)
def test_a_second_scan_finds_nothing_in_any_mixture(words: list[str]) -> None:
    find = pii.finder().find
    for glue in (" ", ""):
        assert find(redact_fully(glue.join(words), find).text) == []


# --- surrogates ---------------------------------------------------------------------------------------

VALUES = {
    "EMAIL_ADDRESS": "ann.lee@clinic.org",
    "PHONE_NUMBER": "+1 (347) 555-0110 ext. 12",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN_CODE": "GB82 WEST 1234 5698 7654 32",
    "IP_ADDRESS": "10.1.2.3",
    "URL": "https://www.clinic.org/a/b",
    "DATE_TIME": "Mon 12 Aug 2002",
    "US_SSN": "536-90-4399",
    "STREET_ADDRESS": "12 Oak Street",
    "AGE": "95",
    "PERSON": "Ann Lee",
}


@pytest.mark.parametrize("rule", VALUES)
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_surrogate_is_of_the_kind_and_not_the_value(rule: str, name: str) -> None:
    value = VALUES[rule]
    drawn = surrogate(rule, value, name)
    assert drawn == surrogate(rule, value, name) != value
    if rule in ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "URL"):
        assert Span(3, 3 + len(drawn), rule, 1.0) in {
            s._replace(score=1.0) for s in pii.finder().find_all(f"at {drawn} here")
        }
    if rule in ("CREDIT_CARD", "IBAN_CODE", "US_SSN", "PHONE_NUMBER"):
        shape = [c if not c.isalnum() else "9" if c.isdigit() else "a" for c in value]
        assert [c if not c.isalnum() else "9" if c.isdigit() else "a" for c in drawn] == shape


@given(st.sampled_from([*VALUES, "API_KEY", "US_ZIP_CODE"]), st.text(max_size=30), st.text(max_size=4))
def test_any_value_has_a_surrogate(rule: str, value: str, name: str) -> None:
    assert surrogate(rule, value, name) == surrogate(rule, value, name)


@given(found_texts())
def test_surrogates_change_findings_only_and_keep_the_map(case: tuple[str, list[Span]]) -> None:
    text, spans = case
    clean = Surrogates(KEY.fingerprint, lambda value: False)(redact(text, spans, "surrogate"), text)
    at_raw = at_clean = 0
    for placed in clean.placed:
        assert text[at_raw : placed.raw_start] == clean.text[at_clean : placed.clean_start]
        at_raw, at_clean = placed.raw_end, placed.clean_end
    assert text[at_raw:] == clean.text[at_clean:]


def test_a_surrogate_is_never_a_value_of_the_corpus() -> None:
    span = [Span(0, 1, "US_SSN", 1.0)]
    everything = set("0123456789")
    for free in "3", "8":
        taken = everything - {free}
        make = Surrogates(KEY.fingerprint, taken.__contains__)
        assert make(redact("7", span, "surrogate"), "7").text == free
    assert Surrogates(KEY.fingerprint, everything.__contains__)(redact("7", span), "7").text == "<US_SSN>"


# --- the cleaned corpus, scanned again ----------------------------------------------------------------


def marks(text: str) -> set[tuple[str, str]]:
    return {(s.rule, KEY.fingerprint(s.rule, text[s.start : s.end])) for s in pii.finder().find(text)}


@pytest.mark.parametrize("mode", MODES)
def test_the_cleaned_corpus_holds_no_fingerprint_of_the_raw_one(mode: str, tmp_path: Path) -> None:
    documents, _ = private_documents(60)
    documents = [
        *documents,
        *(
            replace(d, id=f"plain-{i}", text=f"Note {i}. Nothing to see.")
            for i, d in enumerate(documents[:9])
        ),
    ]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for i, document in enumerate(documents):
        (corpus / f"{i:03}.txt").write_text(document.text, "utf-8")
    scan(
        corpus, tmp_path / "clean", tmp_path / "reports", key=KEY, runs=tmp_path / "runs",
        settings=ScanSettings(mode=mode, cut_passages="nowhere"),
    )  # fmt: skip
    before = set().union(*(marks(d.text) for d in documents))
    rows = [
        json.loads(line)
        for path in sorted((tmp_path / "clean").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    after = set().union(*(marks(row["text"]) for row in rows))
    assert before and rows and not before & after
    if mode in ("replace", "drop-document"):
        assert not after
