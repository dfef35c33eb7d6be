"""MinHash over whole batches: shingles, permutations and band keys as numpy arrays, no Python object a word.

The words are those of ``re.findall(r"\\w+", lower(text))``, but in scripts without spaces (Chinese, Japanese,
Thai …) every letter is a word. A word's fingerprint is a polynomial in its
characters, cut out of one running sum over the batch; a shingle's is a polynomial in its five words'; both
are scrambled at the end (the finaliser of SplitMix64, Steele et al. 2014). The permutations are those of
datasketch's ``affine32`` scheme, so that its ``MinHash`` over the same fingerprints gives the same numbers,
bit for bit: it is the readable reference that the tests compare this file with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mlmguard.settings import ScanSettings

Array = np.ndarray[Any, Any]

SHINGLE = 5  # words
PERMUTATIONS = ScanSettings.permutations
_MISSED = 0.002  # share of pairs exactly at the threshold that the bands may miss
_SEED = 1  # of the permutations; datasketch's default

_CHARACTER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
_CHARACTER_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_WORD_FACTORS = np.array([pow(0xD1342543DE82EF95, i + 1, 1 << 64) for i in range(SHINGLE)], np.uint64)
_ROW = np.uint64(0xAF251AF3B0F025B5)


@dataclass(frozen=True)
class Words:
    """The words of a batch of texts: 64-bit fingerprints and places, all texts in one array.

    Text ``i`` has the words ``bounds[i]`` to ``bounds[i + 1]``; ``starts`` and ``ends`` are characters of it.
    """

    fingerprints: Array  # uint64[words]
    starts: Array  # int64[words]
    ends: Array  # int64[words]
    bounds: Array  # int64[texts + 1]


def lower(text: str) -> str:
    """``text`` in lower case, character by character: one letter in all of Unicode would become two."""
    return text.replace("\u0130", "i").lower()


def words(texts: Sequence[str]) -> Words:
    """Fingerprints of the lower-cased words of ``texts``."""
    lowered = [lower(text) for text in texts]  # one by one: a final sigma depends on what follows it
    firsts = np.cumsum([1, *(len(text) + 1 for text in lowered)])
    joined = " " + " ".join(lowered) + " "
    if joined.isascii():
        codes: Array = np.frombuffer(joined.encode("ascii"), np.uint8)
    else:
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    in_word = _word_characters()[codes]
    edge = in_word[1:] != in_word[:-1]
    if not joined.isascii():
        alone = _whole_words()[codes]
        edge |= alone[1:] | alone[:-1]
    starts = np.flatnonzero(edge & in_word[1:]) + 1
    ends = np.flatnonzero(edge & in_word[:-1]) + 1
    powers, inverses = _powers(_room(len(codes)))
    terms = codes.astype(np.uint64)
    terms *= powers[: len(codes)]
    sums = np.cumsum(terms)
    fingerprints = _scrambled((sums[ends - 1] - sums[starts - 1]) * inverses[starts])
    bounds = np.searchsorted(starts, firsts)
    offset = np.repeat(firsts[:-1], np.diff(bounds))
    return Words(fingerprints, starts - offset, ends - offset, bounds)


@lru_cache(maxsize=1)
def _word_characters() -> Array:
    r"""For every code point, whether ``\w`` matches it."""
    table = np.zeros(0x110000, bool)
    for run in re.finditer(r"\w+", "".join(map(chr, range(0x110000)))):
        table[run.start() : run.end()] = True
    return table


SPACELESS = (  # blocks of Unicode whose writing puts no space between words
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x30FF),
    (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
    (0x20000, 0x323AF),
)  # fmt: skip


@lru_cache(maxsize=1)
def _whole_words() -> Array:
    """For every code point, whether it is a word by itself."""
    table = np.zeros(0x110000, bool)
    for first, last in SPACELESS:
        table[first : last + 1] = True
    return table & _word_characters()


def _room(needed: int) -> int:
    """``needed`` rounded up to a power of two, so that few tables of powers are ever made."""
    return max(1 << 16, 1 << (needed - 1).bit_length())


@lru_cache(maxsize=2)
def _powers(count: int) -> tuple[Array, Array]:
    """The first ``count`` powers, modulo 2^64, of the character factor and of its inverse."""
    made = []
    for factor in (_CHARACTER, _CHARACTER_INVERSE):
        powers = np.full(count, factor, np.uint64)
        powers[0] = 1
        made.append(np.multiply.accumulate(powers))
    return made[0], made[1]


def _scrambled(values: Array) -> Array:
    """SplitMix64's finaliser, in place: a bijection after which every bit depends on every other."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values


