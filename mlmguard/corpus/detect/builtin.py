"""What we look for beyond Presidio's own recognisers: plain data, each recogniser with its own proof.

A :class:`Recogniser` carries texts it must find (the value between « and ») and texts it must leave. To add
one, write it here and put it in ``RECOGNISERS``; a type that has no row yet gets one in ``entities.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlmguard.corpus.detect.check_digits import luhn
from mlmguard.corpus.detect.dates import DATE_OF_BIRTH, WRITTEN_DATE
from mlmguard.corpus.detect.identifiers import IDENTIFIERS
from mlmguard.corpus.detect.keys import API_KEY, PRIVATE_KEY
from mlmguard.corpus.detect.labelled import LABELLED
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser
from mlmguard.corpus.detect.streets import STREET_ADDRESS, US_ZIP_CODE

# --- words the patterns share -------------------------------------------------------------------------


def _digits(low: int, high: int) -> Callable[[str], bool]:
    """A check that a match holds ``low`` to ``high`` digits, an extension not counted."""

    def check(value: str) -> bool:
        number = value.lower().split("x")[0].split("e")[0]
        return low <= sum(c.isdigit() for c in number) <= high

    return check


# --- the recognisers ----------------------------------------------------------------------------------------

# A host's last part ends where a capital begins another word ("example.orgPhone").
_LAST = (
    r"(?:[^\W\dA-Z_][^\WA-Z_]{1,24}(?![^\WA-Z_]|-[a-z])|[A-Z][A-Z\d]{1,24}(?![^\W_])"
    r"|[A-Z][a-z]{1,24}(?![^\W_]))"
)
_NUMBERS = r"\[?\d{1,3}(?:\.\d{1,3}){3}(?:\]|(?![^\W_]))"
_USER = r"(?<![\w.+'%~-])[^\W][\w.+'%~=-]{0,63}"

WHOLE_EMAIL = Recogniser(
    entity="EMAIL_ADDRESS",
    name="WholeEmail",  # whatever the host: an old network, one name, a number, or glued to what follows
    patterns=(
        Pattern(
            "address at a host of parts",
            rf"{_USER}@(?:(?:[^\W_]|[^\W_][\w-]{{0,61}}[^\W_])\.){{1,8}}{_LAST}",
            0.8,
        ),
        Pattern("address at a numbered host", rf"{_USER}@{_NUMBERS}", 0.8),
        Pattern(
            "address at a host of one name",
            r"(?<![\w.+'%~-])[^\W][\w.+'%~-]{1,63}@(?!\d)[^\W_][\w-]{1,62}[^\W_](?![\w@])",
            0.6,
        ),
    ),
    finds=(
        "write to «j.marsh@ward3.hospital.local» today",
        "from «root@localhost» at night",
        "mail «amy+x@corp», or call",
        "«Ann.Lee@mail.bank.internal».",
        "from «kim77@decwrl.uucp» (Kim)",
        "<«kim77@[203.0.113.77]»>",
        "mail «kim@old-mill.example.org»Phone below",
        "mail «_kim@old-mill.example.org»_",
        "«user@testing-ground» wrote",
    ),
    leaves=("look @home tonight", "a@b", "local@ noon", "icon@2x of it"),
)

MASTERCARD_2 = Recogniser(
    entity="CREDIT_CARD",
    name="MastercardTwoSeries",  # issued since 2017; presidio-analyzer 2.2.366 does not know it
    patterns=(
        Pattern("2221 to 2720", r"\b2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)(?:[- ]?\d{4}){3}\b", 0.9),
    ),
    valid=luhn,
    finds=("paid by «2221 0000 0000 0009» then", "card «2720992222222229»."),
    leaves=("2221 0000 0000 0008", "2220990000000000", "22210000000000090"),
)

_PHONE_WORDS = (
    "phone", "phones", "telephone", "tel", "cell", "cellphone", "mobile", "call", "calls", "called",
    "calling", "ring", "rang", "fax", "reach", "reached", "reachable", "dial", "dialled", "dialed",
    "text", "texted", "sms", "whatsapp", "contact", "number", "hotline", "helpline",
    "voicemail", "landline", "answer", "answering",
)  # fmt: skip

WRITTEN_PHONE = Recogniser(
    entity="PHONE_NUMBER",
    name="WrittenPhone",
    patterns=(
        Pattern(
            "North American",
            r"(?<![\w+-])(?<!\d\.)(?:\+?1[-. ]{0,2})?(?:\(\d{3}\)[ -]?|\d{3}[-. ])\d{3}[-. ]\d{4}"
            r"(?:,?[ ]?(?:x|ext\.?|extension)[ ]?\d{1,6})?(?![\w]|[-.]\d)",
            0.6,
        ),
        Pattern(
            "international with plus or 00",
            r"(?<!\w)(?<!\d\.)(?!\d{3}-\d{2}-\d{4}\b)(?:\+|00)[1-9]\d{0,2}(?:[-. ]{0,2}\(\d{1,4}\))?"
            r"(?:[-. /]{0,2}\d{1,5}){2,6}"
            r"(?:,?[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w]|[-.]\d)",
            0.55,
        ),
        Pattern(
            "groups of digits",
            r"(?<![\w.+/-])(?!\d{3}-\d{2}-\d{4}\b)\(?0?\d{2,4}\)?[-. /]{1,2}\d{2,4}(?:[-. ]\d{2,4}){1,4}"
            r"(?:,?[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w]|[-./]\d)",
            0.15,
        ),
        Pattern("bare digits", r"(?<![\w+-])(?<!\d\.)0?\d{7,10}(?![\w]|[-.]\d)", 0.05),
        Pattern("two groups", r"(?<![\w.+/-])\(?\d{2,4}\)?[-. /]{1,2}\d{4,8}(?![\w]|[-./,]\d)", 0.05),
        Pattern(
            "before the word that says so",
            r"(?<![\w.+/-])(?!\d{3}-\d{2}-\d{4}\b)(?:\+|\()?\d(?:(?:[-./ ]|\)[ ]?|[ ]?\()?\d){5,13}"
            r"(?:,?[ ]?(?:x|ext\.?)[ ]?\d{1,6})?"
            r"(?=[ \t]?[-–(]?[ \t]?"
            r"(?i:office|fax|mobile|cell|phone|telephone|tel|landline|hotline|home|work)\b)",
            0.6,
        ),
    ),
    context=_PHONE_WORDS,
    valid=_digits(7, 15),
    finds=(
        "ring «443.555.0115» today",
        "at «(217) 555-0135», but",
        "«+1 347 555 0110» about",
        "«405-555-0136 ext. 535» after lunch",
        "London office «+44 20 7946 0958».",
        "dial «0049 30 901820» from there",
        "call «020 7946 0958» now",
        "my cell is «2175550135»",
        "«2987 0409» office",
        "«0871 310 2244»-Fax, second floor",
        "Phone: «070 1928115»",
    ),
    leaves=(
        "1.2.840.113549.1.9.16",
        "pages 217-555 and 600",
        "in 2002 2003 2004 2005 we grew",
        "order 84420135 shipped",
        "version 3.14.159",
        "my number is 009-42-7491",
        "ring 12-13 times",
    ),
)

RECOGNISERS: Mapping[str, Recogniser] = {
    one.name: one
    for one in (
        WHOLE_EMAIL,
        STREET_ADDRESS,
        US_ZIP_CODE,
        DATE_OF_BIRTH,
        WRITTEN_DATE,
        MASTERCARD_2,
        API_KEY,
        PRIVATE_KEY,
        WRITTEN_PHONE,
        *LABELLED,
        *IDENTIFIERS,
    )
}
