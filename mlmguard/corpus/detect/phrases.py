"""Many phrases in one text at once: by whole words, in any case and with or without accents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from mlmguard.corpus.detect.tagger import WORD, plain

T = TypeVar("T")


def words_of(phrase: str) -> tuple[str, ...]:
    """Give the words of ``phrase`` as they are compared."""
    return tuple(plain(match.group()) for match in WORD.finditer(phrase))


class Phrases(Generic[T]):
    """Phrases of one word or many, by their words, each with what it is; of two that are one the first stays.

    A search costs the same whatever their number.
    """

    def __init__(self, phrases: Iterable[tuple[tuple[str, ...], T]]) -> None:
        self._what: dict[tuple[str, ...], T] = {}
        lengths: dict[str, set[int]] = {}
        for words, what in phrases:
            if words:
                self._what.setdefault(words, what)
                lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: sorted(its, reverse=True) for word, its in lengths.items()}

    def beginning(self, words: Sequence[str], at: int) -> Iterator[tuple[int, T]]:
        """Yield (length, what) of the phrases that begin with word ``at`` of a text, the longest first."""
        for length in self._lengths.get(words[at], ()):
            its = tuple(words[at : at + length])
            if len(its) == length and its in self._what:
                yield length, self._what[its]

    def find(self, text: str) -> Iterator[tuple[int, int, T]]:
        """Yield (start, end, what) of phrases in ``text``, the longest at each place, none overlapping."""
        if not self._what:
            return
        matches = [match for match in WORD.finditer(text) if match.group()[0] != "\n"]
        words = [plain(match.group()) for match in matches]
        at = 0
        while at < len(words):
            step = 1
            for length, what in self.beginning(words, at):
                start, end = matches[at].start(), matches[at + length - 1].end()
                if not _goes_on(text, start, end):
                    yield start, end, what
                    step = length
                    break
            at += step


def _goes_on(text: str, start: int, end: int) -> bool:
    """If a letter or digit stands right before or behind: half a word is no phrase."""
    before, behind = text[start - 1 : start], text[end : end + 1]
    return (before.isalnum() and text[start].isalnum()) or (behind.isalnum() and text[end - 1].isalnum())
