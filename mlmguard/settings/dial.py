"""What a dial is, and what is refused of its values.

A settings class declares each of its fields with :func:`dial`: its option on the command line, its check and
its page are made from that one line. Standard library only.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from mlmguard.errors import InputError


@dataclass(frozen=True)
class Dial:
    """One setting: everything that its option, its check and its page are made from."""

    name: str
    kind: type  # of one value: str, int, float, bool or Path
    default: Any
    help: str
    group: str
    flag: str  # "" where only the library sets it
    metavar: str | None
    choices: tuple[str, ...]
    derived: str  # what stands in its place where nothing is given
    optional: bool  # None where nothing is given
    several: bool  # a tuple of values
    separated: bool  # several values in one, with commas between
    least: float | None
    above: float | None
    most: float | None
    below: float | None
    plain_only: str  # why a private run cannot have it
    hint: str  # what to do where a value is out of range
    read: Callable[[str], object] | None

    @property
    def expected(self) -> str:
        """The range in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.above is not None and self.below is not None:
            return f"a number between {self.above:g} and {self.below:g}"
        if self.above is not None and self.most is not None:
            return f"more than {self.above:g}, at most {self.most:g}"
        if self.above is not None:
            return f"a number above {self.above:g}"
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"{self.least:g} or more" if self.least == 0 else f"at least {self.least:g}"
        return _KINDS[self.kind]


_KINDS: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    Path: "a path",
}


def dial(
    default: Any,
    help: str = "",
    *,
    group: str = "",
    flag: str | None = None,
    metavar: str | None = None,
    choices: type[StrEnum] | None = None,
    derived: str = "",
    separated: bool = False,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    plain_only: str = "",
    hint: str = "",
    read: Callable[[str], object] | None = None,
) -> Any:
    """Declare a field of a settings class as a dial.

    ``flag`` None derives the option from the name; "" makes no option. ``least`` and ``most`` belong to the
    range, ``above`` and ``below`` do not. ``read`` raises :class:`InputError` for a text it cannot read.
    """
    about = {
        "help": help, "group": group, "flag": flag, "metavar": metavar, "derived": derived,
        "choices": tuple(choices) if choices else (), "separated": separated,
        "least": least, "above": above, "most": most, "below": below,
        "plain_only": plain_only, "hint": hint, "read": read,
    }  # fmt: skip
    return field(default=default, metadata={"dial": about})


@cache
def dials(cls: Any) -> tuple[Dial, ...]:
    """List the dials of a settings class, in the order of its fields."""
    return tuple(_dials(cls))


def _dials(cls: type) -> Iterator[Dial]:
    hints = typing.get_type_hints(cls)
    for one in fields(cls):
        about = dict(one.metadata.get("dial", ()))
        if not about:
            continue
        kind, several = _kind(hints[one.name])
        optional = type(None) in typing.get_args(hints[one.name])
        flag = about.pop("flag")
        default = one.default if one.default is not MISSING else None
        yield Dial(
            name=one.name,
            kind=kind,
            optional=optional,
            several=several,
            default=default,
            flag=f"--{one.name.replace('_', '-')}" if flag is None else flag,
            **{**about, "choices": tuple(map(str, about["choices"]))},
        )


def _kind(hint: Any) -> tuple[type, bool]:
    """The type of one value, and whether there are several, as in ``tuple[int, ...]``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _kind(next(part for part in typing.get_args(hint) if part is not type(None)))
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return hint, False


# --- what is refused ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contradiction:
    """A combination of settings that means nothing. The texts may name fields, as in ``{stride}``."""

    when: Callable[[Any], bool]
    thing: str
    found: str
    expected: str
    do: str = ""

    def refusal(self, settings: Any) -> InputError:
        """The error, with the values that contradict each other."""
        values = {one.name: getattr(settings, one.name) for one in fields(settings)}
        return InputError(
            *(text.format(**values) for text in (self.thing, self.found, self.expected, self.do))
        )


def check(settings: Any) -> None:
    """Refuse a value of the wrong kind or out of range, and settings that contradict each other.

    Raises :class:`InputError` that names the flag (or the field, where there is no flag).
    """
    private = getattr(settings, "private", False)
    kind: Any = type(settings)
    for one in dials(kind):
        value = getattr(settings, one.name)
        check_value(one, value)
        if private and one.plain_only and value != one.default:
            raise InputError(one.flag or one.name, "a private run", "a plain one", one.plain_only)
    for row in getattr(kind, "CONTRADICTIONS", ()):
        if row.when(settings):
            raise row.refusal(settings)


def check_value(one: Dial, value: Any) -> None:
    """Refuse a value of the wrong kind or out of range, whatever the other settings are.

    Raises :class:`InputError` that names the flag (or the field, where there is no flag).
    """
    if value is None and one.optional:
        return
    if not one.several:
        _check(one, value)
    elif isinstance(value, list | tuple):
        for single in value:
            _check(one, single)
    else:
        raise InputError(one.flag or one.name.replace("_", " "), f"{value!r}"[:40], "a list of values")


def _check(one: Dial, value: Any) -> None:
    thing = one.flag or one.name.replace("_", " ")
    if not _fits(one.kind, value):
        raise InputError(thing, f"{value!r}"[:40], one.expected)
    if one.choices and str(value) not in one.choices:
        raise InputError(thing, repr(str(value)[:40]), one.expected, one.hint)
    if one.read is not None:
        one.read(value)
    if one.kind not in (int, float):
        return
    inside = (
        (one.least is None or value >= one.least)
        and (one.above is None or value > one.above)
        and (one.most is None or value <= one.most)
        and (one.below is None or value < one.below)
        and math.isfinite(value)
    )
    if not inside:
        raise InputError(thing, f"{value:g}", one.expected, one.hint)


def _fits(kind: type, value: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, str | Path)
    return isinstance(value, kind)
