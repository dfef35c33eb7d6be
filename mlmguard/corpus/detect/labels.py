"""What stands between a label and its value, said once for every rule that looks behind words.

A label is the name of a field as prose, forms, tables and programs write it: "medical record number",
``medical_record_number``, ``medicalRecordNumber``, ``patient_mrn``. Its value follows behind the signs of
JSON, Markdown, tables, tags and forms, on the same line or on one of the next two. Texts are folded before
(``folding``), so that dashes, spaces, quotes and colons are those of ASCII here.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlmguard.corpus.detect.recogniser import Pattern

START = r"(?:(?<![^\W_])|(?<=[a-z])(?=[A-Z]))"
"""Where a word of a label may begin: not inside a word, but behind an underscore and at a capital."""
END = r"(?![^\W_])"
"""What a value may not continue into; an underscore ends it."""

NUMBER = r"(?:[ \t_.-]{0,2}(?i:numbers?|num\b\.?|no\b\.?|nr\b\.?|n[º°]\.?|ids?|code|#)){0,2}"
"""The words that say no more than that a number follows."""

_SIGN = r"[ \t\r\"'`*_~\\|:;=#>(\[{-]"
_TAG = r"</?[A-Za-z][\w:.-]{0,30}[^<>\n]{0,40}>"
_LINES = r"\n(?:[ \t]*\n)?(?![ \t]*\n)"
_REMARK = r"(?:[ \t]{0,2}(?:\([^()\n]{1,40}\)|\[[^\[\]\n]{1,40}\]))?"

BETWEEN = rf"(?![^\W\d_]){_REMARK}(?:{_SIGN}|{_TAG}|\.{{2,60}}|{_LINES}|(?i:\b(?:is|was)\b)){{0,24}}"
"""What may stand between a label and its value, a bracketed remark and the end of a line included."""

_SPACES = r"[ \t_.-]{0,2}"


def words(*phrases: str) -> str:
    """An expression for these words in whatever way a name is written.

    >>> words("birth date")
    '(?i:birth[ \\\\t_.-]{0,2}date)'
    """
    return "(?i:" + "|".join(_SPACES.join(phrase.split(" ")) for phrase in phrases) + ")"


def after(
    phrases: Iterable[str], value: str, score: float, *, number: bool = True, between: str = BETWEEN
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
