"""Policies as data, and one pure judge: ``judge(policy, evidence)`` sees only evidence.

A rule addresses a number as ``attack.metric`` with an optional slice, names the end of its interval that
counts, and says what fails, what warns and what is too little to tell. Every rule gets a verdict: a number
that is missing, too thin or not a number is *inconclusive*, never a pass.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlmguard.errors import InputError
from mlmguard.types import Evidence, Judgement, Measurement, PrivacyStatement, Status, Verdict

# --- what a rule may address --------------------------------------------------------------------------

#: Every number the audit or the statement can give, and what it says.
METRICS: Mapping[str, str] = {
    "model.heldout_loss": "mean loss on held-out text, nats a token",
    "model.unigram_loss": "loss of word frequencies alone on the same text, nats a token",
    "model.unigram_margin": "unigram loss minus the model's, nats a token; above 0 is better",
    "model.beats_unigram": "1 if the model is better than word frequencies on held-out text",
    "model.head_loaded": "1 if the masked-language head came from the checkpoint, 0 if it is random",
    "ngram.top1_train": "share of masked training words the model ranks first",
    "ngram.top1_heldout": "the same on matched held-out words",
    "ngram.top1_excess": "training minus matched held-out: at most this much is memorisation",
    "ngram.top1_p": "probability of such an excess by chance, corrected for the family of tests",
    "pii.extraction_rate": "share of personal spans recovered whole by search",
    "pii.extraction_excess": "the same, minus what is recovered of spans the model never saw",
    "pii.extraction_p": "probability of such an excess by chance, corrected for the family of tests",
    "pii.top1_excess": "how much more often a masked personal word is ranked first than an unseen one",
    "canary.exposure_mean": "mean exposure of planted canaries in bits; 1.443 is chance",
    "canary.exposure_p": "probability of such exposures by chance, corrected for the family of tests",
    "canary.extraction_rate": "share of planted canaries recovered whole by search",
    "canary.extraction_rate_heldout": "share of never-planted twins recovered whole by the same search",
    "canary.extraction_p": "probability of such a difference by chance, corrected for the family of tests",
    "membership.auc": "area under the ROC of members against non-members; 0.5 is chance",
    "membership.tpr_at_1pct_fpr": "share of members recognised at 1 % false accusations; 0.01 is chance",
    "membership.tpr_at_10pct_fpr": "the same at 10 % false accusations; 0.1 is chance",
    "membership.auc_p": "probability of such an area by chance, corrected for the family of tests",
    "membership.shift": "1 if members and non-members differ in kind, so that membership speaks of the split",
    "membership.blind_auc": "the same area for a guesser that never sees the model",
    "membership.reference_auc": "the same area for the reference model alone",
    "epsilon.one_run_lower_bound": "ε this one training run demonstrably spent, at 95 % confidence",
    "epsilon.claimed": "the ε that the checkpoint claims",
    "epsilon.refutable": "1 if this audit had enough canaries to refute the claim",
    "privacy.epsilon": "ε computed from the ledger",
    "privacy.delta_times_n": "δ times the public number of units; above 1 a whole record may be given away",
    "privacy.hazards_present": "how many known ways for the claim to be hollow apply",
    "scan.skipped_share": "share of records that could not be read",
    "scan.missing_detectors": "how many entity types nobody looked for",
    "audit.attacks_not_run": "how many known attacks were not run",
}

#: Families that speak of the claim, the corpus or the run; every other family is an attack on the model.
_NOT_LEAKAGE = frozenset({"model", "privacy", "scan", "audit"})
_YES_NO = frozenset({"model.beats_unigram", "model.head_loaded", "epsilon.refutable", "membership.shift"})

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_OPPOSITE = {">": "≤", ">=": "<", "<": "≥", "<=": ">"}
_WORDS = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
_END = {"upper_ci": "upper end", "lower_ci": "lower end", "value": ""}
#: Worst last. A live waiver is worse than a pass and better than a warning.
_ORDER = (Status.PASS, Status.WAIVED, Status.WARN, Status.INCONCLUSIVE, Status.FAIL)


# --- the schema ---------------------------------------------------------------------------------------


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
        found = re.fullmatch(r"\s*(>=|<=|>|<)\s*(claim|[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*", text)
        if not found:
            raise ValueError('not a threshold; write a sign and a number, e.g. "> 0.05", or "> claim"')
        limit = None if found[2] == "claim" else float(found[2])
        if limit is not None and not math.isfinite(limit):
            raise ValueError("not a finite threshold")
        return cls(found[1], limit)

    def crossed(self, value: float, claim: float | None) -> bool:
        """Whether ``value`` is on the bad side."""
        limit = claim if self.limit is None else self.limit
        return limit is not None and _COMPARE[self.sign](value, limit)


def _checked_threshold(text: str) -> str:
    Threshold.parse(text)
    return text


ThresholdText = Annotated[str, AfterValidator(_checked_threshold), Field(examples=["> 0.05", "> claim"])]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Line = Annotated[str, Field(min_length=1, max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Rule(_Strict):
    """One requirement on one number."""

    id: Slug
    title: Line
    control: str = ""
    stage: Literal["scan", "train", "audit"]
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
    on_inconclusive: Literal["inconclusive", "warn", "fail"] = "inconclusive"
    #: When the design could never have reported a number that fails (a ceiling under the threshold).
    on_low_ceiling: Literal["inconclusive", "warn"] = "inconclusive"
    #: A yes-or-no metric that voids this one: what was measured is then something else.
    void_if: str | None = None
    on_void: Literal["inconclusive", "warn"] = "inconclusive"
    severity: Literal["low", "medium", "high", "critical"]
    waivable: bool = True
    why: Line
    do: Line

    @model_validator(mode="after")
    def _thresholds_agree(self) -> Rule:
        if self.metric not in METRICS:
            raise ValueError(f"unknown metric {self.metric[:60]!r}{_nearest(self.metric, METRICS)}")
        if self.void_if is not None and self.void_if not in _YES_NO:
            raise ValueError(f"rule {self.id!r}: void_if must be one of {', '.join(sorted(_YES_NO))}")
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
        if self.metric in _DERIVED:
            return "value"  # a count or a fact has no interval
        if self.bound is not None:
            return self.bound
        text = self.fail or self.warn or self.inconclusive or ""
        return "upper_ci" if text.startswith(">") else "lower_ci"

    @property
    def leakage(self) -> bool:
        """Whether the rule is about what can be got out of the model."""
        return self.metric.split(".")[0] not in _NOT_LEAKAGE

    @property
    def required(self) -> str:
        """The requirement as a reader says it."""
        if self.metric in _YES_NO:
            return "yes"
        graded = (("", self.fail), ("warning", self.warn), ("inconclusive", self.inconclusive))
        (name, first), *others = [(name, Threshold.parse(text)) for name, text in graded if text]
        head = f"{_END[self.end]} {_OPPOSITE[first.sign]} {_limit(self.metric, first)}".strip()
        tail = [f"{grade} {_WORDS[limit.sign]} {_limit(self.metric, limit)}" for grade, limit in others]
        return "; ".join([f"{head}, else {name}" if name else head, *tail])


class Waiver(_Strict):
    """A named person's acceptance of one rule not being met, for a limited time, approved by another."""

    rule: Slug
    reason: Line
    owner: Line
    approver: Line
    ticket: Line
    created: date
    expires: date

    @model_validator(mode="after")
    def _limited(self) -> Waiver:
        if self.owner.casefold() == self.approver.casefold():
            raise ValueError(f"waiver of {self.rule!r}: owner and approver are the same person")
        if self.expires <= self.created:
            raise ValueError(f"waiver of {self.rule!r} expires before it was created")
        if self.expires - self.created > timedelta(days=365):
            raise ValueError(f"waiver of {self.rule!r} runs longer than 365 days")
        return self


