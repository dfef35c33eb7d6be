"""What our engine must find: stock ``AnalyzerEngine`` over the same recognisers. For tests and benchmarks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpEngine

from mlmguard.corpus.detect.presidio import STOP_WORDS, TOKEN
from mlmguard.corpus.detect.spans import Span


class _Artifacts:
    """What Presidio's enhancer asks of a text, made only when it asks: most texts have no weak match."""

    entities: tuple[()] = ()
    scores: tuple[()] = ()

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _matches(self) -> list[re.Match[str]]:
        return list(TOKEN.finditer(self._text))

    @cached_property
    def tokens(self) -> list[str]:
        return [m.group() for m in self._matches]

    @cached_property
    def tokens_indices(self) -> list[int]:
        return [m.start() for m in self._matches]

    @cached_property
    def lemmas(self) -> list[str]:
        return [token.lower() for token in self.tokens]

    @cached_property
    def keywords(self) -> frozenset[str]:
        """The lemmas that count as context."""
        return frozenset(w for w in self.lemmas if (w[0].isalnum() or w[0] == "_") and w not in STOP_WORDS)


class _Words(NlpEngine):
    """Words and their places; no entities, so nothing is advertised that cannot be found."""

    def load(self) -> None:
        """Nothing to load."""

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> Any:
        return _Artifacts(text)

    def process_batch(self, texts: Iterable[str], language: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return ((text, _Artifacts(text)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return word.lower() in STOP_WORDS

    def is_punct(self, word: str, language: str) -> bool:
        return not word[:1].isalnum()

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


def reference(recognizers: Iterable[Any]) -> AnalyzerEngine:
    """Stock ``AnalyzerEngine`` over the same recognisers, with context by whole words: "lic" is not in
    "public". Slow; what :class:`presidio.Engine` finds is what it finds."""
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=list(recognizers), supported_languages=["en"]),
        nlp_engine=_Words(),
        supported_languages=["en"],
        context_aware_enhancer=LemmaContextAwareEnhancer(context_matching_mode="whole_word"),
    )


def analyze_as_reference(engine: AnalyzerEngine, text: str, threshold: float) -> list[Span]:
    """Return the findings of :func:`reference`, in the order of :meth:`presidio.Engine.analyze`."""
    results = engine.analyze(text=text, language="en", score_threshold=threshold)
    return sorted(Span(r.start, r.end, r.entity_type, r.score) for r in results)
