"""Recognisers of numbers and names that identify one thing: cars, devices, passports, accounts, plans, ages.

Most of them have no shape of their own: the words before the value say what it is, and stay.
"""

from __future__ import annotations

import math
from collections import Counter

from mlmguard.corpus.detect.check_digits import luhn, mod_97, vin
from mlmguard.corpus.detect.labels import after
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser

OTHER_CARDS = Recogniser(
    entity="CREDIT_CARD",
    name="OtherCards",  # lengths that presidio-analyzer 2.2.366 does not know
    patterns=(
        Pattern("twelve digits", r"\b(?:5[0678]|6\d)\d{2}(?:[- ]?\d{4}){2}\b", 0.6),
        Pattern("nineteen digits", r"\b(?:4\d|5[0678]|6\d)\d{2}(?:[- ]?\d{4}){3}[- ]?\d{3}\b", 0.8),
        Pattern("sixteen digits from 50, 56 to 58", r"\b5[0678]\d{2}(?:[- ]?\d{4}){3}\b", 0.8),
        Pattern("fifteen digits from 2131", r"\b2131\d{11}\b", 0.8),
    ),
    valid=luhn,
    finds=("paid by «676397499671»", "card «4722012781011428923».", "«213113833336476» again"),
    leaves=("676397499672", "4722012781011428924", "2131 people came"),
)

# ISO 13616 registry, release 99: length of the whole number, by country.
_IBAN_LENGTHS = {
    15: "NO", 16: "BE BI", 18: "DK FK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
    21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BF BJ DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC",
    32: "LC", 33: "RU",
}  # fmt: skip


IBAN_BY_REGISTRY = Recogniser(
    entity="IBAN_CODE",
    name="IbanByRegistry",  # Presidio knows the inner form of some countries only
    patterns=tuple(
        Pattern(
            f"{length} characters",
            rf"\b(?:{'|'.join(countries.split())})\d{{2}}(?:[ -]?[A-Z0-9]){{{length - 4}}}\b",
            0.95,
        )
        for length, countries in _IBAN_LENGTHS.items()
    ),
    valid=mod_97,
    finds=(
        "to «ES9121000418450200051332» now",
        "IBAN «NO93 8601 1117 947»",
        "«MT84MALT011000012345MTLCAST001S»",
    ),
    leaves=("ES9121000418450200051333", "NO93 8601 1117 948", "DE12 is a road"),
)

WEB_ADDRESS = Recogniser(
    entity="URL",
    name="WebAddress",  # Presidio ends some hosts early: ".bi" of ".biz"
    patterns=(
        Pattern(
            "with a scheme",
            r"\b(?i:https?|ftps?|sftp|wss?)://[^\s<>\"'`{}|\\^]{0,2000}[^\s<>\"'`{}|\\^.,;:!?()\[\]]",
            0.7,
        ),
        Pattern(
            "from www on",
            r"\b(?i:www)\d{0,3}(?:\.[A-Za-z0-9-]{1,63}){1,8}\.[A-Za-z]{2,24}\b"
            r"(?:[/?#:][^\s<>\"'`{}|\\^]{0,2000}[^\s<>\"'`{}|\\^.,;:!?()\[\]])?",
            0.6,
        ),
    ),
    finds=(
        "see «https://www.cochran-baxter.biz/categories/main.php»",
        "(«http://hicks.biz/»).",
        "on «www.ryan-khan.biz», below",
        "<a href='«https://a.example/x?y=1#z»'>",
        "at «http://10.0.0.1:8080/status», or",
    ),
    leaves=("www is an abbreviation", "http:// and then nothing", "the file: main.c"),
)

URL_CREDENTIALS = Recogniser(
    entity="URL_CREDENTIALS",
    name="UrlWithCredentials",
    patterns=(
        Pattern(
            "user and password before the host",
            r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:<>\"']{0,64}:[^\s/@<>\"']{1,128}@[^\s<>\"']{1,500}",
            0.95,
        ),
    ),
    finds=(
        "DB=«postgres://app:hunter2@db.internal:5432/notes»",
        "clone «https://bob:t0ken@git.example/x.git» here",
    ),
    leaves=("https://git.example/x@v1", "mailto:ann@example.com", "ssh://git@host/x"),
)