class Policy(_Strict):
    """What a release must show."""

    id: Slug
    version: Line
    title: Line
    sources: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = Field(min_length=1)
    waivers: tuple[Waiver, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        by_id = {rule.id: rule for rule in self.rules}
        if len(by_id) < len(self.rules):
            twice = next(rule.id for rule in self.rules if sum(r.id == rule.id for r in self.rules) > 1)
            raise ValueError(f"two rules are called {twice!r}")
        for waiver in self.waivers:
            if waiver.rule not in by_id:
                raise ValueError(f"waiver of unknown rule {waiver.rule!r}{_nearest(waiver.rule, by_id)}")
            if not by_id[waiver.rule].waivable:
                raise ValueError(f"rule {waiver.rule!r} cannot be waived")
        if len({waiver.rule for waiver in self.waivers}) < len(self.waivers):
            raise ValueError("two waivers of one rule")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the policy as resolved, over canonical JSON (RFC 8785: no floats occur in it)."""
        data = self.model_dump(mode="json")
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def advice(self) -> dict[str, tuple[str, str]]:
        """Rule id to (why it matters, what to do), for whoever shows verdicts."""
        return {rule.id: (rule.why, rule.do) for rule in self.rules}


# --- reading ------------------------------------------------------------------------------------------

_MAX_BYTES = 1_000_000


def shipped() -> dict[str, Path]:
    """The policies that come with the package, by name."""
    here = Path(__file__).resolve().parent
    # an installed wheel carries policies/ inside the package; a checkout has them beside it
    for folder in (here / "policies", here.parent / "policies"):
        found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if found:
            return found
    return {}


def load(name_or_path: str | Path) -> Policy:
    """The shipped policy of that name, or the one in that file; :class:`InputError` in one line otherwise."""
    asked = str(name_or_path)
    known = shipped()
    path = known.get(asked, Path(asked))
    if path.is_dir() or not path.exists():
        found = ("a folder" if path.is_dir() else "no such file") + _nearest(asked, known)
        names = ", ".join(known) or "none shipped"
        raise InputError(f"policy {asked}", found, f"a YAML file, or one of: {names}")
    try:
        data = path.read_bytes()
        if len(data) > _MAX_BYTES:
            raise InputError(asked, f"{len(data):,} bytes", f"a policy under {_MAX_BYTES:,} bytes")
        return parse(data.decode("utf-8"), asked)
    except UnicodeDecodeError:
        raise InputError(asked, "not UTF-8 text", "a YAML policy") from None


def parse(text: str, thing: str) -> Policy:
    """A policy from YAML text; ``thing`` names it in errors."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_twice(root, thing)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{thing}: line {mark.line + 1}" if mark else thing
        problem = str(getattr(error, "problem", "") or type(error).__name__)
        raise InputError(place, f"not valid YAML ({problem[:100]})", "a YAML policy") from None
    if data is None or (isinstance(data, dict) and not data.get("rules")):
        why = "one that asks nothing would pass everything"
        raise InputError(thing, "an empty policy", "at least one rule", why)
    if not isinstance(data, dict):
        raise InputError(thing, f"a {type(data).__name__}", "a mapping with id, version, title and rules")
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        raise _one_line(error, root, thing) from None


def _one_line(error: ValidationError, root: yaml.Node | None, thing: str) -> InputError:
    """The first problem with its line and, for a key nobody knows, the nearest right one."""
    # a misspelt key is also a missing one: name the misspelling first
    problems = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    problem = problems[0]
    where = problem["loc"]
    place = f"{thing}: line {_line_of(root, where)}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    key = str(where[-1])[:60] if where else ""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        part = str(where[0]) if len(where) > 1 else ""
        fields = (Rule if part == "rules" else Waiver if part == "waivers" else Policy).model_fields
        return InputError(place, f"unknown key {key!r}{_nearest(key, fields)}{more}")
    if problem["type"] == "missing":
        return InputError(place, f"no {key!r}{more}", do="add it")
    if problem["type"] == "value_error" and (not where or isinstance(where[-1], int)):
        return InputError(place, f"{message}{more}")
    given = problem["input"]
    shown = f" {str(given)[:60]!r}" if isinstance(given, str | int | float) else ""
    hint = "put it in quotes" if problem["type"] == "string_type" and shown else ""
    return InputError(place, f"{key}{shown}: {message[:1].lower()}{message[1:]}{more}", do=hint)


def _line_of(node: yaml.Node | None, where: tuple[int | str, ...]) -> int:
    """1-based line of the deepest part of ``where`` that the file has."""
    line = node.start_mark.line if node is not None else 0
    for part in where:
        if isinstance(node, yaml.MappingNode):
            entry = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _refuse_twice(node: yaml.Node | None, thing: str) -> None:
    """YAML keeps the last of two equal keys in silence: a second ``fail:`` would loosen a rule unseen."""
    waiting, seen = [node] if node is not None else [], set()
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, yaml.SequenceNode):
            waiting.extend(here.value)
        elif isinstance(here, yaml.MappingNode):
            keys = set()
            for key, value in here.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        place = f"{thing}: line {key.start_mark.line + 1}"
                        raise InputError(place, f"key {key.value[:60]!r} stands twice", "once")
                    keys.add(key.value)
                waiting.append(value)


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


