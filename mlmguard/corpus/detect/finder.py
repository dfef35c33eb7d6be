"""Find what is personal in a text, and say what was not looked for.

Presidio does the finding (``presidio``, imported at first use: it takes seconds and brings torch), with
the recognisers it has for English and ours. Nothing here needs a model or the network.
"""

from __future__ import annotations

import gc
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import accumulate
from typing import Any

from mlmguard.corpus.detect import recall
from mlmguard.corpus.detect.abroad import languages_of, recognisers_abroad
from mlmguard.corpus.detect.folding import Folded, fold
from mlmguard.corpus.detect.headings import under_headings
from mlmguard.corpus.detect.identify import UNDETERMINED
from mlmguard.corpus.detect.installed import entities as rows
from mlmguard.corpus.detect.installed import entity, outside, recognisers
from mlmguard.corpus.detect.languages import LANGUAGES
from mlmguard.corpus.detect.own import NO_WORDS, OwnWords
from mlmguard.corpus.detect.proving import THRESHOLD, refuse_unproved
from mlmguard.corpus.detect.seams import across_seams
from mlmguard.corpus.detect.spans import Span, resolve
from mlmguard.errors import InputError
from mlmguard.types import LABEL_OF_NO_TYPE, Detector, LanguageCount


@dataclass(frozen=True)
class Names:
    """Who looks for names: the ``model`` of the user's or else ``ours``, alone or with the ``strong`` one of
    the extra, and the weak recogniser by cues; and what the user's ``own`` lists say."""

    model: str | None = None
    cues: bool = False
    ours: bool = False
    strong: bool = False
    own: OwnWords = NO_WORDS

    @property
    def patterns(self) -> Names:
        """What decides which patterns are looked for, and not which model looks for names: they take
        seconds to compile, and texts and names of files share them."""
        return Names(cues=self.cues, own=self.own)


NOBODY = Names()
ENGLISH = ("en",)
"""The languages that are looked for where nobody names any; its words are always among them."""
OURS = Names(ours=True)
"""What a plain installation looks for names with."""
STRONG = Names(ours=True, strong=True)
"""What looks for names where the extra ``names`` is installed."""


def names_digest(names: Names) -> str | None:
    """Return which model looks for names, by its files; None without one."""
    from mlmguard.corpus.detect import models, strong
    from mlmguard.corpus.detect.tagger import WEIGHTS_SHA256

    if names.model:
        return models.digest(names.model)
    theirs = f" + {strong.FILES[strong.MODEL][:12]} up to {strong.CERTAIN:g}" if names.strong else ""
    return f"{WEIGHTS_SHA256[:12]}{theirs}" if names.ours else None


def check_countries(countries: tuple[str, ...]) -> None:
    """:class:`InputError` if Presidio has no recogniser for one of these country codes."""
    from mlmguard.corpus.detect import presidio

    known = presidio.of_countries()
    for country in countries:
        if country not in known:
            raise InputError(f"country {country!r}", "no recogniser for it", f"one of: {', '.join(known)}")


def check_languages(languages: tuple[str, ...]) -> None:
    """:class:`InputError` if there are no words of one of these languages."""
    for language in languages:
        if language != "en" and language not in LANGUAGES:
            raise InputError(
                f"language {language!r}", "no detectors for it", f"one of: {', '.join(('en', *LANGUAGES))}"
            )


@lru_cache(maxsize=4)
def _recognizers(names: Names, countries: tuple[str, ...], languages: tuple[str, ...]) -> list[Any]:
    from mlmguard.corpus.detect import presidio
    from mlmguard.corpus.detect.names import CUED_NAME

    for one in outside().values():
        refuse_unproved(one)
    for one in names.own.recognisers:
        refuse_unproved(one)
    ours = [*recognisers(), *([CUED_NAME] if names.cues else []), *names.own.recognisers]
    spoken = languages_of(languages)
    known = presidio.of_countries()
    theirs = dict.fromkeys((*countries, *(one.country for one in spoken if one.country in known)))
    found = presidio.recognizers([*ours, *recognisers_abroad(languages)], theirs)
    if spoken:
        found.append(presidio.phones_of(tuple(one.country.upper() for one in spoken)))
    return found


@lru_cache(maxsize=4)
def _models(names: Names) -> list[Any]:
    """Those who look for names and are no patterns."""
    from mlmguard.corpus.detect import models, strong
    from mlmguard.corpus.detect.names import Network

    if names.model:
        return [models.recognizer(names.model)]
    return [Network(strong.of_the_extra() if names.strong else None)] if names.ours else []


