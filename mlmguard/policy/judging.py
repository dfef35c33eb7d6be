"""One pure judge: ``judge(policy, evidence)`` sees only evidence.

Every rule gets a verdict: a number that is missing, too thin or not a number is *inconclusive*, never a pass.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal

from mlmguard.measures import (
    ATTACKS,
    COMPARED,
    DERIVED,
    METRICS,
    REQUIRED,
    YES_NO,
    broken,
    claim,
    claimed_epsilon,
    numbers,
    unlike,
)
from mlmguard.policy.rule import (
    END,
    WORDS,
    Attestation,
    Place,
    Policy,
    Rule,
    Signature,
    Threshold,
    limit_of,
)
from mlmguard.policy.waiver import Outcome, Register
from mlmguard.showing import show_epsilon, show_measurement, show_number
from mlmguard.types import Attested, Evidence, Judgement, Measurement, Status, Verdict

#: Worst last. A live waiver is worse than a pass and better than a warning.
_ORDER = (
    *(Status.NOT_APPLICABLE, Status.PASS, Status.OUT_OF_REACH, Status.WAIVED),
    *(Status.WARN, Status.INCONCLUSIVE, Status.FAIL),
)
#: What a policy says of a number that it can do without.
_SOFT = ("out of reach", "warn")
#: What a model that cannot be audited does not get from a rule about leakage.
_CLEARED = (Status.PASS, Status.NOT_APPLICABLE, Status.OUT_OF_REACH, Status.WARN)
#: Examples of which a number could have been formed: where it was not, the evidence has to say why.
_FEW = 20
#: A signature speaks of what its signer knew then; after a year it is needed anew.
_SIGNED_FOR = timedelta(days=365)


def judge(policy: Policy, evidence: Evidence, today: date | None = None) -> Judgement:
    """Return every rule's verdict on the evidence. Pure and total; waivers and signatures need a day."""
    known: dict[str, list[Measurement]] = {}
    for number in numbers(evidence):
        known.setdefault(f"{number.attack}.{number.metric}", []).append(number)
    claimed, fault = claimed_epsilon(evidence), broken(evidence)
    register = Register(policy.waivers, today)
    verdicts, evaluated = [], False
    for position, rule in enumerate(policy.rules):
        fingerprint = fingerprint_of(rule, evidence)
        outcomes = []
        for one in _apply(rule, known, claimed, evidence):
            evaluated |= one.evaluated
            if fault and rule.leakage and one.status in _CLEARED:
                one = Outcome(one.slice, _unsoftened(rule), one.observed, fault)
            outcomes.append(register.apply(rule.id, fingerprint, one))
        worst_one = max(outcomes, key=lambda one: _ORDER.index(one.status))
        verdicts.append(_verdict(rule, worst_one, policy.places.get(("rules", position)), fingerprint))
    signed = [_attested(one, policy.signatures, evidence, today) for one in policy.attestations]
    verdicts = _settled(policy.attestations, verdicts, [verdict for verdict, _ in signed])
    status = worst(verdict.status for verdict in verdicts)
    if fault or not evaluated:
        status = worst((status, Status.INCONCLUSIVE))
    elif status in (Status.NOT_APPLICABLE, Status.OUT_OF_REACH):
        status = Status.PASS  # of what could be judged; the verdicts say what could not
    return Judgement(
        *(policy.id, policy.version, policy.digest, status, tuple(verdicts)),
        day=today.isoformat() if today else "",
        waivers=register.uses(),
        attestations=tuple(attested for _, attested in signed),
        loosened=policy.loosened,
    )


def fingerprint_of(rule: Rule, evidence: Evidence) -> str:
    """Return a name for this rule on these weights, the same in every policy that has the rule."""
    named = "\0".join((rule.metric, rule.slice, evidence.model.digest))
    return hashlib.sha256(f"{rule.id}\0{named}".encode()).hexdigest()[:16]