# --- numbers of the evidence --------------------------------------------------------------------------


def numbers(evidence: Evidence) -> Iterator[Measurement]:
    """All numbers a rule can address: the audit's, and those that follow from the other nouns."""
    yield from (m for m in evidence.measurements if f"{m.attack}.{m.metric}" not in _DERIVED)
    for metric, derive in _DERIVED.items():
        derived = derive(evidence)
        if derived is not None:
            attack, name = metric.split(".")
            value, note = derived
            yield Measurement(attack, name, float(value), None, None, 1.0, 0, note=note)


#: A number that follows from the nouns, and what it counts by name.
_Derived = tuple[float, str] | None


def _counted(names: Iterable[str]) -> _Derived:
    found = sorted(set(names))
    return len(found), ", ".join(found[:8]) + (" …" if len(found) > 8 else "")


def _claim(evidence: Evidence) -> PrivacyStatement | None:
    return evidence.statement if evidence.statement is not None and evidence.statement.private else None


def _epsilon(evidence: Evidence) -> _Derived:
    claim = _claim(evidence)
    return None if claim is None or claim.epsilon is None else (claim.epsilon, "")


def _delta_times_n(evidence: Evidence) -> _Derived:
    claim = _claim(evidence)
    if claim is None or claim.delta is None or claim.plan is None or claim.plan.sample_rate <= 0:
        return None
    # the plan's normaliser is the expected draw of a step: rate times the public size
    return claim.delta * claim.plan.normaliser / claim.plan.sample_rate, ""