VIN = Recogniser(
    entity="VEHICLE_ID",
    name="Vin",
    patterns=(
        Pattern(
            "seventeen characters",
            r"\b[A-HJ-NPR-Z0-9]{3}[A-HJ-NPR-Z0-9]{5}[0-9X][A-HJ-NPR-Z0-9]{4}\d{4}\b",
            0.8,
        ),
    ),
    valid=vin,
    finds=("the car «1M8GDM9AXKP042788» was", "«1HGCM82633A004352»."),
    leaves=("1M8GDM9A1KP042788", "11111111111111111", "ABCDEFGHXJKLM1234"),
)

_NINETIES = r"(?:9\d|1[01]\d)"
_IN_WORDS = (
    r"(?:ninety(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|(?:one|a) hundred(?: and \w+)?)"
)

AGE_OVER_89 = Recogniser(
    entity="AGE",
    name="AgeOver89",
    patterns=(
        Pattern(
            "before the words",
            rf"\b(?:{_NINETIES}|(?i:{_IN_WORDS}))"
            r"(?=[- ]?(?i:years?[- ]old|yrs?\.?[- ]old|y\.?/?o\b|years? of age))",
            0.8,
        ),
        *after(
            ("aged?", "age of", "edad", "alter"),
            rf"{_NINETIES}(?![.,]?\d|[ ]?%|[ ]?(?i:percent|days|months|groups))",
            0.7,
            number=False,
        ),
    ),
    finds=(
        "a «95»-year-old woman",
        "He is «102» years old",
        "aged «91», he",
        "Age: «104»",
        "a «90» y/o male",
        "«ninety-two» years old",
        "died at the age of «97».",
        '{"age": "«95»"}',
        "| Age | «95» |",
    ),
    leaves=("a 45-year-old man", "page 95", "aged 9", "95 % of the age groups", "the age of 1990"),
)


def _entropy(value: str) -> float:
    """Shannon's, bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _looks_random(value: str) -> bool:
    """Random hexadecimal digits have about 3.6 bits at this length, letters and digits about 4.5; words and
    numbers with a pattern have less."""
    hexadecimal = all(c in "0123456789abcdefABCDEF" for c in value)
    mixed = any(c.islower() for c in value) and any(c.isupper() for c in value)
    return _entropy(value) >= (3.0 if hexadecimal else 4.0) and (hexadecimal or mixed) and not value.isdigit()


HIGH_ENTROPY = Recogniser(
    entity="HIGH_ENTROPY_ID",
    name="HighEntropy",
    patterns=(
        Pattern(
            "long and random", r"(?<![\w/+-])[A-Za-z]{0,16}\d[A-Za-z0-9+/_-]{30,200}={0,2}(?![\w/+])", 0.5
        ),
    ),
    valid=_looks_random,
    finds=(
        "session «d131dd02c5e6eec4693d9a0698aff95c» ended",
        "id=«aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5»",
    ),
    leaves=(
        "1111111111111111111111111111111111",
        "a1-very-long-name-with-many-small-words-in-it",
        "0123456789" * 5,
    ),
)

WALLET = Recogniser(
    entity="CRYPTO",
    name="Wallet",  # the form of Ethereum and of the networks that took it over
    patterns=(Pattern("forty hexadecimal digits", r"(?<![\w/])0x[0-9A-Fa-f]{40}(?![^\W_])", 0.8),),
    finds=("pay «0x52a084f0c1b85a7886e0f70a3c0698b7d2e41691» now",),
    leaves=("0x52a084f0c1b85a7886e0f70a3c0698b7d2e4", "at address 0x7ffd42"),
)

IDENTIFIERS: tuple[Recogniser, ...] = (
    OTHER_CARDS,
    IBAN_BY_REGISTRY,
    WEB_ADDRESS,
    URL_CREDENTIALS,
    VIN,
    AGE_OVER_89,
    HIGH_ENTROPY,
    WALLET,
)
