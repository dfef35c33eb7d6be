"""A small network that reads words and says which of them are names: numpy, and no framework.

A word is the sum of the vectors of its hashed pieces (itself, its ends, its three-letter pieces, its shape)
and of what lists say of it (first names and surnames of the US census, names of many countries, cities,
countries, ordinary words). Four convolutions of three words each look at its neighbours. The weights are made
by ``tools/names`` and are part of the package.

Each text is computed by itself, in pieces of a fixed length: what is found in it does not depend on the texts
around it, nor on the number of workers.
"""

from __future__ import annotations

import hashlib
import io
import re
import string
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from mlmguard.corpus.detect.folding import without_accents
from mlmguard.corpus.detect.identify import UNDETERMINED, language_of
from mlmguard.errors import InputError

WEIGHTS = Path(__file__).parent / "names.npz"
WEIGHTS_SHA256 = "fb0831c886c5428359c90a8bdce332fac967c6115da24ac7cca0c532a600a889"
VERSION = "1"
CLASSES = ("O", "PERSON", "LOCATION", "ORGANIZATION", "NRP")
KINDS = (
    "first", "seldom a first name", "last", "seldom a surname", "city", "country", "region", "NRP",
    "organisation", "very common word", "common word", "word",
)  # fmt: skip
"""What a list may say of a word: the bits of its entry in ``Lists``."""
ROWS = 1 << 15
"""Rows of the table of pieces."""
REACH = 4
"""Words on either side that a word's classes depend on: the convolutions together."""
_LEAST = 0.8
"""Least probability of being a name, of any class, at which a word is one."""
_WEIGHTS = np.array([3, 1, 1, 1], np.float32)
"""By how much each class is preferred where several are probable: a person above all is not to be missed."""
_AT_ONCE = 4096  # words a piece: memory stays small whatever the document's length
_CACHED = 1 << 16  # words whose vectors are kept

WORD = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-][\w.-]*|(?:https?://|www\.)[^\s<>\"]+"
    r"|[^\W\d_]+(?:[\u0300-\u036f]+[^\W\d_]*)*(?:['’](?!s\b)[^\W\d_]+)?|['’]s\b|\d+|\n+"
    r"|\.+|-+|=+|\*+|_+|#+|~+|>+|<+|!+|\?+|/+|,+|\|+|[^\w\s]"
)
"""An address, a word with its apostrophe, an 's, a number, line ends, or a sign, however often."""


def spelt(word: str) -> str:
    """Give a match of :data:`WORD` as the network reads it: a sign that is repeated is one."""
    if len(word) == 1 or word[0].isalnum():
        return word
    return word[0] if word[0] == word[1] and word[0] != "\n" else word


_Floats = NDArray[np.float32]


def plain(word: str) -> str:
    """Write ``word`` in small letters without accents, as the lists have it."""
    return without_accents(word.lower())


def pieces(word: str) -> list[int]:
    """Give the rows of the table whose sum is ``word``: at most seventeen."""
    small = word.lower()
    named = [
        f"w{small}",
        f"p{small[:3]}",
        f"s{small[-2:]}",
        f"S{small[-3:]}",
        f"Z{small[-4:]}",
        f"c{_shape(word)}",
    ]
    coded = [one.encode("utf-8", "surrogatepass") for one in named]
    marked = f"<{small}>"
    parts = range(min(11, max(0, len(marked) - 2)))
    if marked.isascii():
        whole = marked.encode()
        coded += [whole[i : i + 3] for i in parts]
    else:
        coded += [marked[i : i + 3].encode("utf-8", "surrogatepass") for i in parts]
    return [crc32(one) % ROWS for one in coded]


_SHAPES = str.maketrans(
    string.ascii_uppercase + string.ascii_lowercase + string.digits, "X" * 26 + "x" * 26 + "d" * 10
)