def rolling(fingerprints: Array, length: int) -> Array:
    """Fingerprints of every run of ``length`` words: uint64[words - length + 1]."""
    powers, inverses = _powers(_room(len(fingerprints) + 1))
    sums = np.zeros(len(fingerprints) + 1, np.uint64)
    np.cumsum(fingerprints * powers[: len(fingerprints)], out=sums[1:])
    return _scrambled((sums[length:] - sums[:-length]) * inverses[: len(sums) - length])


def shingles(of: Words) -> tuple[Array, Array]:
    """(fingerprints uint64[shingles], bounds int64[texts + 1]) of the five-word runs of each text.

    A text of fewer words is one shingle, a text without words has none. A run that comes twice is there
    twice: a minimum does not mind.
    """
    counts = np.diff(of.bounds)
    having = np.where(counts >= SHINGLE, counts - SHINGLE + 1, np.minimum(counts, 1))
    bounds = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(having, out=bounds[1:])
    first = np.repeat(of.bounds[:-1] - bounds[:-1], having) + np.arange(bounds[-1])
    padded = np.concatenate([of.fingerprints, np.zeros(SHINGLE, np.uint64)])
    total = len(of.fingerprints)
    runs = np.zeros(total, np.uint64)
    for place, factor in enumerate(_WORD_FACTORS):
        runs += padded[place : place + total] * factor
    runs = runs[first]
    short = np.flatnonzero((counts > 0) & (counts < SHINGLE))
    for place, factor in enumerate(_WORD_FACTORS):  # what a short text has taken from its successors
        beyond = short[counts[short] <= place]
        runs[bounds[beyond]] -= padded[of.bounds[beyond] + place] * factor
    return _scrambled(runs), bounds


@lru_cache(maxsize=8)
def _permutations(count: int) -> tuple[Array, Array]:
    """Factors and terms of datasketch's ``affine32`` permutations."""
    chance = np.random.RandomState(_SEED)
    factors = chance.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, chance.randint(0, 1 << 32, count, dtype=np.uint32)


def signatures(fingerprints: Array, bounds: Array, permutations: int = PERMUTATIONS) -> Array:
    """MinHash of every text: uint32[permutations, texts]; of a text without shingles the largest number.

    The upper half of a fingerprint is the hash that datasketch would be given.
    """
    hashes = _mixed32((fingerprints >> np.uint64(32)).astype(np.uint32))
    found = np.full((permutations, len(bounds) - 1), np.uint32(0xFFFFFFFF))
    having = np.flatnonzero(np.diff(bounds))
    if not len(having):
        return found
    starts, room = bounds[having], np.empty_like(hashes)
    for row, factor, term in zip(found, *_permutations(permutations)):
        np.multiply(hashes, factor, out=room)
        np.add(room, term, out=room)
        row[having] = np.minimum.reduceat(room, starts)
    return found


def _mixed32(values: Array) -> Array:
    """MurmurHash3's finaliser for 32 bits, in place: what datasketch does before it permutes."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        values ^= values >> np.uint32(shift)
        values *= np.uint32(factor)
    values ^= values >> np.uint32(16)
    return values


def bands(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows): the most selective banding that finds 99.8 % of the pairs at the threshold.

    >>> bands(0.8, 128)
    (21, 6)
    """
    for rows in range(permutations, 1, -1):
        count = permutations // rows
        if (1 - threshold**rows) ** count <= _MISSED:
            return count, rows
    return permutations, 1


def band_keys(of_texts: Array, threshold: float) -> Array:
    """Return one 64-bit key a band and text, uint64[bands, texts]: texts that share a key are candidates.

    ``of_texts`` are :func:`signatures`.
    """
    count, rows = bands(threshold, len(of_texts))
    keys = np.zeros((count, of_texts.shape[1]), np.uint64)
    for row in range(rows):
        keys *= _ROW
        keys += of_texts[row : count * rows : rows]
    return _scrambled(keys)
