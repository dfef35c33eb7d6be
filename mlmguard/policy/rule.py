"""What a policy file may say: thresholds, rules, attestations, signatures; and which rule is the looser one.

A rule addresses a number as ``attack.metric`` with an optional slice, names the end of its interval that
counts, and says what fails, what warns and what is too little to tell.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

import rfc8785
from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from mlmguard import plugins
from mlmguard.measures import DERIVED, METRICS, NOT_LEAKAGE, OF_THE_RUN, YES_NO
from mlmguard.policy.waiver import Line, Slug, Strict, Waiver, same_person
from mlmguard.showing import show_epsilon, show_number
from mlmguard.types import Metric

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_OPPOSITE = {">": "≤", ">=": "<", "<": "≥", "<=": ">"}
WORDS = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
END = {"upper_ci": "upper end", "lower_ci": "lower end", "value": ""}


@dataclass(frozen=True)
class Threshold:
    """``"> 0.05"`` taken apart; ``limit`` None stands for the claimed ε (``"> claim"``)."""

    sign: str
    limit: float | None

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """
        >>> Threshold.parse("> 0.05")
        Threshold(sign='>', limit=0.05)
        """
        found = re.fullmatch(r"\s*(>=|<=|>|<)\s*(claim|[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*", text, re.A)
        if not found:
            raise ValueError('not a threshold; write a sign and a number, e.g. "> 0.05", or "> claim"')
        limit = None if found[2] == "claim" else float(found[2])
        if limit is not None and not math.isfinite(limit):
            raise ValueError("not a finite threshold")
        return cls(found[1], limit)

    def crossed(self, value: float, claimed: float | None) -> bool:
        """Return whether ``value`` crosses the limit."""
        limit = claimed if self.limit is None else self.limit
        return limit is not None and _COMPARE[self.sign](value, limit)


def known_metrics() -> Mapping[str, Metric]:
    """Return every number a rule can address, by name: ours, and those that installed attacks measure."""
    return {**METRICS, **plugins.metrics()}


def _checked_threshold(text: str) -> str:
    Threshold.parse(text)
    return text


ThresholdText = Annotated[str, AfterValidator(_checked_threshold), Field(examples=["> 0.05", "> claim"])]
Missing = Literal["inconclusive", "warn", "fail"]
Unknown = Literal["inconclusive", "warn", "fail", "out of reach"]
Severity = Literal["low", "medium", "high", "critical"]


class Loosening(Strict):
    """Who allows a policy to be looser than the one it extends, and why."""

    owner: Line
    reason: Line


class Dropped(Loosening):
    """A rule of the extended policy that is left out."""

    rule: Slug


class Extends(Strict):
    """The policy this one starts from. A newer one is taken up by name, not by accident."""

    policy: Line
    version: Line
    #: The first digits, 16 or more, of the digest that ``mlmguard policy check`` prints.
    digest: str = Field(default="", pattern=r"^([0-9a-f]{16,64})?$")


class Rule(Strict):
    """One requirement on one number."""

    id: Slug
    title: Line
    control: str = ""
    stage: Literal["scan", "train", "audit", "drift"]
    metric: str
    #: "" is the number over everything; "*" judges every slice there is and the worst counts.
    slice: str = ""
    fail: ThresholdText | None = None
    warn: ThresholdText | None = None
    #: A value past this says nothing either way (a model that has learnt nothing cannot be audited).
    inconclusive: ThresholdText | None = None
    #: Which end of the interval is compared; left out, the one that is unfavourable for the threshold's sign.
    bound: Literal["upper_ci", "lower_ci", "value"] | None = None
    min_n: int = Field(default=0, ge=0)
    on_inconclusive: Unknown = "inconclusive"
    #: When the design could never have reported a number that fails (a ceiling under the threshold).
    on_low_ceiling: Literal["inconclusive", "warn", "out of reach"] = "inconclusive"
    #: A yes-or-no metric that voids this one: what was measured is then something else.
    void_if: str | None = None
    on_void: Literal["inconclusive", "warn"] = "inconclusive"
    severity: Severity
    waivable: bool = True
    #: Given where the rule is looser than that of the extended policy.
    loosened: Loosening | None = None
    why: Line
    do: Line

    @model_validator(mode="after")
    def _thresholds_agree(self) -> Rule:
        if self.metric not in METRICS and self.metric not in (known := known_metrics()):  # plug-ins last
            raise ValueError(f"unknown metric {self.metric[:60]!r}{nearest(self.metric, known)}")
        if self.void_if is not None and self.void_if not in YES_NO:
            raise ValueError(f"rule {self.id!r}: void_if must be one of {', '.join(sorted(YES_NO))}")
        texts = {"fail": self.fail, "warn": self.warn, "inconclusive": self.inconclusive}
        given = {name: Threshold.parse(text) for name, text in texts.items() if text}
        if not given:
            raise ValueError(f"rule {self.id!r} has no threshold; give fail, warn or inconclusive")
        if any(t.limit is None for t in given.values()) and not self.metric.startswith("epsilon."):
            raise ValueError(f'rule {self.id!r}: "claim" is a limit for epsilon metrics only')
        if len({t.sign[0] for t in given.values()}) > 1:
            raise ValueError(f"rule {self.id!r}: its thresholds point in different directions")
        fail, warn = given.get("fail"), given.get("warn")
        if fail and warn and fail.limit is not None and warn.limit is not None:
            beyond = warn.limit > fail.limit if fail.sign[0] == ">" else warn.limit < fail.limit
            if beyond:
                raise ValueError(f"rule {self.id!r}: warn ({self.warn}) lies beyond fail ({self.fail})")
        return self

    @property
    def end(self) -> str:
        """The interval end that is compared."""
        if self.metric in DERIVED:
            return "value"  # a count or a fact has no interval
        if self.bound is not None:
            return self.bound
        text = self.fail or self.warn or self.inconclusive or ""
        return "upper_ci" if text.startswith(">") else "lower_ci"

    @property
    def leakage(self) -> bool:
        """Whether the rule is about what can be got out of the model."""
        return self.metric.split(".")[0] not in NOT_LEAKAGE and self.metric not in OF_THE_RUN

    @property
    def required(self) -> str:
        """The requirement as a reader says it."""
        if self.metric in YES_NO:
            return "yes"
        graded = (("", self.fail), ("warning", self.warn), ("inconclusive", self.inconclusive))
        (name, first), *others = [(name, Threshold.parse(text)) for name, text in graded if text]
        head = f"{END[self.end]} {_OPPOSITE[first.sign]} {limit_of(self.metric, first)}".strip()
        tail = [f"{grade} {WORDS[limit.sign]} {limit_of(self.metric, limit)}" for grade, limit in others]
        return "; ".join([f"{head}, else {name}" if name else head, *tail])


class Attestation(Strict):
    """A statement that no number can make. A role signs it, for one checkpoint."""

    id: Slug
    title: Line
    role: Line
    statement: Line
    control: str = ""
    on_missing: Missing = "inconclusive"
    severity: Severity = "high"
    #: The rule that it decides where the evidence cannot; needed then alone.
    settles: Slug | None = None


class Signature(Strict):
    """Who makes an attested statement, when, and for which weights."""

    attestation: Slug
    role: Line
    by: Line
    date: date
    #: The first digits, 16 or more, of the weights' digest: what holds for one need not hold for the next.
    model: str = Field(pattern=r"^[0-9a-f]{16,64}$")


class Place(Strict):
    """Where something stands: the file as it was named, and its first and last line."""

    file: str
    line: int
    last: int


class Policy(Strict):
    """What a release must show."""

    id: Slug
    version: Line
    title: Line
    sources: tuple[str, ...] = ()
    extends: Extends | None = None
    drop: tuple[Dropped, ...] = ()
    rules: tuple[Rule, ...] = Field(min_length=1)
    attestations: tuple[Attestation, ...] = ()
    signatures: tuple[Signature, ...] = ()
    waivers: tuple[Waiver, ...] = ()

    # not a requirement, so not part of the digest
    _places: dict[tuple[str, int], Place] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        by_id = {rule.id: rule for rule in self.rules}
        _once("rules are called", (rule.id for rule in self.rules))
        _once("attestations or rules are called", [*by_id, *(one.id for one in self.attestations)])
        for waiver in self.waivers:
            if waiver.rule not in by_id:
                raise ValueError(f"waiver of unknown rule {waiver.rule!r}{nearest(waiver.rule, by_id)}")
            if not by_id[waiver.rule].waivable:
                raise ValueError(f"rule {waiver.rule!r} cannot be waived")
        if len({waiver.scope for waiver in self.waivers}) < len(self.waivers):
            raise ValueError("two waivers of one rule")
        for one in self.attestations:
            if one.settles is not None and one.settles not in by_id:
                like = nearest(one.settles, by_id)
                raise ValueError(f"attestation {one.id!r} settles unknown rule {one.settles!r}{like}")
        roles = {one.id: one.role for one in self.attestations}
        for signature in self.signatures:
            named = signature.attestation
            if named not in roles:
                raise ValueError(f"signature under unknown attestation {named!r}{nearest(named, roles)}")
            if not same_person(signature.role, roles[named]):
                raise ValueError(
                    f"attestation {named!r} is signed by {roles[named]!r}, not {signature.role!r}"
                )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over the RFC 8785 form of the policy as resolved, wherever its rules came from."""
        data = self.model_dump(mode="json", exclude={"extends", "drop"})
        for one in data["attestations"]:
            if one["settles"] is None:
                del one["settles"]  # a policy older than this has the digest it was pinned by
        return hashlib.sha256(rfc8785.dumps(data)).hexdigest()

    @property
    def advice(self) -> dict[str, tuple[str, str]]:
        """Rule id to (why it matters, what to do), for whoever shows verdicts."""
        signed = "Have the {} sign it for this checkpoint, under signatures: in the policy."
        statements = {one.id: (one.statement, signed.format(one.role)) for one in self.attestations}
        return {rule.id: (rule.why, rule.do) for rule in self.rules} | statements

    @property
    def loosened(self) -> tuple[str, ...]:
        """Return what is looser than in the extended policy, by whom and why."""
        rules = [f"{rule.id}: {_agreed(rule.loosened)}" for rule in self.rules if rule.loosened]
        return (*rules, *(f"{one.rule}, left out: {_agreed(one)}" for one in self.drop))

    @property
    def places(self) -> dict[tuple[str, int], Place]:
        """Where each ("rules", "waivers" or "signatures", position) stands; empty if it was not read."""
        return self._places


