"""How a number is shown: an ε that holds, a count, yes or no, a number with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mlmguard.measures import YES_NO
from mlmguard.types import Measurement, MechanismCheck

_CLAIMS = ("epsilon.claimed", "privacy.epsilon", "privacy.corpus_epsilon")


def show_number(metric: str, value: float) -> str:
    """A number as a reader expects it: yes or no, a count, an ε that holds, or three digits."""
    if metric in YES_NO:
        return "yes" if value else "no"
    if metric in _CLAIMS:
        return show_epsilon(value)
    return f"{int(value):,}" if abs(value) < 1e15 and value == int(value) else f"{value:.3g}"


def show_epsilon(value: float) -> str:
    """An ε that is claimed or was accounted for, in four digits: rounded up, since less would not hold.

    >>> show_epsilon(7.9951), show_epsilon(8.0)
    ('7.996', '8')
    """
    return f"{rounded_up(value):,.6g}"


def rounded_up(epsilon: float) -> float:
    """Return the smallest ε of four digits that is no less."""
    if not math.isfinite(epsilon) or epsilon <= 0:
        return epsilon
    scale = 10.0 ** (3 - math.floor(math.log10(epsilon)))
    return math.ceil(round(epsilon * scale, 6)) / scale


def show_checks(checks: Iterable[MechanismCheck]) -> str:
    """What the tests of a mechanism came to, by outcome."""
    tests: dict[str, list[str]] = {}
    for check in checks:
        tests.setdefault(check.outcome, []).append(check.id)
    return "; ".join(f"{', '.join(tests[outcome])} {outcome}" for outcome in sorted(tests))


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
