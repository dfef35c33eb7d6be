"""Canaries: how much better those that were planted are known, whole secrets got back, and ε from below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import metrics, sequential
from mlmguard.leakage.attacks import unknowns
from mlmguard.leakage.canaries import Secret
from mlmguard.leakage.extraction import Target, exact_ranks, search
from mlmguard.leakage.results import CONTROL, PValue, Result, fisher, measured
from mlmguard.leakage.signals import Floats, Ids, Scorer, masked_span_score, pseudo_log_likelihood
from mlmguard.measures import show_epsilon
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
    scorer: Scorer,
    reference: Scorer,
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
    own, outside = (pseudo_log_likelihood(s, windows, spans) for s in (scorer, reference))
    ordered = [pseudo_log_likelihood(s, windows, spans, one_word) for s in (scorer, reference)]
    hidden = [masked_span_score(s, windows, spans) for s in (scorer, reference)]
    beside = [pseudo_log_likelihood(s, *_where(twins)) for s in (scorer, reference)]
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
    """How well each score tells planted canaries from the others: the area under its ROC."""
    m = len(found.planted)
    return Result(
        tuple(
            measured("canary", "auc", metrics.auc(values[found.planted], values[~found.planted]), m, name)
            for name, values in {"calibrated": found.scores, **found.others}.items()
        )
    )


def exposure(found: CanaryScores, rng: np.random.Generator) -> Result:
    """Mean exposure in bits of the planted canaries among all that were never planted, and a rank-sum test.

    Controls (coin said no) and planted canaries are exchangeable under the null, so the test is exact.
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
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
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
    scorer: Scorer, planted: Sequence[Target], controls: Sequence[Target], alphabets: Sequence[Ids]
) -> Result:
    """The exact rank of each secret among all that its format allows, the whole secret hidden, in bits.

    log2 of the number of candidates minus log2 of the rank: exposure without sampling (Carlini et al. 2019,
    section 4), by the additive score. Median and its interval; nothing where the format allows too many.
    """
    numbers = []
    for series, group in (("planted", planted), (CONTROL, controls)):
        ranks = exact_ranks(scorer, group, alphabets)
        bits = [
            math.log2(math.prod(len(alphabets[kind]) for kind in target.alphabets)) - math.log2(rank)
            for target, rank in zip(group, ranks)
            if rank is not None
        ]
        if bits:
            interval = metrics.median(bits)
            numbers.append(measured("canary", "exact_exposure_median", interval, len(bits), series))
    return Result(tuple(numbers))


def extract_canaries(
    scorer: Scorer,
    planted: Sequence[Target],
    controls: Sequence[Target],
    alphabets: Sequence[Ids],
    rng: np.random.Generator,
    restarts: int = 24,
    early: bool = False,
) -> Result:
    """Whole-secret extraction by coordinate search, planted against controls, with the k-unknown curve.

    ``early``: the search ends after a quarter of each side where that settles the test.
    """
    both = [(True, target) for target in planted] + [(False, target) for target in controls]
    parts = sequential.looks(both, lambda item: item[0], early)
    hits, sizes = {True: 0, False: 0}, {True: 0, False: 0}
    for part in parts:
        found = search(scorer, [target for _, target in part], alphabets, rng, restarts=restarts)
        for (side, _), extraction in zip(part, found):
            hits[side] += extraction.recovered
            sizes[side] += 1
        p = sequential.over_looks(fisher(hits[True], sizes[True], hits[False], sizes[False]), len(parts))
        test = PValue("canary", p, sizes[True], metric="extraction")
        if sequential.settled([test]):
            break
    stopped = sum(sizes.values()) < len(both)
    note = f"ended at the first look: {sum(sizes.values())} of {len(both)} canaries" if stopped else ""
    measurements = [
        measured(
            "canary", name, metrics.rate(hits[side], sizes[side], 0.05 / len(parts)), sizes[side], note=note
        )
        for name, side in (("extraction_rate", True), ("extraction_rate_heldout", False))
    ]
    curves = [
        unknowns(scorer, "canary", group, min(len(t.positions) for t in group), series, rng)
        for series, group in (("planted", planted), ("controls", controls))
        if group
    ]
    return Result(tuple(measurements), tuple(curves), (test,))