def _agreed(by: Loosening) -> str:
    return f"{by.reason} ({by.owner})"


def _once(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {what} {name!r}")
        seen.add(name)


def limit_of(metric: str, threshold: Threshold, claimed: float | None = None) -> str:
    if threshold.limit is None:
        return "the claim" if claimed is None else f"the claimed {show_epsilon(claimed)}"
    return show_number(metric, threshold.limit)


def written(value: object) -> str:
    """Return a value as a policy file says it.

    >>> [written(one) for one in ("> 6", "high", None, True, 1000, "no")]
    ['"> 6"', 'high', 'null', 'true', '1000', '"no"']
    """
    plain = isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_.-]*", value) and value not in _NOT_TEXT
    return str(value) if plain else json.dumps(value, ensure_ascii=False)  # JSON is YAML


#: What YAML, of its first version too, takes for something other than text.
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


# --- asking less --------------------------------------------------------------------------------------

_STRICTER = {"out of reach": 0, "warn": 1, "inconclusive": 2, "fail": 3}
_ENDS = ("lower_ci", "value", "upper_ci")
_SEVERITIES = ("low", "medium", "high", "critical")


def looser(old: Rule, new: Rule) -> str:
    """Say how ``new`` is looser than ``old``, or "" if everything that stopped under ``old`` still stops."""
    for name in ("metric", "slice", "void_if"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after and not (name == "void_if" and after is None):
            return _changed(name, before, after)
    graver = {"fail": ("fail",), "warn": ("warn", "fail"), "inconclusive": ("inconclusive", "fail")}
    for grade, count in graver.items():
        before = getattr(old, grade)
        after = [getattr(new, one) for one in count if getattr(new, one)]
        if before and not any(_as_strict(Threshold.parse(before), Threshold.parse(text)) for text in after):
            return _changed(grade, before, getattr(new, grade))
    above = (old.fail or old.warn or old.inconclusive or "").startswith(">")
    ends = _ENDS if above else _ENDS[::-1]
    if ends.index(new.end) < ends.index(old.end):
        return _changed("bound", old.end, new.end)
    if new.min_n < old.min_n:
        return _changed("min_n", old.min_n, new.min_n)
    for name in ("on_inconclusive", "on_low_ceiling", "on_void"):
        before, after = getattr(old, name), getattr(new, name)
        if _STRICTER[after] < _STRICTER[before]:
            return _changed(name, before, after)
    if _SEVERITIES.index(new.severity) < _SEVERITIES.index(old.severity):
        return _changed("severity", old.severity, new.severity)
    return _changed("waivable", False, True) if new.waivable and not old.waivable else ""


def _changed(name: str, before: object, after: object) -> str:
    return f"{name} was {written(before)} and is {written(after)}"


def _as_strict(old: Threshold, new: Threshold) -> bool:
    """Whether every number past ``old`` is past ``new`` too. A claim as limit compares with its like only."""
    if old.sign[0] != new.sign[0] or (old.limit is None) != (new.limit is None):
        return False
    reaches = len(new.sign) >= len(old.sign)  # ">=" stops at the limit itself, ">" does not
    if old.limit is None or new.limit is None or old.limit == new.limit:
        return reaches
    return new.limit < old.limit if old.sign[0] == ">" else new.limit > old.limit
