# ruff: noqa: E501 (an expression is read across)
"""What the recognisers see and what is no personal value after all: a finding by its surroundings.

Shapes alone name too much: a fraction has the digits of a telephone number, a file has the end of a host.
Every rule here looks at one finding and the text around it, drops it, or moves its ends; none looks for
anything.
No finding ends inside a word: an address or a host is taken whole, anything else is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import regex

from mlmguard.corpus.detect.hosts import suffixes
from mlmguard.corpus.detect.labels import START, words
from mlmguard.corpus.detect.languages import LANGUAGES
from mlmguard.corpus.detect.spans import Span

_NEAR = 60  # characters of the same line in which a word may speak for a number

Rule = Callable[[str, Span], bool]
"""(text, finding) -> whether it stays."""


def plausible(text: str, found: Iterable[Span]) -> list[Span]:
    """``found``, in order, without what is nobody's, each with its ends at the ends of words."""
    spans = list(found)
    ids = _message_ids(text) if any(span.rule == "EMAIL_ADDRESS" for span in spans) else []
    kept = []
    for span in spans:
        if ids and any(start <= span.start and span.end <= end for start, end in ids):
            continue
        whole = _at_edges(text, span)
        rule = _RULES.get(span.rule, _national if span.rule[2:3] == "_" else None)
        if whole is not None and (rule is None or rule(text, whole)):
            kept.append(whole)
    return kept


# --- ends ---------------------------------------------------------------------------------------------


_ORDINAL = "\u00aa\u00ba"  # letters that end a word ("n\u00ba")


def inside_a_word(text: str, at: int) -> bool:
    """If a cut at ``at`` would divide letters or digits that belong together; a capital begins a new word."""
    if not 0 < at < len(text):
        return False
    before, behind = text[at - 1], text[at]
    if not (before.isalnum() and behind.isalnum()) or before in _ORDINAL:
        return False
    if before.isalpha() and behind.isalpha():
        return not (before.islower() and behind.isupper()) and _is_latin(before) == _is_latin(behind)
    return before.isdigit() and behind.isdigit()


def _inside_a_host(text: str, at: int) -> bool:
    """As :func:`inside_a_word` where a capital and a digit go on with the word, as in a name of a program."""
    around = text[at - 1 : at], text[at : at + 1]
    return all(map(str.isalnum, around)) and _is_latin(around[0]) == _is_latin(around[1])


def _is_latin(letter: str) -> bool:
    return letter < "\u0250"


_HOST_ON = re.compile(r"[\w-]*(?:\.[^\W_][\w-]*){0,63}")  # more parts no host has
_HOST_BACK = re.compile(r"[\w.-]{0,253}\Z")
_SCHEME_BACK = re.compile(r"[A-Za-z0-9]{0,32}\Z")
# A word that is written on to one of these is no part of the host; to "is" of "x.isValid" it is.
_GENERIC = re.compile(r"(?i:\.(?:com|org|net|edu|gov|info))[A-Z]")


def _at_edges(text: str, span: Span) -> Span | None:
    """The finding with whole words at its ends; None if it has to go."""
    if span.rule == "URL":
        return _whole_host(text, span, _inside_a_host(text, span.start), _inside_a_host(text, span.end))
    begins, ends = inside_a_word(text, span.start), inside_a_word(text, span.end)
    if not begins and not ends:
        return span
    if span.rule == "EMAIL_ADDRESS":
        on = _HOST_ON.match(text, span.end) if ends else None
        back = _HOST_BACK.search(text, max(0, span.start - 253), span.start) if begins else None
        return span._replace(start=back.start() if back else span.start, end=on.end() if on else span.end)
    return None


def _whole_host(text: str, span: Span, begins: bool, ends: bool) -> Span | None:
    """The web address with its whole host; None where that is no host, or an e-mail address has it."""
    start, end = span.start, span.end
    value = text[start:end]
    if "://" in value:
        on = _HOST_ON.match(text, end) if ends else None
        back = _SCHEME_BACK.search(text, max(0, start - 32), start) if begins else None
        return span._replace(start=back.start() if back else start, end=on.end() if on else end)
    if begins or text[start - 1 : start] == "_":
        back = _HOST_BACK.search(text, max(0, start - 253), start)
        start = back.start() if back else start
    path = "/" in value or "?" in value
    if ends or (not path and (text[end : end + 1] == "_" or _goes_on(text, end))):
        on = _HOST_ON.match(text, end)
        end = on.end() if on else end
    host = re.split(r"[/?#:]", text[start:end].strip("\"'"))[0]
    called = text[end : end + 1] in ("(", "[")  # a function of a program
    written_on = _GENERIC.search(host)
    if not path and (called or not _is_host(host[: written_on.end() - 1] if written_on else host)):
        return None
    if text[start - 1 : start] == "@" or text[end : end + 1] == "@":
        return None
    return span._replace(start=start, end=end)


