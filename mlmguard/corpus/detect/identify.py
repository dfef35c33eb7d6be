"""In which language a document is written: by a model of the package py3langid, from a few samples of it.

Offline and the same every time. Three samples of a document are looked at, whatever its length, and of these
only the words: names of fields, addresses and numbers say nothing. Text in which every tenth word is one of a
few that only English has is English without asking the model, which is most of the time of most corpora.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

UNDETERMINED = "und"
"""What ISO 639 calls a language that was not determined: too little text, or none that is like any."""

_SAMPLE = 300  # characters of each sample
_LETTERS = 24  # fewer say nothing
_SURE = 0.7  # probability of the model below which nothing is said
_WORD = re.compile(r"(?<![\w.@/=&<-])[^\W\d_]{1,80}(?![\w@/=]|[.-]\w)")
_ENGLISH = frozenset(
    [
        *("the", "and", "with", "that", "was", "were", "which", "have", "this"),
        *("from", "for", "not", "are", "been", "would", "their", "has"),
    ]
)
_FEW = 20  # words: with fewer the share says little


def language_of(text: str) -> str:
    """Give the ISO 639 code of the language of ``text``, or ``UNDETERMINED``.

    >>> language_of("El paciente acude a la consulta por un dolor que empezó hace tres semanas.")
    'es'
    >>> language_of("2024-03-01 17:04:11 0x7ffd 448291")
    'und'
    """
    seen = _samples(text)
    words = seen.split()
    if len(words) >= _FEW and 10 * sum(map(_ENGLISH.__contains__, words)) >= len(words):
        return "en"
    joined = " ".join(_WORD.findall(seen))
    if len(joined) < _LETTERS:
        return UNDETERMINED
    language, probability = _model().classify(joined)
    return str(language) if probability >= _SURE and language != _NO_LANGUAGE else UNDETERMINED


_NO_LANGUAGE = "zxx"  # the model's own word for what is no text of any


def _samples(text: str) -> str:
    """Its beginning, its middle and its third quarter; all of it where that is no more."""
    if len(text) <= 3 * _SAMPLE:
        return text
    places = 0, len(text) // 2, len(text) * 3 // 4
    return " ".join(text[at : at + _SAMPLE] for at in places)


@lru_cache(maxsize=1)
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
