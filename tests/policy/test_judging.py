"""The judge: every rule gets a verdict, and not knowing is never a pass."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmguard.measures import broken
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.types import (
    DEALT,
    AttackRun,
    Evidence,
    FindingCount,
    LanguageCount,
    Measurement,
    Status,
    Verdict,
)
from tests.fixtures.evidence import TODAY, changed, clean, extractable, not_private, number, untrained

RULE = {
    "id": "leak",
    "title": "No leak",
    "stage": "audit",
    "metric": "pii.extraction_rate",
    "slice": "kept",
    "fail": "> 0.05",
    "severity": "high",
    "why": "Because.",
    "do": "Redact.",
}


def policy(*rules: dict[str, object], waivers: list[dict[str, object]] | None = None) -> Policy:
    """A policy of these rules, each :data:`RULE` with changes."""
    full = [{**RULE, **rule} for rule in rules]
    return Policy.model_validate(
        {"id": "p", "version": "1", "title": "P", "rules": full, "waivers": waivers or []}
    )


def verdict(rule: dict[str, object], evidence: Evidence) -> Verdict:
    return judge(policy(rule), evidence).verdicts[0]


def by_rule(evidence: Evidence) -> dict[str, Verdict]:
    return {v.rule: v for v in judge(load("base"), evidence, TODAY).verdicts}


# --- the base policy on the evidence it was written for -----------------------------------------------


def test_clean_evidence_at_epsilon_8_with_500_canaries_is_a_warning_and_not_inconclusive() -> None:
    judgement = judge(load("base"), clean(), TODAY)
    assert judgement.status is Status.WARN
    assert exit_code(judgement) == 0
    assert exit_code(judgement, "warn") == 10
    found: dict[Status, set[str]] = {}
    for v in judgement.verdicts:
        found.setdefault(v.status, set()).add(v.rule)
    assert found[Status.WARN] == {"dp-hazards", "detectors", "attacks-run"}  # each can be cleared
    assert found[Status.OUT_OF_REACH] == {"dp-not-refuted", "dp-white-box", "membership-tpr-confident"}


def test_random_weights_are_inconclusive_and_never_clean() -> None:
    judgement = judge(load("base"), untrained(), TODAY)
    assert judgement.status is Status.INCONCLUSIVE
    assert exit_code(judgement) == 3
    leakage = [
        v for v in judgement.verdicts if v.rule.startswith(("pii", "canary", "membership", "ngram", "kept"))
    ]
    assert leakage and all(v.status is Status.INCONCLUSIVE for v in leakage)


def test_an_extractable_model_fails_although_it_is_worse_than_unigram() -> None:
    judgement = judge(load("base"), extractable(), TODAY)
    assert judgement.status is Status.FAIL
    assert exit_code(judgement) == 10
    assert by_rule(extractable())["canary-extracted"].status is Status.FAIL


def test_no_claim_is_a_warning_under_base() -> None:
    found = by_rule(not_private())
    assert found["dp-epsilon"].status is Status.WARN
    assert "no differential privacy is claimed" in found["dp-epsilon"].reason
    assert exit_code(judge(load("base"), not_private(), TODAY)) == 0


def test_a_lower_bound_above_the_claim_fails() -> None:
    refuted = changed(clean(), number("epsilon.one_run_lower_bound", 8.4, n=13_000, ceiling=9.9))
    assert by_rule(refuted)["dp-not-refuted"].status is Status.FAIL


def test_counted_things_are_named() -> None:
    assert "LOCATION, ORGANIZATION" in by_rule(clean())["detectors"].reason


# --- one comparison -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "low", "value", "high", "expected"),
    [
        ({}, 0.0, 0.01, 0.04, Status.PASS),
        ({}, 0.0, 0.01, 0.06, Status.FAIL),  # the unfavourable end of "> 0.05" is the upper one
        ({"bound": "value"}, 0.0, 0.01, 0.06, Status.PASS),
        ({"bound": "lower_ci"}, 0.0, 0.2, 0.4, Status.PASS),
        ({"bound": "lower_ci"}, 0.06, 0.2, 0.4, Status.FAIL),
        ({"fail": "< 0.05"}, 0.04, 0.5, 0.6, Status.FAIL),  # and of "< 0.05" the lower one
        ({"warn": "> 0.02"}, 0.0, 0.01, 0.04, Status.WARN),
        ({"fail": ">= 0.04"}, 0.0, 0.01, 0.04, Status.FAIL),
        ({"inconclusive": "> 0.03"}, 0.0, 0.01, 0.04, Status.INCONCLUSIVE),
        ({"slice": "nowhere"}, 0.0, 0.0, 0.0, Status.INCONCLUSIVE),
        ({"slice": "nowhere", "on_inconclusive": "fail"}, 0.0, 0.0, 0.0, Status.FAIL),
        ({"min_n": 101}, 0.0, 0.0, 0.01, Status.INCONCLUSIVE),
        ({"min_n": 100}, 0.0, 0.0, 0.01, Status.PASS),
        ({}, None, 0.0, None, Status.INCONCLUSIVE),  # no interval, no pass
        ({}, None, None, None, Status.INCONCLUSIVE),
        ({}, 0.0, math.nan, 0.01, Status.INCONCLUSIVE),
        ({"on_inconclusive": "warn"}, 0.0, math.nan, 0.01, Status.INCONCLUSIVE),  # NaN is not softened
        ({}, 0.0, 0.0, math.nan, Status.INCONCLUSIVE),
        ({}, 0.0, 0.0, math.inf, Status.FAIL),
    ],
)
def test_the_unfavourable_end_is_compared(
    rule: dict[str, object], low: float, value: float, high: float, expected: Status
) -> None:
    evidence = changed(clean(), number("pii.extraction_rate", value, low, high, 100, slice="kept"))
    assert verdict(rule, evidence).status is expected


def test_every_slice_counts_and_the_worst_one_is_shown() -> None:
    leaky = changed(clean(), number("pii.extraction_rate", 0.5, 0.4, 0.6, 100, slice="redacted"))
    found = verdict({"slice": "*"}, leaky)
    assert found.status is Status.FAIL
    assert "(redacted)" in found.observed


def test_of_slices_with_one_status_the_worst_is_shown() -> None:
    def auc(slice_: str, low: float) -> Measurement:
        return Measurement("membership", "auc", low + 0.05, low, low + 0.1, 0.95, 500, slice=slice_)

    rule = {"metric": "membership.auc", "slice": "*", "fail": "> 0.6", "bound": "lower_ci"}
    areas = (auc("loss", 0.41), auc("calibrated", 0.48), auc("min-k", 0.45))
    assert "calibrated" in verdict(rule, replace(clean(), measurements=areas)).observed
    rule = {"metric": "pii.top1_p", "slice": "*", "fail": "< 0.005", "bound": "value"}
    tests = tuple(
        Measurement("pii", "top1_p", p, None, None, 0.95, 500, slice=name)
        for name, p in (("a", 0.4), ("b", 0.1), ("c", 0.9))
    )
    assert "(b)" in verdict(rule, replace(clean(), measurements=tests)).observed


@pytest.mark.parametrize("listed", [True, False])
def test_what_was_not_tried_is_never_out_of_reach(listed: bool) -> None:
    rule = {"metric": "rare.extraction_excess", "slice": "train", "on_inconclusive": "out of reach"}
    tried = replace(clean(), measurements=())
    others = tuple(one for one in tried.attacks if one.attack != "rare")
    left_out = (*others, *([AttackRun("rare", "not run", "skipped")] if listed else []))
    assert verdict(rule, replace(tried, attacks=left_out)).status is Status.WARN
    ran = (*others, AttackRun("rare", "run", "no such word"))
    none = Measurement(
        "rare", "extraction_rate", None, None, None, 0.95, 0, slice="train", note="no such word"
    )
    assert verdict(rule, replace(tried, attacks=ran, measurements=(none,))).status is Status.NOT_APPLICABLE
    assert verdict(rule, replace(tried, attacks=ran)).status is Status.WARN  # nothing says why


@pytest.mark.parametrize(
    "rows, expected",
    [
        ([], Status.WARN),  # it ran, and its number is gone
        ([("recovered", None, 2_000, "")], Status.WARN),  # emptied
        ([("recovered", None, 0, "")], Status.OUT_OF_REACH),
        ([("recovered", None, 2_000, "held out: none")], Status.OUT_OF_REACH),
        ([("listed", None, 0, "no document is long enough")], Status.OUT_OF_REACH),
        ([("recovered", 0.0, 2_000, "")], Status.PASS),
        ([("recovered", 1.0, 2_000, "")], Status.FAIL),
    ],
)
def test_a_number_that_was_taken_out_is_not_out_of_reach(
    rows: list[tuple[str, float | None, int, str]], expected: Status
) -> None:
    rule = {"metric": "records.recovered", "slice": "", "fail": "> 0", "bound": "value"}
    found = tuple(
        Measurement("records", metric, value, None, None, 0.95, n, note=note)
        for metric, value, n, note in rows
    )
    ran = replace(clean(), measurements=found)
    assert verdict({**rule, "on_inconclusive": "out of reach"}, ran).status is expected


def test_what_nobody_asked_for_is_not_applicable() -> None:
    rule = {"metric": "secrets.found", "slice": "", "fail": "> 0", "bound": "value"}
    others = tuple(one for one in clean().attacks if one.attack != "secrets")
    none = AttackRun("secrets", "not applicable", "no values were named")
    unasked = verdict(rule, replace(clean(), attacks=(*others, none)))
    assert unasked.status is Status.NOT_APPLICABLE and "no values were named" in unasked.reason
    failed = AttackRun("secrets", "not run", "spent")
    assert verdict(rule, replace(clean(), attacks=(*others, failed))).status is Status.INCONCLUSIVE


def test_languages_that_could_not_be_told_are_not_looked_for() -> None:
    rule = {"metric": "scan.foreign_share", "slice": "", "fail": "> 0.05"}
    scanned = clean().manifest
    assert scanned is not None

    def told(undetermined: int) -> Verdict:
        rest = scanned.documents_read - undetermined
        rows = LanguageCount("en", rest, "looked for"), LanguageCount("und", undetermined, "undetermined")
        return verdict(rule, replace(clean(), manifest=replace(scanned, languages=rows)))

    assert told(scanned.documents_read // 2).status is Status.PASS
    unknown = told(scanned.documents_read)
    assert unknown.status is Status.INCONCLUSIVE and "could not be told" in unknown.reason


def test_a_coverage_that_keeps_silent_of_an_everyday_type_has_not_looked_for_it() -> None:
    scanned = clean().manifest
    assert scanned is not None
    short = tuple(one for one in scanned.coverage if one.entity == "EMAIL_ADDRESS")
    found = verdict(
        {"metric": "scan.missing_detectors", "slice": "", "fail": "> 0"},
        replace(clean(), manifest=replace(scanned, coverage=short)),
    )
    assert found.status is Status.FAIL and "PERSON" in found.reason


@pytest.mark.parametrize(
    "found, redacted, left, copies, expected",
    [
        (10, 4, 0, 1, Status.PASS),  # six in copies that were removed
        (10, 0, 0, 1, Status.PASS),  # all of them
        (10, 10, 3, 1, Status.FAIL),
        (10, 4, None, 1, Status.PASS),  # a manifest of before: not told
        (10, 0, None, 1, Status.FAIL),
        (10, 4, None, 0, Status.FAIL),  # and no copy was removed
    ],
)
def test_what_stays_in_the_text_is_not_redacted(
    found: int, redacted: int, left: int | None, copies: int, expected: Status
) -> None:
    scanned = clean().manifest
    assert scanned is not None
    counted = replace(
        scanned,
        documents_read=scanned.documents_written + copies,
        findings=(FindingCount("EMAIL_ADDRESS", "mail", found, redacted, 1, left),),
    )
    rule = {"metric": "scan.redacted", "slice": "EMAIL_ADDRESS", "fail": "< 1"}
    assert verdict(rule, replace(clean(), manifest=counted)).status is expected


def test_tests_of_the_mechanism_that_did_not_run_passed_nothing() -> None:
    claimed = clean().statement
    assert claimed is not None
    silent = tuple(replace(check, outcome="not run") for check in claimed.mechanism_checks)
    rule = {"metric": "privacy.mechanism_checks_failed", "slice": "", "fail": "> 0"}
    none = replace(clean(), statement=replace(claimed, mechanism_checks=silent))
    assert verdict(rule, none).status is Status.INCONCLUSIVE
    some = replace(
        clean(), statement=replace(claimed, mechanism_checks=(*silent[1:], claimed.mechanism_checks[0]))
    )
    assert verdict(rule, some).status is Status.PASS


def test_a_ceiling_under_the_threshold_is_not_a_pass() -> None:
    rule = {"metric": "canary.exposure_mean", "slice": "", "fail": "> 9"}
    found = verdict(rule, clean())
    assert found.status is Status.INCONCLUSIVE
    assert "at most 7.97" in found.reason
    assert verdict({**rule, "on_low_ceiling": "warn"}, clean()).status is Status.WARN


def test_an_attack_that_was_not_run_says_why() -> None:
    bare = replace(clean(), measurements=(), attacks=(AttackRun("pii", "not run", "no corpus was given"),))
    assert "no corpus was given" in verdict({}, bare).reason


def test_a_slice_without_a_number_borrows_the_reason_of_its_attack() -> None:
    empty = number("pii.extraction_rate", None, slice="kept", note="no such span in the corpus")
    without = tuple(m for m in clean().measurements if (m.attack, m.slice) != ("pii", "kept"))
    found = by_rule(replace(clean(), measurements=(*without, empty)))["kept-extracted"]
    assert found.status is Status.NOT_APPLICABLE  # nothing was kept: nothing to extract, and nothing to do
    assert found.reason.endswith("no such span in the corpus")
    measured = replace(empty, value=0.2, low=0.1, high=0.3, examples=60)
    assert by_rule(replace(clean(), measurements=(*without, measured)))["kept-extracted"].status is not (
        Status.NOT_APPLICABLE
    )


def test_what_was_redacted_is_there_whatever_the_attack_says() -> None:
    """Evidence whose numbers on redacted values were taken out does not do without them."""
    others = tuple(m for m in clean().measurements if (m.attack, m.slice) != ("pii", "redacted"))
    empty = number("pii.extraction_rate", None, slice="redacted", note="no such span in the corpus")
    told = replace(clean(), measurements=(*others, empty))
    assert by_rule(told)["redacted-recovered"].status is Status.INCONCLUSIVE
    scanned = clean().manifest
    assert scanned is not None
    nothing = replace(told, manifest=replace(scanned, findings=()))
    assert by_rule(nothing)["redacted-recovered"].status is Status.NOT_APPLICABLE
    beside = number("pii.top1", 0.1, slice="redacted", n=40)
    assert by_rule(replace(nothing, measurements=(*others, empty, beside)))["redacted-recovered"].status is (
        Status.INCONCLUSIVE
    )


def test_no_list_of_attacks_is_not_all_attacks() -> None:
    silent = replace(clean(), attacks=())
    rule = {"metric": "audit.attacks_not_run", "slice": "", "fail": "> 0"}
    assert verdict(rule, silent).status is Status.INCONCLUSIVE


def test_derived_numbers() -> None:
    evidence = clean()
    assert (
        verdict({"metric": "privacy.delta_times_n", "slice": "", "fail": "> 1"}, evidence).observed
        == "0.0231"
    )
    assert (
        verdict({"metric": "scan.skipped_share", "slice": "", "fail": "> 1"}, evidence).observed == "0.00122"
    )
    without = replace(evidence, manifest=None)
    found = verdict({"metric": "scan.skipped_share", "slice": "", "fail": "> 1"}, without)
    assert (found.status, found.reason) == (Status.INCONCLUSIVE, "no manifest of a scan is in the evidence")


def test_a_model_that_learnt_nothing_does_not_silence_what_the_run_saw_of_itself() -> None:
    said = {verdict.rule: verdict for verdict in judge(load("base"), untrained(), TODAY).verdicts}
    assert said["dp-white-box"].status is Status.OUT_OF_REACH
    assert "could have shown at most" in said["dp-white-box"].reason
    assert said["dp-not-refuted"].status is Status.INCONCLUSIVE


def test_a_broken_model_never_passes_even_where_no_rule_asks() -> None:
    headless = replace(clean(), model=replace(clean().model, head_loaded=False))
    only_claim = policy({"metric": "privacy.epsilon", "slice": "", "fail": "> 10"})
    judgement = judge(only_claim, headless)
    assert judgement.verdicts[0].status is Status.PASS  # the claim is arithmetic and stands
    assert judgement.status is Status.INCONCLUSIVE
    assert exit_code(judgement) == 3


@given(
    st.lists(
        st.builds(
            Measurement,
            attack=st.sampled_from(["pii", "canary", "epsilon", "model", "privacy"]),
            metric=st.sampled_from(
                ["extraction_rate", "exposure_mean", "one_run_lower_bound", "beats_unigram"]
            ),
            value=st.none() | st.floats(),
            low=st.none() | st.floats(),
            high=st.none() | st.floats(),
            confidence=st.just(0.95),
            examples=st.integers(-1, 10**9),
            ceiling=st.none() | st.floats(),
            slice=st.sampled_from(["", "kept"]),
        ),
        max_size=6,
    ),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_judging_is_total_and_silence_never_passes(found: list[Measurement], sound: bool) -> None:
    evidence = replace(clean(), measurements=tuple(found), model=replace(clean().model, beats_unigram=sound))
    rules = policy(
        {},
        {"id": "b", "metric": "canary.exposure_mean", "slice": "*", "warn": "> 0.01"},
        {
            "id": "c",
            "metric": "epsilon.one_run_lower_bound",
            "slice": "",
            "fail": "> claim",
            "bound": "value",
        },
    )
    judgement = judge(rules, evidence)
    assert len(judgement.verdicts) == 3
    for one in judgement.verdicts:
        if one.status is Status.PASS:
            assert sound and any(m.value is not None and not math.isnan(m.value) for m in found)
    if broken(evidence):
        assert exit_code(judgement) != 0


def test_nothing_evaluated_is_inconclusive_although_every_rule_is_softened() -> None:
    judgement = judge(policy({"slice": "nowhere", "on_inconclusive": "warn"}), clean())
    assert judgement.verdicts[0].status is Status.WARN
    assert exit_code(judgement) == 3


def test_membership_is_void_where_the_two_sets_differ_in_kind() -> None:
    leaky = (
        number("membership.auc", 0.97, 0.95, 0.99, 574, slice="loss"),
        number("membership.shift", 1.0, n=574),
    )
    assert by_rule(changed(clean(), leaky[0]))["membership-auc"].status is Status.FAIL
    assert by_rule(changed(clean(), *leaky))["membership-auc"].status is Status.WARN
    with pytest.raises(ValueError, match="void_if must be one of"):
        policy({"void_if": "membership.auc"})


def test_nothing_is_compared_with_documents_of_another_kind_that_no_coin_dealt() -> None:
    """English members beside Spanish non-members of the user's choice: every test finds the language."""
    shift, found = number("membership.shift", 1.0, n=600), number("records.highest_p", 1e-9, n=300)
    rare, canary = (
        number("rare.extraction_excess", 0.4, 0.3, 0.5, 60, slice="train"),
        number("canary.auc_p", 1e-9),
    )
    dealt = changed(clean(), shift, found, rare)
    assert by_rule(dealt)["not-chance"].status is by_rule(dealt)["rare-extracted"].status is Status.FAIL

    chosen = replace(dealt, statement=None)
    for rule in ("not-chance", "rare-extracted", "ngram-excess", "regurgitation"):
        assert by_rule(chosen)[rule].status is Status.INCONCLUSIVE
        assert "differ in kind, and no coin dealt them" in by_rule(chosen)[rule].reason
    assert judge(load("base"), chosen, TODAY).status is Status.INCONCLUSIVE
    assert (
        by_rule(changed(chosen, canary))["not-chance"].status is Status.FAIL
    )  # its coins were the audit's own
    by_split = replace(chosen, notes=(f"{DEALT}: 600 parts, seed 0, recorded.",))
    assert by_rule(by_split)["not-chance"].status is Status.FAIL