def _goes_on(text: str, end: int) -> bool:
    return text[end : end + 1] == "." and text[end + 1 : end + 2].isalnum()


# Ends of programs' files, and words that begin a sentence: both are ends of hosts as well.
_CODE = frozenset(["py", "sh", "rs", "pl", "md", "so", "cc", "ps", "zip", "mov"])
_WORDS = frozenset(["do", "la", "in", "is", "it", "at", "be", "no", "my", "me", "am", "as", "ml", "app"])


@lru_cache(maxsize=1 << 14)
def _is_host(host: str) -> bool:
    """If this can be a host, and is no file, no end of a sentence and no attribute in a program."""
    if "_" in host or ".." in host or not suffixes(host).fqdn:
        return False
    parts = host.split(".")
    if host.lower().startswith("www"):
        return True
    last = parts[-1]
    if last[:1].isupper() and any(c.islower() for c in "".join(parts[:-1])) and not host.isupper():
        return False  # "left.It": a sentence begins without its space
    if len(parts) == 2 and last in _CODE:
        return False
    if len(parts) == 2 and last in _WORDS:
        return len(parts[0]) > 3
    return True


# --- mail: names of messages ----------------------------------------------------------------------------

_NAMED = re.compile(r"<[^<>\s@]{1,150}@[^<>\s]{1,100}>")
_FIELD = re.compile(
    r"(?i)(?:message-id|references|in-reply-to|(?:x-|resent-)[\w-]*message-id|supersedes|content-id|nntp[\w-]*):"
)
_ANNOUNCED = regex.compile(
    r"(?ir)\b(?:articles?|message-id:?|messages?|news:|references:?)[ \t]*\n?[> \t]*\G"
)
_LONGEST_NAME = 200


def _message_ids(text: str) -> list[tuple[int, int]]:
    """Where names of messages stand, in a field of a mail or behind such a word: they look like addresses and
    reach nobody."""
    ids = []
    line, in_field = -1, False
    for name in _NAMED.finditer(text):
        if not _is_numbered(name.group()):
            continue
        start, end = name.span()
        begin = text.rfind("\n", 0, start) + 1
        if begin > line:
            line, in_field = begin, _in_field(text, begin, line, in_field)
        announced = end - start - 2 <= _LONGEST_NAME and _ANNOUNCED.search(text, 0, start)
        if in_field or announced:
            ids.append((start, end))
    return ids


def _in_field(text: str, line: int, known: int, verdict: bool) -> bool:
    """If the line at ``line`` is one of a field that names messages or goes on with it, as ``verdict`` says of
    the line at ``known``."""
    while line > known and line and text[line] in " \t":
        line = text.rfind("\n", 0, line - 1) + 1
    return verdict if line == known else _FIELD.match(text, line) is not None


def _is_numbered(name: str) -> bool:
    return sum(map(str.isdigit, name.partition("@")[0])) >= 4


# --- by type --------------------------------------------------------------------------------------------

# What a number is called right before it where it is that of a book, a ware, a substance or a patent. Not
# "page" and "catalog" alone: a hospital is paged and a catalogue ordered by telephone. "Pat", "Ean", "Doi" and
# "Cas" are people, and a "Pat. No." is a patient's.
_OF_A_THING = re.compile(
    r"(?<![A-Za-z])(?:(?:(?:ISBN|isbn)(?:-?1[03])?|ISSN|issn|EAN|UPC|upc|GTIN|gtin|SKU|sku|PMID|pmid|DOI|doi|CAS)"
    r"(?:[ ]?(?i:no|nr|number)\b\.?)?[ \t]?[:#]?"
    r"|(?i:part|model|catalog(?:ue)?|drawing|article|item|patent)[ ]?(?i:no|nos|nr|number|\#)\b\.?[ \t]?[:#]?)"
    r"[ \t]?\Z"
)
_OR_A_ROLE = re.compile(r"(?i)(?<![a-z])(?:part|model)s?[ \t]\Z")


def _of_a_thing(text: str, span: Span) -> bool:
    """Not behind a role where it is written as telephone numbers are: "play her part 0171 234567"."""
    before = max(0, span.start - 32)
    if _OF_A_THING.search(text, before, span.start) is not None:
        return True
    return text[span.start] not in "0+(" and _OR_A_ROLE.search(text, before, span.start) is not None


