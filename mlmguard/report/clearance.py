"""The one choke point: every value a report shows passes through here, and nothing is shown by default.

Each text field of each noun is listed with what it may hold. A field that is not listed, or a value that
does not look like what its field may hold, is withheld. The nouns carry no text of the corpus; this is the
second lock, for the day a note or a path does.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from mlmguard.types import (
    AccountantReading,
    AttackRun,
    Attested,
    ColumnCount,
    CorpusRelease,
    Curve,
    Detector,
    DpPlan,
    EarlierScans,
    Evidence,
    FindingCount,
    Hazard,
    Judgement,
    LanguageCount,
    LedgerEntry,
    Manifest,
    Measurement,
    MechanismCheck,
    ModelFacts,
    PrivacyStatement,
    RepeatedIds,
    Repetition,
    Seal,
    Shard,
    Skipped,
    Verdict,
    WaiverUse,
)

_T = TypeVar("_T")

WITHHELD = "[withheld]"
_NAME_LENGTH, _PROSE_LENGTH = 80, 600

_EMAIL = re.compile(r"[^\s@<>\"']{1,64}(?:@|%40|&#64;)[^\s@<>\"']+")
# nine or more digits that may be parted by blanks, dots or dashes (telephone, card, social security); no
# sentence of ours holds so many, except after a decimal point.
_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d(?:[ .()/-]{0,2}\d){8,}(?!\w)")
_DECIMAL = re.compile(r"\d+\.\d+")
_RUN = re.compile(r"\b(?:scan|train)-$")
_NAME = re.compile(r"[\w .,:;+*%/()<>=≤≥#&'’–—\[\]-]*")
_SHARES = re.compile(r"(?:(?:, )?\d\.\d{1,3} \(\d[\d,]{0,11}/\d[\d,]{0,11}; [A-Za-z ,]{1,120}\))+")
_DIGEST = re.compile(r"[0-9a-f]{0,128}")


def line(text: str, limit: int = _PROSE_LENGTH) -> str:
    """One bounded line without control or direction characters or e-mail addresses: talk, with its paths."""
    plain = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: 4 * limit])
    plain = _EMAIL.sub(WITHHELD, " ".join(plain.split()))
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def prose(text: str, limit: int = _PROSE_LENGTH) -> str:
    """A sentence of a report: a line that holds no long number either."""
    return _DIGITS.sub(lambda m: m[0] if _is_ours(m) else WITHHELD, line(text, limit))


def _is_ours(digits: re.Match[str]) -> bool:
    """Whether a long number is a decimal fraction, or a run's id whose hexadecimal digits are all decimal."""
    of_a_run = _RUN.search(digits.string, max(0, digits.start() - 8), digits.start())
    return bool(_DECIMAL.fullmatch(digits[0]) or (of_a_run and digits[0].isdigit() and len(digits[0]) <= 16))


def name(text: str) -> str:
    """A short identifier; anything else is withheld whole."""
    plain = prose(text, 4 * _NAME_LENGTH)
    return plain if len(plain) <= _NAME_LENGTH and _NAME.fullmatch(plain) else WITHHELD


def measured(text: str) -> str:
    """Shares of labelled text with their counts, as a detector states them; anything else is prose."""
    return line(text) if _SHARES.fullmatch(text) else prose(text)


def digest(text: str) -> str:
    """Lower-case hexadecimal digits."""
    return text if _DIGEST.fullmatch(text) else WITHHELD


#: What each text field may hold. A field that is missing here is withheld.
CLEARANCE: Mapping[type, Mapping[str, Callable[[str], str]]] = {
    Evidence: {"run_id": name, "notes": prose, "tool_version": name, "schema": name},
    ModelFacts: {"architecture": name, "digest": digest},
    Manifest: {
        "run_id": name,
        "commitment": digest,
        "key_id": digest,
        "settings": prose,
        "splits": name,
        "tool_version": name,
        "schema": name,
    },
    Shard: {"path": name, "split": name},
    Skipped: {"source": name, "reason": prose},
    FindingCount: {"rule": name, "source": name},
    ColumnCount: {"rule": name, "column": name},
    Repetition: {"rule": name, "severity": name},
    RepeatedIds: {"source": name, "first": name},
    EarlierScans: {"index": digest},
    LanguageCount: {"language": name, "status": name, "made": name, "measured": name},
    Detector: {"entity": name, "name": name, "version": name, "status": name, "recall": measured},
    PrivacyStatement: {
        "run_id": name,
        "unit": name,
        "unit_kind": name,
        "unit_definition": prose,
        "adjacency": prose,
        "sampler": prose,
        "batch_sizes": name,
        "covers": prose,
        "data_accesses": prose,
        "unprotected": prose,
        "tool_version": name,
        "schema": name,
        "contribution": name,
        "true_positive_ceilings": name,
        "group_epsilon": name,
        "raw_corpus": prose,
        "corpus_epsilon_reason": prose,
        "adaptation": prose,
        "warnings": prose,
        "tool_versions": name,
        "digests": digest,
        "digest": digest,
    },
    Seal: {"key_id": digest, "value": digest},
    DpPlan: {"unit": name},
    CorpusRelease: {"run_id": name, "unit": name, "unit_kind": name, "status": name},
    LedgerEntry: {"mechanism": name, "what": prose},
    AccountantReading: {"name": name},
    MechanismCheck: {"id": name, "outcome": name, "what": prose, "blind_to": prose},
    Hazard: {"id": name, "status": name, "detail": prose},
    Measurement: {"attack": name, "metric": name, "slice": name, "note": prose},
    Curve: {"attack": name, "name": name, "x_label": prose, "y_label": prose, "series": name},
    AttackRun: {"attack": name, "status": name, "detail": prose},
    Judgement: {
        "policy": name,
        "policy_version": name,
        "policy_hash": digest,
        "day": name,
        "loosened": prose,
    },
    WaiverUse: {
        "rule": name,
        "slice": name,
        "fingerprint": digest,
        "reason": prose,
        "owner": prose,
        "approver": prose,
        "ticket": name,
        "created": name,
        "expires": name,
        "state": name,
    },
    Attested: {"id": name, "role": prose, "statement": prose, "signed_by": prose, "date": name},
    Verdict: {
        "rule": name,
        "severity": name,
        "required": prose,
        "observed": prose,
        "reason": prose,
        "title": prose,
        "control": prose,
        "file": name,
        "fingerprint": digest,
    },
}


