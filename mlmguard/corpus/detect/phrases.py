"""Many phrases in one text at once: by whole words, in any case and with or without accents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlmguard.corpus.detect.tagger import WORD, plain


class Phrases:
    """Phrases of one word or many, each with what it is; a search costs the same whatever their number."""

    def __init__(self, phrases: Mapping[str, str]) -> None:
        self._what: dict[tuple[str, ...], str] = {}
        lengths: dict[str, set[int]] = {}
        for phrase, what in phrases.items():
            words = tuple(plain(match.group()) for match in WORD.finditer(" ".join(phrase.split())))
            if words:
                self._what.setdefault(words, what)
                lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: sorted(its, reverse=True) for word, its in lengths.items()}

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, what) of phrases in ``text``, the longest at each place, none overlapping."""
        if not self._what:
            return
        matches = [match for match in WORD.finditer(text) if match.group()[0] != "\n"]
        words = [plain(match.group()) for match in matches]
        at = 0
        while at < len(words):
            step = 1
            for length in self._lengths.get(words[at], ()):
                what = self._what.get(tuple(words[at : at + length]))
                if what is None or at + length > len(words):
                    continue
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