def _verdict(rule: Rule, outcome: Outcome, place: Place | None, fingerprint: str) -> Verdict:
    return Verdict(
        *(
            rule.id,
            outcome.status,
            rule.severity,
            rule.required,
            outcome.observed,
            outcome.reason,
            rule.title,
        ),
        control=rule.control,
        file=place.file if place else "",
        line=place.line if place else 0,
        fingerprint=fingerprint,
    )


def _attested(
    attestation: Attestation, signatures: Sequence[Signature], evidence: Evidence, today: date | None
) -> tuple[Verdict, Attested]:
    """Whether somebody of the right role made the statement, for these weights and not too long ago."""
    given = [one for one in signatures if one.attestation == attestation.id]
    valid = [one for one in given if evidence.model.digest.startswith(one.model)]
    timely = [one for one in valid if today and one.date <= today <= one.date + _SIGNED_FOR]
    if timely:
        status, reason = Status.PASS, f"signed by {timely[0].by} on {timely[0].date}"
    else:
        status = Status(attestation.on_missing)
        if not given:
            reason = f"not signed by the {attestation.role}"
        elif not valid:
            reason = "signed for other weights"
        elif today is None:
            reason = "its signature was not checked against a date"
        else:
            reason = f"signed on {valid[0].date}, which is not within a year of {today}"
    observed = "signed" if timely else "not signed"
    fields = (attestation.severity, f"signed by the {attestation.role}", observed, reason, attestation.title)
    signer = (timely[0].by, timely[0].date.isoformat()) if timely else ("", "")
    verdict = Verdict(attestation.id, status, *fields, control=attestation.control)
    return verdict, Attested(attestation.id, attestation.role, attestation.statement, *signer)


def _settled(
    attestations: Sequence[Attestation], verdicts: list[Verdict], signed: list[Verdict]
) -> list[Verdict]:
    """All verdicts, where an attestation decides the rule that it is about, if the evidence did not."""
    place = {verdict.rule: number for number, verdict in enumerate(verdicts)}
    for number, (attestation, verdict) in enumerate(zip(attestations, signed)):
        if attestation.settles is None:
            continue
        rule = verdicts[place[attestation.settles]]
        if rule.status is not Status.INCONCLUSIVE:
            signed[number] = replace(
                verdict, status=Status.PASS, reason=f"not needed: {rule.rule} is decided"
            )
        elif verdict.status is Status.PASS:
            reason = f"{verdict.reason}; the evidence alone: {rule.reason}"
            verdicts[place[attestation.settles]] = replace(rule, status=Status.PASS, reason=reason)
    return [*verdicts, *signed]


def worst(statuses: Iterable[Status]) -> Status:
    """Return the gravest of several; of none, inconclusive: silence never passes."""
    return max(statuses, key=_ORDER.index, default=Status.INCONCLUSIVE)


def exit_code(judgement: Judgement, fail_on: Literal["fail", "warn"] = "fail") -> int:
    """Return 10 if a gate failed, 3 if it is inconclusive, 0 otherwise."""
    found = {judgement.status, *(verdict.status for verdict in judgement.verdicts)}
    if Status.FAIL in found or (fail_on == "warn" and Status.WARN in found):
        return 10
    if Status.INCONCLUSIVE in found or not judgement.verdicts:
        return 3
    return 0


def _apply(
    rule: Rule, known: Mapping[str, list[Measurement]], claimed: float | None, evidence: Evidence
) -> list[Outcome]:
    """What the rule says, slice by slice."""
    matching = [m for m in known.get(rule.metric, ()) if rule.slice in ("*", m.slice)]
    if why := _why_not_applicable(rule, evidence, bool(matching)):
        return [_not_applicable(rule.slice, why)]
    if not matching and (none := _nobody_asked(rule, evidence)):
        return [_not_applicable(rule.slice, none)]
    if not matching:
        missing = _unknown(rule, rule.slice, "not available", _why_missing(rule, evidence))
        told = _was_not_run(rule, evidence) or not _says_why(rule, evidence)
        return [_not_tried(missing) if told else missing]
    matching.sort(key=lambda m: _badness(rule, m), reverse=True)  # of several alike, the worst is named
    void = next((m for m in known.get(rule.void_if or "", ()) if m.value), None)
    if void is not None:
        reason = void.note or METRICS[rule.void_if or ""].says.removeprefix("1 if ")
        status = Status(rule.on_void)
        return [Outcome(m.slice, status, show_measurement(m), reason, evaluated=False) for m in matching]
    apart = unlike(evidence)
    return [
        Outcome(m.slice, _unsoftened(rule), show_measurement(m), apart, evaluated=False)
        if apart and _compares(m)
        else _compare(rule, m, claimed)
        for m in matching
    ]


