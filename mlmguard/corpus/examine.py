"""The work on one batch of documents, done by a worker: find, clean, sketch, make names safe to show.

What comes back is one frame for the spool. It depends on the batch, the settings and the key, and on nothing
else: neither the number of workers nor an interruption can change it.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, Self

import numpy as np

from mlmguard.artifacts import Key
from mlmguard.corpus import redact, spool
from mlmguard.corpus.copies import dedup, minhash, passages
from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect.identify import language_of
from mlmguard.corpus.detect.identity import fingerprint
from mlmguard.corpus.detect.installed import entity
from mlmguard.corpus.detect.proving import THRESHOLD
from mlmguard.corpus.detect.spans import Span, resolve
from mlmguard.types import Document, Skipped

_SHORT = 256  # characters of a column's value or of a name that is remembered


@dataclass(frozen=True)
class Beside:
    """A finding that no stand-in is for, by its place in the raw value; ``column`` is "" in the text."""

    column: str
    rule: str
    score: float
    start: int
    end: int
    fingerprint: str


@dataclass(frozen=True)
class Examined:
    """A document after the detectors. ``fingerprints`` are those of the findings in ``clean``, in order."""

    id: str
    source: str
    unit: str = field(repr=False)  # the id, or a keyed name of whose it is
    order: str  # keyed: decides which split the unit goes to
    text: str = field(repr=False)
    clean: redact.Clean
    fingerprints: tuple[str, ...]
    metadata: Mapping[str, str] = field(repr=False)  # cleaned
    beside: tuple[Beside, ...]  # what was found in it
    left: tuple[Beside, ...]  # what is personal in the text and stays: accepted, too weak, or not asked for
    id_was_taken: bool
    language: str  # ISO 639, or "und": not determined

    def record(self) -> dict[str, Any]:
        """As plain data, for the spool."""
        placed = [
            (p.rule, p.score, p.raw_start, p.raw_end, p.clean_start, p.clean_end) for p in self.clean.placed
        ]
        beside, left = (
            [(b.column, b.rule, b.score, b.start, b.end, b.fingerprint) for b in found]
            for found in (self.beside, self.left)
        )
        return {**self.__dict__, "clean": self.clean.text, "placed": placed, "beside": beside, "left": left}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Self:
        placed = tuple(redact.Placed(*values) for values in record.pop("placed"))
        clean = redact.Clean(record.pop("clean"), placed)
        beside, left = (tuple(Beside(*values) for values in record.pop(name)) for name in ("beside", "left"))
        fingerprints = tuple(record["fingerprints"])
        return cls(**{**record, "clean": clean, "beside": beside, "left": left, "fingerprints": fingerprints})


@dataclass(frozen=True)
class Batch:
    """Some of the corpus, or of a set it is held ``against``: that is only looked at for copies."""

    items: Sequence[Document | Skipped]
    against: bool = False


@dataclass(frozen=True)
class Examine:
    """Batch to frame, picklable."""

    entities: tuple[str, ...] | None
    threshold: float
    languages: tuple[str, ...]
    mode: str
    permutations: int
    key: Key = field(repr=False)
    names: detect.Names = detect.NOBODY
    countries: tuple[str, ...] = ()
    kept: frozenset[tuple[str, str]] = frozenset()  # (rule, fingerprint) of values that stay as they are

    def __call__(self, batch: Batch) -> bytes:
        records = [self._against(i) if batch.against else self._record(i) for i in batch.items]
        of = minhash.words([record["text"] for record in records if "text" in record])
        texts = [record["text"] for record in records if "text" in record]
        sketches = dedup.sketch(texts, self.permutations, of)
        return spool.frame(records, _packed(sketches, passages.anchors(of)))

    def _against(self, item: Document | Skipped) -> dict[str, Any]:
        if isinstance(item, Document):
            return {"text": item.text, "against": True}
        return _record_of(replace(item, source=f"against: {self._skipped(item).source}"))

    def _record(self, item: Document | Skipped) -> dict[str, Any]:
        if isinstance(item, Skipped):
            return _record_of(self._skipped(item))
        examined = self._document(item)
        return examined.record() if isinstance(examined, Examined) else _record_of(examined, was_read=True)

    def _document(self, document: Document) -> Examined | Skipped:
        name, _, row = document.id.partition("#")
        safe = safe_name(name, self.key) + (f"#{safe_name(row, self.key)}" if row else "")
        try:
            clean = self.redacted(document.text)
            metadata, beside = self._columns(document.metadata)
            left = self._left(document.text, clean)
        except Exception as error:  # a document that breaks a detector must not stop the rest, nor be quoted
            return Skipped(safe, f"a detector failed on it ({type(error).__name__})")
        unit = self.key.fingerprint("unit", document.unit) if document.unit else safe
        return Examined(
            id=safe,
            source=safe_name(document.source, self.key),
            unit=unit,
            order=self.key.fingerprint("split", unit),
            text=document.text,
            clean=clean,
            fingerprints=self._fingerprints(document.text, clean),
            metadata=metadata,
            beside=beside,
            left=left,
            id_was_taken=document.id_was_taken,
            language=language_of(document.text),
        )

    def redacted(self, text: str) -> redact.Clean:
        """Find what is personal in ``text`` and put what the mode says in its place."""
        return redact.redact_fully(text, self._find, self.mode, self._named, self._find_again)

    def _columns(self, metadata: Mapping[str, str]) -> tuple[dict[str, str], tuple[Beside, ...]]:
        """The other columns, their names too, cleaned, and what was found in them."""
        cleaned: dict[str, str] = {}
        found: list[Beside] = []
        for column, value in metadata.items():
            clean = (_cleaned if len(value) <= _SHORT else _cleaned.__wrapped__)(column, value, self)
            safe, in_name = _safe_column(column, self.key)
            name, number = safe, 1
            while name in cleaned:  # what told two names apart was only how one value is written
                number += 1
                name = f"{safe} ({number})"
            cleaned[name] = clean.text
            found += [replace(one, column=name) for one in in_name]
            found += [
                Beside(name, p.rule, p.score, p.raw_start, p.raw_end, fingerprint)
                for p, fingerprint in zip(clean.placed, self._fingerprints(value, clean))
            ]
        return cleaned, tuple(found)

    def _in_column(self, column: str, value: str, again: bool = False) -> list[Span]:
        """What is personal in the value of a column, whose name says what it is ("mrn", "zip")."""
        lead = f"{column[:_SHORT]}: "
        find = self._find_again if again else self._find
        return [
            s._replace(start=max(0, s.start - len(lead)), end=s.end - len(lead))
            for s in find(lead + value)
            if s.end > len(lead)
        ]

    @property
    def finder(self) -> detect.Finder:
        """What looks for personal data under these settings."""
        return detect.finder(self.entities, self.threshold, self.languages, self.names, self.countries)

    def _find(self, text: str) -> list[Span]:
        """What is personal in ``text``, but for the values that somebody answers for."""
        return self._not_kept(text, self.finder.find(text))

    def _find_again(self, text: str) -> list[Span]:
        """What is personal in a text with stand-ins: no model looks again, it has seen the whole text."""
        return self._not_kept(text, self.finder.find_again(text))

    def _not_kept(self, text: str, found: list[Span]) -> list[Span]:
        if not self.kept:
            return found
        return [s for s in found if (s.rule, self._named(s.rule, text[s.start : s.end])) not in self.kept]

    def _left(self, text: str, clean: redact.Clean) -> tuple[Beside, ...]:
        """What the detectors find as they come and these settings left in the text."""
        own = self.names.own
        if self.entities is None and self.threshold <= THRESHOLD and not self.kept and not own.allowed:
            return ()
        names = replace(self.names, own=own.allowing_nothing())
        every = detect.finder(None, THRESHOLD, self.languages, names, self.countries)
        found = []
        for span in resolve(every.find(clean.text)):
            start, end = clean.to_raw(span.start), clean.to_raw(span.end - 1) + 1
            before = bisect_left(clean.placed, span.end, key=lambda p: p.clean_start)
            if before == 0 or clean.placed[before - 1].clean_end <= span.start:
                name = self._named(span.rule, text[start:end])
                found.append(Beside("", span.rule, span.score, start, end, name))
        return tuple(found)

    def _named(self, rule: str, value: str) -> str:
        return fingerprint(self.key, rule, value)

    def _fingerprints(self, text: str, clean: redact.Clean) -> tuple[str, ...]:
        values = [(p.rule, text[p.raw_start : p.raw_end]) for p in clean.placed]
        named = {value: self._named(*value) for value in dict.fromkeys(values)}
        return tuple(named[value] for value in values)

    def without(self, document: Examined, runs: Sequence[tuple[int, int]]) -> Examined:
        """``document`` with these runs of words (from, to) cut out, and looked through again: what a cut
        brings together can be personal."""
        of = minhash.words([document.text])
        cuts = [
            Span(int(of.starts[start]), int(of.ends[end - 1]), redact.REPEATED_PASSAGE, 1.0)
            for start, end in runs
        ]

        def find_both(text: str) -> list[Span]:
            return [*self._find(text), *cuts]

        clean = redact.redact_fully(document.text, find_both, self.mode, self._named, self._find_again)
        fingerprints, left = self._fingerprints(document.text, clean), self._left(document.text, clean)
        return replace(document, clean=clean, fingerprints=fingerprints, left=left)

    def _skipped(self, item: Skipped) -> Skipped:
        return replace(item, source=safe_name(item.source, self.key))


def _record_of(skipped: Skipped, was_read: bool = False) -> dict[str, Any]:
    told = [skipped.source, skipped.reason, skipped.line, skipped.records]
    return {"skipped": told, "read": was_read}


def skipped_of(record: Mapping[str, Any]) -> Skipped:
    """The other way round."""
    return Skipped(*record["skipped"])


_COUNTS = struct.Struct("<II")  # texts, anchors


def _packed(of: dedup.Sketches, found: passages.Anchors) -> bytes:
    return b"".join(
        [
            _COUNTS.pack(len(of), len(found.runs)),
            *(
                array.tobytes()
                for array in (found.runs, found.texts, found.places, of.signatures, of.wordless)
            ),
            of.digests,
        ]
    )


def unpacked(packed: bytes, permutations: int) -> tuple[dedup.Sketches, passages.Anchors]:
    """Return the sketches and anchors of a frame."""
    count, chosen = _COUNTS.unpack_from(packed)
    at = _COUNTS.size

    def take(kind: type[np.generic], length: int) -> minhash.Array:
        nonlocal at
        found = np.frombuffer(packed, kind, length, at)
        at += found.nbytes
        return found

    anchors = passages.Anchors(take(np.uint64, chosen), take(np.uint32, chosen), take(np.uint32, chosen))
    signatures = take(np.uint32, permutations * count).reshape(permutations, count)
    return dedup.Sketches(wordless=take(np.bool_, count), signatures=signatures, digests=packed[at:]), anchors


@lru_cache(maxsize=4096)
def _cleaned(column: str, value: str, how: Examine) -> redact.Clean:
    """A value of another column after the detectors; columns repeat their values, so they are remembered."""
    again = partial(how._in_column, column, again=True)
    return redact.redact_fully(value, partial(how._in_column, column), how.mode, how._named, again)


@lru_cache(maxsize=4096)
def _safe_column(column: str, key: Key) -> tuple[str, tuple[Beside, ...]]:
    """The name of a column as it is shown, and what was found in it."""
    name = safe_name(column, key)
    found = _personal_in(column) if name != column else ()
    return name, tuple(
        Beside(name, s.rule, s.score, s.start, s.end, fingerprint(key, s.rule, column[s.start : s.end]))
        for s in found
    )


def safe_name(name: str, key: Key) -> str:
    """Return a path or id with what is personal in it replaced by type and fingerprint. Safe to show."""
    if _LINE.fullmatch(name):  # the name we give to most rows
        return name
    for span in reversed(_personal_in(name) if len(name) <= _SHORT else _personal_in.__wrapped__(name)):
        stand_in = f"<{span.rule}:{fingerprint(key, span.rule, name[span.start : span.end])}>"
        name = name[: span.start] + stand_in + name[span.end :]
    return name


_LINE = re.compile(r"L\d{1,12}")


@lru_cache(maxsize=4096)
def _personal_in(name: str) -> tuple[Span, ...]:
    """All detectors at their usual threshold, whatever the settings: a name is shown to everybody.

    An address with a file's extension behind it ("a@b.org.txt") has no valid domain, so anything around
    an at sign counts; an underscore would hide the edge of a number, so it is read as a space.
    """
    addresses = [
        Span(m.start(), m.end(), "EMAIL_ADDRESS", 1.0) for m in re.finditer(r"[^/#\s]+@[^/#\s]+", name)
    ]
    spaced = re.sub("[_/]", " ", name)
    found = [s for s in detect.finder().find(spaced) if not entity(s.rule).harmless_in_a_name]
    # to a name the dot before a file's extension is the end of a word, too
    return tuple(resolve([*addresses, *found, *detect.full_names(spaced.replace(".", " "))]))
