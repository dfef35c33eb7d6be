"""How much better planted canaries are known than those that were not: scores, exposure and exact ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import metrics
from mlmguard.leakage.answers import Answers, Floats, Ids, masked_span_score, pseudo_log_likelihood
from mlmguard.leakage.canaries import Secret
from mlmguard.leakage.extraction import Target, exact_ranks
from mlmguard.leakage.results import CONTROL, PValue, Result, measured
from mlmguard.types import Curve, Measurement


@dataclass(frozen=True)
class CanaryScores:
    """Scores of m canaries, higher = likelier trained on, shapes (m,).

    ``scores`` and those of the ``twins``, which were never planted, are pseudo-log-likelihoods calibrated by
    the reference: declared beforehand to be what exposure and ε are computed from. ``others`` are the scores
    of other attacks, by name, for comparison.
    """

    planted: NDArray[np.bool_] = field(repr=False)  # the coins
    scores: Floats = field(repr=False)
    twins: Floats = field(repr=False)
    others: Mapping[str, Floats] = field(default_factory=dict, repr=False)


def score_canaries(
    model: Answers,
    reference: Answers,
    secrets: Sequence[Secret],
    targets: Sequence[Target],
    twins: Sequence[Target],
) -> CanaryScores:
    """Score each secret and its twin under the model, calibrated by the reference.

    Beside that score: ``loss`` (uncalibrated), ``word-l2r`` (each token given those before it in the secret
    and everything outside) and ``span`` (the whole secret hidden), both calibrated.

    Calibrated is the model's score minus as much of the reference's as explains it on the twins: a reference
    that knows nothing of such text, say random initial weights, would only add its noise. No twin was ever
    planted, whatever the coins said, so this reads no coin and the bound on ε stays one.
    """
    windows, spans = _where(targets)
    one_word = [[0] * len(span) for span in spans]
    own, outside = (pseudo_log_likelihood(s, windows, spans) for s in (model, reference))
    ordered = [pseudo_log_likelihood(s, windows, spans, one_word) for s in (model, reference)]
    hidden = [masked_span_score(s, windows, spans) for s in (model, reference)]
    beside = [pseudo_log_likelihood(s, *_where(twins)) for s in (model, reference)]
    share = _explained(*beside)
    return CanaryScores(
        np.array([secret.canary.planted for secret in secrets], dtype=bool),
        own - share * outside,
        beside[0] - share * beside[1],
        {"loss": own, "word-l2r": ordered[0] - share * ordered[1], "span": hidden[0] - share * hidden[1]},
    )


def _explained(model: Floats, reference: Floats) -> float:
    """The least-squares slope of the model's scores on the reference's, kept between 0 and 1; 1 for a few."""
    spread = float(np.var(reference)) if len(reference) else 0.0
    if len(reference) < metrics.FEWEST_TO_FIT or spread == 0.0:
        return 1.0
    return float(np.clip(np.cov(model, reference, bias=True)[0, 1] / spread, 0.0, 1.0))


def _where(targets: Sequence[Target]) -> tuple[list[Ids], list[tuple[int, ...]]]:
    return [t.ids for t in targets], [t.positions for t in targets]


def recognised(found: CanaryScores) -> Result:
    """Return how well each score tells planted canaries from the others: the area under its ROC."""
    m = len(found.planted)
    return Result(
        tuple(
            measured("canary", "auc", metrics.auc(values[found.planted], values[~found.planted]), m, name)
            for name, values in {"calibrated": found.scores, **found.others}.items()
        )
    )


FEWEST_FOR_ENDS = 10
"""Planted canaries. With two of four, by chance, the mean's lower end lay above 2.5 bits beside a test that
found nothing in 4 % of audits, and such evidence is refused as one that contradicts itself."""


def exposure(found: CanaryScores, rng: np.random.Generator) -> Result:
    """Mean exposure in bits of the planted canaries among all that were never planted, and a rank-sum test.

    Controls (coin said no) and planted canaries are exchangeable under the null: that is what is tested. The
    mean of a handful has no ends: drawn anew they are too much alike.
    """
    controls = found.scores[~found.planted]
    reference = np.concatenate([controls, found.twins])
    planted = found.scores[found.planted]
    if not len(planted) or not len(controls):
        return Result(
            (Measurement("canary", "exposure_mean", None, None, None, 0.95, 0, note="no canaries"),)
        )
    bits = np.array([metrics.exposure(score, reference) for score in planted])
    draws = rng.choice(bits, size=(2000, len(bits))).mean(1)
    ends = np.quantile(draws, [0.025, 0.975]) if len(bits) >= FEWEST_FOR_ENDS else np.full(2, np.nan)
    low, high = map(float, ends)
    interval = metrics.Interval(float(bits.mean()), low, high, 0.95)
    cap = float(np.log2(len(reference) + 1))
    null = [metrics.exposure(s, np.delete(reference, k)) for k, s in enumerate(controls)]
    curves = tuple(
        _distribution("exposure", series, values, cap)
        for series, values in (("planted", bits), ("controls", np.array(null)))
    )
    sampled = measured(
        "canary", "exposure_mean", interval, len(bits), ceiling=cap, note="null mean 1.443 bits"
    )
    return Result(
        (sampled, _extrapolated(planted, reference, rng)),
        curves,
        (PValue("canary", metrics.rank_sum_p(planted, controls), len(bits), metric="exposure"),),
    )


def _extrapolated(planted: Floats, reference: Floats, rng: np.random.Generator) -> Measurement:
    """The median exposure by the tail of a skew-normal fit: it sees beyond a rank among the references."""
    bits = metrics.extrapolated_exposure(planted, reference, rng)
    name, n = "extrapolated_exposure_median", len(planted)
    if bits is None:
        note = "not extrapolated: a skew-normal distribution does not fit the references, or they are too few"
        return Measurement("canary", name, None, None, None, 0.95, n, note=note)
    return measured("canary", name, metrics.median(bits), n, note="by a fitted tail; null median 1 bit")


def _distribution(name: str, series: str, values: Floats, cap: float) -> Curve:
    """Share of canaries at or above each exposure."""
    grid = np.linspace(0, cap, 41)
    share = [(values >= bits).mean() for bits in grid]
    return Curve(
        "canary",
        name,
        "exposure (bits)",
        "share at or above",
        series,
        tuple(map(float, grid)),
        tuple(map(float, share)),
    )


def ranked(
    model: Answers, planted: Sequence[Target], controls: Sequence[Target], alphabets: Sequence[Ids]
) -> Result:
    """The exact rank of each secret among all that its format allows, the whole secret hidden, in bits.

    log2 of the number of candidates minus log2 of the rank: exposure without sampling (Carlini et al. 2019,
    section 4), by the additive score. Median and its interval; nothing where the format allows too many.
    """
    numbers = []
    for series, group in (("planted", planted), (CONTROL, controls)):
        ranks = exact_ranks(model, group, alphabets)
        bits = [
            math.log2(math.prod(len(alphabets[kind]) for kind in target.alphabets)) - math.log2(rank)
            for target, rank in zip(group, ranks)
            if rank is not None
        ]
        if bits:
            interval = metrics.median(bits)
            numbers.append(measured("canary", "exact_exposure_median", interval, len(bits), series))
    return Result(tuple(numbers))