def _hazards(evidence: Evidence) -> _Derived:
    claim = _claim(evidence)
    if claim is None or not claim.hazards:
        return None
    return _counted(hazard.id for hazard in claim.hazards if hazard.status != "absent")


def _skipped_share(evidence: Evidence) -> _Derived:
    if evidence.manifest is None:
        return None
    skipped = len(evidence.manifest.skipped)
    met = evidence.manifest.documents_read + skipped
    return (skipped / met, "") if met else None


def _missing_detectors(evidence: Evidence) -> _Derived:
    if evidence.manifest is None or not evidence.manifest.coverage:
        return None
    looked_for = {d.entity for d in evidence.manifest.coverage if d.status == "available"}
    return _counted({d.entity for d in evidence.manifest.coverage} - looked_for)


def _attacks_not_run(evidence: Evidence) -> _Derived:
    if not evidence.attacks:
        return None
    return _counted(attack.attack for attack in evidence.attacks if attack.status != "run")


_DERIVED: Mapping[str, Callable[[Evidence], _Derived]] = {
    "model.beats_unigram": lambda evidence: (evidence.model.beats_unigram, ""),
    "model.head_loaded": lambda evidence: (evidence.model.head_loaded, ""),
    "privacy.epsilon": _epsilon,
    "privacy.delta_times_n": _delta_times_n,
    "privacy.hazards_present": _hazards,
    "scan.skipped_share": _skipped_share,
    "scan.missing_detectors": _missing_detectors,
    "audit.attacks_not_run": _attacks_not_run,
}


def claimed_epsilon(evidence: Evidence) -> float | None:
    """The ε the checkpoint claims; the smaller one if statement and audit disagree."""
    claims = [m.value for m in evidence.measurements if (m.attack, m.metric) == ("epsilon", "claimed")]
    claim = _claim(evidence)
    claims.append(claim.epsilon if claim else None)
    numbers_only = [c for c in claims if c is not None and not math.isnan(c)]
    return min(numbers_only, default=None)


def broken(evidence: Evidence) -> str:
    """Why the model cannot be found clean, or "" if it is sound."""
    if not evidence.model.head_loaded:
        return "the head was not in the checkpoint, so what was attacked is not what was trained"
    if not evidence.model.beats_unigram:
        return "the model is no better than word frequencies, so finding nothing in it says nothing"
    return ""


# --- judging ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Finding:
    """What one rule says of one number, before waivers. ``evaluated`` False: there was nothing to compare."""

    status: Status
    observed: str
    reason: str
    evaluated: bool = True


