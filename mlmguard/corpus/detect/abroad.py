# ruff: noqa: E501 (an expression is read across)
"""Recognisers of a language beside English, made of its row in ``languages``: plain data, each with its proof.

The shapes of values are said here, once for all languages; the labels before them are a language's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from mlmguard.corpus.detect.labels import BETWEEN_ABROAD, OF, after
from mlmguard.corpus.detect.languages import (
    ADDRESS,
    FLOOR,
    LANGUAGES,
    NAME,
    NUMBER_OF_HOUSE,
    Labels,
    Language,
)
from mlmguard.corpus.detect.national import NATIONAL
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser

_NINETIES = r"(?:9\d|1[01]\d)"
_NO_DATE = r"(?!\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2}(?!\d))"
_NUMERIC = r"(?:\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:\d{4}|\d{2}))(?![-/.]?\d)"
# Behind a label with its sign, whatever is on the line: it holds a number, and the next field is none of it.
_LINE = (
    r"(?=[^\n|;<>\"{}=]{0,80}(?:\d|s/n))[^\W_][^\n|;<>\"{}=]{2,90}?"
    r"(?=[ .,]*(?:\r?\n|\Z|[|;<>\"{}]|[ ]\w{1,20}=|[\])]))"
)
_SIGNED = r"(?![^\W\d_])\.?(?:[ \t]?\([^()\n]{1,40}\))?[\"'`* \t_|<>/\w-]{0,24}?[:=|>\t][\"'`*\[ \t]{0,8}"
_PHONE = rf"{_NO_DATE}[+(]?\d(?:[-. /()]{{0,2}}\d){{6,14}}"


_DAY_FIRST = r"(?<![\w/.-])(?:0?[1-9]|[12]\d|3[01])([/.-])(?:0?[1-9]|1[0-2])\1(?:19|20)\d{2}(?![\w/-]|\.\d)"


@dataclass(frozen=True)
class _Kind:
    """One kind of value with a label: its shape, what a match must hold, and values that show it."""

    name: str
    value: str
    score: float
    samples: tuple[str, ...]
    leaves: tuple[str, ...]  # what behind the label is no value
    digits: tuple[int, int] | None = None
    number: bool = True

    def valid(self) -> Callable[[str], bool] | None:
        if self.digits is None:
            return None
        least, most = self.digits
        return lambda value: least <= sum(c.isdigit() for c in value) <= most


_KINDS: Mapping[str, _Kind] = {
    "MEDICAL_RECORD_NUMBER": _Kind(
        "MedicalRecordNumber",
        r"(?!(?:19|20)\d\d(?![\d/.-]))(?:(?i:[a-z]{1,4})-?)?\d(?:[-/.]?\d){3,13}",
        0.85,
        ("448291", "P-448291", "hc77192345"),
        ("12", "?", "A 5", "2019"),
        (4, 16),
    ),
    "HEALTH_PLAN_NUMBER": _Kind(
        "HealthPlan",
        r"(?=[A-Z0-9 /.-]{0,8}\d{2})[A-Z0-9]{1,24}(?:[ /.-](?=[A-Z]{0,3}\d)[A-Z0-9]{1,20}){0,7}",
        0.85,
        ("281234567840", "A123456789", "28 12345678"),
        ("12", "?", "A 5"),
        (6, 26),
    ),
    "PROFESSIONAL_NUMBER": _Kind(
        "ProfessionalNumber",
        r"(?:[A-Z]{1,3}[-/ ]?)?\d{2,}(?:[ /.-]?\d+){0,4}",
        0.8,
        ("28281234", "123456789"),
        ("12", "?", "A 5"),
        (3, 14),
    ),
    "PHONE_NUMBER": _Kind("Phone", _PHONE, 0.85, ("0612345678",), ("12", "?", "03/04/2019"), (7, 15)),
    "DATE_OF_BIRTH": _Kind("DateOfBirth", "", 1.0, ("12/05/1961", "1961-05-12"), ("12", "?"), number=False),
    "POSTAL_CODE": _Kind("PostalCode", "", 0.8, (), ("12", "?", "1")),
    "STREET_ADDRESS": _Kind("Address", ADDRESS, 0.65, (), ("12", "?"), number=False),
    "AGE": _Kind(
        "AgeOver89",
        rf"{_NINETIES}(?![.,]?\d|[ ]?%)",
        0.7,
        ("93", "101"),
        ("45", "9", "95 %"),
        number=False,
    ),
}
_POSTCODES = {"pt": "4700-123", "nl": "3511 AB"}


@lru_cache(maxsize=16)
def recognisers_of(code: str) -> tuple[Recogniser, ...]:
    """Our recognisers for the language ``code`` beside English."""
    language = LANGUAGES[code]
    return (
        *_labelled(language),
        _written_date(language),
        *_streets(language),
        *NATIONAL.get(language.country, ()),
    )


def _labelled(language: Language) -> Iterator[Recogniser]:
    months = _month(language)
    for type_, labels in language.labels.items():
        kind = _KINDS[type_]
        value = {"DATE_OF_BIRTH": rf"(?:{_NUMERIC}|{months})", "POSTAL_CODE": language.postcode}.get(
            type_, kind.value
        )
        samples = {
            "POSTAL_CODE": (_POSTCODES.get(language.code, "28013"),),
            "STREET_ADDRESS": language.streets,
        }.get(type_, (*kind.samples, *labels.samples))
        more: list[Pattern] = []
        if type_ == "PHONE_NUMBER":
            more = list(after(language.announces, value, 0.6, number=False, between=r"[^\d\n+(]{0,40}?"))
        elif type_ == "AGE":
            years = rf"\b{_NINETIES}(?=[- ]?(?i:{language.years})\b)"
            more = [Pattern("before the words", years, 0.8)]
        elif type_ == "POSTAL_CODE":
            more = [Pattern("before a town", _before_a_town(language), 0.6)]
        elif type_ == "STREET_ADDRESS":
            more = list(after(labels.phrases, _LINE, 0.6, number=False, between=OF + _SIGNED))
        yield Recogniser(
            entity=type_,
            name=f"{kind.name}{language.name}",
            patterns=(
                *after(labels.phrases, value, kind.score, number=kind.number, between=OF + BETWEEN_ABROAD),
                *more,
            ),
            valid=kind.valid(),
            finds=tuple(_shown(labels, samples)),
            leaves=tuple(f"{labels.says[0]}: {one}" for one in kind.leaves),
        )


def _before_a_town(language: Language) -> str:
    """A postal code by the town behind it; where every noun has a capital, or any number has its form, only
    where a line begins or behind a comma."""
    town = rf"{language.town_code}(?=,?[ ][A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]{{2}})"
    if language.code in ("es", "fr", "it"):
        return rf"(?<![\w-])(?<![\d][.,]){town}"
    return rf"(?:(?m:^)|,[ ]|/[ ]?)\K{town}"


def _shown(labels: Labels, samples: tuple[str, ...]) -> Iterator[str]:
    """Each label before a value, each value behind a label, in a form and as a key of a program."""
    for number, says in enumerate(labels.says):
        yield f"{says}: «{samples[number % len(samples)]}»"
    for sample in samples:
        yield f"| {labels.says[0]} | «{sample}» |"
    key = re.sub(r"\W+", "_", labels.says[0].lower()).strip("_")
    yield f'{{"{key}": "«{samples[0]}»"}}'


def _month(language: Language) -> str:
    """A date with the month in letters, and its year."""
    names = "|".join(language.months)
    return (
        rf"(?:\d{{1,2}}(?:\.?º|er|\.)?[ ](?:de[ ]|di[ ])?(?i:{names})\b\.?(?:[ ]del?)?,?[ ]\d{{4}})(?![^\W_])"
    )


def _written_date(language: Language) -> Recogniser:
    names = "|".join(language.months)
    day = rf"\b\d{{1,2}}(?:\.?º|er|\.)?[ -](?:de[ ]|di[ ])?(?i:{names})\b"
    joint = " de " if language.code in ("es", "pt") else ". " if language.code == "de" else " "
    return Recogniser(
        entity="DATE_TIME",
        name=f"WrittenDate{language.name}",
        patterns=(
            Pattern("day and month in letters", rf"{day}(?:\.?(?:[ ]del?)?,?[ -]\d{{4}}\b)?", 0.55),
            Pattern("month in letters and year", rf"\b(?i:{names})[ -](?:del?[ ])?(?:19|20)\d\d\b", 0.55),
            Pattern("day, month and year", _DAY_FIRST, 0.6),
        ),
        finds=tuple(f"x «4{joint}{month}», y" for month in language.months),
        leaves=("x 4 y 1999", f"x {language.months[4]} y"),
    )


def _streets(language: Language) -> Iterator[Recogniser]:
    yield Recogniser(
        entity="STREET_ADDRESS",
        name=f"StreetAddress{language.name}",
        patterns=(
            Pattern("kind of street, name and number", language.street, 0.6),
            Pattern(
                "name and number before a postal code",
                rf"{NAME}{NUMBER_OF_HOUSE}{FLOOR}[.,]?[ ]{{1,2}}(?:-[ ])?{language.town_code}(?![^\W_])(?=,?[ ][A-ZÀ-Þ])",
                0.6,
            ),
        ),
        finds=tuple(f"x «{street}»; y" for street in language.streets),
        leaves=("x 12 y 14", "Kim 12", "12 July 1999"),
    )


def languages_of(codes: tuple[str, ...]) -> tuple[Language, ...]:
    """The rows of ``codes``, English left out: its words are always looked for."""
    return tuple(LANGUAGES[code] for code in dict.fromkeys(codes) if code != "en")


def recognisers_abroad(codes: tuple[str, ...]) -> tuple[Recogniser, ...]:
    """All of ours for these languages."""
    return tuple(one for language in languages_of(codes) for one in recognisers_of(language.code))
