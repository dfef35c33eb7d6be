"""Was this document in the training data? Asked of the model, and of two who cannot know.

The blind baseline sees only the texts; the reference saw neither set. When one of them separates members
from non-members, the sets differ in kind, and the model's own figure says nothing about membership.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlmguard.leakage import metrics
from mlmguard.leakage.attacks import Passage, PValue, Result, measured
from mlmguard.leakage.signals import Floats, Ids, Scorer, masked_log_probabilities
from mlmguard.types import Curve, Measurement

PATTERNS = 6
RATE = 0.15
SHIFT_AUC = 0.55
"""A blind AUC whose whole interval lies above this is a shift: chance is 0.5, and 0.05 is the room that an
interval of a few hundred documents leaves."""


def membership(
    scorer: Scorer,
    reference: Scorer | None,
    members: Sequence[Passage],
    others: Sequence[Passage],
    rng: np.random.Generator,
) -> Result:
    """Four membership attacks beside two baselines; verdicts are withheld when a baseline shows a shift.

    All score the same ``PATTERNS`` random masks. ``loss``: minus the mean masked loss. ``calibrated``: the
    reference's loss minus the model's (Mireshghallah et al. 2022, section 3). ``min-k``: the mean of the
    least likely fifth of the tokens (Shi et al. 2024, for masked tokens). ``votes``: the share of mask
    patterns in which the model beats the reference (after SAMA, 2026). Without a reference only ``loss``
    and ``min-k`` can be formed, and only the blind baseline can show a shift.
    """
    if not members or not others:
        note = "no members or no held-out documents"
        return Result(
            (Measurement("membership", "auc", None, None, None, 0.95, 0, slice="calibrated", note=note),)
        )
    passages = [*members, *others]
    hidden = [_patterns(passage.ids, rng) for passage in passages]
    windows = [passage.ids for passage in passages]
    split, n = len(members), len(passages)
    own = masked_log_probabilities(scorer, windows, hidden)
    scores = {
        "loss": _means(own),
        "min-k": np.array([_least_likely(np.concatenate(rows)) for rows in own]),
    }
    best, without = "loss", None
    if reference is not None:
        outside = masked_log_probabilities(reference, windows, hidden)
        expected = _means(outside)
        scores["calibrated"] = scores["loss"] - expected
        scores["votes"] = np.array([_votes(rows, other) for rows, other in zip(own, outside)])
        best, without = "calibrated", metrics.auc(*_halves(expected, split))
    blind = metrics.auc(*_halves(blind_scores(windows, split, rng), split))
    shifted = blind.low > SHIFT_AUC or (
        without is not None and (without.low > SHIFT_AUC or without.high < 1 - SHIFT_AUC)
    )
    note = "shift: members and held-out documents differ in kind; verdict withheld" if shifted else ""
    measurements: list[Measurement] = []
    tests: list[PValue] = []
    for name, values in scores.items():
        inside, out = _halves(values, split)
        measurements.append(measured("membership", "auc", metrics.auc(inside, out), n, name, note=note))
        if not shifted:
            tests.append(PValue("membership", metrics.rank_sum_p(inside, out), n, name, "auc"))
    inside, out = _halves(scores[best], split)
    for label, fpr in (("tpr_at_1pct_fpr", 0.01), ("tpr_at_10pct_fpr", 0.10)):
        found = metrics.tpr_at_fpr(inside, out, fpr)
        if found is None:
            refusal = (
                f"{len(out)} held-out documents give {len(out) * fpr:.1f} expected false positives; "
                "10 are needed"
            )
            measurements.append(Measurement("membership", label, None, None, None, 0.95, n, note=refusal))
        else:
            measurements.append(measured("membership", label, found, n, note=note))
    measurements.append(measured("membership", "blind_auc", blind, n))
    if without is not None:
        measurements.append(measured("membership", "reference_auc", without, n))
    measurements.append(Measurement("membership", "shift", float(shifted), None, None, 0.95, n, note=note))
    return Result(
        tuple(measurements), tuple(_roc(name, *_halves(v, split)) for name, v in scores.items()), tuple(tests)
    )


def blind_scores(windows: Sequence[Ids], members: int, rng: np.random.Generator) -> Floats:
    """Membership guessed from the text alone: naive Bayes over token presence and length, cross-fitted.

    The first ``members`` windows are members. Each half is scored by a model fitted on the other half, so a
    blind AUC above one half means the two sets differ in what they say (Das et al. 2024).
    """
    labels = np.arange(len(windows)) < members
    fold = rng.permutation(len(windows)) % 2
    lengths = np.array([len(ids) for ids in windows])
    buckets = np.searchsorted(np.quantile(lengths, np.linspace(0.1, 0.9, 9)), lengths)
    size = int(max(int(ids.max()) for ids in windows)) + 1
    present = np.zeros((len(windows), size + 10), dtype=bool)
    for row, ids in enumerate(windows):
        present[row, ids] = True
        present[row, size + buckets[row]] = True
    scores = np.zeros(len(windows))
    for side in (0, 1):
        fit, score = fold != side, fold == side
        rates = [
            (present[fit & (labels == label)].sum(0) + 1) / ((fit & (labels == label)).sum() + 2)
            for label in (True, False)
        ]
        weights = np.log(rates[0] / rates[1])
        absent = np.log((1 - rates[0]) / (1 - rates[1]))
        values = present[score] @ (weights - absent) + absent.sum()
        scores[score] = values - np.median(values)  # the two folds' models differ by a constant
    return scores


LEAST = 0.2
"""Share of a document's tokens that ``min-k`` looks at: what a model that never saw it finds hardest."""


def _means(side: Sequence[Sequence[Floats]]) -> Floats:
    """Mean log-probability of each window over all its patterns."""
    return np.array([np.concatenate(rows).mean() for rows in side])


def _least_likely(values: Floats) -> float:
    return float(np.sort(values)[: max(1, round(LEAST * len(values)))].mean())


def _votes(own: Sequence[Floats], outside: Sequence[Floats]) -> float:
    return float(np.mean([np.sign(a.mean() - b.mean()) for a, b in zip(own, outside)]))


def _patterns(ids: Ids, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Random mask patterns over the ordinary tokens of a window ([CLS] and [SEP] stay)."""
    inner = len(ids) - 2
    size = max(1, round(inner * RATE))
    return [tuple(sorted(1 + rng.permutation(inner)[:size])) for _ in range(PATTERNS)]


def _halves(values: Floats, split: int) -> tuple[Floats, Floats]:
    return values[:split], values[split:]


def _roc(name: str, inside: Floats, out: Floats) -> Curve:
    fpr, tpr = metrics.roc(inside, out)
    keep = np.unique(np.linspace(0, len(fpr) - 1, min(len(fpr), 200)).astype(int))
    bands = [metrics.clopper_pearson(round(float(t) * len(inside)), len(inside)) for t in tpr[keep]]
    return Curve(
        "membership", "roc", "false-positive rate", "true-positive rate", name,
        tuple(map(float, fpr[keep])), tuple(map(float, tpr[keep])),
        tuple(low for low, _ in bands), tuple(high for _, high in bands),
    )  # fmt: skip
