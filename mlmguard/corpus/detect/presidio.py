"""Presidio's findings, without a model, without the network, and many times faster than its own engine.

:class:`Engine` gives what stock ``AnalyzerEngine`` gives with the same recognisers, threshold and context
settings, span for span and score for score: ``reference.py`` builds that engine, and the tests and
``benchmarks/pii_throughput.py`` compare the two. What is done differently:

* an expression looks only where it can match (``prefilter``), all of them in one pass;
* words of context are read around a match, where stock splits the whole document and walks from its start;
* checks of a value (check digits, host names) are remembered;
* telephone numbers are looked for only where enough digits for the region stand together;
* nothing explains itself: nobody reads it here.

Importing this file imports torch (2 s): ``finder`` and ``proving`` do, inside a function.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mlmguard.corpus.detect.hosts import suffixes
from mlmguard.corpus.detect.lean import (
    EmailRecognizer,
    EntityRecognizer,
    IbanRecognizer,
    PatternRecognizer,
    PhoneRecognizer,
    RecognizerRegistry,
    predefined_recognizers,
)
from mlmguard.corpus.detect.lean import Pattern as PresidioPattern
from mlmguard.corpus.detect.phones import Phones
from mlmguard.corpus.detect.prefilter import Patterns
from mlmguard.corpus.detect.recogniser import Recogniser
from mlmguard.corpus.detect.remember import remembered
from mlmguard.corpus.detect.spans import Span

# Function words use up none of the five words of context, as with spaCy's stop words. spaCy's own list
# is not used: it holds "call" and "us", which are context words.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been by for from had has have he her his i in is it its me my of on or our "
        "she so that the their them they this to was we were will with you your",
    )
)


# --- words of context ---------------------------------------------------------------------------------

TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")
_BEFORE = 5
"""Words before a match that may speak for it, besides those of the match itself."""
_BOOST, _AT_LEAST = 0.35, 0.4
"""What a word of context adds to a score, and the least it makes of it: Presidio's own settings."""


def _words_around(text: str, start: int) -> set[str]:
    """The words that may speak for a match at ``start``: its first word and the five before it, or, if it
    does not begin with a word, five and one before and the first one behind; function words do not count."""
    first = TOKEN.search(text, start)
    if first is None:
        return set()
    reach = 48
    while True:
        low = max(0, start - reach)
        words = _WORD.findall(text, low, first.end())
        if low and words and text.startswith(words[0], low):
            del words[0]  # perhaps a part of a word
        before = [w for w in map(str.lower, words) if w not in STOP_WORDS]
        if low == 0 or len(before) > _BEFORE:
            break
        reach *= 4
    around = set(before[-_BEFORE - 1 :])
    last = words[-1] if words else ""
    if not (last and text.endswith(last, low, first.end()) and before and before[-1] == last.lower()):
        behind = (m.group().lower() for m in _WORD.finditer(text, first.end()))
        around.update(next(([w] for w in behind if w not in STOP_WORDS), []))
    return around


# --- recognisers --------------------------------------------------------------------------------------


class _Email(EmailRecognizer):
    """Stock, but its suffix list comes with the package: stock downloads one at the first address."""

    def validate_result(self, pattern_text: str) -> bool:
        return suffixes(pattern_text).fqdn != ""


