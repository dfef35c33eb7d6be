"""Telephone numbers as Presidio finds them with the package phonenumbers, stretch by stretch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from phonenumbers import PhoneMetadata, PhoneNumberMatcher, phonenumbermatcher, phonenumberutil
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

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
_STRETCH = re.compile(
    rf"[\d{_LEAD_CLASS_CHARS}][{_VALID_PUNCTUATION}\d{_LEAD_CLASS_CHARS}\t,;=:#＃．extnsioóaｅｘｔｎｉдоб\u0301]*",
    re.IGNORECASE,
)
# Between two digits of one number lie at most four characters of punctuation.
_RUN = re.compile(rf"\d(?:[{_VALID_PUNCTUATION}]{{0,4}}\d){{3,}}", re.IGNORECASE)
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
        for stretch in _STRETCH.finditer(text):
            digits = max(
                (sum(c.isdigit() for c in run.group()) for run in _RUN.finditer(stretch.group())), default=0
            )
            if digits == 0:
                continue
            start = max(0, stretch.start() - 1)
            window = text[start : stretch.end() + 3]
            plus = "+" in window or "＋" in window
            regions = tuple(
                r for r in self._regions if digits >= self._needed[r] or (plus and digits >= _INTERNATIONAL)
            )
            for match_start, match_end in self._matches(window, stretch.end() - start, regions):
                yield start + match_start, start + match_end

    def _matches_in(self, window: str, end: int, regions: tuple[str, ...]) -> list[tuple[int, int]]:
        return [
            (match.start, match.end)
            for region in regions
            for match in _Matcher(window, region, self._needed[region], self._leniency)
            if match.end <= end
        ]


class _Matcher(PhoneNumberMatcher):
    """Remembers which candidates are a number in no surroundings: most are parts of times and versions, and
    the same ones again and again."""

    def __init__(self, text: str, region: str, digits_needed: int, leniency: int) -> None:
        super().__init__(text, region, leniency=leniency)
        self._digits_needed = digits_needed

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        if not _is_number(candidate, self.preferred_region, self._digits_needed, self.leniency):
            return None
        return super()._parse_and_verify(candidate, offset)


@lru_cache(maxsize=4 * ANSWERS)
def _is_number(candidate: str, region: str, digits_needed: int, leniency: int) -> bool:
    digits = sum(c.isdigit() for c in candidate)
    if digits < (
        min(digits_needed, _INTERNATIONAL) if "+" in candidate or "＋" in candidate else digits_needed
    ):
        return False
    alone = PhoneNumberMatcher(candidate, region, leniency=leniency)
    return alone._parse_and_verify(candidate, 0) is not None