_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_THREE_NUMBERS = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")
_GOES_ON = re.compile(r"\.(?!(?:19|20)\d\d(?!\d))\d")  # with a fourth number, and that is no year
_NUMBER_BEHIND = re.compile(r"\.\d{3}")
_LEADING_ZERO = re.compile(r"\b0\d")  # of a month, and hardly ever of a version: "due for release 12.03.24."
_VERSION_WORD = re.compile(r"(?i)\b(?:version|release|build|kernel|driver|firmware|ver\.?|v)[ ]?\Z")


def _date(text: str, span: Span) -> bool:
    """No part of a longer number with points, no number of a thing, and of a year that something happened in:
    corpora whose dates were shifted go to about 2200, and Buddhist years run 543 ahead."""
    value = text[span.start : span.end]
    before = max(0, span.start - 32)
    if not any(map(str.isalpha, value)) and _OF_A_THING.search(text, before, span.start):
        return False
    if _THREE_NUMBERS.fullmatch(value):
        if _GOES_ON.match(text, span.end) or _ends_a_fraction(text, span.start, "."):
            return False
        ends = text[span.end : span.end + 1] == "." and not _LEADING_ZERO.search(value)
        if ends and _VERSION_WORD.search(text, before, span.start):
            return False
    elif "." in value and _NUMBER_BEHIND.match(text, span.end) and ":" not in value:
        return False
    return all(1000 <= int(year) < 2300 or 2440 <= int(year) < 2600 for year in _YEAR.findall(value))


def _said(text: str, span: Span, words: re.Pattern[str], reach: int = _NEAR, behind: int = 24) -> bool:
    """If one of ``words`` stands shortly before the finding or right behind it."""
    return bool(
        words.search(text, max(0, span.start - reach), span.start)
        or words.search(text, span.end, min(len(text), span.end + behind))
    )


_PHONE_WORDS = re.compile(
    r"(?i)(?<![a-z])(?:tele)?(?:phones?|fon|fono)|(?<![a-z])(?:tel|cell|mobile?|fax|call(?:s|ed|ing)?|ring|rang|dial(?:l?ed)?|reach(?:ed|able)?|"
    r"text(?:ed)?|sms|whatsapp|contact|hotline|helpline|voicemail|landline|answer(?:ing)?|pager|handy|móvil|teléfono|téléphone|"
    r"telefono|cellulare|telefone|emergenc(?:y|ies)|ext|m|t|p|f|ph|home|work|office|desk|number is)(?![a-z])"
)
_STRONG = re.compile(
    r"(?i)(?<![a-z])(?:phone|telephone|tel|cell|mobile|fax|call(?:ed)?|ring|dial|hotline|pager|whatsapp)(?![a-z])"
)
# Labels of the other languages, and the words behind which a number follows there.
_LABELS_ABROAD = words(*(p for one in LANGUAGES.values() for p in one.labels["PHONE_NUMBER"].phrases))
_WORDS_ABROAD = words(*(p for one in LANGUAGES.values() for p in one.announces))
_PHONE_ABROAD = re.compile(rf"{START}(?:{_LABELS_ABROAD}|{_WORDS_ABROAD})(?![a-zß-öø-ÿ])")
_STRONG_ABROAD = re.compile(rf"{START}{_LABELS_ABROAD}(?![a-zß-öø-ÿ])")
_VERSION = re.compile(r"(?i)(?:[/=@]|\bv|\bversion|\brelease|\bbuild|\bver\.?)[ ]?\Z")

_WRITTEN_ON = re.compile(r"\d\w{0,8}[-./]\Z")
_ABROAD = 10  # digits of the shortest number behind "00" and a country


def _phone(text: str, span: Span) -> bool:
    value = text[span.start : span.end]
    digits = sum(c.isdigit() for c in value)
    if re.fullmatch(r"\d{0,4}[.,]\d{5,}", value) or _ends_a_fraction(text, span.start):
        return False  # a fraction, or its end
    if value[0] in "xX" or (digits < 7 and span.score > 0.65):
        return True  # an extension has its word
    if digits < 7:
        return _phone_said(text, span)
    if value[0] == "+" or value.startswith("("):
        return True
    if _of_a_thing(text, span):
        return _strongly_said(text, span)
    if value.startswith("00") and digits >= _ABROAD:
        return True
    body = re.split(r"(?i)[,;]?\s*(?:x|ext)", value)[0].strip()
    groups = re.findall(r"\d+", body)
    if set(re.sub(r"\d", "", body)) == {"."} and len(groups) != 3:
        return _strongly_said(text, span)  # a version or a place in a tree
    if _VERSION.search(text, max(0, span.start - 10), span.start) and not _strongly_said(text, span):
        return False
    if len(groups) == 1:
        return _phone_said(text, span, 40)  # bare digits are anything: a time, an order, a row
    if [len(g) for g in groups[-3:]] == [3, 3, 4]:
        return True
    if _WRITTEN_ON.search(text, max(0, span.start - 12), span.start):
        return _phone_said(text, span)  # a part of what is named with digits
    if (body.startswith("0") and len(groups) > 2) or (body.startswith("0") and " " in body):
        return True
    if re.fullmatch(r"\d{3}-\d{2}-\d{4}", body):
        return False  # the form of a social security number
    return span.score > 0.45 or _phone_said(text, span)


