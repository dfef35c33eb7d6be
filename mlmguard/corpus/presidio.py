"""Presidio, set up so that it needs no model and no network. Importing this file imports torch (5 s):
only ``pii`` does, inside a function.

Four things differ from stock, none of them what is found:

* tokens come from a regular expression, with lower-cased words as lemmas: context words work, no model;
* the token of a match is found by bisection, where stock walks from the start of the document;
* telephone numbers are looked for only where enough digits for the region stand together;
* the e-mail recogniser checks domains against the suffix list that ``tldextract`` bundles.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import tldextract
from phonenumbers import PhoneMetadata, PhoneNumberMatcher
from phonenumbers.phonenumbermatcher import _LEAD_CLASS_CHARS
from phonenumbers.phonenumberutil import _VALID_PUNCTUATION
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, PatternRecognizer, RecognizerRegistry
from presidio_analyzer import Pattern as PresidioPattern
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer, PhoneRecognizer

from mlmguard.corpus.recognizers import Rule

# Function words use up none of the five words of context, as with spaCy's stop words. spaCy's own list
# is not used: it holds "call" and "us", which are context words.
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been by for from had has have he her his i in is it its me my of on or our "
        "she so that the their them they this to was we were will with you your",
    )
)


# --- tokens -------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\w+|[^\w\s]")


class _Artifacts:
    """What Presidio's enhancer asks of a text, made only when it asks: most texts have no weak match."""

    entities: tuple[()] = ()
    scores: tuple[()] = ()

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _matches(self) -> list[re.Match[str]]:
        return list(_TOKEN.finditer(self._text))

    @cached_property
    def tokens(self) -> list[str]:
        return [m.group() for m in self._matches]

    @cached_property
    def tokens_indices(self) -> list[int]:
        return [m.start() for m in self._matches]

    @cached_property
    def ends(self) -> list[int]:
        return [m.end() for m in self._matches]

    @cached_property
    def lemmas(self) -> list[str]:
        return [token.lower() for token in self.tokens]

    @cached_property
    def keywords(self) -> frozenset[str]:
        """The lemmas that count as context (a set: stock asks ``in`` of a list, once a word)."""
        return frozenset(w for w in self.lemmas if (w[0].isalnum() or w[0] == "_") and w not in _STOP_WORDS)


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
        return word.lower() in _STOP_WORDS

    def is_punct(self, word: str, language: str) -> bool:
        return not word[:1].isalnum()

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


class _NoExplanation:
    """Stands in for why something was found: nobody reads it here, and stock copies it deeply each time."""

    def __deepcopy__(self, memo: object) -> _NoExplanation:
        return self

    def set_supportive_context_word(self, word: str) -> None:
        """Not kept."""

    def set_improved_score(self, score: float) -> None:
        """Not kept."""


_NO_EXPLANATION = _NoExplanation()