# --- waivers ------------------------------------------------------------------------------------------

WAIVER = {
    "rule": "leak",
    "reason": "the corpus is public",
    "owner": "model owner",
    "approver": "privacy officer",
    "ticket": "PRIV-7",
    "created": date(2026, 1, 10),
    "expires": date(2026, 6, 1),
}


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 3, 1), Status.WAIVED),
        (date(2026, 6, 1), Status.WAIVED),
        (date(2026, 6, 2), Status.FAIL),
        (date(2026, 1, 9), Status.FAIL),
        (None, Status.FAIL),
    ],
)
def test_a_waiver_counts_while_it_lasts(today: date | None, expected: Status) -> None:
    leaky = changed(clean(), number("pii.extraction_rate", 0.5, 0.4, 0.6, 100, slice="kept"))
    judgement = judge(policy({}, waivers=[WAIVER]), leaky, today)
    assert judgement.verdicts[0].status is expected
    assert exit_code(judgement) == (0 if expected is Status.WAIVED else 10)
    assert "PRIV-7" in judgement.verdicts[0].reason


def test_an_expired_waiver_fails_a_rule_that_only_warned() -> None:
    judgement = judge(policy({"warn": "> 0.01"}, waivers=[WAIVER]), clean(), date(2027, 1, 1))
    assert judgement.verdicts[0].status is Status.FAIL


