# ruff: noqa: E501 (an expression is read across)
"""What stands between a label and its value, said once for every rule that looks behind words.

A label is the name of a field as prose, forms, tables and programs write it: "medical record number",
``medical_record_number``, ``medicalRecordNumber``, ``patient_mrn``. Its value follows behind the signs of
JSON, Markdown, tables, tags and forms, on the same line or on one of the next two. Texts are folded before
(``folding``), so that dashes, spaces, quotes and colons are those of ASCII here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from mlmguard.corpus.detect.recogniser import Pattern

START = r"(?:(?<![^\W_])|(?<=[a-zß-öø-ÿº])(?=[A-Z]))"
"""Where a word of a label may begin: not inside a word, but behind an underscore and at a capital."""
END = r"(?![^\W_])"
"""What a value may not continue into; an underscore ends it."""

NUMBER = r"(?:[ \t_.-]{0,2}(?i:numbers?|n[uú]mero|num[eé]ro|nummer|num\b\.?|no\b\.?|nr\b\.?|n\.?[º°]\.?|(?<![^\W_])n\.|ids?|code|#)){0,2}"
"""The words that say no more than that a number follows."""

_JOINT = r"(?:[ \t_.-]{1,2}|(?<=[a-zß-öø-ÿ])(?=[A-Z]))"
OF = (
    rf"(?:{_JOINT}(?i:at|of|on|for|in|de|del|do|da|dos|das|di|du|des|dell?a|bei|der|van|bij|auf|su[lr]?|no|na|op|per|para|por|pour)(?![a-zß-öø-ÿ])"
    rf"(?:{_JOINT}[^\W\d_]{{1,15}}){{1,3}}?)?"
)
"""Whose it is, or when: "age at admission", "telefono del paciente", ``phoneOfNextOfKin``."""

_SIGN = r"[ \t\r\"'`*_~\\|:;=#>(\[{-]"
# What has one way to be read is read in one (``}+``): a form's dots, or stand-ins in a row, had so many that a
# label before them held up a scan.
_TAG = r"</?[A-Za-z][\w:.-]{0,30}+[^<>\n]{0,40}+>"
_DOTS = r"\.{2,999}+"
_LINES = r"\n(?:[ \t]*\n)?(?![ \t]*\n)"
_REMARK = r"(?:[ \t]{0,2}(?:\([^()\n]{1,40}\)|\[[^\[\]\n]{1,40}\]))?"


def between(said: str, stop: str) -> str:
    """What may stand between a label and its value, a bracketed remark and the end of a line included, and the
    words ``said`` between the two in a sentence; ``stop`` is the full stop of a label that is cut short."""
    return rf"(?![^\W\d_])(?:{stop})?{_REMARK}(?:{_SIGN}|{_TAG}|{_DOTS}|{_LINES}|\b(?:{said})\b){{0,24}}"


BETWEEN = between(r"(?i:is|was)", r"\.(?=[ \t]?[:=|\"'<)\]}])|(?<=[nN][oOrR])\.")
BETWEEN_ABROAD = between(
    r"(?i:is|was|es|era|est|était|è|é|ist|war|lautet|luidt)|el|la|le|il|lo|o|am|op|te|em|en|in|na|no|a|à|au|al|het|unter|sous",
    r"\.",
)
"""The same for the other languages: most labels are cut short there, and the article stands before a value."""

_SPACES = r"[ \t_.-]{0,2}"


def words(*phrases: str) -> str:
    """An expression for these words in whatever way a name is written.

    >>> words("birth date")
    '(?i:birth[ \\\\t_.-]{0,2}date)'
    """
    return "(?i:" + "|".join(_SPACES.join(_loose(phrase).split(" ")) for phrase in phrases) + ")"


def _loose(phrase: str) -> str:
    """``phrase`` with accents that may be missing, stand as characters of their own, or be an "e" behind.

    >>> import re
    >>> bool(re.fullmatch(_loose("größe"), "groesse"))
    True
    """
    return "".join(_LOOSE.get(c, c) for c in unicodedata.normalize("NFC", phrase))


_LOOSE = {
    c: rf"(?:[{c}{unicodedata.normalize('NFD', c)[0]}][\u0300-\u036f]?{f'|{digraph}' if digraph else ''})"
    for c, digraph in {**dict.fromkeys("áàâãéèêëíìîïóòôõúùûñç", ""), "ä": "ae", "ö": "oe", "ü": "ue"}.items()
} | {"ß": "(?:ß|ss)"}


def after(
    phrases: Iterable[str], value: str, score: float, *, number: bool = True, between: str = OF + BETWEEN
) -> tuple[Pattern, ...]:
    """Patterns of ``value`` behind each of ``phrases``, which are expressions whose spaces stand for any
    joint of a name. One for all that begin with the same two letters: the prefilter sees no more of them."""
    groups: dict[str, list[str]] = {}
    for phrase in phrases:
        groups.setdefault(phrase[:2], []).append(phrase)
    return tuple(
        Pattern(
            f"after {' or '.join(group)}",
            rf"{START}{words(*group)}{NUMBER if number else ''}{between}\K{value}{END}",
            score,
        )
        for group in groups.values()
    )