def judge(policy: Policy, evidence: Evidence, today: date | None = None) -> Judgement:
    """Every rule's verdict on the evidence. Pure and total; waivers count only when ``today`` is given."""
    known: dict[str, list[Measurement]] = {}
    for number in numbers(evidence):
        known.setdefault(f"{number.attack}.{number.metric}", []).append(number)
    claim, fault = claimed_epsilon(evidence), broken(evidence)
    verdicts, evaluated = [], False
    for rule in policy.rules:
        finding = _apply(rule, known, claim, evidence)
        evaluated |= finding.evaluated
        if fault and rule.leakage and finding.status in (Status.PASS, Status.WARN):
            status = Status.FAIL if rule.on_inconclusive == "fail" else Status.INCONCLUSIVE
            finding = replace(finding, status=status, reason=fault)
        told = (rule.severity, rule.required, finding.observed, finding.reason, rule.title)
        verdict = Verdict(rule.id, finding.status, *told)
        waiver = next((w for w in policy.waivers if w.rule == rule.id), None)
        verdicts.append(_waived(verdict, waiver, today) if waiver else verdict)
    status = worst(verdict.status for verdict in verdicts)
    if fault or not evaluated:
        status = worst((status, Status.INCONCLUSIVE))
    return Judgement(policy.id, policy.version, policy.digest, status, tuple(verdicts))


def worst(statuses: Iterable[Status]) -> Status:
    """The gravest of several; of none, inconclusive: silence never passes."""
    return max(statuses, key=_ORDER.index, default=Status.INCONCLUSIVE)


def exit_code(judgement: Judgement, fail_on: Literal["fail", "warn"] = "fail") -> int:
    """10 if a gate failed, 3 if nothing can be said, 0 otherwise."""
    found = {judgement.status, *(verdict.status for verdict in judgement.verdicts)}
    if Status.FAIL in found or (fail_on == "warn" and Status.WARN in found):
        return 10
    if Status.INCONCLUSIVE in found or not judgement.verdicts:
        return 3
    return 0


def _apply(
    rule: Rule, known: Mapping[str, list[Measurement]], claim: float | None, evidence: Evidence
) -> _Finding:
    matching = [m for m in known.get(rule.metric, ()) if rule.slice in ("*", m.slice)]
    if not matching:
        return _unknown(rule, "not available", _why_missing(rule, evidence))
    void = next((m for m in known.get(rule.void_if or "", ()) if m.value), None)
    if void is not None:
        reason = void.note or METRICS[rule.void_if or ""].removeprefix("1 if ")
        return _Finding(Status(rule.on_void), show_measurement(matching[0]), reason, evaluated=False)
    return max((_compare(rule, m, claim) for m in matching), key=lambda f: _ORDER.index(f.status))


def _compare(rule: Rule, number: Measurement, claim: float | None) -> _Finding:
    observed = show_measurement(number)
    if number.value is None:
        note = f": {number.note}" if number.note else ""
        return _unknown(rule, observed, f"the attack ran and could not form this number{note}")
    if any(end is not None and math.isnan(end) for end in (number.value, number.low, number.high)):
        # a number that is not one is a defect of the evidence: never softened to a warning
        status = Status.FAIL if rule.on_inconclusive == "fail" else Status.INCONCLUSIVE
        return _Finding(status, observed, "NaN stands where a number is required", evaluated=False)
    compared = {"value": number.value, "upper_ci": number.high, "lower_ci": number.low}[rule.end]
    if compared is None:
        return _unknown(rule, observed, f"no interval, so its {_END[rule.end]} cannot be compared")
    texts = (rule.fail, rule.warn, rule.inconclusive)
    fail, warn, mute = (Threshold.parse(text) if text else None for text in texts)
    if claim is None and any(t is not None and t.limit is None for t in (fail, warn, mute)):
        return _unknown(rule, observed, "no ε is claimed, so there is nothing to hold against it")
    if number.examples < rule.min_n:
        return _unknown(rule, observed, f"{number.examples:,} examples, and {rule.min_n:,} are needed")

    def says(threshold: Threshold) -> str:
        shown = show_number(rule.metric, compared)
        if rule.metric in _YES_NO:
            return f"the answer is {shown}"
        limit = _limit(rule.metric, threshold, claim)
        names = f": {number.note}" if rule.metric in _DERIVED and number.note else ""
        return f"{_END[rule.end]} {shown} is {_WORDS[threshold.sign]} {limit}{names}".strip()

    if fail and fail.crossed(compared, claim):
        return _Finding(Status.FAIL, observed, says(fail))
    if mute and mute.crossed(compared, claim):
        return _unknown(rule, observed, f"{says(mute)}: too little to say anything")
    reach = (claim if fail.limit is None else fail.limit) if fail and fail.sign[0] == ">" else None
    if reach is not None and number.ceiling is not None and number.ceiling < reach:
        status = Status.WARN if rule.on_low_ceiling == "warn" else Status.INCONCLUSIVE
        reason = f"this audit could have shown at most {number.ceiling:.3g}, never {reach:.3g}"
        return _Finding(status, observed, reason)
    if warn and warn.crossed(compared, claim):
        return _Finding(Status.WARN, observed, says(warn))
    return _Finding(Status.PASS, observed, "meets the requirement")


