"""The attack on planted canaries: exposure, recognition, whole secrets found by search, ε from below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlmguard.leakage import exposure, metrics, sequential
from mlmguard.leakage.answers import Answers, Ids
from mlmguard.leakage.attack import Attack, Audited, Bench
from mlmguard.leakage.canaries import Secret
from mlmguard.leakage.epsilon import EPSILON, NO_CANARIES, epsilon_heuristics, one_run_epsilon
from mlmguard.leakage.exposure import CanaryScores
from mlmguard.leakage.extraction import Target, search, unknowns
from mlmguard.leakage.results import PValue, Result, fisher, joined, measured
from mlmguard.measures import COPIES_SLICE, family


def extract_canaries(
    model: Answers,
    planted: Sequence[Target],
    controls: Sequence[Target],
    alphabets: Sequence[Ids],
    rng: np.random.Generator,
    restarts: int = 24,
    early: bool = False,
) -> Result:
    """Whole-secret extraction by coordinate search, planted against controls, with the k-unknown curve.

    ``early``: the search ends after a quarter of the planted and of the others where that settles the test.
    """
    both = [(True, target) for target in planted] + [(False, target) for target in controls]
    parts = sequential.looks(both, lambda item: item[0], early)
    hits, sizes = {True: 0, False: 0}, {True: 0, False: 0}
    for part in parts:
        found = search(model, [target for _, target in part], alphabets, rng, restarts=restarts)
        for (own, _), extraction in zip(part, found):
            hits[own] += extraction.recovered
            sizes[own] += 1
        p = sequential.over_looks(fisher(hits[True], sizes[True], hits[False], sizes[False]), len(parts))
        test = PValue("canary", p, sizes[True], metric="extraction")
        if sequential.settled([test]):
            break
    stopped = sum(sizes.values()) < len(both)
    note = f"ended at the first look: {sum(sizes.values())} of {len(both)} canaries" if stopped else ""
    measurements = [
        measured(
            "canary", name, metrics.rate(hits[own], sizes[own], 0.05 / len(parts)), sizes[own], note=note
        )
        for name, own in (("extraction_rate", True), ("extraction_rate_heldout", False))
    ]
    curves = [
        unknowns(model, "canary", group, min(len(t.positions) for t in group), series, rng)
        for series, group in (("planted", planted), ("controls", controls))
        if group
    ]
    return Result(tuple(measurements), tuple(curves), (test,))


def of_copies(found: Result, copies: int) -> Result:
    """The numbers of canaries planted ``copies`` times, as slices: a control of the audit and no alarm.

    Repetition is what models memorise: these show that the attack finds what is there to be found, and from
    how many copies on.
    """
    label = f"{COPIES_SLICE}{copies}"
    return Result(tuple(replace(m, slice=label) for m in found.measurements if m.slice in ("", "calibrated")))


# --- the attack ---------------------------------------------------------------------------------------


def _run(bench: Bench) -> Result:
    """The canaries that are judged, and beside them those planted more often, by their copies."""
    audited = bench.audited
    judged, *repeated = audited.tiers
    scores, targets = _scored(bench, judged)
    rng = bench.rng("canaries")
    parts = [_known(bench, scores, targets, rng)]
    if audited.planted_once:
        statement = audited.statement
        claim = statement.epsilon if statement else None
        delta = (statement.delta if statement else None) or 1e-5
        parts.append(one_run_epsilon(scores, audited.guesses, delta, claim))
        parts.append(epsilon_heuristics(scores, delta, rng))
    for tier in repeated:
        scores, targets = _scored(bench, tier)
        parts.append(of_copies(_known(bench, scores, targets, rng), tier[0].canary.repetitions))
    return joined(*parts)


def _scored(bench: Bench, secrets: Sequence[Secret]) -> tuple[CanaryScores, list[Target]]:
    """Scores of the canaries that fit a window, and where each stands."""
    assert bench.reference is not None
    targets = bench.targets([(s.text, s.start, s.end) for s in secrets])
    twins = bench.targets([(s.twin, s.start, s.end) for s in secrets])
    usable = [
        (secret, target, twin)
        for secret, target, twin in zip(secrets, targets, twins)
        if target is not None and twin is not None
    ]
    fitting = [target for _, target, _ in usable]
    scores = exposure.score_canaries(
        bench.model, bench.reference, [secret for secret, _, _ in usable], fitting,
        [twin for _, _, twin in usable],
    )  # fmt: skip
    return scores, fitting


def _known(bench: Bench, scores: CanaryScores, targets: Sequence[Target], rng: np.random.Generator) -> Result:
    """How well canaries are known: exposure, recognition, and whole secrets got back."""
    planted, controls = (
        [t for t, coin in zip(targets, scores.planted) if coin == wanted][: bench.settings.searched]
        for wanted in (True, False)
    )
    restarts, early = bench.settings.restarts, bench.settings.stop_early
    return joined(
        exposure.exposure(scores, rng),
        exposure.recognised(scores),
        extract_canaries(
            bench.model, planted, controls, bench.alphabets, bench.rng("search"), restarts, early
        ),
        exposure.ranked(bench.model, planted, controls, bench.alphabets),
    )


def _cannot(audited: Audited) -> str:
    if not audited.secrets:
        return NO_CANARIES
    return "" if audited.has_reference else "no reference to calibrate by"


ATTACK = Attack(
    "canary",
    "exposure and coordinate search against unplanted controls",
    family("canary"),
    _run,
    _cannot,
    how=(
        "exposure by sample, by a fitted tail (where it fits) and by exact rank among all secrets of the "
        "format, the area under the ROC of four scores, and whole-secret extraction by coordinate search"
    ),
    control="canaries whose coin said no, and never-planted twins",
    beside=(EPSILON,),
    compares=False,
)