class _Enhancer(LemmaContextAwareEnhancer):
    """Whole words only ("lic" is not in "public"), and the token of a match by bisection."""

    def __init__(self) -> None:
        super().__init__(context_matching_mode="whole_word")

    def enhance_using_context(
        self, text: str, raw_results: list[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        for result in raw_results:
            result.analysis_explanation = _NO_EXPLANATION
        return list(super().enhance_using_context(text, raw_results, *args, **kwargs))

    def _extract_surrounding_words(self, nlp_artifacts: Any, word: str, start: int) -> list[str]:
        index = bisect_right(nlp_artifacts.ends, start)
        return list(
            {
                *self._add_n_words_backward(
                    index, self.context_prefix_count, nlp_artifacts.lemmas, nlp_artifacts.keywords
                ),
                *self._add_n_words_forward(
                    index, self.context_suffix_count, nlp_artifacts.lemmas, nlp_artifacts.keywords
                ),
            }
        )


# --- recognisers --------------------------------------------------------------------------------------


class _Email(EmailRecognizer):
    """Stock, but its suffix list comes with the package: stock downloads one at the first address."""

    _suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    def validate_result(self, pattern_text: str) -> bool:
        return self._suffixes(pattern_text).fqdn != ""


# Every match of phonenumbers' candidate pattern starts with a digit, a bracket or a plus, and goes on with
# the characters below: digits, its punctuation, and what its extensions are written with ("ext. 12",
# ";ext=12", "доб 12"). So candidates lie within one of these stretches, and what the matcher makes of one
# depends on the stretch, one character before it and three behind (":59" makes it a time).
_STRETCH = re.compile(
    rf"[\d{_LEAD_CLASS_CHARS}][{_VALID_PUNCTUATION}\d{_LEAD_CLASS_CHARS}\t,;=:#＃．extnsioóaｅｘｔｎｉдоб\u0301]*",
    re.IGNORECASE,
)
# Between two digits of one number lie at most four characters of punctuation.
_RUN = re.compile(rf"\d(?:[{_VALID_PUNCTUATION}]{{0,4}}\d){{3,}}", re.IGNORECASE)
_INTERNATIONAL = 6  # digits of the shortest number with a country code (two, and four national ones)


class _Phone(PhoneRecognizer):
    """Stock, stretch by stretch: only for the regions a stretch has enough digits for, and once for each
    different stretch (an address like 127.0.0.1 is looked at thousands of times otherwise)."""

    def __init__(self) -> None:
        super().__init__(name="PhoneRecognizer")
        self._result: Any = self._get_recognizer_result
        self._needed = {region: self._digits_needed(region) for region in self.supported_regions}
        self._matches = lru_cache(maxsize=1 << 14)(self._matches_in)

    @staticmethod
    def _digits_needed(region: str) -> int:
        metadata: Any = PhoneMetadata.metadata_for_region(region)
        return int(min(*metadata.general_desc.possible_length, len("00") + _INTERNATIONAL))

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
        results = []
        for stretch in _STRETCH.finditer(text):
            digits = max(
                (sum(c.isdigit() for c in run.group()) for run in _RUN.finditer(stretch.group())), default=0
            )
            if digits == 0:
                continue
            start = max(0, stretch.start() - 1)
            window = text[start : stretch.end() + 3]
            plus = "+" in window or "＋" in window
            regions = tuple(
                r
                for r in self.supported_regions
                if digits >= self._needed[r] or (plus and digits >= _INTERNATIONAL)
            )
            for match_start, match_end, region in self._matches(window, stretch.end() - start, regions):
                match = _Place(start + match_start, start + match_end)
                results.append(self._result(match, text, region, nlp_artifacts))
        return EntityRecognizer.remove_duplicates(results)

    def _matches_in(self, window: str, end: int, regions: tuple[str, ...]) -> list[tuple[int, int, str]]:
        return [
            (match.start, match.end, region)
            for region in regions
            for match in PhoneNumberMatcher(window, region, leniency=int(self.leniency or 0))
            if match.end <= end
        ]


@dataclass(frozen=True)
class _Place:
    start: int
    end: int


class _Ours(PatternRecognizer):
    """One of our rules as Presidio sees it."""

    def __init__(self, rule: Rule) -> None:
        self._valid = rule.valid
        super().__init__(
            supported_entity=rule.entity,
            name=rule.name,
            patterns=[PresidioPattern(p.name, p.regex, p.score) for p in rule.patterns],
            context=list(rule.context),
            global_regex_flags=re.MULTILINE,
            version=rule.version,
        )

    def invalidate_result(self, pattern_text: str) -> bool:
        return self._valid is not None and not self._valid(pattern_text)


def stock_recognizers() -> list[Any]:
    """Presidio's own for English, as its default configuration has them, without those that need a model."""
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    model_based = {"SpacyRecognizer", "StanzaRecognizer", "TransformersRecognizer"}
    recognizers: list[Any] = list(registry.recognizers)
    return [r for r in recognizers if r.name not in model_based]


def build(rules: Iterable[Rule]) -> AnalyzerEngine:
    """The engine: Presidio's pattern recognisers for English, two of them replaced, and ``rules``."""
    replaced: dict[str, Any] = {
        "EmailRecognizer": _Email(name="EmailRecognizer"),
        "PhoneRecognizer": _Phone(),
    }
    recognizers = [replaced.get(r.name, r) for r in stock_recognizers()] + [_Ours(rule) for rule in rules]
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=recognizers, supported_languages=["en"]),
        nlp_engine=_Words(),
        supported_languages=["en"],
        context_aware_enhancer=_Enhancer(),
    )


# --- what Presidio would write to the log -------------------------------------------------------------


class DetectorTimeout(Exception):
    """A pattern ran out of time: the text was not looked at to its end."""


class _Watch(logging.Filter):
    """Lets no record of Presidio's pass: it logs the values it could not validate. Remembers that a pattern
    timed out, which Presidio only logs, and which would pass as clean."""

    timed_out = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.timed_out = self.timed_out or "timed out" in str(record.msg)
        return False


_watch = _Watch()
logging.getLogger("presidio-analyzer").addFilter(_watch)


def analyze(engine: AnalyzerEngine, text: str, entities: list[str] | None, threshold: float) -> list[Any]:
    """Presidio's results, before overlaps are resolved; :class:`DetectorTimeout` if a pattern gave up."""
    _watch.timed_out = False
    results = engine.analyze(text=text, language="en", entities=entities, score_threshold=threshold)
    if _watch.timed_out:
        raise DetectorTimeout
    return list(results)
