"""Invented values in the place of personal ones: of the same kind and shape, nobody's, always the same one.

What can be taken from a range that is set aside for examples is (hosts of RFC 2606, networks of RFC 5737 and
3849, telephone numbers with 555-01): so a surrogate reaches nobody. The rest keeps its shape, digit for digit
and letter for letter, with check digits put right where the kind has them.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from functools import lru_cache

from faker import Faker

from mlmguard.corpus.detect.identifiers import luhn
from mlmguard.corpus.redact import REPEATED_PASSAGE, Clean, Placed, Pseudonym

_TRIES = 64
"""Draws before a value whose surrogates are all values of the corpus gets a tag."""

Taken = Callable[[str], bool]
"""If a text is one of the corpus's own values."""


def surrogate(rule: str, value: str, name: str) -> str:
    """The invented value for ``value``; ``name`` is its keyed pseudonym and all the chance there is.

    >>> surrogate("IP_ADDRESS", "10.1.2.3", "ab") == surrogate("IP_ADDRESS", "10.1.2.3", "ab")
    True
    """
    draw = random.Random(name)
    make = _KINDS.get(rule, _same_shape)
    return make(value, draw)


class Surrogates:
    """The surrogates of one corpus: never a value that the corpus holds."""

    def __init__(self, pseudonym: Pseudonym, taken: Taken) -> None:
        self._pseudonym, self._taken = pseudonym, taken
        self._of = lru_cache(maxsize=1 << 14)(self._drawn)

    def __call__(self, clean: Clean, text: str) -> Clean:
        """``clean``, made of ``text``, with a surrogate in the place of every stand-in."""
        pieces: list[str] = []
        placed: list[Placed] = []
        at = length = 0
        for one in clean.placed:
            stand_in = (
                "" if one.rule == REPEATED_PASSAGE else self._of(one.rule, text[one.raw_start : one.raw_end])
            )
            pieces += [clean.text[at : one.clean_start], stand_in]
            start = length + one.clean_start - at
            length = start + len(stand_in)
            placed.append(Placed(one.rule, one.score, one.raw_start, one.raw_end, start, length))
            at = one.clean_end
        pieces.append(clean.text[at:])
        return Clean("".join(pieces), tuple(placed))

    def _drawn(self, rule: str, value: str) -> str:
        """Drawn again while it is a value of the corpus; in the end the tag of the rule."""
        name = self._pseudonym(rule, value)
        draws = (surrogate(rule, value, f"{name} {attempt}") for attempt in range(_TRIES))
        return next((drawn for drawn in draws if drawn != value and not self._taken(drawn)), f"<{rule}>")


# --- kinds --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _faker() -> Faker:
    return Faker("en_US")


def _seeded(draw: random.Random) -> Faker:
    fake = _faker()
    fake.seed_instance(draw.getrandbits(64))
    return fake


def _same_shape(value: str, draw: random.Random) -> str:
    """A digit for each digit, a letter for each letter, of the same case; everything else stays."""

    def other(c: str) -> str:
        if c.isdigit():
            return draw.choice(string.digits)
        if c.isalpha():
            letter = draw.choice(string.ascii_lowercase)
            return letter.upper() if c.isupper() else letter
        return c

    return "".join(map(other, value))


def _with_luhn(value: str, draw: random.Random) -> str:
    """The issuer's first four digits stay, the check digit fits."""
    shaped = value[:4] + _same_shape(value[4:], draw)
    last = max((i for i, c in enumerate(shaped) if c.isdigit()), default=-1)
    return next(
        (whole for d in string.digits if luhn(whole := shaped[:last] + d + shaped[last + 1 :])), shaped
    )


def _iban(value: str, draw: random.Random) -> str:
    """The country stays, the check digits fit (ISO 7064)."""
    shaped = value[:2] + "00" + _same_shape(value[4:], draw)
    plain = "".join(c for c in shaped if c.isalnum() and c.isascii()).upper()
    if len(plain) < 5:
        return shaped
    rest = int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97
    return f"{shaped[:2]}{98 - rest:02}{shaped[4:]}"


