"""Looking only where something can match finds what looking everywhere finds."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect import presidio
from mlmguard.corpus.detect import reference as stock_engine
from mlmguard.corpus.detect.characters import (
    ANYTHING,
    DIGIT,
    EDGE,
    LATIN,
    LETTER,
    SIGN,
    SPACE,
    WILD,
    skeleton,
)
from mlmguard.corpus.detect.gates import gate
from mlmguard.corpus.detect.installed import recognisers
from mlmguard.corpus.detect.prefilter import Patterns, behind
from mlmguard.corpus.synthetic import private_documents

SCANNERS = [
    False,
    pytest.param(True, marks=pytest.mark.skipif(find_spec("hyperscan") is None, reason="no hyperscan")),
]
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def everywhere(expressions: list[tuple[str, int]], text: str) -> dict[int, list[tuple[int, int]]]:
    found = {
        number: [m.span() for m in regex.finditer(expression, text, flags) if m.end() > m.start()]
        for number, (expression, flags) in enumerate(expressions)
    }
    return {number: spans for number, spans in found.items() if spans}


def gated(patterns: Patterns, text: str) -> dict[int, list[tuple[int, int]]]:
    found = {number: [m.span() for m in matches] for number, matches in patterns.matches(text)}
    return {number: spans for number, spans in found.items() if spans}


# --- invented expressions over a small alphabet -------------------------------------------------------

LETTERS = "aAbB1 -.@\nſKéıд中٣\u3000\u0301"
ATOMS = st.sampled_from(
    [
        "a", "B", "1", r"\d", r"\w", r"\s", r"\S", r"\W", ".", "[ab]", "[^a1]", "[a-b1]", "@", r"\.",
        "k", "s", "é", r"\b", r"(?<![\w.])", r"(?<!a)", r"(?=1)", r"(?!b)", r"(?<=a)", r"\B", "^",
        "$", "[^k]", "[à-ſ]", r"[^\W\d]",
    ]
)  # fmt: skip


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "??", "+?"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
        inner.map(lambda p: f"({p})"),
        inner.map(lambda p: f"(?i:{p})"),
    )


EXPRESSIONS = st.recursive(ATOMS, _larger, max_leaves=7)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(EXPRESSIONS, min_size=1, max_size=4),
    st.sampled_from([0, re.I, re.I | re.S | re.M]),
    st.text(LETTERS, max_size=40),
)
@example([r"\b[a-z]\d"], re.I, "ſ1 K1 xa1")
@example(["[^k]1"], re.I, "K1 k1 a1")
@example([r"\b[A-Z]\d{2}"], re.I, "ı12 İ12 ſ12 K12")
@example([r"(?<!\s)a"], 0, "\x1ca \x85a \u3000a")
@example([r"[.](?:co|coffee|net|org|xyz)b"], re.I, "a.cob a.netb .cxb .ORGb")
@example([r"\w+@\w+"], 0, "é@é a@b")
@example(["(a)\\1b1"], 0, "aab1 ab1")
def test_matches_of_any_expression_are_those_of_finditer(
    expressions: list[str], flags: int, text: str
) -> None:
    listed = [(expression, flags) for expression in expressions]
    for hyperscan in (False, True) if find_spec("hyperscan") else (False,):
        patterns = Patterns(listed, hyperscan=hyperscan)
        assert gated(patterns, text) == everywhere(listed, text)


@pytest.mark.parametrize(
    "expression",
    ["[[:alpha:]]1", r"\p{L}1", "a{e<=1}", "(?e)a", r"(?<=a+)b", r"\m\w+", "[a||b]1", r"(?|a|b)1", "a{"],
)
def test_what_only_regex_understands_has_no_gate_or_a_true_one(expression: str) -> None:
    text = "éa1 b1 a{ aab x1 [:1 1 |1"
    listed = [(expression, 0)]
    assert gated(Patterns(listed, hyperscan=False), text) == everywhere(listed, text)


def test_a_gate_says_what_it_says() -> None:
    digits = gate(r"\b\d{9}\b", 0)
    assert digits is not None and digits.lead is None
    assert all(not c >> ord("x") & 1 and c >> ord("7") & 1 and c >> WILD & 1 for c in digits.sequences[0][1:])
    assert not digits.sequences[0][0] >> ord("7") & 1 and digits.sequences[0][0] >> EDGE & 1
    mail = gate(r"[a-z.]+@[a-z]+", 0)
    assert mail is not None and mail.lead is not None and mail.sequences[0][1] >> ord("@") & 1
    assert gate(r".*", 0) is None or gate(r".*", 0).sequences[0][1] == ANYTHING  # type: ignore[union-attr]
    assert skeleton("aé中٣\u3000\ud800ſb") == bytes([97, LATIN, LETTER, DIGIT, SPACE, SIGN, WILD, 98])


# --- every expression of the product ------------------------------------------------------------------

VALUES = st.sampled_from(
    [
        "jane.roe@example.co.uk", "j@corp", "@", "http://www.example.com/a?b=c", "www.x.museum", "e.g",
        '"bbc.co.uk"', "212-555-0112", "+44 20 7946 0958", "(217) 555-0135 ext. 5", "536-90-4399",
        "123456789",
        "GB82WEST12345698765432", "4111 1111 1111 1111", "10.1.2.3", "::1", "2001:db8::ff00:42:8329",
        "00:1B:44:11:3A:B7", "A1234567", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "12 Oak Street", "IL 62704",
        "born on 3 May 1990", "DOB 02/06/31", "12-AUG-2002", "MRN 4482913", "AKIAIOSFODNN7EXAMPLE",
        "943 476 5919", "912-70-1234", "BB1388568", "account", "ssn", "SSN", "ſſn", "bank", "Konto", "Kall",
        "call", "phone", "mac address", "the", "licENSE", "date",
        " ", "  ", "\n", "\t", "\r\n", ".", ",", "-", ":", "/", "(", "<", "_", "x", "0", "é", "ß", "ſ", "K",
        "İ", "ı", "\u0301", "\u00a0", "\u2003", "\u200b", "\u00ad", "\x1c", "\x85", "٣", "²", "中文",
        "\U0001f600", "\x00",
    ]
)  # fmt: skip
TEXTS = st.lists(VALUES, max_size=16).map("".join) | st.lists(VALUES, max_size=16).map(" ".join)


@pytest.fixture(scope="module", params=SCANNERS, ids=["numpy", "hyperscan"])
def engine(request: pytest.FixtureRequest) -> presidio.Engine:
    return presidio.Engine(presidio.recognizers(recognisers()), hyperscan=request.param)


@pytest.fixture(scope="module")
def reference() -> Any:
    return stock_engine.reference(presidio.recognizers(recognisers()))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
@example("ſſn 123456789 \u0301123456789 Kall 2125550112")
@example("a" * 300 + "@example.com" + "b" * 300)
@example("account" + " the" * 90 + " 12345678901234567")
@example("12345678901\u0301 x\u200b12345678901")
def test_findings_are_stock_presidios_score_for_score(
    engine: presidio.Engine, reference: Any, text: str
) -> None:
    assert engine.analyze(text, pii.THRESHOLD) == stock_engine.analyze_as_reference(
        reference, text, pii.THRESHOLD
    )


@QUIET
@given(TEXTS, st.sampled_from([0.01, 0.3, 0.85]))
def test_at_any_threshold(engine: presidio.Engine, reference: Any, text: str, threshold: float) -> None:
    assert engine.analyze(text, threshold) == stock_engine.analyze_as_reference(reference, text, threshold)


@pytest.mark.parametrize(
    "unit", ["1.", "12-", "1 ", "a1:", "4111 1111 1111 1111, ", "1.1.1.1 x 212-55-0134 "]
)
@pytest.mark.parametrize("said", ["", "license account "])
def test_where_places_lie_closer_than_a_scanner_counts_them(
    engine: presidio.Engine, reference: Any, unit: str, said: str
) -> None:
    """The other scanner takes over, and weak matches are looked at only where a word can speak for them."""
    text = (unit * (1500 // len(unit)) + f"\n{said}123456789 and B1234567\n") * 2
    stock = stock_engine.analyze_as_reference(reference, text, pii.THRESHOLD)
    assert engine.analyze(text, pii.THRESHOLD) == stock


def test_on_notes_whole_and_line_by_line(engine: presidio.Engine, reference: Any) -> None:
    documents, _ = private_documents(40)
    for document in documents:
        for text in (document.text, *document.text.splitlines()):
            assert engine.analyze(text, pii.THRESHOLD) == stock_engine.analyze_as_reference(
                reference, text, pii.THRESHOLD
            )


@QUIET
@given(TEXTS, st.data())
def test_words_around_a_match_are_those_of_the_stock_walk(
    reference: Any, text: str, data: st.DataObject
) -> None:
    places = [m.start() for m in re.finditer(r"\S", text)]
    if not places:
        return
    start = data.draw(st.sampled_from(places))
    enhancer = reference.context_aware_enhancer
    stock = enhancer._extract_surrounding_words(stock_engine._Artifacts(text), text[start : start + 1], start)
    assert presidio._words_around(text, start) == set(stock)
    with patch.object(presidio, "_MANY", 0):  # as where many places are asked for
        assert presidio._Around(text)[start] == set(stock)


def test_lower_case_is_a_fixed_point_and_keeps_words_words() -> None:
    """What the words of context rest on, for every character there is."""
    for code in range(0x110000):
        c = chr(code)
        lower = c.lower()
        assert lower.lower() == lower
        if c.isalnum():
            assert lower[0].isalnum()
        elif not c.isspace() and c != "_":
            assert not lower[0].isalnum()


# --- expressions that ask for words right behind a match ------------------------------------------------


@pytest.mark.parametrize(
    "expression, words",
    [
        (r"\d{3}(?=[ ](?i:fax|tel)\b)", r"(?i:fax|tel)\b"),
        (r"[)\]|(]\d{1,9}(?=(?:is|was)[ ](?:born|(?i:d\.o\.b|nee))\b)", r"(?:born|(?i:d\.o\.b|nee))\b"),
        (r"\d+(?=[ ](?i:fax|tel)\b)", None),  # may be of any length
        (r"\d|\d{3}(?=[ ](?i:fax|tel)\b)", None),  # one alternative asks for nothing
        (r"\d{3}(?![ ](?i:fax|tel)\b)", None),
        (r"\d{3}(?=[ ]*(?i:fax|tel)\b)", None),
        (r"\d{3}[ ](?i:fax|tel)\b", None),
    ],
)
def test_words_behind_a_match_are_read_off_where_there_is_no_way_round(
    expression: str, words: str | None
) -> None:
    found = behind(expression, 0)
    assert (found and found.pattern) == words


@pytest.mark.parametrize("hyperscan", SCANNERS)
@given(st.lists(st.sampled_from(["1 ", "2", "34 ", "fax ", "Tel", " ", "x", "\n", "5-6 "]), max_size=120))
@settings(max_examples=200, deadline=None)
def test_numbers_that_stand_close_are_found_before_such_words_and_nowhere_else(
    hyperscan: bool, pieces: list[str]
) -> None:
    expressions = [
        (r"(?<!\d)\d{1,2}(?:[ ]\d){0,3}(?=[ ]?(?i:fax|tel)\b)", 0),
        (r"\d[ ]\d(?=\n?(?:x|fax)\b)", 0),
    ]
    text = "".join(pieces)
    assert gated(Patterns(expressions, hyperscan=hyperscan), text) == everywhere(expressions, text)
