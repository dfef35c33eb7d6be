# ruff: noqa: E501 (an expression is read across)
"""Recognisers of dates of birth, by label and in any shape, and of dates with a month in letters."""

from __future__ import annotations

from mlmguard.corpus.detect.labels import BETWEEN, after
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser

_FULL = "January|February|March|April|May|June|July|August|September|October|November|December"
_SHORT = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
_MONTH = f"(?:{_FULL}|{_SHORT}|{_FULL.upper()}|{_SHORT.upper()})"
_ANY_CASE = f"(?i:{_FULL}|{_SHORT})"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|ST|ND|RD|TH)?"
_YEAR = r"(?:'\d\d|(?:1[6-9]|20)\d\d)"
_WRITTEN = (
    rf"(?:{_MONTH}\.?[ -](?:the )?{_DAY}(?:,?[ -]{_YEAR})?\b"
    rf"|{_DAY}(?: of)?[ -]{_MONTH}\b\.?(?:,?[ -]{_YEAR}\b)?"
    rf"|{_MONTH}\.? {_YEAR}\b)"
)
# In small letters some months are words, so the year has to stand beside them.
_SMALL = (
    rf"(?:{_ANY_CASE}\.?[ -](?:the )?{_DAY},?[ -]{_YEAR}\b"
    rf"|{_DAY}(?: of)?[ -]{_ANY_CASE}\b\.?,?[ -]{_YEAR}\b)"
)
_NUMERIC = (
    r"(?:\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:\d{4}|\d{2})"
    r"|(?:19|20)\d{2}[01]\d[0-3]\d|[0-3]\d[0-3]\d(?:19|20)\d{2})(?![-/]?\d)"
)
_BIRTH = ("date of birth", "birth ?date", "birth ?day", r"d\.?o\.?b\.?", "born", "nee")

DATE_OF_BIRTH = Recogniser(
    entity="DATE_OF_BIRTH",
    name="DateOfBirth",
    patterns=(
        *after(
            _BIRTH,
            rf"(?:{_NUMERIC}|{_SMALL}|{_WRITTEN})",
            1.0,
            number=False,
            between=rf"{BETWEEN}(?:(?i:on|in|the|about)[ \t]{{1,2}}){{0,2}}",
        ),
        Pattern("date after b.", rf"(?<![\w.])b\.[ ]?\K(?:{_NUMERIC}|{_SMALL}|{_WRITTEN})(?![^\W_])", 0.7),
        Pattern(
            "date before the words",
            rf"(?<![\w/.-])(?:{_NUMERIC}|{_SMALL}|{_WRITTEN})(?=[ \t]?(?:[(\[,-][ \t]?|(?:is|was)[ \t])?(?:(?i:my|her|his|their|the|your)[ \t])?"
            r"(?:DOB|dob|D\.O\.B|(?i:date of birth|birth ?da(?:te|y)))\b)",
            0.9,
        ),
    ),
    finds=(
        "Jane, date of birth «March 19, 1931», complains",
        "DOB: «02/06/31»",
        "born on «26 Feb 1931» in Ohio",
        "D.O.B. «1984-07-02»",
        "Her birthday is «3rd of May 1990».",
        "DOB: «19760604»",
        "DOB (dd/mm/yyyy): «04/06/1976»",
        '{"date_of_birth": "«1976-06-04»"}',
        "«1976-06-04» is my birthday.",
        "date of birth is the «4th of June, 1976»",
    ),
    leaves=("born to run", "the date was fine", "a newborn, 3 pounds", "the firstborn of 12/13 lambs"),
)

WRITTEN_DATE = Recogniser(
    entity="DATE_TIME",
    name="WrittenDate",
    patterns=(
        Pattern("month in letters", rf"\b{_WRITTEN}", 0.55),
        Pattern("month in small letters, and a year", rf"\b{_SMALL}", 0.55),
        Pattern("date and time", r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,6})?Z?\b", 0.7),
    ),
    finds=(
        "seen on «June 15, 2022» again",
        "on «26 Feb 1931».",
        "by «3rd of March» at last",
        "Date: Mon, «12 Aug 2002» 10:11:12",
        "since «January 05, 2022»",
        "in «October 1999» he left",
        "at «2022-06-15 08:30:12» sharp",
        "seen «JUNE 4, 2022» again",
        "seen «4 june 2022» again",
    ),
    leaves=("may 5 people come in?", "March on Washington", "He may come.", "Section 12 Maybe"),
)