COPIES_SLICE = "copies "
"""How the slices begin that tell of canaries planted more often."""


def of_copies(found: Result, copies: int) -> Result:
    """What canaries planted ``copies`` times brought, as slices: a control of the audit, no alarm of its own.

    Repetition is what models memorise: these show that the attack finds what is there to be found, and from
    how many copies on.
    """
    label = f"{COPIES_SLICE}{copies}"
    return Result(tuple(replace(m, slice=label) for m in found.measurements if m.slice in ("", "calibrated")))


# --- ε ------------------------------------------------------------------------------------------------


def one_run_epsilon(found: CanaryScores, guesses: int, delta: float, claimed: float | None) -> Result:
    """The one-run lower bound (Steinke, Nasr and Jagielski 2023) beside the claim, with its ceiling.

    ``guesses`` was fixed before training: the highest-scored half of it is guessed in, the lowest half out.
    """
    m = len(found.scores)
    guesses = min(guesses, m) // 2 * 2
    order = np.argsort(found.scores, kind="stable")
    out, into = order[: guesses // 2], order[m - guesses // 2 :]
    right = int(found.planted[into].sum() + (~found.planted[out]).sum())
    bound = metrics.one_run_epsilon_lower_bound(m, guesses, right, delta)
    ceiling = metrics.one_run_ceiling(m, guesses, delta)
    refutable = float(claimed is not None and ceiling > claimed)
    note = f"{right} of {guesses} guesses right over {m} canaries"
    return Result(
        (
            Measurement("epsilon", "one_run_lower_bound", bound, bound, None, 0.95, m, ceiling, note=note),
            Measurement("epsilon", "claimed", claimed, None, None, 1.0, m),
            Measurement("epsilon", "refutable", refutable, None, None, 1.0, m, note=_need(claimed, delta)),
        )
    )


def epsilon_heuristics(found: CanaryScores, delta: float, rng: np.random.Generator) -> Result:
    """Two bounds that are no theorems about one training run: shown, able to warn, never a reason to fail.

    ``two_sample_heuristic``: Clopper-Pearson on true and false positives (Nasr et al. 2021), proved for
    independent runs. ``if_gaussian``: the same ends as a μ-GDP test (Nasr et al. 2023), true only if the
    model's secrets leak like a Gaussian mechanism's. The threshold is chosen on half of the canaries and
    used on the other.
    """
    order = rng.permutation(len(found.scores))
    choose, use = order[: len(order) // 2], order[len(order) // 2 :]
    candidates = np.unique(found.scores[choose])
    best = max(candidates, key=lambda t: _two_sample(found, choose, float(t), delta), default=np.inf)
    m = len(use)
    bounds = {
        "two_sample_heuristic": _two_sample(found, use, float(best), delta),
        "if_gaussian": metrics.gaussian_epsilon(_mu(found, use, float(best)), delta),
    }
    note = "not a theorem about one training run"
    return Result(
        tuple(
            Measurement("epsilon", name, bound, bound, None, 0.95, m, note=note)
            for name, bound in bounds.items()
        )
    )


def _positives(found: CanaryScores, use: Ids, threshold: float) -> tuple[int, int, int, int]:
    """True positives, planted, false positives, not planted, at scores of at least ``threshold``."""
    above, planted = found.scores[use] >= threshold, found.planted[use]
    return (
        int((above & planted).sum()), int(planted.sum()), int((above & ~planted).sum()), int((~planted).sum())
    )  # fmt: skip


def _two_sample(found: CanaryScores, use: Ids, threshold: float, delta: float) -> float:
    return metrics.two_sample_epsilon_lower_bound(*_positives(found, use, threshold), delta)


def _mu(found: CanaryScores, use: Ids, threshold: float) -> float:
    tp, positives, fp, negatives = _positives(found, use, threshold)
    return metrics.gaussian_mu_lower_bound(tp, positives, fp, negatives)


def _need(claimed: float | None, delta: float) -> str:
    if claimed is None:
        return "no ε is claimed"
    needed = metrics.canaries_to_refute(claimed, delta)
    if needed is None:
        return "no canary audit of practical size can refute this ε"
    return f"refuting ε = {show_epsilon(claimed)} takes {needed:,} canaries, every guess right"