def _shape(word: str) -> str:
    """Capitals as X, letters as x, digits as d, at most three of one after another."""
    word = word[:24]
    if word.isascii():
        shape = word.translate(_SHAPES)
    else:
        shape = "".join(
            "X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word
        )
    return re.sub(r"(.)\1{3,}", r"\1\1\1", shape) if len(shape) > 3 else shape


def letters(word: str) -> tuple[bool, ...]:
    """Say how ``word`` is written: with a capital, in capitals, small, digits, a sign, a line end."""
    first = word[:1]
    return (
        first.isupper() and not word.isupper(), word.isupper(), word.islower(), first.isdigit(),
        not first.isalnum() and not first.isspace(), first == "\n",
    )  # fmt: skip


REGIMES = ("letters of both kinds", "small letters", "capitals")


def regimes(words: Sequence[str]) -> list[int]:
    """Say for each word how its line is written, by number in ``REGIMES``: there names may be small, too."""
    found: list[int] = []
    line: list[str] = []
    for word in (*words, "\n"):
        line.append(word)
        if word[0] == "\n":
            whole = "".join(line)
            small, capital = whole.upper() != whole, whole.lower() != whole
            found += [0 if small == capital else 1 if small else 2] * len(line)
            line = []
    return found[:-1]


class Lists:
    """What is known of words: hashes in order, and for each a bit for every one of ``KINDS``."""

    def __init__(self, hashes: NDArray[np.uint32], bits: NDArray[np.uint16]) -> None:
        self._hashes, self._bits = hashes, bits

    @staticmethod
    def hash(word: str) -> int:
        """Hash a word as :func:`plain` writes it."""
        return crc32(word.encode("utf-8", "surrogatepass"))

    def of(self, words: Sequence[str]) -> NDArray[np.uint16]:
        """Give the bits of each word; none for one that no list has, or that is no word."""
        own = np.array([self.hash(plain(word)) if word[:1].isalpha() else 0 for word in words], np.uint32)
        at = np.minimum(np.searchsorted(self._hashes, own), len(self._hashes) - 1)
        known = (self._hashes[at] == own) & np.array([word[:1].isalpha() for word in words], bool)
        return np.where(known, self._bits[at], 0).astype(np.uint16)


def facts(words: Sequence[tuple[str, int]], lists: Lists) -> NDArray[np.bool_]:
    """Say what lists, letters and the line say of words in their lines: (words, facts)."""
    bits = lists.of([word for word, _ in words])[:, None] >> np.arange(len(KINDS), dtype=np.uint16) & 1
    written = np.array([letters(word) for word, _ in words], bool).reshape(len(words), -1)
    lines = np.arange(len(REGIMES)) == np.array([line for _, line in words])[:, None]
    return np.concatenate([bits.astype(bool), written, lines], 1)


