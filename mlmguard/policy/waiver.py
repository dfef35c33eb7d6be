"""Waivers: a named person's acceptance of one rule not being met, for a limited time, approved by another.

A waiver is narrowed by rule, slice or fingerprint and never by a place in a file: what moves must not take
its waiver along, and what is new at an old place must not inherit one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlmguard.types import Status, WaiverUse

LONGEST = timedelta(days=365)
#: A waiver that ends within so many days is listed while there is time to act.
SOON = timedelta(days=30)
#: What no waiver is needed for.
_NEEDS_NONE = (Status.PASS, Status.NOT_APPLICABLE, Status.OUT_OF_REACH)

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Line = Annotated[str, Field(min_length=1, max_length=1000)]


class Strict(BaseModel):
    """What a policy file may hold: no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Waiver(Strict):
    """One entry under ``waivers:`` of a policy."""

    rule: Slug
    #: Only this slice of a rule that judges several; "" is the whole rule.
    slice: str = ""
    #: Only this rule on these weights; "" is every checkpoint.
    fingerprint: str = Field(default="", pattern=r"^([0-9a-f]{16})?$")
    reason: Line
    owner: Line
    approver: Line
    ticket: Line
    created: date
    expires: date

    @model_validator(mode="after")
    def _limited(self) -> Waiver:
        if same_person(self.owner, self.approver):
            raise ValueError(f"waiver of {self.rule!r}: owner and approver are the same person")
        if self.expires <= self.created:
            raise ValueError(f"waiver of {self.rule!r} expires before it was created")
        if self.expires - self.created > LONGEST:
            raise ValueError(f"waiver of {self.rule!r} runs longer than {LONGEST.days} days")
        return self

    @property
    def scope(self) -> tuple[str, str, str]:
        """What no second waiver may cover."""
        return self.rule, self.slice, self.fingerprint


def same_person(one: str, other: str) -> bool:
    """Return whether two names are one to whoever reads them: case, blanks, hyphens, accents, look-alikes.

    >>> same_person("Privacy Officer", "privacy-officer"), same_person("Eve", "\\u0415v\\u200be")
    (True, True)
    """
    mails = [found[0] if (found := _MAIL.search(name)) else "" for name in (one, other)]
    return _read(one) == _read(other) or (all(mails) and _read(mails[0]) == _read(mails[1]))


_MAIL = re.compile(r"[^\s<>()]+@[^\s<>()]+")
_BLANK = "\u115f\u1160\u2800"
"""Letters that are drawn as nothing."""
_LOOK_ALIKE = str.maketrans(
    {
        other: latin
        for latin, others in {
            "a": "аα", "b": "в", "c": "сϲ", "d": "ԁ", "e": "еє", "g": "ɡ", "h": "нһ", "i": "іιıӏl1|",
            "j": "јϳ", "k": "кκ", "m": "м", "n": "η", "o": "оοօ0", "p": "рρ", "q": "ԛ", "s": "ѕ", "t": "тτ",
            "u": "υ", "v": "νѵ", "w": "ԝω", "x": "хχ", "y": "уγ",
        }.items()
        for other in others
    }
)  # fmt: skip
"""Letters of other scripts, digits, and the small l, which is drawn as a capital I, by the Latin one."""


def _read(name: str) -> list[str]:
    """The words of ``name`` as a reader sees them."""
    drawn = unicodedata.normalize("NFKD", name).casefold()
    shown = (c for c in drawn if unicodedata.category(c) not in ("Cf", "Mn", "Me", "Cc") and c not in _BLANK)
    seen = "".join(shown)
    return seen.translate(_LOOK_ALIKE).replace("-", " ").replace("\N{HYPHEN}", " ").split()


@dataclass(frozen=True)
class Outcome:
    """What a rule says of one slice: before waivers, and after."""

    slice: str
    status: Status
    observed: str
    reason: str
    evaluated: bool = True  # False: there was nothing to compare


class Register:
    """The waivers of a policy on one day; remembers which of them were needed."""

    def __init__(self, waivers: Sequence[Waiver], today: date | None) -> None:
        self._waivers = waivers
        self._today = today
        self._needed: set[int] = set()

    def apply(self, rule: str, fingerprint: str, outcome: Outcome) -> Outcome:
        """Return ``outcome`` waived, failed because its waiver ran out, or unchanged."""
        for number, waiver in enumerate(self._waivers):
            narrowed = waiver.slice in ("", outcome.slice) and waiver.fingerprint in ("", fingerprint)
            if waiver.rule == rule and narrowed:
                if outcome.status in _NEEDS_NONE:
                    return replace(
                        outcome, reason=f"{outcome.reason}; its waiver ({waiver.ticket}) is not needed"
                    )
                self._needed.add(number)
                return self._waived(waiver, outcome)
        return outcome

    def _waived(self, waiver: Waiver, outcome: Outcome) -> Outcome:
        named = f"its waiver ({waiver.ticket})"
        if self._today is None:
            return replace(outcome, reason=f"{outcome.reason}; {named} was not checked against a date")
        if self._today > waiver.expires:
            expired = f"{outcome.reason}; {named} expired on {waiver.expires}"
            return replace(outcome, status=Status.FAIL, reason=expired)
        if self._today < waiver.created:
            return replace(outcome, reason=f"{outcome.reason}; {named} begins on {waiver.created}")
        people = f"owner {waiver.owner}, approved by {waiver.approver}"
        accepted = f"waived until {waiver.expires} ({waiver.ticket}; {people}): {waiver.reason}"
        without = f"Without it: {outcome.status.value}, {outcome.reason}"
        return replace(outcome, status=Status.WAIVED, reason=f"{accepted}. {without}")

    def uses(self) -> tuple[WaiverUse, ...]:
        """Return every waiver and its state."""
        return tuple(
            WaiverUse(
                *(w.rule, w.slice, w.fingerprint, w.reason, w.owner, w.approver, w.ticket),
                created=w.created.isoformat(),
                expires=w.expires.isoformat(),
                state=self._state(w, number in self._needed),
            )
            for number, w in enumerate(self._waivers)
        )

    def _state(self, waiver: Waiver, needed: bool) -> str:
        if self._today is None:
            return "undated"
        if self._today > waiver.expires:
            return "expired"
        if self._today < waiver.created:
            return "not yet"
        if not needed:
            return "unused"
        return "expires soon" if waiver.expires - self._today <= SOON else "in force"
