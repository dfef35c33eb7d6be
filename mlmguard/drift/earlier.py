"""A rolling baseline: earlier results of the same comparison, against which today's is judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlmguard.artifacts import as_noun, key_at_hand, read_json
from mlmguard.drift.statistics import FEWEST_EARLIER, unusual_p
from mlmguard.errors import InputError
from mlmguard.training.privacy import seals
from mlmguard.types import Drift, Measurement

JUDGED = {
    "vocabulary_js": False, "unknown_change": True, "unseen_change": True, "rare_change": True,
    "loss_change": True, "embedding_mmd": False, "embedding_auc": False, "cka": False, "row_movement": False,
}  # fmt: skip
"""The numbers that are held against earlier ones; True: a small one is as strange as a large one."""
_FALLING = ("cka",)  # the smaller, the more has moved
_NONE_IS_ZERO = ("unknown_change", "unseen_change", "rare_change")  # left out where neither side has any
NEWEST = 500  # results that are read, the last by name


def results(folder: Path, ours: Path) -> list[Drift]:
    """Read the earlier results in ``folder``, sorted by name, but for the file ``ours`` that will be written.

    Raises :class:`InputError` where it is no folder, or holds none, or one that its seal contradicts.
    """
    if not folder.is_dir():
        raise InputError(f"--baseline {folder}", "no such folder", "a folder with earlier drift.json files")
    paths = [path for path in sorted(folder.glob("*.json")) if path.resolve() != ours.resolve()]
    read = ((path, read_json(path)) for path in paths[-NEWEST:])
    found = [_unchanged(path, as_noun(data, Drift, str(path))) for path, data in read if _is_result(data)]
    if not found:
        raise InputError(
            f"--baseline {folder}", "no result of `mlmguard drift` in it", "earlier drift.json files",
            "copy each result there, under a name that sorts by its day",
        )  # fmt: skip
    return found


def _is_result(data: object) -> bool:
    return isinstance(data, dict) and str(data.get("schema")).startswith("mlmguard/drift/")


def _unchanged(path: Path, found: Drift) -> Drift:
    """As ``gate`` refuses it: twenty results that anybody wrote would call anything usual."""
    seal = seals.compare_evidence(found.evidence, key_at_hand())
    if seal.outcome == "contradicted":
        expected = "a result as this house sealed it"
        raise InputError(str(path), seal.found, expected, "take it out of the folder")
    return found


def judged(today: Drift, found: Sequence[Drift]) -> tuple[tuple[Measurement, ...], str]:
    """The p-value of each number of ``today`` among the earlier ones, and a note on which those were.

    Results of another checkpoint's texts, of other settings or without one of the numbers are not compared.
    """
    numbers = {_name(m): m for m in today.measurements if m.metric in JUDGED and m.value is not None}
    alike = [one for one in found if _comparable(today, one)]
    none = {name: 0.0 for name in numbers if name in _NONE_IS_ZERO}
    rows = [none | {_name(m): m.value for m in one.measurements if m.value is not None} for one in alike]
    whole = [row for row in rows if numbers.keys() <= row.keys()]
    left = len(found) - len(whole)
    others = f"; {left} other{'s' * (left != 1)} cannot be compared" if left else ""
    told = f"{len(whole)} earlier result{'s' * (len(whole) != 1)}{others}"
    if len(whole) < FEWEST_EARLIER:
        why = f"{told}; at least {FEWEST_EARLIER} are needed for a p-value of .05"
        return tuple(_p(name, None, len(whole), why) for name in numbers), f"Baseline: {why}."
    falling = np.array([-1.0 if numbers[name].metric in _FALLING else 1.0 for name in numbers])
    either = np.array([JUDGED[numbers[name].metric] for name in numbers])
    if today.compares == "checkpoints":
        either[:] = False  # a release that foretells better is no reason to stop
    values = np.array([[row[name] for name in numbers] for row in whole]) * falling
    own = np.array([numbers[name].value for name in numbers], dtype=float) * falling
    note = f"the largest deviation of {len(numbers)} numbers in each of {len(whole)} earlier results"
    found_p = unusual_p(values, own, either)
    return (
        tuple(_p(name, float(p), len(whole), note) for name, p in zip(numbers, found_p)),
        f"Baseline: {told}.",
    )


def _comparable(today: Drift, other: Drift) -> bool:
    """Texts are compared through one checkpoint; pairs of checkpoints are never twice the same."""
    same = today.compares == "checkpoints" or today.model.digest == other.model.digest
    return same and (today.compares, today.settings) == (other.compares, other.settings)


def _name(m: Measurement) -> str:
    return f"{m.metric}, {m.slice}" if m.slice else m.metric


def _p(name: str, p: float | None, results: int, note: str) -> Measurement:
    return Measurement("drift", "p", p, None, None, 0.95, results, slice=name, note=note)
