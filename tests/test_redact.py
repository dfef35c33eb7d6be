"""Cleaning changes the findings and nothing else, and the map leads both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmguard.artifacts import Key
from mlmguard.corpus import pii
from mlmguard.corpus.redact import MODES, Clean, redact, redact_fully
from mlmguard.corpus.spans import Span, resolve
from mlmguard.corpus.synthetic import private_documents
from mlmguard.errors import InputError

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
