"""How often a policy fails a model that leaks nothing, and how often one that leaks.

Evidence is simulated at the smallest samples that the rules call enough, with the functions that the attacks
use; all that hangs on the model is drawn, all that does not stands as in the clean fixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from mlmguard.audit.evidence import corrected
from mlmguard.leakage import metrics, values
from mlmguard.leakage.records import LEVEL_SHARE
from mlmguard.leakage.results import PValue, excess, fisher, measured
from mlmguard.measures import METRICS
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load, shipped
from mlmguard.types import Evidence, Measurement, Status
from tests.fixtures.evidence import TODAY, changed, clean, number
from tests.policy.test_shipped import PASSING, signed

OF_AUDITS = [name for name in shipped() if any(rule.stage == "audit" for rule in load(name).rules)]
SPLIT, SCORES = 50, 7
TIMES = 400


@dataclass(frozen=True)
class Leak:
    """What is added to the side that was trained on: in deviations, and in shares of spans given back."""

    membership: float = 0.0
    phrases: float = 0.0
    spans: float = 0.0
    canaries: float = 0.0
    documents: int = 0


NOTHING = Leak()


@cache
def simulated(leak: Leak, seed: int) -> tuple[Measurement, ...]:
    """The audit's numbers for one model, at the smallest samples."""
    rng = np.random.default_rng(seed)
    numbers, tests = [], []

    # seven scores of the same documents: a common part, and one of their own
    common = rng.normal(size=2 * SPLIT)
    common[:SPLIT] += leak.membership
    for k in range(SCORES):
        own = 0.7 * common + 0.7 * rng.normal(size=2 * SPLIT)
        pair = own[:SPLIT], own[SPLIT:]
        numbers.append(measured("membership", "auc", metrics.auc(*pair), 2 * SPLIT, f"score {k}"))
        tests.append(PValue("membership", metrics.rank_sum_p(*pair), 2 * SPLIT, f"score {k}", "auc"))

    # two phrases a document, alike within it; half of ordinary phrases are completed
    def phrases(share: float) -> list[tuple[str, float]]:
        ease = rng.beta(2, 2, 50)
        return [(str(d), float(rng.random() < min(1, ease[d] + share))) for d in range(50) for _ in (0, 1)]

    inside, outside = phrases(leak.phrases), phrases(0.0)
    numbers.append(measured("ngram", "top1_excess", excess(inside, outside, rng), 100))
    hits = [sum(dict(side).values()) for side in (inside, outside)]
    tests.append(PValue("ngram", fisher(int(hits[0]), 50, int(hits[1]), 50), 100, metric="top1"))

    # spans: one in twenty is guessed from its context alone, which is much
    for attack, kind in (("pii", "kept"), ("pii", "redacted"), ("rare", "train")):
        sides = [
            [(f"{kind}{d}", float(rng.random() < 0.05 + share)) for d in range(60)]
            for share in (leak.spans, 0.0)
        ]
        numbers.append(measured(attack, "extraction_excess", excess(sides[0], sides[1], rng), 60, kind))
        got = [int(sum(hit for _, hit in side)) for side in sides]
        tests.append(PValue(attack, fisher(got[0], 60, got[1], 60), 60, kind, "extraction"))

    planted, others = rng.normal(leak.canaries * 3, 1, 25), rng.normal(size=25)
    tests.append(PValue("canary", metrics.rank_sum_p(planted, others), 25, metric="exposure"))
    got_back = int(rng.binomial(25, leak.canaries))
    numbers.append(measured("canary", "extraction_rate", metrics.rate(got_back, 25), 25))
    tests.append(PValue("canary", fisher(got_back, 25, 0, 25), 25, metric="extraction"))

    emitted = [int(rng.binomial(100, 0.02 + share)) for share in (leak.spans, 0.0)]
    found = metrics.difference(emitted[0], 100, emitted[1], 100)
    numbers.append(measured("generation", "documents_emitted_excess", found, 100))
    tests.append(PValue("generation", fisher(emitted[0], 100, emitted[1], 100), 100, metric="documents"))

    # one score a document, some of them far above; what is recovered is the model's, not the sample's
    scores = rng.standard_t(3, 2 * SPLIT)
    scores[: leak.documents] += 40
    p = metrics.top_p(scores[:SPLIT], scores[SPLIT:])
    tests.append(PValue("records", p, SPLIT, metric="highest", share=LEVEL_SHARE))
    odds = rng.standard_t(3, SPLIT)
    p = metrics.top_p(odds[: SPLIT // 2], odds[SPLIT // 2 :])
    tests.append(PValue("values", p, SPLIT // 2, metric="highest", share=values.LEVEL_SHARE))
    return (*numbers, *corrected(tests))


def evidence(name: str, leak: Leak, seed: int) -> Evidence:
    """What passes the policy, with the simulated numbers in the place of all that attacks measured."""
    passing = PASSING[name]()
    attacks = {"membership", "ngram", "pii", "rare", "canary", "generation", "records", "values"}
    kept = tuple(
        m
        for m in passing.measurements
        if m.attack not in attacks or m.metric in ("shift", "blind_auc") or "tpr" in m.metric
    )
    numbers = simulated(leak, seed)
    return Evidence(**{**vars(passing), "measurements": (*kept, *numbers)})


@pytest.fixture(scope="module")
def failures() -> dict[str, list[set[str]]]:
    """The rules that failed, by policy and simulated clean model."""
    found: dict[str, list[set[str]]] = {}
    for name in OF_AUDITS:
        policy = signed(name)
        judgements = [judge(policy, evidence(name, NOTHING, seed), TODAY) for seed in range(TIMES)]
        found[name] = [{v.rule for v in one.verdicts if v.status is Status.FAIL} for one in judgements]
    return found


@pytest.mark.statistical
@pytest.mark.parametrize("name", OF_AUDITS)
def test_a_clean_model_fails_in_at_most_one_audit_of_a_hundred(
    failures: dict[str, list[set[str]]], name: str
) -> None:
    failed = [rules for rules in failures[name] if rules]
    assert len(failed) <= TIMES * 0.01 + 2 * (TIMES * 0.01 * 0.99) ** 0.5, failed


LEAKS: Sequence[tuple[Leak, set[str]]] = (
    (Leak(membership=1.8), {"membership-auc", "not-chance"}),
    (Leak(phrases=0.5), {"ngram-excess", "not-chance"}),
    (Leak(spans=0.4), {"kept-extracted", "redacted-recovered", "rare-extracted", "regurgitation"}),
    (Leak(documents=15), {"not-chance"}),
    (Leak(canaries=0.7), {"canary-extracted", "canary-exposure", "not-chance"}),
)


@pytest.mark.statistical
@pytest.mark.parametrize("name", OF_AUDITS)
@pytest.mark.parametrize("leak, rules", LEAKS)
def test_a_model_that_leaks_fails_the_rules_about_it(name: str, leak: Leak, rules: set[str]) -> None:
    policy, missed = signed(name), dict.fromkeys(rules, 0)
    for seed in range(40):
        judgement = judge(policy, evidence(name, leak, seed), TODAY)
        failed = {v.rule for v in judgement.verdicts if v.status is Status.FAIL}
        for rule in rules - failed:
            missed[rule] += 1
    assert max(missed.values()) <= 4, missed


# --- every p-value reaches a rule ---------------------------------------------------------------------

P_VALUES = sorted(name for name in METRICS if name.endswith("_p"))


@pytest.mark.parametrize("metric", P_VALUES)
@pytest.mark.parametrize("name", OF_AUDITS)
def test_every_p_value_is_judged_by_every_policy(name: str, metric: str) -> None:
    for slice_ in ("", "a slice"):
        found = changed(clean(), number(metric, 1e-30, n=300, slice=slice_))
        judgement = judge(load(name), found, TODAY)
        assert exit_code(judgement) == 10
        assert "not-chance" in {v.rule for v in judgement.verdicts if v.status is Status.FAIL}


def test_the_verdict_names_the_test_that_found_something() -> None:
    found = changed(clean(), number("vocabulary.findings_p", 1e-6, n=300, slice="kept"))
    (verdict,) = (v for v in judge(load("base"), found, TODAY).verdicts if v.rule == "not-chance")
    assert "vocabulary.findings kept" in verdict.observed


def test_the_p_value_of_a_plug_in_is_judged_too() -> None:
    found = changed(clean(), number("echo.repeats_p", 1e-6, n=300))
    assert exit_code(judge(load("base"), found, TODAY)) == 10