class Tagger:
    """The network with its weights."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self.lists = Lists(weights["hashes"], weights["bits"])
        scale = weights["table_scale"].astype(np.float32)
        self._table: _Floats = weights["table"].astype(np.float32) * scale[:, None]
        self._facts: _Floats = weights["facts"].astype(np.float32)
        self._layers = [
            (weights[f"layer{i}"].astype(np.float32), weights[f"bias{i}"].astype(np.float32))
            for i in range(sum(name.startswith("layer") for name in weights))
        ]
        self._out: tuple[_Floats, _Floats] = (
            weights["out"].astype(np.float32), weights["out_bias"].astype(np.float32),
        )  # fmt: skip
        self._rows: dict[tuple[str, int], int] = {}
        self._vectors: _Floats = np.zeros((1024, self._table.shape[1]), np.float32)
        self._may_be = np.zeros(1024, bool)

    @staticmethod
    def read(file: Path | BinaryIO) -> Tagger:
        """Read weights as ``tools/names`` writes them; nothing in the file is code."""
        with np.load(file, allow_pickle=False) as arrays:
            return Tagger({name: arrays[name] for name in arrays.files})

    def vectors(self, words: Sequence[tuple[str, int]]) -> tuple[_Floats, NDArray[np.bool_]]:
        """Compute the vectors of words in their lines, of mean square 1, and say which may be a name's.

        A row is a sum in the order of its pieces, so it does not depend on the words beside it.
        """
        rows = [pieces(word) for word, _ in words]
        counts = np.array([len(its) for its in rows])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        summed: _Floats = np.add.reduceat(self._table[[row for its in rows for row in its]], starts)
        summed /= np.sqrt(counts.astype(np.float32))[:, None]
        true = facts(words, self.lists)
        at, which = np.nonzero(true)
        summed += np.add.reduceat(self._facts[which], np.searchsorted(at, np.arange(len(words))))
        return _even(summed), _may_be_names(true)

    def _embedded(self, words: Sequence[str]) -> tuple[_Floats, NDArray[np.bool_]]:
        rows, keys = self._rows, list(zip(words, regimes(words)))
        missing = [key for key in dict.fromkeys(keys) if key not in rows]
        if missing:
            if len(rows) + len(missing) > _CACHED:
                rows.clear()
                missing = list(dict.fromkeys(keys))
            first = len(rows)
            while first + len(missing) > len(self._vectors):
                self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
                self._may_be = np.concatenate([self._may_be, np.zeros_like(self._may_be)])
            some = slice(first, first + len(missing))
            self._vectors[some], self._may_be[some] = self.vectors(missing)
            rows.update((key, first + number) for number, key in enumerate(missing))
        chosen = [rows[key] for key in keys]
        return self._vectors[chosen], self._may_be[chosen]

    def probabilities(self, words: Sequence[str], everywhere: bool = True) -> _Floats:
        """Compute the probability of each class for each word: (words, classes), rows add up to 1.

        Not ``everywhere``: at words that may be a name's and the two on either side; the others are no names.
        """
        vectors, may_be = self._embedded(words)
        count = len(words)
        # a row of nothing on either side, so that every word has two neighbours
        hidden: _Floats = np.zeros((count + 2, vectors.shape[1]), np.float32)
        hidden[1:-1] = vectors
        seen = np.ones(count, bool) if everywhere else _wider(may_be, _BESIDE)
        wanted = [seen]
        for _ in self._layers[1:]:
            wanted.append(wanted[-1] if everywhere else _wider(wanted[-1], 1))
        for number, ((weight, bias), where) in enumerate(zip(self._layers, reversed(wanted))):
            at = np.flatnonzero(where) + 1
            there = _even(hidden) if number else hidden
            grown = np.maximum(
                np.concatenate([there[at - 1], there[at], there[at + 1]], 1) @ weight + bias, 0
            )
            if number:
                hidden[at] += grown
            else:
                hidden = np.zeros((count + 2, weight.shape[1]), np.float32)
                hidden[at] = grown
        logits = hidden[1:-1][seen] @ self._out[0] + self._out[1]
        logits -= logits.max(1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(1, keepdims=True)
        shares: _Floats = np.zeros((count, len(CLASSES)), np.float32)
        shares[:, 0] = 1
        shares[seen] = logits
        return shares


_BESIDE = 2  # words beside one that may be a name's: "of", "van", a dot


def _may_be_names(true: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """By what is known of words (see :func:`facts`): no signs and numbers, no very common word, and, where
    others have capitals, no ordinary word in small letters."""
    kinds, (capital, capitals), mixed = (
        true[:, : len(KINDS)],
        true[:, _WRITTEN : _WRITTEN + 2].T,
        true[:, _LINE],
    )
    of_names, very, often, some = kinds[:, :-3].any(1), kinds[:, -3], kinds[:, -2], kinds[:, -1]
    letters = ~true[:, _WRITTEN + 3 : _LINE].any(1)
    in_mixed = np.where(capital | capitals, of_names | ~very, kinds[:, :2].any(1) | ~(very | often | some))
    return letters & np.where(mixed, in_mixed, of_names | ~(very | often))


_WRITTEN = len(KINDS)
_LINE = _WRITTEN + 6
"""Where in a row of :func:`facts` the letters begin, and the line."""


def _wider(where: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """``where`` and so many places on either side."""
    wide = where.copy()
    for step in range(1, by + 1):
        wide[step:] |= where[:-step]
        wide[:-step] |= where[step:]
    return wide


@lru_cache(maxsize=1)
def shipped() -> Tagger:
    """Read the weights of the package, once a process; :class:`InputError` where they are not those."""
    content = WEIGHTS.read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise InputError(
            str(WEIGHTS), "not the weights of this version", "the file as installed", "install again"
        )
    return Tagger.read(io.BytesIO(content))


_ORDINARY = sum(1 << KINDS.index(kind) for kind in ("very common word", "common word", "word"))


def is_ordinary(word: str) -> bool:
    """Say if the documents that the lists come from have ``word`` in small letters, as in "bill"."""
    return bool(shipped().lists.of([word])[0] & _ORDINARY)


_FIRST = sum(1 << KINDS.index(kind) for kind in ("first", "seldom a first name"))
_LAST = sum(1 << KINDS.index(kind) for kind in ("last", "seldom a surname"))


def is_full_name(words: Sequence[str]) -> bool:
    """Say if the lists know one of ``words`` as a first name and another one as a surname."""
    bits = shipped().lists.of([word for word in words if word[0].isalpha()])
    firsts, lasts = (
        {i for i, b in enumerate(bits) if b & _FIRST},
        {i for i, b in enumerate(bits) if b & _LAST},
    )
    return bool(firsts and lasts) and len(firsts | lasts) > 1


def _even(rows: _Floats) -> _Floats:
    """``rows`` with a root mean square of 1."""
    evened: _Floats = rows / np.sqrt((rows * rows).mean(1, keepdims=True) + np.float32(1e-6))
    return evened


# --- names in a text ----------------------------------------------------------------------------------

Name = tuple[int, int, str, float]
"""(start, end, class, score): characters of the text, end exclusive."""


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


class Seen(NamedTuple):
    """A word of a text, where it stands, and its probability of being a name's."""

    text: str
    start: int
    end: int
    share: float


