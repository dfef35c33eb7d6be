"""What is tried only where it can begin is what trying it everywhere finds."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlmguard.corpus.detect import finder, folding, headings, plausible, prefilter, seams
from mlmguard.corpus.detect.effort import is_small, ways
from mlmguard.corpus.detect.installed import recognisers

PIECES = st.sampled_from(
    [
        "kim", "example.org", "@", " @ ", " AT ", "(at)", " [ at ] ", "{dot}", "(", ")", "%40", "&#64;",
        "&commat;", "\\u0040",
        "\n", "\r\n", "\n> ", "\n>> | ", "\n\t", "  ", " ", "\t", "-", ".", ",", ";", "|", ": ", "+", "12",
        "4829", "512-46-",
        "7183", "A1", "GB82 WEST", "Phone", "MRN", "name  number", "a,b\n", "1,2\n", "a;b\n1;2\n",
        "| a | b |\n| - | - |\n",
        "| 1 | 4482913 |\n", "Message-ID: ", "references: ", "<20021234.k@old-mill.example.org>",
        "<kim@x.org>", "message ",
        "x message-id", "article\n> ", "é", "²",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=30).map("".join)
OFTEN = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@OFTEN
@given(TEXTS)
def test_what_is_written_for_a_sign(text: str) -> None:
    tried = [match.span() for match in folding._written(text)]
    assert tried == [match.span() for match in folding._WRITTEN.finditer(text)]


@OFTEN
@given(TEXTS)
@example("call 512-46-\n7183 or kim@old-\n  mill.example.org")
@example("kim@\t \r\n> example.org")
def test_seams_at_line_ends(text: str) -> None:
    text = folding.fold(text).text
    found = list(seams._line_ends(text))
    with patch.object(
        seams, "_candidates", lambda text: (match.span() for match in seams._LINE_END.finditer(text))
    ):
        assert found == list(seams._line_ends(text))


def _every_line(text: str) -> Iterator[int]:
    yield 0
    yield from (at + 1 for at, letter in enumerate(text) if letter == "\n")


@OFTEN
@given(TEXTS)
def test_headings_of_columns(text: str) -> None:
    text = folding.fold(text).text
    cells = list(headings._cells(text))
    with (
        patch.object(headings, "_lines_with", lambda sign, text: _every_line(text)),
        patch.object(headings, "_lines_with_a_gap", _every_line),
    ):
        assert cells == list(headings._cells(text))


def test_an_ordinal_ends_a_word() -> None:
    text = "sitio n\u00bahttp://www.example.org"
    (found,) = finder.finder().find(text)
    assert text[found.start : found.end] == "http://www.example.org"
    assert not plausible.inside_a_word(text, found.start) and plausible.inside_a_word("word", 2)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("References: <20021234.a@b.org>\n\t<20021235.a@b.org>\nx <20021236.a@b.org>", 2),
        ("in message\n> <20021234.a@b.org> and <20021235.a@b.org>", 1),
        ("to <kim@b.org>, message <kim@b.org>", 0),
        ("X-Old-Message-ID: a\n b\n c <20021234.a@b.org>\n\n d <20021235.a@b.org>", 1),
    ],
)
def test_names_of_messages(text: str, count: int) -> None:
    assert len(plausible._message_ids(text)) == count


@pytest.mark.skipif(not prefilter.find_spec("hyperscan"), reason="no hyperscan")
@OFTEN
@given(
    st.lists(
        st.sampled_from(["12", "a", "MRN ", "-", "x" * 9, " " * 16, "4", "é", "@", "1.2", "ſ"]), max_size=40
    )
)
def test_near_digits_is_where_sequences_with_one_are(pieces: list[str]) -> None:
    expressions = [
        (r"(?<!\w)\d{2}-\d", 0),
        (r"[a-z]\d[.-]", 2),
        (r"[A-Z]{3} \d", 0),
        (r"a@\w", 0),
        (r"\w{5}\d", 0),
    ]
    patterns = prefilter.Patterns(expressions, hyperscan=True)
    text = "".join(pieces)

    def places() -> list[tuple[int, list[tuple[int, int]]]]:
        return [(number, [m.span() for m in matches]) for number, matches in patterns.matches(text)]

    whole = places()
    with patch.object(prefilter, "_SHORT", 0):
        assert places() == whole


# --- how long one try can take ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        (r"\b\d{1,6}[A-Z]?(?:-\d{1,5})?[ ]+x", 1),  # each repeat ends where the next sign stands
        (r"\d{1,6}\d", 6),
        (r"(?:\d{1,3}[.]?){4}x", 81),
        (r"a|b|cd", 3),
        (r"(?>\d{1,6})\d", 6),
        (r"\d{1,6}+\d", 1),
        (r"(?i:k){0,3}\bK", 4),
    ],
)
def test_ways_to_read_an_expression(expression: str, count: int) -> None:
    assert ways(expression, 0) == count and is_small(expression, 0)


@pytest.mark.parametrize(
    "expression",
    ["(a+)+b", "(?:a|a)*b", "(?:a?){40}a", r"(?:\w+\s?)*x", "[[:alpha:]]+", "a{e<=1}+", "a*[ab]*c"],
)
def test_what_can_take_long_or_cannot_be_read_keeps_its_clock(expression: str) -> None:
    assert not is_small(expression, 0)


def test_over_a_whole_text_a_long_repeat_keeps_its_clock() -> None:
    assert is_small(r"\d+x", 0)
    with patch.object(prefilter, "_TIMEOUT", 0.01):
        ((_, matches),) = prefilter.Patterns([(r"\d+x", 0)]).matches("1" * 20_000 + "!x")
        with pytest.raises(TimeoutError):
            list(matches)


def test_labels_keep_their_clock_and_plain_numbers_need_none() -> None:
    finder.finder().find("warm")
    of = {pattern.regex: is_small(pattern.regex, 8) for one in recognisers() for pattern in one.patterns}
    assert 20 < sum(of.values()) < len(of)