def _nobody_asked(rule: Rule, evidence: Evidence) -> str:
    """Why a comparison that somebody has to ask for is not there; "" where an attack should be."""
    family = rule.metric.split(".")[0]
    if family not in ATTACKS or family in REQUIRED:
        return ""
    told = {one.attack: one for one in evidence.attacks}
    if family not in told:
        return "the evidence does not tell of it"  # attacks-run counts it
    return told[family].detail if told[family].status == "not applicable" else ""


def _was_not_run(rule: Rule, evidence: Evidence) -> bool:
    """Whether the attack that would give a rule's number was left out, or is not told of."""
    family = rule.metric.split(".")[0]
    run = {one.attack for one in evidence.attacks if one.status != "not run"}
    return family in ATTACKS and family not in run


def _says_why(rule: Rule, evidence: Evidence) -> bool:
    """Whether the evidence shows why a number is not there: its attack has others of it, or nothing there."""
    family, metric = rule.metric.split(".")
    if family not in ATTACKS:
        return True
    of_it = [m for m in evidence.measurements if m.attack == family]
    others = rule.slice not in ("", "*") and any(m.metric == metric for m in of_it)
    return others or any(m.slice == rule.slice and m.value is None and m.note for m in of_it)


def _not_tried(outcome: Outcome) -> Outcome:
    """Out of reach is what an attack could not have seen; what was not tried is unknown, and warns."""
    return replace(outcome, status=Status.WARN) if outcome.status is Status.OUT_OF_REACH else outcome


def _end(rule: Rule, number: Measurement) -> float | None:
    """The end of a number that a rule compares."""
    return {"value": number.value, "upper_ci": number.high, "lower_ci": number.low}[rule.end]


def _badness(rule: Rule, number: Measurement) -> float:
    """How far a number is towards failing, for the order of slices only."""
    compared = _end(rule, number)
    if compared is None or math.isnan(compared):
        return -math.inf
    text = rule.fail or rule.warn or rule.inconclusive or ">"
    return compared if text.startswith(">") else -compared


def _compares(number: Measurement) -> bool:
    """Whether a number is what it is beside the held-out documents; a test is named by its attack."""
    of_test = f"{number.attack}.{number.metric}" == "leakage.p"
    return (number.slice.split(".")[0] if of_test else number.attack) in COMPARED


def _unsoftened(rule: Rule) -> Status:
    """Of a defect of the evidence: who can do without the number cannot do without its being sound."""
    return Status.FAIL if rule.on_inconclusive == "fail" else Status.INCONCLUSIVE


