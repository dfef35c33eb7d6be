"""What a policy says of the evidence."""

from __future__ import annotations

from enum import StrEnum

from mlmguard.types.noun import noun


class Status(StrEnum):
    """What a rule says of the evidence. Not knowing is a value.

    ``NOT_APPLICABLE``: there is nothing here that the rule speaks of (no value was left in the text, no ε is
    claimed). ``OUT_OF_REACH``: an audit of this size could not have told, and the policy does not require it.
    Neither is a pass, and neither stops a release.
    """

    PASS = "pass"
    NOT_APPLICABLE = "not applicable"
    OUT_OF_REACH = "out of reach"
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    WAIVED = "waived"


@noun
class Verdict:
    """One rule's judgement: what was required, what was observed, and why that is the answer."""

    rule: str
    status: Status
    severity: str
    required: str
    observed: str
    reason: str
    title: str = ""
    control: str = ""  # the sentence of a standard that the rule stands for
    file: str = ""  # the policy file the rule stands in, relative where it can be
    line: int = 0  # 1-based, 0 if unknown
    fingerprint: str = ""  # of this rule on these weights: what a waiver can be narrowed to


@noun
class WaiverUse:
    """What became of one waiver of the policy on the day of the judgement.

    ``state`` is "in force", "expires soon", "expired", "unused", "not yet" or "undated".
    """

    rule: str
    slice: str
    fingerprint: str
    reason: str
    owner: str
    approver: str
    ticket: str
    created: str
    expires: str
    state: str


@noun
class Attested:
    """A statement that no number can make, and who signed it; ``signed_by`` "" if nobody did."""

    id: str
    role: str
    statement: str
    signed_by: str = ""
    date: str = ""


@noun
class Judgement:
    """All verdicts of one policy on one evidence."""

    policy: str
    policy_version: str
    policy_hash: str
    status: Status
    verdicts: tuple[Verdict, ...]
    day: str = ""  # ISO date that waivers and signatures were checked against
    waivers: tuple[WaiverUse, ...] = ()
    attestations: tuple[Attested, ...] = ()
    loosened: tuple[str, ...] = ()  # what a child policy loosens of its parent, by whom and why