def cleared(value: _T) -> _T:
    """A noun with every text in it passed by :data:`CLEARANCE` and every number finite or None."""
    safe: _T = _cleared(value, None)
    return safe


def _cleared(value: Any, may: Callable[[str], str] | None) -> Any:
    if isinstance(value, Curve):
        value = _finite_points(value)
    if is_dataclass(value) and not isinstance(value, type):
        known = CLEARANCE.get(type(value), {})
        return replace(
            value, **{f.name: _cleared(getattr(value, f.name), known.get(f.name)) for f in fields(value)}
        )
    if isinstance(value, Mapping):
        return {name(str(key)): _cleared(item, may) for key, item in value.items()}
    if isinstance(value, tuple):
        whole = (i for i in value if not (isinstance(i, AccountantReading) and not math.isfinite(i.epsilon)))
        return tuple(_cleared(item, may) for item in whole)
    if isinstance(value, str) and type(value) is str:
        return may(value) if may else WITHHELD
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such number, and "not formed" is what it means here
    return value  # numbers, truth values, None and statuses


def _finite_points(curve: Curve) -> Curve:
    columns = [column for column in (curve.x, curve.y, curve.low, curve.high) if column]
    keep = [row for row in zip(*columns, strict=False) if all(math.isfinite(number) for number in row)]
    picked = iter([tuple(column) for column in zip(*keep)] or [()] * len(columns))
    x, y, low, high = (next(picked) if column else () for column in (curve.x, curve.y, curve.low, curve.high))
    return replace(curve, x=x, y=y, low=low, high=high)


@dataclass(frozen=True)
class Case:
    """What every format is given, already cleared: evidence, and what a policy says of it."""

    evidence: Evidence
    judgement: Judgement | None = None
    #: rule id to (why it matters, what to do)
    advice: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    exit_code: int | None = None
    #: what people declare of the release, by the names of :data:`DECLARED`
    declared: Mapping[str, str] = field(default_factory=dict)


#: What no program can know of a release, as a gap names it.
DECLARED: Mapping[str, str] = {
    "name": "what the model is called",
    "description": "what the model is",
    "curators": "who publishes the model",
    "intended-use": "what the model is for",
    "region": "whose law applies, or where the people of the corpus live",
    "sector": "the domain: Technology, Healthcare, Education, Government, Energy or Finance",
    "publication-date": "when it is published, as YYYY-MM-DD",
    "authors": "who answers for this entry",
    "access": "who gets the weights, and how: public, interface or internal",
    "actors": "who handles the corpus, and why each is trusted",
    "legal-basis": "on which ground the corpus was processed",
    "necessity": "why the processing is necessary and proportionate",
    "categories": "whose data and of which kinds the corpus holds",
    "recipients": "who receives the data",
    "retention": "how long the corpus and the run folders are kept",
    "security": "who can read the corpus, the run folders and the reports",
}


def case(
    evidence: Evidence,
    judgement: Judgement | None = None,
    advice: Mapping[str, tuple[str, str]] | None = None,
    exit_code: int | None = None,
    declared: Mapping[str, str] | None = None,
) -> Case:
    """Clear everything a format will show."""
    texts = {name(rule): (prose(why, 1000), prose(do, 1000)) for rule, (why, do) in (advice or {}).items()}
    facts = {key: prose(text) for key, text in (declared or {}).items() if key in DECLARED}
    return Case(cleared(evidence), cleared(judgement), texts, exit_code, facts)