@dataclass(frozen=True)
class Reading:
    """A text as the network saw it: its words and, for each, the probability of each class."""

    text: str
    matches: Sequence[re.Match[str]] = field(repr=False)
    words: Sequence[str] = field(repr=False)
    shares: _Floats = field(repr=False)

    def places(self, least: float, most: float) -> Iterator[int]:
        """Yield where words stand that are names with a probability from ``least`` to ``most``, in order."""
        named = 1 - self.shares[:, 0]
        for at in np.flatnonzero((named >= least) & (named <= most)).tolist():
            yield self.matches[at].start()

    def within(self, start: int, end: int) -> list[Seen]:
        """Give the words that lie in this part of the text, in order."""
        at = bisect_left(self.matches, start, key=lambda match: match.start())
        found = []
        while at < len(self.matches) and self.matches[at].end() <= end:
            match = self.matches[at]
            found.append(Seen(match.group(), match.start(), match.end(), float(1 - self.shares[at, 0])))
            at += 1
        return found

    def is_english(self) -> bool:
        """Say if most words in small letters are ordinary English ones, or no other language is told."""
        small = [word for word in self.words if word.islower() and word.isalpha()][:_SAMPLE]
        known = int(np.count_nonzero(shipped().lists.of(small) & _ORDINARY)) if small else 0
        return known >= _ENGLISH * len(small) or language_of(self.text) in ("en", UNDETERMINED)

    def names(self) -> list[Name]:
        """Give the names, in order of place.

        Neighbouring words that are names of any class are one name. Its class is the one that is most
        probable over all of them, its score the mean of its words' probabilities of being a name.
        """
        found: list[Name] = []
        hits = [
            at
            for at in np.flatnonzero(self.shares[:, 0] <= 1 - _LEAST).tolist()
            if not _is_address(self.words[at])
        ]
        lines = regimes(self.words) if hits else []
        for first, last in _runs(hits):
            one = _name(self.matches[first:last], self.shares[first:last])
            if one is None or _is_glued(self.text, one[0], one[1]) or _is_unknown(self.text[one[0] : one[1]]):
                continue
            before = self.words[first - 1].lower() if first else ""
            if lines[first] or not _is_plain_word(self.text[one[0] : one[1]], before):
                found.append(one)
        return found


