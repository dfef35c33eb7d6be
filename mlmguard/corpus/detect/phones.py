"""Telephone numbers as Presidio finds them with the package phonenumbers, stretch by stretch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import regex
from phonenumbers import Leniency, PhoneMetadata, PhoneNumberMatcher, phonenumbermatcher, phonenumberutil

from mlmguard.corpus.detect.lean import PhoneRecognizer
from mlmguard.corpus.detect.remember import ANSWERS, remembered
from mlmguard.errors import InputError

# No public name says which characters a number is written with: these have been in the package since 8.0.
_LEAD_CLASS_CHARS = getattr(phonenumbermatcher, "_LEAD_CLASS_CHARS", "")
_VALID_PUNCTUATION = getattr(phonenumberutil, "_VALID_PUNCTUATION", "")
if not (_LEAD_CLASS_CHARS and _VALID_PUNCTUATION and hasattr(PhoneNumberMatcher, "_parse_and_verify")):
    raise InputError(
        f"phonenumbers {version('phonenumbers')}", "it is built in another way than those that were tested",
        "phonenumbers 8.13 to 9", "pip install 'phonenumbers<10'",
    )  # fmt: skip

# Every match of phonenumbers' candidate pattern starts with a digit, a bracket or a plus, and goes on with
# the characters below: digits, its punctuation, and what its extensions are written with ("ext. 12",
# ";ext=12", "доб 12"). So candidates lie within one of these stretches, and what the matcher makes of one
# depends on the stretch, one character before it and three behind (":59" makes it a time).
_LETTERS = "extnsioóaｅｘｔｎｉдобſıİ"
_OF_STRETCH = f"[{_VALID_PUNCTUATION}\\d{_LEAD_CLASS_CHARS}X\\t,;=:#＃．{_LETTERS}{_LETTERS.upper()}\u0301]"
_STRETCH = re.compile(rf"[\d{_LEAD_CLASS_CHARS}]{_OF_STRETCH}*")
_BACK = regex.compile(rf"(?r){_OF_STRETCH}*")
# Between two digits of one number lie at most four characters of punctuation.
_RUN = re.compile(rf"\d(?:[{_VALID_PUNCTUATION}X]{{0,4}}\d){{3,}}")
_RUN_OF_ASCII = re.compile(rf"[0-9](?:[{_VALID_PUNCTUATION}X]{{0,4}}[0-9]){{3,}}")  # there the same
_LEAD = re.compile(f"[{_LEAD_CLASS_CHARS}]")
_INTERNATIONAL = 6  # digits of the shortest number with a country code (two, and four national ones)


class Phones:
    """What Presidio's ``PhoneRecognizer`` finds, stretch by stretch: only for the regions a stretch has
    enough digits for, and once for each different stretch (an address like 127.0.0.1 is looked at thousands
    of times otherwise)."""

    def __init__(self, stock: PhoneRecognizer) -> None:
        self._regions = tuple(stock.supported_regions)
        self._leniency = int(stock.leniency or 0)
        self._needed = {region: self._digits_needed(region) for region in self._regions}
        self._matches = remembered(self._matches_in)

    @staticmethod
    def _digits_needed(region: str) -> int:
        metadata: Any = PhoneMetadata.metadata_for_region(region)
        return int(min(*metadata.general_desc.possible_length, len("00") + _INTERNATIONAL))

    def __call__(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each number, of each region once."""
        for start, end, digits in _stretches(text):
            low = max(0, start - 1)
            window = text[low : end + 3]
            plus = "+" in window or "＋" in window
            regions = tuple(
                r for r in self._regions if digits >= self._needed[r] or (plus and digits >= _INTERNATIONAL)
            )
            for match_start, match_end in self._matches(window, end - low, regions):
                yield low + match_start, low + match_end

    def _matches_in(self, window: str, end: int, regions: tuple[str, ...]) -> list[tuple[int, int]]:
        if not _Matcher(window, {r: self._needed[r] for r in regions}, self._leniency).has_next():
            return []
        return [
            (match.start, match.end)
            for region in regions
            for match in _Matcher(window, {region: self._needed[region]}, self._leniency)
            if match.end <= end
        ]