@lru_cache(maxsize=8)
def _engine(
    entities: tuple[str, ...] | None, names: Names, countries: tuple[str, ...], languages: tuple[str, ...]
) -> Any:
    """The patterns for at least one of ``entities``; None: all of them."""
    from mlmguard.corpus.detect import presidio

    found = _recognizers(names, countries, languages)
    engine = presidio.Engine(
        one for one in found if entities is None or not set(entities).isdisjoint(one.supported_entities)
    )
    gc.freeze()  # what stays to the end is in nobody's way: collections took a tenth of the time of prose
    return engine


class Finder:
    """Finds personal spans; ``entities`` None means every type that has a detector, ``countries`` are codes
    of those whose identifiers are looked for beside the usual ones, ``languages`` those whose words are, with
    the identifiers of their countries."""

    def __init__(
        self,
        entities: tuple[str, ...] | None = None,
        threshold: float = THRESHOLD,
        languages: tuple[str, ...] = ENGLISH,
        names: Names = NOBODY,
        countries: tuple[str, ...] = (),
    ) -> None:
        check_countries(countries)
        check_languages(languages)
        known = supported_entities(names, countries, languages)
        unknown = sorted(set(entities or ()) - set(known))
        if unknown:
            raise InputError(f"entity {unknown[0]!r}", "no detector", f"one of: {', '.join(known)}")
        self._entities = tuple(sorted(entities)) if entities else None
        self._threshold, self._names, self._countries = threshold, names, countries
        self._patterns, self._languages = names.patterns, languages

    def find(self, text: str) -> list[Span]:
        """Spans in order of place, none overlapping (see :func:`mlmguard.corpus.detect.spans.resolve`)."""
        return resolve(self.find_all(text))

    def find_again(self, text: str) -> list[Span]:
        """As :meth:`find` in a text out of which values were taken: by patterns, whose context changed."""
        return resolve(self._find_all(text, by_models=False))

    def find_all(self, text: str) -> list[Span]:
        """Everything at or over the threshold, overlaps and all, in order of place.

        Presidio's own answer on the folded text, with what lies across a line end, is glued to a word or
        stands below the heading of its column, the names that a model finds, and without what its
        surroundings show to be nobody's.
        """
        return self._find_all(text, by_models=True)

    def _find_all(self, text: str, by_models: bool) -> list[Span]:
        from mlmguard.corpus.detect.plausible import plausible

        folded = fold(text)
        found = [
            *self.stock(folded.text),
            *across_seams(folded.text, self.stock),
            *self._names.own.find(folded.text),
        ]
        if by_models:
            found += _not_within(found, self._by_models(folded.text))
        in_cells = under_headings(folded.text, lambda cells: plausible(cells, self.stock(cells)))
        spans = [*plausible(folded.text, found), *in_cells]
        if folded.text != text:
            spans = [_in_raw(folded, span) for span in spans]
        kept = (
            s
            for s in spans
            if (self._entities is None or s.rule in self._entities)
            and not self._names.own.allows(text[s.start : s.end])
        )
        return sorted(kept)

    def recognizers(self) -> list[Any]:
        """All that look, as Presidio's own engine takes them."""
        return list(_recognizers(self._patterns, self._countries, self._languages))

    def stock(self, folded: str) -> list[Span]:
        """What stock Presidio finds with these recognisers in a folded text, and nothing else."""
        engine = _engine(self._entities, self._patterns, self._countries, self._languages)
        found: list[Span] = engine.analyze(folded, self._threshold)
        return found

    def _by_models(self, folded: str) -> list[Span]:
        """What models find, and the same persons where the models did not see them."""
        from mlmguard.corpus.detect.mentions import mentions

        found = [
            Span(one.start, one.end, one.entity_type, one.score)
            for model in _models(self._names)
            if self._entities is None or not set(self._entities).isdisjoint(model.supported_entities)
            for one in model.analyze(folded, model.supported_entities)
            if one.score >= self._threshold and not self._names.own.allows(folded[one.start : one.end])
        ]
        return [*found, *mentions(folded, found)] if found else found


def _not_within(found: list[Span], names: list[Span]) -> list[Span]:
    """``names`` that none of ``found`` covers whole: a street is what its pattern says, and no town."""
    in_order = sorted(found)
    starts = [span.start for span in in_order]
    reach = list(accumulate((span.end for span in in_order), max))
    kept = []
    for name in names:
        before = bisect_right(starts, name.start)
        if not before or reach[before - 1] < name.end:
            kept.append(name)
    return kept