class _Ours(PatternRecognizer):
    """One of our recognisers as Presidio sees it."""

    def __init__(self, of: Recogniser) -> None:
        self._valid = of.valid
        super().__init__(
            supported_entity=of.type,
            name=of.name,
            patterns=[PresidioPattern(p.name, p.regex, p.score) for p in of.patterns],
            context=list(of.context),
            global_regex_flags=re.MULTILINE,
            version=of.version,
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


@lru_cache(maxsize=1)
def of_countries() -> dict[str, tuple[str, ...]]:
    """Country code -> the names of Presidio's recognisers for it, whatever their language."""
    found: dict[str, list[str]] = {}
    for name in sorted(vars(predefined_recognizers)):
        if country := getattr(getattr(predefined_recognizers, name), "COUNTRY_CODE", None):
            found.setdefault(country, []).append(name)
    return {country: tuple(found[country]) for country in sorted(found)}


def recognizers(ours: Iterable[Recogniser], countries: Iterable[str] = ()) -> list[Any]:
    """All that look for something: Presidio's own, with the bundled suffix list, what it has for
    ``countries`` and leaves off by default, and ``ours``.

    Patterns have no language, and words of context are their recogniser's own: so all of them look at every
    text, as English ones do in stock's eyes.
    """
    stock: list[Any] = [
        _Email(name=r.name) if r.name == "EmailRecognizer" else r for r in stock_recognizers()
    ]
    there = {r.name for r in stock}
    more = [
        getattr(predefined_recognizers, name)(supported_language="en")
        for country in countries
        for name in of_countries()[country]
        if name not in there
    ]
    return [*stock, *more, *recognizers_of(ours)]


def phones_of(regions: Iterable[str]) -> Any:
    """Presidio's recogniser of telephone numbers, for these countries alone."""
    return PhoneRecognizer(supported_regions=tuple(regions))


def recognizers_of(ours: Iterable[Recogniser]) -> list[Any]:
    """Our recognisers alone, as Presidio sees them."""
    return [_Ours(one) for one in ours]


# --- the engine ---------------------------------------------------------------------------------------

_Found = tuple[int, int, float]
"""Start, end and score of something of one entity type."""


@dataclass(frozen=True)
class _Expression:
    """One expression of a recogniser: how sure a match makes us, before and after its value was checked."""

    recognizer: Any
    score: float
    check: Callable[[str, float], float] | None

    def found(self, text: str, matches: Iterable[Any]) -> Iterator[_Found]:
        for match in matches:
            start, end = match.span()
            score = self.check(text[start:end], self.score) if self.check else self.score
            if score > 0:
                yield start, end, score


class _IbanExpression(_Expression):
    """Presidio tries the ends of the groups from the last to the first: what follows may look alike."""

    def found(self, text: str, matches: Iterable[Any]) -> Iterator[_Found]:
        assert self.check is not None
        for match in matches:
            for group in range(len(match.groups()), 0, -1):
                start, end = match.start(), match.end(group) if match.end(group) > 0 else match.end()
                score = self.check(text[start:end], self.score) if end > start else 0.0
                if score > 0:
                    yield start, end, score
                    break


class Engine:
    """Recognisers that look at a text together."""

    def __init__(self, recognizers: Iterable[Any], *, hyperscan: bool | None = None) -> None:
        """``hyperscan``: as for :class:`prefilter.Patterns`."""
        self.recognizers = list(recognizers)
        self._context = {r.id: frozenset(word.lower() for word in r.context or ()) for r in self.recognizers}
        self._phones: list[tuple[Any, Phones]] = []
        self._others: list[Any] = []
        self._expressions: list[_Expression] = []
        expressions: list[tuple[str, int]] = []
        for recognizer in self.recognizers:
            if type(recognizer) is PhoneRecognizer:
                self._phones.append((recognizer, Phones(recognizer)))
            elif _is_plain(recognizer):
                of = _IbanExpression if isinstance(recognizer, IbanRecognizer) else _Expression
                check = _check(recognizer)
                for pattern in recognizer.patterns:
                    self._expressions.append(of(recognizer, pattern.score, check))
                    expressions.append((pattern.regex, int(recognizer.global_regex_flags)))
            else:
                self._others.append(recognizer)
        self._patterns = Patterns(expressions, hyperscan=hyperscan)

    def analyze(self, text: str, threshold: float) -> list[Span]:
        """Return all findings at or over ``threshold``, in order of place, overlaps and all.

        :class:`DetectorTimeout` if a pattern gave up.
        """
        _watch.timed_out = False
        around = _Around(text)
        try:
            found = self._found(text, threshold, around)
        except TimeoutError:
            raise DetectorTimeout from None
        if _watch.timed_out:
            raise DetectorTimeout
        by_entity: dict[str, list[_Found]] = {}
        weak = sum(len(its) for (id, _), its in found.items() if self._context[id])
        said = around.said if weak * _SPARSE > len(text) else frozenset
        for (recognizer_id, entity), its in found.items():
            context = said(self._context[recognizer_id])
            likely = [
                f for f in (_in_context(around, f, context) for f in _outermost(its)) if f[2] >= threshold
            ]
            by_entity.setdefault(entity, []).extend(likely)
        spans = (
            Span(start, end, entity, score)
            for entity, its in by_entity.items()
            for start, end, score in _outermost(its)
        )
        return sorted(spans)

    def _found(self, text: str, threshold: float, around: _Around) -> dict[tuple[str, str], list[_Found]]:
        """(recogniser, entity type) -> what it found, before context is looked at; without what only a word
        that stands nowhere in the text could bring over ``threshold``."""

        def for_nothing(number: int, places: int) -> bool:
            one = self._expressions[number]
            weak = one.check is None and one.score < threshold
            return weak and not around.may_say(self._context[one.recognizer.id], places)

        found: dict[tuple[str, str], list[_Found]] = {}
        for number, matches in self._patterns.matches(text, for_nothing):
            expression = self._expressions[number]
            its = list(expression.found(text, matches))
            if its:
                of = expression.recognizer
                found.setdefault((of.id, of.supported_entities[0]), []).extend(its)
        for recognizer, phones in self._phones:
            its = [(start, end, recognizer.SCORE) for start, end in phones(text)]
            if its:
                found[recognizer.id, recognizer.supported_entities[0]] = its
        for recognizer in self._others:
            for result in recognizer.analyze(text, recognizer.supported_entities, None) or ():
                name = recognizer.id, result.entity_type
                found.setdefault(name, []).append((result.start, result.end, result.score))
        return found


def _is_plain(recognizer: Any) -> bool:
    """If it looks by patterns in Presidio's own way, or in that of its IBAN recogniser."""
    own = type(recognizer)
    return own is IbanRecognizer or (
        isinstance(recognizer, PatternRecognizer) and own.analyze is PatternRecognizer.analyze
    )


def _check(recognizer: Any) -> Callable[[str, float], float] | None:
    """(value, score of its pattern) -> score after its check, or None if there is none; remembered."""
    own = type(recognizer)
    if (
        own.validate_result is PatternRecognizer.validate_result
        and own.invalidate_result is PatternRecognizer.invalidate_result
    ):
        return None

    def check(value: str, score: float) -> float:
        valid = recognizer.validate_result(value)
        if valid is not None:
            score = EntityRecognizer.MAX_SCORE if valid else EntityRecognizer.MIN_SCORE
        if own is not IbanRecognizer and recognizer.invalidate_result(value):
            score = EntityRecognizer.MIN_SCORE
        if _watch.timed_out:
            raise DetectorTimeout  # and nothing is remembered
        return score

    return remembered(check)


class _Around(dict[int, set[str]]):
    """Place in a text -> the words around it, as :func:`_words_around` gives them: several recognisers find
    something at one place. Where many places are asked for, the text is read once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words: list[str] = []
        self._ends: list[int] = []
        self._there: set[str] | None = None

    def said(self, context: frozenset[str]) -> frozenset[str]:
        """Those words of ``context`` that stand anywhere in the text."""
        if context and self._there is None:
            self._there = {word.lower() for word in set(_WORD.findall(self._text))}
        return context & (self._there or frozenset())

    def may_say(self, context: frozenset[str], places: int) -> bool:
        """If a word of ``context`` stands in the text, as far as it is known: to read the text for it costs
        more than to look at a few places."""
        if self._there is None and places * _SPARSE < len(self._text):
            return True
        return bool(self.said(context))

    def __missing__(self, start: int) -> set[str]:
        if len(self) < _MANY:
            words = self[start] = _words_around(self._text, start)
            return words
        if not self._ends:
            for match in _WORD.finditer(self._text):
                if (word := match.group().lower()) not in STOP_WORDS:
                    self._words.append(word)
                    self._ends.append(match.end())
        first = TOKEN.search(self._text, start)
        if first is None:
            return set()
        behind = bisect_right(self._ends, first.end())
        own = behind > 0 and self._ends[behind - 1] == first.end()
        words = self[start] = set(self._words[max(0, behind - _BEFORE - 1) : behind if own else behind + 1])
        return words


_MANY = 64
_SPARSE = 200  # characters for each place from which on reading around them costs less than reading the text


def _in_context(around: _Around, found: _Found, context: frozenset[str]) -> _Found:
    """``found`` with a better score if a word around it speaks for it."""
    start, end, score = found
    if not context or score >= EntityRecognizer.MAX_SCORE or context.isdisjoint(around[start]):
        return found
    return start, end, min(max(score + _BOOST, _AT_LEAST), EntityRecognizer.MAX_SCORE)


def _outermost(found: list[_Found]) -> list[_Found]:
    """Without those that lie within another one of at least their score."""
    if _apart(found):
        return found
    kept: list[_Found] = []
    active: list[_Found] = []
    reach = -1
    for one in sorted(set(found), key=lambda f: (f[0], f[0] - f[1], -f[2])):
        if one[0] > reach:
            active = [one]
            kept.append(one)
            reach = one[1]
            continue
        reach = max(reach, one[1])
        active = [other for other in active if other[1] >= one[0]]
        if not any(one[1] <= other[1] and one[2] <= other[2] for other in active):
            kept.append(one)
            active.append(one)
    return kept


def _apart(found: list[_Found]) -> bool:
    """If they stand in order and none touches the next, as what one expression finds."""
    reach = -1
    for start, end, _ in found:
        if start <= reach:
            return False
        reach = end
    return True


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