def _compare(rule: Rule, number: Measurement, claimed: float | None) -> Outcome:
    observed = show_measurement(number)

    def unknown(reason: str) -> Outcome:
        return _unknown(rule, number.slice, observed, reason)

    if number.value is None:
        if rule.metric in DERIVED:
            return unknown(number.note or "the evidence does not say")
        note = f": {number.note}" if number.note else ""
        unformed = unknown(f"the attack ran and could not form this number{note}")
        return unformed if number.note or number.examples < _FEW else _not_tried(unformed)
    if any(end is not None and math.isnan(end) for end in (number.value, number.low, number.high)):
        # a number that is not one is a defect of the evidence: never softened to a warning
        nan = "NaN stands where a number is required"
        return Outcome(number.slice, _unsoftened(rule), observed, nan, evaluated=False)
    compared = _end(rule, number)
    if compared is None:
        return unknown(f"no interval, so its {END[rule.end]} cannot be compared")
    texts = (rule.fail, rule.warn, rule.inconclusive)
    fail, warn, mute = (Threshold.parse(text) if text else None for text in texts)
    if claimed is None and any(t is not None and t.limit is None for t in (fail, warn, mute)):
        why = "no ε is claimed, so there is nothing to compare with"
        return _not_applicable(number.slice, why) if rule.on_inconclusive in _SOFT else unknown(why)
    if number.examples < rule.min_n:
        return unknown(f"{number.examples:,} examples, and {rule.min_n:,} are needed")

    def says(threshold: Threshold) -> str:
        shown = show_number(rule.metric, compared)
        if rule.metric in YES_NO:
            return f"the answer is {shown}" + (f": {number.note}" if number.note else "")
        limit = limit_of(rule.metric, threshold, claimed)
        names = f": {number.note}" if rule.metric in DERIVED and number.note else ""
        return f"{END[rule.end]} {shown} is {WORDS[threshold.sign]} {limit}{names}".strip()

    if fail and fail.crossed(compared, claimed):
        return Outcome(number.slice, Status.FAIL, observed, says(fail))
    if mute and mute.crossed(compared, claimed):
        return unknown(f"{says(mute)}: too little to say anything")
    reach = (claimed if fail.limit is None else fail.limit) if fail and fail.sign[0] == ">" else None
    if reach is not None and number.ceiling is not None and number.ceiling < reach:
        never = show_epsilon(reach) if reach == claimed else show_number(rule.metric, reach)
        reason = f"this audit could have shown at most {number.ceiling:.3g}, never {never}"
        return Outcome(number.slice, Status(rule.on_low_ceiling), observed, reason)
    if warn and warn.crossed(compared, claimed):
        return Outcome(number.slice, Status.WARN, observed, says(warn))
    return Outcome(number.slice, Status.PASS, observed, "meets the requirement")


def _unknown(rule: Rule, slice_: str, observed: str, reason: str) -> Outcome:
    return Outcome(slice_, Status(rule.on_inconclusive), observed, reason, evaluated=False)


def _not_applicable(slice_: str, why: str) -> Outcome:
    return Outcome(slice_, Status.NOT_APPLICABLE, "nothing to measure", why, evaluated=False)


def _why_not_applicable(rule: Rule, evidence: Evidence, measured: bool) -> str:
    """Why nothing here is what the rule speaks of; "" where a number is missing or was formed.

    An attack that had nothing of a slice says so in every number of it; what the scan redacted is there.
    A policy whose rule fails or is inconclusive without a claim wants one: for it the number is missing.
    """
    family = rule.metric.split(".")[0]
    if rule.slice not in ("", "*"):
        there = [m for m in evidence.measurements if (m.attack, m.slice) == (family, rule.slice)]
        empty = there and all(m.value is None and m.examples == 0 and m.note for m in there)
        if empty and not _scan_has(rule.slice, evidence):
            return there[0].note
    of_claim = family in ("privacy", "epsilon") and rule.metric != "privacy.epsilon"
    if not measured and of_claim and claim(evidence) is None and rule.on_inconclusive in _SOFT:
        return "no differential privacy is claimed"
    return ""


def _scan_has(slice_: str, evidence: Evidence) -> bool:
    """Whether the scan redacted, or kept, values that an attack says it found none of."""
    rows = evidence.manifest.findings if evidence.manifest is not None else ()
    return any(row.redacted if slice_ == "redacted" else slice_ == "kept" and row.left for row in rows)


def _why_missing(rule: Rule, evidence: Evidence) -> str:
    family = rule.metric.split(".")[0]
    if family == "privacy":
        return (
            "the privacy statement does not say" if claim(evidence) else "no differential privacy is claimed"
        )
    if family == "scan" and rule.metric in DERIVED:
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
