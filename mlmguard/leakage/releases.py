"""What two releases of nearly one corpus say together: which documents came or went between them.

A document may be no likelier than others are under either model and yet much likelier under one than under
the other: what makes its text easy or hard is in both, and cancels. So documents that were added since the
earlier release, and those that were taken out (because somebody asked to be forgotten), are each compared
with documents that neither was trained on, by the difference of the two models (Zanella-Béguelin et al. 2020
for causal models; here under shared masks).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlmguard.leakage import metrics
from mlmguard.leakage.answers import Answers, masked_answers, spaced_masks
from mlmguard.leakage.attack import Attack, Audited, Bench
from mlmguard.leakage.learned import learned
from mlmguard.leakage.membership import (
    RATE,
    SHIFTED,
    Units,
    blind_scores,
    mean_by_text,
    told_apart,
    votes,
)
from mlmguard.leakage.results import Passage, PValue, Result, measured
from mlmguard.measures import family
from mlmguard.types import Measurement

FEWEST = 30
"""Units that came or went, below which nothing is said of them: on fewer the baseline that sees the texts
alone is blind (of 12 + 12 that words told apart it withheld half, and a fifth of all were false alarms)."""


def releases(bench: Bench) -> Result:
    """Attack what was added and what was forgotten between the earlier release and this one."""
    assert bench.earlier is not None
    asked = {"added": (bench.model, bench.earlier), "forgotten": (bench.earlier, bench.model)}
    rng = bench.rng("releases")
    measurements: list[Measurement] = []
    tests: list[PValue] = []
    for name, splits in bench.audited.changes.items():
        changed, others = bench.drawn(splits, rng)
        drawn = [len({passage.owner for passage in part}) for part in (changed, others)]
        if min(drawn) < FEWEST:
            note = f"{drawn[0]} units were {name}, beside {drawn[1]} others: {FEWEST} of each are needed"
            measurements.append(
                Measurement("releases", "auc", None, None, None, 0.95, 0, slice=name, note=note)
            )
            continue
        for slice_, found, p, n in _compared(name, *asked[name], changed, others, rng):
            shifted = p is None
            measurements.append(
                measured("releases", "auc", found, n, f"{name}: {slice_}", note=SHIFTED * shifted)
            )
            if p is not None:
                tests.append(PValue("releases", p, n, f"{name}: {slice_}", "auc"))
    return Result(tuple(measurements), (), tuple(tests))


def _compared(
    name: str,
    knows: Answers,
    beside: Answers,
    changed: Sequence[Passage],
    others: Sequence[Passage],
    rng: np.random.Generator,
) -> Iterator[tuple[str, metrics.Interval, float | None, int]]:
    """Each score of the difference: its name, area, p (None where the texts alone tell), number of units."""
    passages = [*changed, *others]
    windows = [passage.ids for passage in passages]
    hidden = [spaced_masks(len(ids), RATE, rng) for ids in windows]
    by_unit = Units(passages, len(changed))
    blind = blind_scores(windows, len(changed), by_unit.halves(rng))
    _, shifted = told_apart(windows, by_unit, blind, rng)
    own = masked_answers(knows, windows, hidden, moments=True)
    outside = masked_answers(beside, windows, hidden)
    scores = {
        "difference": mean_by_text(own) - mean_by_text(outside),
        "votes": np.array([votes(rows, other) for rows, other in zip(own, outside)]),
    }
    if name == "forgotten":  # a release that still knows them differs in nothing from the one before
        scores["remembered"] = mean_by_text(outside)
    for score, values in scores.items():
        pair = by_unit.means(values)
        yield score, metrics.auc(*pair), None if shifted else metrics.rank_sum_p(*pair), by_unit.count
    found = learned(*by_unit.described(own, outside), rng)
    if found is not None:
        yield "learned", found.auc, None if shifted else found.p, by_unit.count


def _unasked(audited: Audited) -> str:
    return "" if audited.changes else "no earlier release of nearly this corpus was given (--earlier)"


def _cannot(audited: Audited) -> str:
    if why := _unasked(audited):
        return why
    units = {
        name: [len({row["unit"] for row in rows}) for rows in sides]
        for name, sides in audited.changes.items()
    }
    if any(min(sides) >= FEWEST for sides in units.values()):
        return ""
    counts = ", ".join(f"{own} {name} beside {others} others" for name, (own, others) in units.items())
    return f"too few units came or went ({counts}); {FEWEST} of each are needed"


def _does(audited: Audited) -> str:
    counts = ", ".join(f"{len(rows)} {name}" for name, (rows, _) in audited.changes.items())
    return f"documents that came or went since the earlier release ({counts}), by what the two say of them"


ATTACK = Attack(
    "releases",
    _does,
    family("releases"),
    releases,
    _cannot,
    how=(
        "with `--earlier`: masked loss of the one release minus that of the other under the same masks, "
        "votes of the masks, and a score learnt from both; documents added since and taken out, apart"
    ),
    control=(
        "documents that neither was trained on; a blind baseline: where words and length tell what came or "
        "went, nothing is tested"
    ),
    unasked=_unasked,
)
