"""A recogniser finds the texts that it says it finds, and leaves the others: tried, not believed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlmguard.corpus.detect.recogniser import Recogniser
from mlmguard.errors import InputError
from mlmguard.settings import ScanSettings

THRESHOLD = ScanSettings.threshold
"""The score from which on a finding counts: Presidio gives 0.4 to a weak match that a context word supports,
and at most 0.3 to one that none does."""

_VALUE = re.compile(r"[^«»]*«[^«»]+»[^«»]*")


def prove(recogniser: Recogniser) -> tuple[str, ...]:
    """Try ``recogniser`` on its own texts, alone; say which of them fail, by number: no text is quoted.

    Raises :class:`InputError` if one of its patterns is no expression.
    """
    return tuple(_failures(recogniser))


def refuse_unproved(recogniser: Recogniser) -> None:
    """Raise :class:`InputError` with the first of its own texts that ``recogniser`` fails on."""
    for failure in prove(recogniser)[:1]:
        raise InputError(
            f"recogniser {recogniser.name[:60]!r}", failure, "that it is right on its own texts",
            "mend it or its texts; `mlmguard rules prove` tries them all",
        )  # fmt: skip


def _failures(recogniser: Recogniser) -> Iterator[str]:
    import regex

    from mlmguard.corpus.detect.presidio import Engine, recognizers_of

    for number, pattern in enumerate(recogniser.patterns, 1):
        try:
            regex.compile(pattern.regex)
        except regex.error:
            raise InputError(
                f"recogniser {recogniser.name[:60]!r}", f"pattern {number} cannot be compiled",
                "an expression of the package `regex`",
            ) from None  # fmt: skip
    if not recogniser.finds or not recogniser.leaves:
        yield "it has no text to find, or none to leave"
    alone = Engine(recognizers_of([recogniser]))
    for number, text in enumerate(recogniser.finds, 1):
        if not _VALUE.fullmatch(text):
            yield f"text {number} of `finds` marks not exactly one value between « and »"
            continue
        place = text.index("«"), text.index("»") - 1
        found = alone.analyze(text.replace("«", "").replace("»", ""), THRESHOLD)
        if place not in {(span.start, span.end) for span in found}:
            yield f"it does not find text {number} of `finds`"
    for number, text in enumerate(recogniser.leaves, 1):
        if alone.analyze(text, THRESHOLD):
            yield f"it does not leave text {number} of `leaves`"