def _unknown(rule: Rule, observed: str, reason: str) -> _Finding:
    return _Finding(Status(rule.on_inconclusive), observed, reason, evaluated=False)


def _limit(metric: str, threshold: Threshold, claim: float | None = None) -> str:
    if threshold.limit is None:
        return "the claim" if claim is None else f"the claimed {claim:.3g}"
    return show_number(metric, threshold.limit)


def _why_missing(rule: Rule, evidence: Evidence) -> str:
    family = rule.metric.split(".")[0]
    if family == "privacy":
        return (
            "the privacy statement does not say" if _claim(evidence) else "no differential privacy is claimed"
        )
    if family == "scan":
        return (
            "the manifest does not say" if evidence.manifest else "no manifest of a scan is in the evidence"
        )
    for attack in evidence.attacks:
        if attack.attack == family and attack.status != "run":
            return f"the attack was not run: {attack.detail}"
    slice_ = f" of slice {rule.slice!r}" if rule.slice not in ("", "*") else ""
    # the same attack may have said why it had nothing to measure there
    notes = [
        m.note for m in evidence.measurements if (m.attack, m.slice, m.value) == (family, rule.slice, None)
    ]
    return f"no measurement {rule.metric}{slice_}" + (f": {notes[0]}" if notes and notes[0] else "")


def _waived(verdict: Verdict, waiver: Waiver, today: date | None) -> Verdict:
    named = f"its waiver ({waiver.ticket})"
    if verdict.status is Status.PASS:
        return replace(verdict, reason=f"{verdict.reason}; {named} is not needed")
    if today is None:
        return replace(verdict, reason=f"{verdict.reason}; {named} was not held against a date")
    if today > waiver.expires:
        expired = f"{verdict.reason}; {named} expired on {waiver.expires}"
        return replace(verdict, status=Status.FAIL, reason=expired)
    if today < waiver.created:
        return replace(verdict, reason=f"{verdict.reason}; {named} begins on {waiver.created}")
    people = f"owner {waiver.owner}, approved by {waiver.approver}"
    accepted = f"waived until {waiver.expires} ({waiver.ticket}; {people}): {waiver.reason}"
    without = f"Without it: {verdict.status.value}, {verdict.reason}"
    return replace(verdict, status=Status.WAIVED, reason=f"{accepted}. {without}")


# --- showing ------------------------------------------------------------------------------------------


def show_number(metric: str, value: float) -> str:
    """A number as a reader expects it: yes or no, a count, or three digits."""
    if metric in _YES_NO:
        return "yes" if value else "no"
    return f"{int(value):,}" if math.isfinite(value) and value == int(value) else f"{value:.3g}"


def show_measurement(number: Measurement) -> str:
    """A number with its interval, its examples and its ceiling."""
    if number.value is None:
        return "not formed"
    parts = [show_number(f"{number.attack}.{number.metric}", number.value)]
    if number.low is not None and number.high is not None:
        parts.append(f"[{number.low:.3g}, {number.high:.3g}]")
    if number.examples:
        parts.append(f"n = {number.examples:,}")
    if number.ceiling is not None:
        parts.append(f"ceiling {number.ceiling:.3g}")
    shown = ", ".join(parts).replace(", [", " [")
    return f"{shown} ({number.slice})" if number.slice else shown


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file."""
    return Policy.model_json_schema()