def _phone_said(text: str, span: Span, reach: int = _NEAR) -> bool:
    return _said(text, span, _PHONE_WORDS, reach) or _said(text, span, _PHONE_ABROAD, reach)


def _strongly_said(text: str, span: Span) -> bool:
    return _said(text, span, _STRONG) or _said(text, span, _STRONG_ABROAD)


_NHS = re.compile(
    r"(?i)(?<![a-z])(?:n\.?h\.?s|national health|health services? (?:number|authority)|health authority)(?![a-z])"
)
_SSN = re.compile(r"(?i)(?<![a-z])(?:ssns?|ss#|social|security|soc sec)(?![a-z])")
_DRIVING = re.compile(
    r"(?i)(?<![a-z])(?:licen[cs]es?|permit|dl|lic|d\.l)(?![a-z])|driver_lic|führerschein|permis|patente"
)
_DEA = re.compile(
    r"(?i)(?<![a-z])(?:dea|prescriber|certificate|licen[cs]e|physician|md|m\.d|doctor|dr)(?![a-z])"
)
_CARD = re.compile(
    r"(?i)(?<![a-z])(?:card|paid|pay|payment|charged?|visa|credit|debit|mastercard|cc|amex|maestro)(?![a-z])"
)


def _ssn(text: str, span: Span) -> bool:
    digits = [c for c in text[span.start : span.end] if c.isdigit()]
    if len(digits) != 9:
        return True
    area = "".join(digits[:3])
    issued = (
        area not in ("000", "666")
        and area[0] != "9"
        and digits[3:5] != ["0", "0"]
        and digits[5:] != ["0"] * 4
    )
    return (issued and not _of_a_thing(text, span)) or _said(text, span, _SSN, 40)


def _card(text: str, span: Span) -> bool:
    digits = sum(c.isdigit() for c in text[span.start : span.end])
    if digits in (12, 13, 17, 18, 19):
        return digits != 17 and _said(text, span, _CARD)
    return True


def _ip(text: str, span: Span) -> bool:
    value = text[span.start : span.end].split("/")[0]
    if ":" not in value:
        return not _VERSION_WORD.search(text, max(0, span.start - 10), span.start)
    if "." in value:
        return True
    groups = [group for group in value.split(":") if group]
    if len(groups) >= 3:
        return sum(c.isdigit() for c in value) >= 2
    # with two groups as much is said in programs ("cafe::babe"): only what begins as assigned networks do
    return (
        len(groups) == 2
        and bool(re.fullmatch(r"(?i)[23f](?=[0-9a-f]*\d)[0-9a-f]{3}", groups[0]))
        and any(map(str.isdigit, groups[1]))
    )


def _license(text: str, span: Span) -> bool:
    value = text[span.start : span.end]
    labelled = span.score > 0.9  # ours, which looks behind the words only
    return labelled or (len(set(filter(str.isdigit, value))) > 1 and _said(text, span, _DRIVING, 48, 12))


def _national(text: str, span: Span) -> bool:
    """No part of a fraction, and of no thing: check digits alone find one in ten."""
    return not _ends_a_fraction(text, span.start) and not _of_a_thing(text, span)


def _ends_a_fraction(text: str, start: int, signs: str = ".,") -> bool:
    before = text[max(0, start - 2) : start]
    return len(before) == 2 and before[0].isdigit() and before[1] in signs


_RULES: Mapping[str, Rule] = {
    "DATE_TIME": _date,
    "PHONE_NUMBER": _phone,
    "UK_NHS": lambda text, span: _said(text, span, _NHS),
    "US_SSN": _ssn,
    "CREDIT_CARD": _card,
    "IP_ADDRESS": _ip,
    "US_DRIVER_LICENSE": _license,
    "MEDICAL_LICENSE": lambda text, span: _said(text, span, _DEA),
}
