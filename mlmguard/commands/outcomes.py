"""What the cells of an ablation came to: their numbers, the best of them, and what of a gain ε leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlmguard.measures import COPIES_SLICE
from mlmguard.types import Curve, Measurement

UTILITY = {"accuracy": "held-out accuracy", "gain": "gain over the start, nats", "probe": "probe AUC"}
PRIVACY = "dp_epsilon"  # the axis of the claim


@dataclass(frozen=True)
class Outcome:
    """The result of a cell. ``refused`` is why it was not run, as the error says it."""

    place: Mapping[str, Any]
    seed: int
    refused: str = ""
    run_id: str = ""
    epsilon: float | None = None
    numbers: tuple[Measurement, ...] = ()  # utility and leakage, by the names that `name_of` gives

    def number(self, name: str) -> Measurement | None:
        """The number called ``name``, if it was formed."""
        return next((m for m in self.numbers if name_of(m) == name), None)

    def value(self, name: str) -> float | None:
        """Its value alone."""
        found = self.number(name)
        return found.value if found else None


def name_of(m: Measurement) -> str:
    if m.attack == "utility":
        return m.metric
    return f"{m.attack}.{m.metric}" + (f", {m.slice}" if m.slice.startswith(COPIES_SLICE) else "")


def repeated(name: str, copies: int) -> str:
    return f"{name}, {COPIES_SLICE}{copies}"


def frontiers(outcomes: Sequence[Outcome], number: str, series: str) -> list[Curve]:
    """Plain and private cells that no other of the kind beats in accuracy and in what is memorised."""
    kinds: dict[str, Callable[[Outcome], bool]] = {
        "not private": lambda one: one.epsilon is None,
        "private": lambda one: one.epsilon is not None,
    }
    found = []
    for kind, belongs in kinds.items():
        points = [
            (x, m, m.value)
            for x, m in ((one.value("accuracy"), one.number(number)) for one in outcomes if belongs(one))
            if x is not None and m is not None and m.value is not None
        ]
        best = sorted(
            (x, y, y if m.low is None else m.low, y if m.high is None else m.high)
            for x, m, y in points
            if not any(a >= x and b <= y and (a, b) != (x, y) for a, _, b in points)
        )
        if best:
            x, y, low, high = zip(*best)
            found.append(Curve("ablation", "frontier", UTILITY["accuracy"], series, kind, x, y, low, high))
    return found


def kept(outcomes: Sequence[Outcome]) -> str:
    """Say which share of the gain of a plain cell the private one beside it keeps; "" without such a pair.

    The gain is how far held-out loss fell from its start. Cells beside each other differ in ε alone.
    """

    def beside(one: Outcome) -> tuple[object, ...]:
        return one.seed, *((axis, one.place[axis]) for axis in sorted(one.place) if axis != PRIVACY)

    plain = {beside(one): gain for one in outcomes if one.epsilon is None and (gain := one.value("gain"))}
    shares = sorted(
        gain / plain[beside(one)]
        for one in outcomes
        if one.epsilon is not None
        and (gain := one.value("gain")) is not None
        and plain.get(beside(one), 0) > 0
    )
    if not shares:
        return ""
    range_ = f" ({shares[0]:.0%} to {shares[-1]:.0%})" if len(shares) > 1 else ""
    return (
        f"Private cells keep {sum(shares) / len(shares):.0%}{range_} of the gain over the start of the same "
        f"cell without ε; pairs: {len(shares)}."
    )