def read(text: str, tagger: Tagger) -> Reading:
    """Look at all of ``text``, in pieces of a fixed number of words.

    On one thread: sums this small are slower on several, and their last digits would depend on how many there
    are.
    """
    matches = list(WORD.finditer(text))
    words = [spelt(match.group()) for match in matches]
    shares: _Floats = np.zeros((len(words), len(CLASSES)), np.float32)
    shares[:, 0] = 1
    for begin in range(0, len(words), _AT_ONCE):
        low, end = max(0, begin - REACH), min(len(words), begin + _AT_ONCE)
        if any(word[0].isalpha() for word in words[begin:end]):
            with _threads().limit(limits=1, user_api="blas"):
                some = tagger.probabilities(words[low : end + REACH], everywhere=False)
            shares[begin:end] = some[begin - low : end - low]
    return Reading(text, matches, words, shares)


def names(text: str, tagger: Tagger) -> list[Name]:
    """Find the names in ``text``, in order of place: see :meth:`Reading.names`."""
    return read(text, tagger).names()


def _runs(hits: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) of numbers that follow one another."""
    first = 0
    for at in range(1, len(hits) + 1):
        if at == len(hits) or hits[at] != hits[at - 1] + 1:
            yield hits[first], hits[at - 1] + 1
            first = at


_SAMPLE, _ENGLISH = 400, 0.7  # words in small letters, and the share that must be known


def _is_address(word: str) -> bool:
    """If a word is an address of mail or of the web, or the end of a line: these are nobody's names."""
    return word[0] == "\n" or "@" in word[1:] or (word.startswith(("http", "www.")) and len(word) > 6)


_ARTICLES = frozenset(("the", "a", "an"))


def _is_plain_word(name: str, before: str) -> bool:
    """If ``name`` is ordinary words in small letters, or behind an article, where names have capitals."""
    return name.islower() and (before in _ARTICLES or all(map(is_ordinary, re.findall(r"[^\W\d_]+", name))))


def is_latin(text: str) -> bool:
    """Say if most letters of ``text`` are Latin, with whatever marks."""
    letters = [c for c in text if c.isalpha()]
    return 2 * sum(c < "\u0250" or "\u1e00" <= c < "\u1f00" for c in letters) > len(letters)


def _is_unknown(name: str) -> bool:
    """If ``name`` is in letters of which no list has a word, and nothing about them says that it is one."""
    return not is_latin(name) and not any(map(str.isupper, name))


_GLUED_BEFORE, _GLUED_BEHIND = re.compile(r"(?:[^\W_]_|\w@|[a-z\d]\.)\Z"), re.compile(r"_\w|@\w|\.[a-z\d]")


def _is_glued(text: str, start: int, end: int) -> bool:
    """If what looks like a name goes on as an account or a host does ("kim.brook77"): half of it is none."""
    return bool(_GLUED_BEFORE.search(text, max(0, start - 2), start) or _GLUED_BEHIND.match(text, end))


def _name(run: Sequence[re.Match[str]], shares: _Floats) -> Name | None:
    """One name of neighbouring words, without the signs at its ends; None where no letter is in it."""
    first, last = 0, len(run)
    while first < last and not run[first].group()[0].isalnum():
        first += 1
    while last > first and not run[last - 1].group()[-1].isalnum():
        last -= 1
    if not any(match.group()[0].isalpha() for match in run[first:last]):
        return None
    mean = shares[first:last].mean(0)
    kind = 1 + int((mean[1:] * _WEIGHTS).argmax())
    return run[first].start(), run[last - 1].end(), CLASSES[kind], round(float(1 - mean[0]), 2)
