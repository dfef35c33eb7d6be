"""Names in texts of another language than English, of which our network knows no ordinary words."""

from __future__ import annotations

from mlmguard.corpus.detect.tagger import KINDS, WORD, Name, shipped

_OF_NAMES = sum(1 << KINDS.index(kind) for kind in ("first", "last", "city", "country", "region", "NRP"))
_OTHER_ARTICLES = frozenset(
    ("der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "im", "am", "zu", "el", "la", "los",
     "las", "un", "una", "le", "les", "il", "lo", "gli", "de", "het", "een", "os", "as", "um", "uma", "du")
)  # fmt: skip
"""Where a sentence begins with one it has a capital, and some are rare surnames, too."""


def listed(name: Name, text: str) -> Name | None:
    """What is left of ``name`` in a text of another language: the words with capitals, if a list of names has
    one of them. Of other languages the network knows no ordinary words, and takes them for names."""
    words = [
        match
        for match in WORD.finditer(text, name[0], name[1])
        if match.group()[0].isupper() and match.group().lower() not in _OTHER_ARTICLES
    ]
    if not words or not (shipped().lists.of([match.group() for match in words]) & _OF_NAMES).any():
        return None
    return words[0].start(), words[-1].end(), name[2], name[3]