def _in_raw(folded: Folded, span: Span) -> Span:
    start, end = folded.to_raw(span.start, span.end)
    return Span(start, end, span.rule, span.score)


@lru_cache(maxsize=8)
def finder(
    entities: tuple[str, ...] | None = None,
    threshold: float = THRESHOLD,
    languages: tuple[str, ...] = ENGLISH,
    names: Names = NOBODY,
    countries: tuple[str, ...] = (),
) -> Finder:
    """Return one :class:`Finder` a process and setting."""
    return Finder(entities, threshold, languages, names, countries)


def full_names(text: str) -> list[Span]:
    """Find persons by a first name and a surname that the lists know, where the words around are no prose: in
    the name of a file what only looks like a name is none."""
    from mlmguard.corpus.detect.tagger import WORD, is_full_name, names, shipped

    return [
        Span(start, end, kind, score)
        for start, end, kind, score in names(text, shipped())
        if kind == "PERSON" and is_full_name(WORD.findall(text, start, end))
    ]


def supported_entities(
    names: Names = NOBODY, countries: tuple[str, ...] = (), languages: tuple[str, ...] = ENGLISH
) -> tuple[str, ...]:
    """Return every entity type that something here can find."""
    found = [*_recognizers(names.patterns, countries, languages), *_models(names)]
    return tuple(sorted({*names.own.types, *(entity for r in found for entity in r.supported_entities)}))


def made_for(language: str) -> tuple[str, ...]:
    """List the entity types that rules of ours find by words or forms of ``language``."""
    rules = recognisers() if language == "en" else recognisers_abroad((language,))
    return tuple(sorted({rule.type for rule in rules}))


def spoken(language: str, documents: int, languages: tuple[str, ...]) -> LanguageCount:
    """Count ``documents`` in ``language``, where the words of ``languages`` were looked for."""
    if language == UNDETERMINED:
        return LanguageCount(language, documents, "undetermined")
    if language != "en" and language not in languages:
        return LanguageCount(language, documents, "not looked for")
    made = made_for(language)
    return LanguageCount(language, documents, "looked for", made, recall.measured_of(language, made))


def coverage(
    entities: tuple[str, ...] | None = None,
    names: Names = NOBODY,
    countries: tuple[str, ...] = (),
    languages: tuple[str, ...] = ENGLISH,
) -> tuple[Detector, ...]:
    """What looks for each entity type of interest: "available", "not run" if left out, or "no detector"; then
    the labels of the user's model that mean no type here.

    The recall is that of ``benchmarks/pii_forms.py`` and ``pii_accuracy.py``, by language; what a model finds
    is for its user to measure.
    """
    stock = version("presidio-analyzer")
    ours = {one.name for one in (*recognisers(), *recognisers_abroad(languages))}
    listed = f"list of {len(names.own.denied)} values and {len(names.own.recognisers)} recognisers"
    detectors: dict[str, list[str]] = {type_: ["DenyList"] for type_ in names.own.types}
    versions: dict[str, set[str]] = {type_: {listed} for type_ in names.own.types}
    theirs = {one.name for one in names.own.recognisers}
    for recognizer in (*_recognizers(names.patterns, countries, languages), *_models(names)):
        if recognizer.name in ours or recognizer.name == "NameByCue":
            made_by = f"mlmguard rule {recognizer.version}"
        elif recognizer.name in theirs:
            made_by = listed
        elif recognizer.name in recall.NETWORKS:
            made_by = f"mlmguard names {recognizer.version}"
        elif recognizer.name.endswith(" model"):
            made_by = f"files {recognizer.version}"
        else:
            made_by = f"presidio-analyzer {stock}"
        for type_ in recognizer.get_supported_entities():
            # a list's file may be called after a person
            looking = "DenyList" if recognizer.name in theirs else recognizer.name
            detectors.setdefault(type_, []).append(looking)
            versions.setdefault(type_, set()).add(made_by)
    known = [
        Detector(
            type_,
            "+".join(sorted(set(looking))),
            ", ".join(sorted(versions[type_])),
            "available" if entities is None or type_ in entities else "not run",
            recall.of_names(type_, looking) or recall.stated(entity(type_), languages),
        )
        for type_, looking in detectors.items()
    ]
    missing = [
        Detector(row.name, "", "", "no detector")
        for row in rows().values()
        if not row.looked_for and row.name not in detectors
    ]
    meaningless = [
        Detector(label, model.name, f"files {model.version}", LABEL_OF_NO_TYPE)
        for model in _models(names)
        for label in getattr(model, "ignored", ())
    ]
    return (*sorted(known + missing, key=lambda d: d.entity), *meaningless)
