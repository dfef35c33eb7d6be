"""What attacks are given and what they find, and the comparisons that all of them make.

A p-value is returned apart (:class:`PValue`): the audit corrects the whole family.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from scipy import stats

from mlmguard.leakage import clustered, metrics
from mlmguard.leakage.answers import Ids
from mlmguard.leakage.extraction import Target
from mlmguard.types import Curve, Measurement

T = TypeVar("T")
Rows = Sequence[Mapping[str, str]]
"""Documents as ``clean/`` holds them: id, text and unit of each."""


@dataclass(frozen=True)
class PValue:
    """One test of the audit's family, before correction."""

    attack: str
    p: float
    examples: int
    slice: str = ""
    metric: str = ""
    share: float = 0.0  # of the family's level, fixed beforehand; 0: what others leave, in equal parts


@dataclass(frozen=True)
class Exposed:
    """A training document that an attack found something of. ``score``: higher is graver, by attack."""

    document_id: str
    attack: str
    kind: str  # the type of what was found
    score: float


@dataclass(frozen=True)
class Result:
    """What one attack found."""

    measurements: tuple[Measurement, ...] = ()
    curves: tuple[Curve, ...] = ()
    tests: tuple[PValue, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    queries: int = 0  # windows that models were shown for it


def joined(*results: Result) -> Result:
    """Several results as one."""
    return Result(
        tuple(m for result in results for m in result.measurements),
        tuple(c for result in results for c in result.curves),
        tuple(t for result in results for t in result.tests),
        tuple(e for result in results for e in result.exposed),
        sum(result.queries for result in results),
    )


@dataclass(frozen=True)
class Passage:
    """The first window of a document: what probes are cut from. ``unit`` is the unit of privacy it belongs
    to, the document itself where that is empty."""

    document_id: str
    ids: Ids = field(repr=False)
    unit: str = ""
    length: int = 0  # tokens of the whole document
    draws: float | None = None  # windows that training is expected to have drawn of it; None: not known

    @property
    def owner(self) -> str:
        """The unit it belongs to: what tests and intervals count."""
        return self.unit or self.document_id

    def exposures(self, start: int, count: int) -> float | None:
        """How often training is expected to have shown the ``count`` tokens from ``start`` of ``ids`` on.

        A drawn document contributes random windows, and ``ids`` is the first of them: what stands in the
        middle of a long document is in few windows.
        """
        if self.draws is None:
            return None
        room = len(self.ids) - 2
        if self.length <= room:
            return self.draws
        first, last = start - 1, start - 1 + count  # places in the document
        covering = min(first, self.length - room) - max(0, last - room) + 1
        return self.draws * max(0, covering) / (self.length - room + 1)


@dataclass(frozen=True)
class Span:
    """A span in its document's context. ``kind`` says what it was to the training: "kept" or "redacted"
    (personal data), "train" (chosen without a detector), or "held-out", the control."""

    document_id: str
    rule: str
    target: Target
    kind: str
    unit: str = ""  # the unit of privacy, the document itself where that is empty
    fate: str = ""  # of a control: the kind it would be of, had its document been trained on; "" if any

    @property
    def owner(self) -> str:
        """The unit it belongs to: what tests and intervals count."""
        return self.unit or self.document_id

    def controls(self, kind: str) -> bool:
        """Whether spans of ``kind`` are compared with it."""
        return self.kind == CONTROL and self.fate in ("", kind)


CONTROL = "held-out"
IN_CONTEXT, WITHOUT = "in context", "without context"


@dataclass(frozen=True)
class Named:
    """A value that the user named, by a keyed name. ``places``: (row of members, start) where it stands."""

    id: str
    value: str = field(repr=False)
    places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Given:
    """A value that the user named, in each context that is tried; alone where there is none."""

    id: str
    targets: tuple[Target, ...] = field(repr=False)
    kind: str = IN_CONTEXT
    words: bool = False  # it reads as words or a name, which are likelier than other letters without memory


def measured(
    attack: str, metric: str, found: metrics.Interval, n: int, slice: str = "", **more: object
) -> Measurement:
    """Return an interval as a measurement; nan becomes None, which no policy can pass."""
    value, low, high = (None if one != one else one for one in (found.value, found.low, found.high))
    return Measurement(attack, metric, value, low, high, found.confidence, n, slice=slice, **more)  # type: ignore[arg-type]


Hit = tuple[str, float]
"""One probe: its unit of privacy and whether it was answered."""


def clusters(rows: Sequence[Hit]) -> list[list[float]]:
    """Outcomes gathered by unit."""
    gathered: dict[str, list[float]] = defaultdict(list)
    for owner, hit in rows:
        gathered[owner].append(hit)
    return list(gathered.values())


def excess(
    left: Sequence[Hit], right: Sequence[Hit], rng: np.random.Generator, alpha: float = 0.05
) -> metrics.Interval:
    """Return the rate on the left minus that on the right; whole units are drawn for the interval."""
    return clustered.difference(clusters(left), clusters(right), rng, alpha)


def worth_listing(more: metrics.Interval, control_hits: int) -> bool:
    """Whether documents that an attack got something of are listed: got of no control, or shown in excess.

    What is got of held-out documents as often was guessed: their owner would forget people for a template.
    """
    return control_hits == 0 or more.low > 0


def one_of_each(owners: Sequence[str], rng: np.random.Generator) -> list[int]:
    """One item of each unit, drawn at random, as indices into ``owners`` (the unit of each).

    Documents of one unit of privacy are not independent of each other: a test that counts them finds an
    author's style and calls it memory.
    """
    seen: set[str] = set()
    chosen = []
    for k in map(int, rng.permutation(len(owners))):
        if owners[k] not in seen:
            seen.add(owners[k])
            chosen.append(k)
    return chosen


def whole_units(splits: Sequence[Rows], most: int, rng: np.random.Generator) -> tuple[list[int], ...]:
    """As many whole units of each split, drawn at random and of about ``most`` documents, as row numbers.

    All documents of a unit come with it, so that units of all splits are of one kind: a unit of which one
    document was taken would score more widely than one of which twelve were.
    """
    dealt = [units_dealt(rows, lambda row: row["unit"], rng) for rows in splits]
    count = max(1, min(_fitting(groups, most) for groups in dealt if groups))
    return tuple(sorted(k for group in groups[:count] for k in group) for groups in dealt)


def of_whole_units(
    found: Sequence[T], unit_of: Callable[[T], str], most: int, rng: np.random.Generator
) -> list[T]:
    """At most so many of what was ``found``, in order: all that some units hold, which are drawn at random.

    Drawn one by one, those of the larger side would come from other units, such as hold many, and fewer of
    each: neither one a unit nor the highest of a unit could be compared with those of the other side.
    """
    groups = units_dealt(found, unit_of, rng)
    drawn = [number for group in groups[: max(1, _fitting(groups, most))] for number in group]
    return [found[number] for number in sorted(drawn[:most])]


def units_dealt(found: Sequence[T], unit_of: Callable[[T], str], rng: np.random.Generator) -> list[list[int]]:
    """The units of what was ``found`` in random order, each as the places of all it holds."""
    owned: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(found):
        owned[unit_of(one)].append(number)
    groups = list(owned.values())
    return [groups[k] for k in rng.permutation(len(groups))]


def _fitting(groups: Sequence[Sequence[int]], most: int) -> int:
    """How many of the first ``groups`` hold ``most`` at most."""
    return int(np.searchsorted(np.cumsum([len(group) for group in groups]), most, "right"))


def redealt(own: Sequence[Hit], other: Sequence[Hit], rng: np.random.Generator) -> float:
    """One-sided p that outcomes (0 or 1) of ``own`` are as often 1 as those of ``other``.

    Whole units are dealt anew (:func:`metrics.redealt_p`); Fisher's exact test where each has one outcome.
    """
    left, right = clusters(own), clusters(other)
    if len(left) == len(own) and len(right) == len(other):
        (hits, misses) = (int(sum(hit for _, hit in side)) for side in (own, other))
        return fisher(hits, len(own), misses, len(other))
    return metrics.redealt_p(left, right, rng)


def fisher(hits: int, n: int, control_hits: int, control_n: int) -> float:
    """One-sided Fisher exact p that the first rate is the larger; 1.0 without a control."""
    if not n or not control_n:
        return 1.0
    table = [[hits, n - hits], [control_hits, control_n - control_hits]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)