def _stretches(text: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, the most digits of a run) of each stretch with a run of digits."""
    start = end = digits = 0
    for run in (_RUN_OF_ASCII if text.isascii() else _RUN).finditer(text):
        if run.start() >= end:
            if digits:
                yield start, end, digits
            back = _BACK.search(text, end, run.start()).start()
            stretch = _STRETCH.search(text, back)
            assert stretch is not None  # the run is in it
            start, end, digits = stretch.start(), stretch.end(), 0
        digits = max(digits, sum(map(str.isdigit, run.group())))
    if digits:
        yield start, end, digits


class _Matcher(PhoneNumberMatcher):
    """Looks through the candidates for all regions at once: which candidates there are depends on none, until
    one is a number.

    Remembers which candidates are a number in no surroundings: most are parts of times and versions, and the
    same ones again and again.
    """

    def __init__(self, text: str, needed: Mapping[str, int], leniency: int) -> None:
        super().__init__(text, None, leniency=leniency)
        self._needed = needed

    def _extract_match(self, candidate: str, offset: int) -> Any:
        tries = _tries_for_nothing(candidate, tuple(self._needed.items()), self.leniency)
        if tries is None or tries >= self._max_tries:
            return super()._extract_match(candidate, offset)
        self._max_tries -= tries
        return None

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        if self.leniency >= Leniency.VALID and self._in_letters(candidate, offset):
            return None
        for region, digits_needed in self._needed.items():
            if _is_number(candidate, region, digits_needed, self.leniency):
                self.preferred_region = region
                if (found := super()._parse_and_verify(candidate, offset)) is not None:
                    return found
        return None

    def _in_letters(self, candidate: str, offset: int) -> bool:
        """If a Latin letter stands before or behind it: that is refused anyway, after much work."""
        before, behind = self.text[max(0, offset - 1) : offset], self.text[offset + len(candidate) :][:1]
        return (behind.isascii() and behind.isalpha()) or (
            before.isascii() and before.isalpha() and not _LEAD.match(candidate)
        )


@lru_cache(maxsize=ANSWERS)
def _tries_for_nothing(candidate: str, needed: tuple[tuple[str, int], ...], leniency: int) -> int | None:
    """How many tries it takes to find that no part of a candidate is a number. What stands around it
    only ever refuses one. None where a part is."""
    alone = _Matcher(candidate, dict(needed), leniency)
    before = alone._max_tries
    found = PhoneNumberMatcher._extract_match(alone, candidate, 0)
    return before - alone._max_tries if found is None else None


@lru_cache(maxsize=4 * ANSWERS)
def _is_number(candidate: str, region: str, digits_needed: int, leniency: int) -> bool:
    digits = _digits(candidate)
    if len(digits) < (
        min(digits_needed, _INTERNATIONAL) if "+" in candidate or "＋" in candidate else digits_needed
    ):
        return False
    if leniency >= Leniency.VALID and _PLAIN.fullmatch(candidate) and not _may_be_valid(digits, region):
        return False
    alone = PhoneNumberMatcher(candidate, region, leniency=leniency)
    return alone._parse_and_verify(candidate, 0) is not None


@lru_cache(maxsize=16)
def _digits(candidate: str) -> str:
    """Its digits: one candidate is tried for each region in turn."""
    return "".join(filter(str.isdigit, candidate))


def _may_be_valid(digits: str, region: str) -> bool:
    """Whether what can be left of the digits, as prefixes are cut off, has the form of one of its numbers."""
    of = _forms(region)
    if of.abroad.match(digits):
        return True  # with a country of its own
    forms = [digits, *([digits[len(of.code) :]] if digits.startswith(of.code) else [])]
    for _ in range(_TWICE):
        if any(map(of.number.fullmatch, forms)):
            return True
        found = [(form, prefix.match(form)) for form in forms for prefix in of.prefixes]
        forms = [form[match.end() :] for form, match in found if match]
        if of.rewrites and forms:
            return True  # another number is made of it
    return any(map(of.number.fullmatch, forms))


_PLAIN = re.compile(r"[0-9 ().\[\]/-]+")  # no sign of an extension
_TWICE = 2  # times that the prefix of a country is cut off: behind its code, and before the rest is looked at
_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager",
    "uan", "voicemail",
)  # fmt: skip


@dataclass(frozen=True)
class _Forms:
    """The numbers, of any kind, of all regions that share a code, and what is cut off before them."""

    code: str
    abroad: re.Pattern[str]
    prefixes: tuple[re.Pattern[str], ...]
    rewrites: bool
    number: re.Pattern[str]


@lru_cache(maxsize=256)
def _forms(region: str) -> _Forms:
    own: Any = PhoneMetadata.metadata_for_region(region)
    sharing: list[Any] = [
        PhoneMetadata.metadata_for_region(other)
        for other in phonenumberutil.region_codes_for_country_code(own.country_code)
    ]
    prefixes = {of.national_prefix_for_parsing for of in sharing if of.national_prefix_for_parsing}
    descriptions = [getattr(of, kind) for of in sharing for kind in _KINDS]
    numbers = {of.national_number_pattern for of in descriptions if of and of.national_number_pattern}
    return _Forms(
        str(own.country_code),
        re.compile(own.international_prefix or r"(?!)"),
        tuple(re.compile(f"(?=.)(?:{one})(?<=.)") for one in sorted(prefixes)),
        any(of.national_prefix_transform_rule for of in sharing),
        re.compile("|".join(f"(?:{one})" for one in sorted(numbers))),
    )
