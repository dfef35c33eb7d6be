"""One person, everywhere: a name that was found once in a text is found at its other mentions.

A model sees a name by what stands around it, and the second time nothing does. So the words of every person
that was found are looked for in the whole text: all of them in their order, and each by itself where it is no
ordinary word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlmguard.corpus.detect.phrases import Phrases
from mlmguard.corpus.detect.spans import Span
from mlmguard.corpus.detect.tagger import WORD, is_ordinary, plain

_LEAST = 3  # letters of a word that is looked for by itself


def mentions(text: str, found: Iterable[Span]) -> Iterator[Span]:
    """Yield the other mentions of the persons in ``found``, in order, with the score of the first."""
    persons = sorted(span for span in found if span.rule == "PERSON")
    if not persons:
        return
    several: list[tuple[tuple[str, ...], float]] = []  # names of more than one word
    alone: dict[str, tuple[float, bool]] = {}  # and whether it was written in small letters
    for span in persons:
        words = [match.group() for match in WORD.finditer(text, span.start, span.end)]
        names = tuple(map(plain, words))
        if len(words) > 1:
            several.append((names, span.score))
        for word, name in zip(words, names):
            if len(word) >= _LEAST and word.isalpha() and not is_ordinary(word):
                alone.setdefault(name, (span.score, word[0].islower()))
    whole = Phrases(several)
    taken = iter(persons)
    next_taken = next(taken, None)
    matches = list(WORD.finditer(text))
    spelt = [plain(match.group()) for match in matches]
    at = 0
    while at < len(matches):
        start = matches[at].start()
        while next_taken is not None and next_taken.end <= start:
            next_taken = next(taken, None)
        length, score = 0, 0.0
        if next_taken is None or start < next_taken.start:
            length, score = next(whole.beginning(spelt, at), (0, 0.0))
            if not length and spelt[at] in alone:
                its, small = alone[spelt[at]]
                if small or matches[at].group()[0].isupper():
                    length, score = 1, its
        if length:
            yield Span(start, matches[at + length - 1].end(), "PERSON", score)
        at += length or 1