def _email(value: str, draw: random.Random) -> str:
    fake = _seeded(draw)
    return f"{fake.user_name()}{draw.randrange(100, 10_000)}@example.{draw.choice(('com', 'net', 'org'))}"


def _url(value: str, draw: random.Random) -> str:
    scheme = re.match(r"\w+://", value)
    host = f"{_seeded(draw).domain_word()}{draw.randrange(100, 10_000)}.example.{draw.choice(('com', 'org'))}"
    path = "/" + _seeded(draw).uri_path() if "/" in value[scheme.end() if scheme else 0 :].rstrip("/") else ""
    return (scheme.group() if scheme else "") + ("www." if "www." in value else "") + host + path


def _ip(value: str, draw: random.Random) -> str:
    if ":" in value:
        return "2001:db8:" + ":".join(f"{draw.randrange(1, 0x10000):x}" for _ in range(6))
    network = draw.choice(("192.0.2", "198.51.100", "203.0.113"))
    return f"{network}.{draw.randrange(1, 255)}" + "".join(re.findall(r"/\d+$", value))


def _phone(value: str, draw: random.Random) -> str:
    """The country code stays; of ten digits and more the last seven are 555-01 and two more. The extension
    keeps its word: only its digits change."""
    code = re.match(r"\s*(?:\+|00)\d{1,2}", value)
    head = code.group() if code else ""
    rest = re.sub(r"\d", lambda _: draw.choice(string.digits), value[len(head) :])
    extension = re.search(r"[,;]?\s*(?:x|ext)", rest, re.IGNORECASE)
    end = extension.start() if extension else len(rest)
    places = [i for i, c in enumerate(rest[:end]) if c.isdigit()]
    if len(places) < 10:
        return head + rest
    fixed = dict(zip(places[-7:], "55501" + f"{draw.randrange(100):02}", strict=True))
    return head + "".join(fixed.get(i, c) for i, c in enumerate(rest))


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip


def _date(value: str, draw: random.Random) -> str:
    """Months become months, years years of the same length, and days days up to 28."""

    def month(match: re.Match[str]) -> str:
        other = draw.choice(_MONTHS)
        other = other if len(match.group()) > 4 else other[:3]
        return other.upper() if match.group().isupper() else other

    def number(match: re.Match[str]) -> str:
        digits = match.group()
        if len(digits) == 4:
            return str(draw.randrange(1930, 2030))
        if len(digits) == 2:
            return f"{draw.randrange(1, 13):02}"
        return str(draw.randrange(1, 10)) if len(digits) == 1 else _same_shape(digits, draw)

    names = "|".join(sorted((m for full in _MONTHS for m in (full, full[:3])), key=len, reverse=True))
    return re.sub(r"\d+", number, re.sub(rf"\b(?:{names})", month, value, flags=re.IGNORECASE))


_KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "AGE": lambda value, draw: "over 89",  # HIPAA's own category
    "CREDIT_CARD": _with_luhn,
    "DATE_OF_BIRTH": _date,
    "DATE_TIME": _date,
    "EMAIL_ADDRESS": _email,
    "IBAN_CODE": _iban,
    "IP_ADDRESS": _ip,
    "LOCATION": lambda value, draw: str(_seeded(draw).city()),
    "ORGANIZATION": lambda value, draw: str(_seeded(draw).company()),
    "PERSON": lambda value, draw: str(_seeded(draw).name()),
    "PHONE_NUMBER": _phone,
    "PRIVATE_KEY": lambda value, draw: "<PRIVATE_KEY>",
    "STREET_ADDRESS": lambda value, draw: str(_seeded(draw).street_address()),
    "URL": _url,
    "URL_CREDENTIALS": _url,
    "US_ZIP_CODE": _same_shape,
}
