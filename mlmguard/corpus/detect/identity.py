"""One value, one identity: however an address, a number or an account is written, it has one name."""

from __future__ import annotations

import re

from mlmguard.artifacts import Key
from mlmguard.corpus.detect.folding import fold, without_accents

_BY_DIGITS = frozenset(("CREDIT_CARD", "US_SSN", "US_ITIN", "US_BANK_NUMBER", "UK_NHS"))
_LINE_END = re.compile(r"\s*\n[\s>|]*")


def fingerprint(key: Key, rule: str, value: str) -> str:
    """Return the keyed name of a value of type ``rule``."""
    return key.fingerprint(rule, identity(rule, value))


def identity(rule: str, value: str) -> str:
    """Return what ``value`` has in common with every other way to write it.

    >>> identity("PHONE_NUMBER", "+1 (312) 555-0142") == identity("PHONE_NUMBER", "312.555.0142")
    True
    """
    value = fold(value).text
    if rule == "EMAIL_ADDRESS":
        return _LINE_END.sub("", value).casefold()
    if rule == "IBAN_CODE":
        return "".join(filter(str.isalnum, _LINE_END.sub("", value))).upper()
    if rule in _BY_DIGITS:
        return "".join(filter(str.isdigit, value)) or value
    if rule == "PHONE_NUMBER":
        return _phone(value)
    return _person(value) if rule == "PERSON" else value


_TITLES = frozenset(
    (
        *("mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "madam", "herr", "frau"),
        *("nurse", "md", "phd", "jr", "sr"),
    )
)


def _person(value: str) -> str:
    """The words of a name without accents, in small letters, sorted; titles, initials and signs are none.

    >>> identity("PERSON", "Dr. LEE, Zoë") == identity("PERSON", "Zoe Q. Lee")
    True
    """
    words = re.findall(r"[^\W\d_]+", without_accents(value.casefold()))
    named = [word for word in words if len(word) > 1 and word not in _TITLES]
    return " ".join(sorted(named)) or " ".join(words) or value


def _phone(value: str) -> str:
    """Its digits without what an international call begins with, and without the 1 of North America."""
    number, *extension = re.split(r"(?i)[,;\s]*(?:x|ext)", value, maxsplit=1)
    digits = "".join(filter(str.isdigit, number))
    digits = re.sub(r"\A(?:011|00)(?=\d{8})", "", digits)
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    return "x".join([digits, *("".join(filter(str.isdigit, one)) for one in extension)])
