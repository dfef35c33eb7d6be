"""Invented values of one kind: functions of a value and of the chance to draw by, never of anything else.

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
from typing import TYPE_CHECKING

from mlmguard.corpus.detect.check_digits import luhn, rest_97

if TYPE_CHECKING:
    from faker import Faker

Invent = Callable[[str, random.Random], str]
"""(value, chance) -> an invented value of the same kind."""


@lru_cache(maxsize=1)
def _faker() -> Faker:
    from faker import Faker  # here: it takes a moment, and most that read an entity type invent nothing

    return Faker("en_US")


def _seeded(draw: random.Random) -> Faker:
    fake = _faker()
    fake.seed_instance(draw.getrandbits(64))
    return fake


def same_shape(value: str, draw: random.Random) -> str:
    """Return a digit for each digit, a letter for each letter, of the same case; everything else stays."""

    def other(c: str) -> str:
        if c.isdigit():
            return draw.choice(string.digits)
        if c.isalpha():
            letter = draw.choice(string.ascii_lowercase)
            return letter.upper() if c.isupper() else letter
        return c

    return "".join(map(other, value))


def with_luhn(value: str, draw: random.Random) -> str:
    """The issuer's first four digits stay, the check digit fits."""
    shaped = value[:4] + same_shape(value[4:], draw)
    last = max((i for i, c in enumerate(shaped) if c.isdigit()), default=-1)
    return next(
        (whole for d in string.digits if luhn(whole := shaped[:last] + d + shaped[last + 1 :])), shaped
    )


def iban(value: str, draw: random.Random) -> str:
    """The country stays, the check digits fit (ISO 7064)."""
    shaped = value[:2] + "00" + same_shape(value[4:], draw)
    plain = "".join(c for c in shaped if c.isalnum() and c.isascii()).upper()
    if len(plain) < 5:
        return shaped
    return f"{shaped[:2]}{98 - rest_97(plain):02}{shaped[4:]}"


def email(value: str, draw: random.Random) -> str:
    """Return a user of an example host (RFC 2606)."""
    fake = _seeded(draw)
    return f"{fake.user_name()}{draw.randrange(100, 10_000)}@example.{draw.choice(('com', 'net', 'org'))}"


def url(value: str, draw: random.Random) -> str:
    """Return an address below an example host, with a path where there was one."""
    scheme = re.match(r"\w+://", value)
    host = f"{_seeded(draw).domain_word()}{draw.randrange(100, 10_000)}.example.{draw.choice(('com', 'org'))}"
    path = "/" + _seeded(draw).uri_path() if "/" in value[scheme.end() if scheme else 0 :].rstrip("/") else ""
    return (scheme.group() if scheme else "") + ("www." if "www." in value else "") + host + path


def ip(value: str, draw: random.Random) -> str:
    """Return an address of a network for documentation (RFC 5737 and 3849)."""
    if ":" in value:
        return "2001:db8:" + ":".join(f"{draw.randrange(1, 0x10000):x}" for _ in range(6))
    network = draw.choice(("192.0.2", "198.51.100", "203.0.113"))
    return f"{network}.{draw.randrange(1, 255)}" + "".join(re.findall(r"/\d+$", value))


def phone(value: str, draw: random.Random) -> str:
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


def date(value: str, draw: random.Random) -> str:
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
        return str(draw.randrange(1, 10)) if len(digits) == 1 else same_shape(digits, draw)

    names = "|".join(sorted((m for full in _MONTHS for m in (full, full[:3])), key=len, reverse=True))
    return re.sub(r"\d+", number, re.sub(rf"\b(?:{names})", month, value, flags=re.IGNORECASE))


def age(value: str, draw: random.Random) -> str:
    """HIPAA's own category."""
    return "over 89"


def city(value: str, draw: random.Random) -> str:
    """Return a city that Faker makes up."""
    return str(_seeded(draw).city())


def company(value: str, draw: random.Random) -> str:
    """Return a firm that Faker makes up."""
    return str(_seeded(draw).company())


def person(value: str, draw: random.Random) -> str:
    """Return a name that Faker makes up."""
    return str(_seeded(draw).name())


def street(value: str, draw: random.Random) -> str:
    """Return a street and a number that Faker makes up."""
    return str(_seeded(draw).street_address())


def private_key(value: str, draw: random.Random) -> str:
    """Return the tag alone: nobody reads a key, and an invented one would look like a leak."""
    return "<PRIVATE_KEY>"