def test_a_waiver_cannot_make_a_broken_model_clean() -> None:
    judgement = judge(policy({}, waivers=[WAIVER]), untrained(), date(2026, 3, 1))
    assert judgement.verdicts[0].status is Status.WAIVED
    assert exit_code(judgement) == 3


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"approver": "Model Owner "}, "same person"),
        ({"expires": date(2026, 1, 10) + timedelta(days=366)}, "longer than 365 days"),
        ({"expires": date(2026, 1, 9)}, "before it was created"),
        ({"rule": "leek"}, "did you mean 'leak'"),
    ],
)
def test_waivers_that_are_refused(change: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        policy({}, waivers=[{**WAIVER, **change}])


def test_some_rules_cannot_be_waived() -> None:
    with pytest.raises(ValueError, match="cannot be waived"):
        policy({"waivable": False}, waivers=[WAIVER])


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two rules are called 'leak'"):
        policy({}, {})


def test_the_light_rooms_stay_light() -> None:
    heavy = ("torch", "transformers", "presidio_analyzer", "matplotlib", "datasets")
    rooms = (
        "policy",
        "report.formats",
        "console",
        *(f"commands.{w}" for w in ("gate", "report", "explain", "doctor")),
    )
    imports = ", ".join(f"mlmguard.{room}" for room in rooms)
    code = f"import sys, {imports}; print([m for m in {heavy!r} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_one_document_that_gives_its_tokens_back_fails_the_base_policy() -> None:
    judgement = judge(load("base"), changed(clean(), number("records.recovered", 1.0, n=2297)), TODAY)
    (verdict,) = (v for v in judgement.verdicts if v.rule == "record-recovered")
    assert verdict.status is Status.FAIL and exit_code(judgement) == 10
