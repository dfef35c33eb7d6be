"""The values that a user asks after: read, held nowhere but in memory, and looked up in the members.

A value is known by its line and its keyed name from here on; what stands in the file is never shown.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlmguard.artifacts import LARGEST, Key, text_of
from mlmguard.corpus.detect.identity import fingerprint
from mlmguard.errors import InputError
from mlmguard.leakage.given import CONTEXTS
from mlmguard.leakage.results import IN_CONTEXT, WITHOUT, Given, Named, Rows
from mlmguard.training.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from mlmguard.audit.bench import Bench

STANDARD_INPUT = Path("-")
LONGEST, MOST = 500, 10_000
"""Characters of a value, and values of a file: longer is a text, and more are a corpus."""
_EXPECTED = "one value a line"


def read(path: Path, key: Key) -> list[Named]:
    """The values in ``path``, one a line, each once; ``-`` is standard input.

    Raises :class:`InputError` for a file that is none, is binary or empty, and for a line that is too long.
    """
    thing = f"--secrets {path}"
    found: dict[str, int] = {}
    for number, line in enumerate(_lines(path, thing), 1):
        value = line.strip()
        if len(value) > LONGEST:
            raise InputError(
                f"{thing}: line {number}", f"longer than {LONGEST} characters", f"{_EXPECTED}, no text"
            )
        if value and not any(map(str.isalnum, value)):
            raise InputError(f"{thing}: line {number}", "no letter or digit in it", "a value that says more")
        if value:
            found.setdefault(value, number)
    if not found:
        raise InputError(thing, "no value in it", _EXPECTED)
    if len(found) > MOST:
        raise InputError(thing, f"{len(found):,} values", f"at most {MOST:,}", "name those that matter most")
    return [
        Named(f"line {number} SECRET:{fingerprint(key, 'SECRET', value)}", value)
        for value, number in found.items()
    ]


def _lines(path: Path, thing: str) -> list[str]:
    if path != STANDARD_INPUT:
        try:
            text = text_of(path, _EXPECTED)
        except InputError as problem:
            raise InputError(thing, str(problem).removeprefix(f"{problem.thing}: ").rstrip(".")) from None
    else:
        data = sys.stdin.buffer.read(LARGEST + 1)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(thing, "not UTF-8 text", _EXPECTED) from None
        if len(data) > LARGEST:
            raise InputError(thing, f"larger than {LARGEST:,} bytes", _EXPECTED)
    if "\0" in text:
        raise InputError(thing, "a binary file", _EXPECTED)
    return text.removeprefix("\ufeff").split("\n")


def placed(values: Sequence[Named], rows: Rows) -> list[Named]:
    """The same with the first place of each in every row that holds it as a word or words of its own."""
    if not values:
        return []
    length = min(8, *(len(one.value) for one in values))
    heads: dict[str, list[int]] = {}
    for number, one in enumerate(values):
        heads.setdefault(one.value[:length], []).append(number)
    places: list[dict[int, int]] = [{} for _ in values]
    for row, text in enumerate(row["text"] for row in rows):
        for start in range(len(text) - length + 1):
            for number in heads.get(text[start : start + length], ()):
                value = values[number].value
                if row in places[number] or not text.startswith(value, start):
                    continue
                if _whole(text, start, start + len(value)):
                    places[number][row] = start
    return [Named(one.id, one.value, tuple(held.items())) for one, held in zip(values, places)]


def _whole(text: str, start: int, end: int) -> bool:
    """Whether nothing of the same word stands around it."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() and text[start].isalnum()) and not (
        after.isalnum() and text[end - 1].isalnum()
    )


def refuse_unspellable(values: Iterable[Named], tokenizer: Tokenizer, window: int, thing: str) -> None:
    """Raise :class:`InputError` for a value that the tokenizer has no tokens for, or too many."""
    listed = list(values)
    for one, ids in zip(listed, tokenizer.encode([one.value for one in listed])):
        line = f"{thing}: {one.id.split(' SECRET:')[0]}"
        if not ids or not tokenizer.special_ids.isdisjoint(ids):
            do = "leave it out: a model that cannot read it cannot give it back"
            raise InputError(line, "the tokenizer of this model cannot spell it", "a value of its tokens", do)
        if len(ids) > (window - 2) // 2:
            raise InputError(
                line, f"{len(ids)} tokens", f"at most {(window - 2) // 2}, half of what the model sees"
            )


def given(bench: Bench) -> list[Given]:
    """Each value in up to :data:`CONTEXTS` members that hold it; alone where there is none, or none fits."""
    rng, rows = bench.rng("contexts of secrets"), bench.audited.members
    found = []
    for one in bench.audited.named:
        chosen = [one.places[k] for k in rng.permutation(len(one.places))[:CONTEXTS]]
        spans = [(rows[row]["text"], start, start + len(one.value)) for row, start in chosen]
        targets = tuple(target for target in bench.targets(spans) if target is not None)
        if not targets:
            targets = tuple(t for t in bench.targets([(one.value, 0, len(one.value))]) if t is not None)
            found.append(Given(one.id, targets, WITHOUT, words=reads_as_words(one.value)))
        else:
            found.append(Given(one.id, targets, IN_CONTEXT, words=reads_as_words(one.value)))
    return found


_RUN = re.compile(r"[^\W\d_]{3,}")


def reads_as_words(value: str) -> bool:
    """Whether half of a value or more is letters in a row, written as words are.

    >>> [reads_as_words(one) for one in ("Ann Lee", "ann.lee@example.org", "sk_4eC39HqLyjWD", "AB-4711-C")]
    [True, True, False, False]
    """
    runs = [run for run in _RUN.findall(value) if run in (run.lower(), run.upper(), run.capitalize())]
    return 2 * sum(map(len, runs)) >= sum(map(str.isalnum, value))


def notes(values: Sequence[Named]) -> list[str]:
    """What a reader has to know of the values: how many, and what was tried without context."""
    if not values:
        return []
    alone = sum(not one.places for one in values)
    told = f"{len(values)} values were named and looked up in the members; nothing was planted."
    return [told + (f" {alone} stand in none and were tried without context." if alone else "")]
