"""What who signs asks first: each answer follows the evidence, and not knowing is said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load
from mlmguard.report import annex, briefing, tables
from mlmguard.report.clearance import Case, case
from mlmguard.report.formats import render
from mlmguard.types import (
    Evidence,
    Hazard,
    LanguageCount,
    Measurement,
    MechanismCheck,
    PrivacyStatement,
    Status,
)
from tests.fixtures.evidence import TODAY, clean, extractable, manifest, not_private, statement, untrained


def judged(evidence: Evidence, policy: str = "base") -> Case:
    return case(evidence, judge(load(policy), evidence, TODAY))


def answer(evidence: Evidence, question: str, policy: str = "base") -> str:
    return " ".join(dict(briefing.answers(judged(evidence, policy)))[question])


def of_a_person(claimed: PrivacyStatement | None) -> str:
    return briefing.of_a_person(case(replace(clean(), statement=claimed, measurements=())))


def test_what_is_not_in_the_evidence_is_said_to_be_unknown() -> None:
    bare = replace(clean(), manifest=None, notes=())
    assert "not known" in answer(bare, "Corpus")
    assert answer(bare, "Names of persons").startswith("Not known")
    assert answer(bare, "Smallest leak it would see") == "The evidence does not say."


def test_names_nobody_looked_for_were_trained_on() -> None:
    known = manifest()
    blind = tuple(
        replace(d, status="no detector", recall="") if d.entity == "PERSON" else d for d in known.coverage
    )
    found = answer(replace(clean(), manifest=replace(known, coverage=blind)), "Names of persons")
    assert "Nobody looked" in found and "trained on" in found


def test_a_recall_is_printed_with_its_counts_and_its_text() -> None:
    known = manifest()
    recall = "0.86 (500/580; English sentences), 0.66 (311/470; English tweets)"
    told = tuple(replace(d, recall=recall) if d.entity == "PERSON" else d for d in known.coverage)
    assert recall in answer(replace(clean(), manifest=replace(known, coverage=told)), "Names of persons")
    soiled = tuple(
        replace(d, recall="0.9 (call 555 123 4567 89)") if d.entity == "PERSON" else d for d in known.coverage
    )
    assert "4567" not in answer(
        replace(clean(), manifest=replace(known, coverage=soiled)), "Names of persons"
    )


def test_languages_nobody_looked_through_are_counted() -> None:
    known = replace(
        manifest(),
        languages=(
            LanguageCount("en", 3000, "looked for", (), ()),
            LanguageCount("fi", 284, "not looked for", (), ()),
        ),
    )
    assert "In 284 of them nobody looked" in answer(replace(clean(), manifest=known), "Corpus")


def test_epsilon_in_words_never_promises_a_person_what_holds_for_a_document() -> None:
    def said(status: str | None) -> str:
        hazards = () if status is None else (Hazard("unit-smaller-than-person", status, "documents"),)
        claimed = replace(
            statement(), hazards=hazards, group_epsilon={"10": None, "2": 19.1},
            true_positive_ceilings={"0.01": 0.22},
        )  # fmt: skip
        return of_a_person(claimed)

    for status in ("present", "unknown", None):
        assert said(status).endswith("with several documents it is weaker (2: ε = 19.1, 10: no bound).")
    assert "one unit" in said("absent") and "weaker" not in said("absent")
    assert "at most 22\N{NO-BREAK SPACE}% of those trained on" in said("absent")
    assert of_a_person(not_private().statement).startswith("Nothing: no differential privacy")


def test_an_epsilon_that_a_hazard_hollows_is_no_bound_without_its_name() -> None:
    hazards = (Hazard("tokenizer", "present", "its own text"), Hazard("timing", "unknown", "clocks"))
    told = of_a_person(replace(statement(), hazards=hazards))
    assert told.startswith("Less than it seems, for tokenizer (mlmguard explain says what they are): ε =")
    assert of_a_person(replace(statement(), hazards=hazards[1:])).startswith("ε =")


def bound(value: float) -> Measurement:
    return Measurement("epsilon", "one_run_lower_bound", value, value, None, 0.95, 500, 9.9)


REFUTED: dict[str, Any] = {
    "a start that knew the corpus": {"hazards": (Hazard("initial-weights", "present", "another run"),)},
    "a failed test": {"mechanism_checks": (MechanismCheck("noise", "failed", "variances", "correlation"),)},
    "a bound above it": {},
}


@pytest.mark.parametrize("why", REFUTED)
def test_a_claim_that_is_refuted_is_worded_as_no_bound_anywhere(why: str) -> None:
    numbers = (bound(9.0),) if why == "a bound above it" else ()
    evidence = replace(clean(), statement=replace(statement(), **REFUTED[why]), measurements=numbers)
    shown = case(evidence)
    assert briefing.of_a_person(shown).startswith("Nothing: ε = 7.98 for one document is claimed, and")
    assert "does not hold" in dict(annex.edpb(shown))["58: design"]
    for name in ("dpia", "annex"):
        assert "recognises at most" not in render(name, shown), name


def test_a_scan_that_does_not_say_what_it_looked_for_is_not_one_that_looked_for_everything() -> None:
    silent = replace(clean(), manifest=replace(manifest(), coverage=()))
    assert answer(silent, "Never looked for") == "Not known."
    assert answer(silent, "Names of persons").startswith("Not known")


def test_who_must_act_names_rules_and_roles() -> None:
    failed = answer(extractable(), "Who must act", "gdpr-anonymity-evidence")
    assert "do not release" in failed and "canary-extracted" in failed
    assert (
        "Data protection officer: sign 2 statements." in failed and "Controller: sign 1 statement." in failed
    )
    nobody = case(clean())
    assert "Nobody has judged" in briefing.who_acts(nobody)[0]


@pytest.mark.parametrize("attack, what", [("records", "by heart"), ("values", "with a value")])
def test_documents_that_are_listed_are_somebodys_to_look_at(attack: str, what: str) -> None:
    listed = Measurement(attack, "listed", 12.0, None, None, 0.95, 2000)
    others = tuple(m for m in clean().measurements if m.metric != "listed")
    shown = judged(replace(clean(), measurements=(*others, listed)))
    told = " ".join(briefing.who_acts(shown))
    assert re.search(f"data owner: look at 12 documents .*{what}", told)


def test_nobody_is_to_act_only_where_the_verdict_is_a_pass() -> None:
    shown = judged(clean())
    assert shown.judgement is not None
    silent = replace(shown.judgement, verdicts=(), attestations=(), status=Status.INCONCLUSIVE)
    assert briefing.who_acts(replace(shown, judgement=silent)) == [
        "The evidence is not enough to say whether the model may be released."
    ]
    passed = replace(silent, status=Status.PASS)
    assert briefing.who_acts(replace(shown, judgement=passed))[0].startswith("Nobody before the release")


def test_an_attestation_that_is_settled_asks_nobody_to_sign() -> None:
    shown = judged(clean(), "gdpr-anonymity-evidence")
    assert shown.judgement is not None
    asked = sum(int(n) for n in re.findall(r"sign (\d+) statement", " ".join(briefing.who_acts(shown))))
    statements = {one.id for one in shown.judgement.attestations}
    open_ = [v for v in shown.judgement.verdicts if v.rule in statements and v.status in tables.UNMET]
    assert asked == len(open_)


def test_types_and_languages_nobody_looked_for_are_both_named() -> None:
    known = manifest()
    rows = LanguageCount("en", 3_000, "looked for"), LanguageCount("fi", 284, "not looked for")
    never = answer(replace(clean(), manifest=replace(known, languages=rows)), "Never looked for")
    assert "ORGANIZATION" in never and "another language (fi)" in never


def test_languages_beyond_a_dozen_are_added_up() -> None:
    rows = tuple(LanguageCount(f"l{k}", 100 - k, "not looked for") for k in range(15))
    table = tables.languages(replace(manifest(), languages=rows))
    assert table is not None and len(table.rows) == 13
    assert table.rows[-1][:3] == ("3 others", str(88 + 87 + 86), "not looked for")


def test_the_smallest_leak_is_the_first_of_what_the_audit_says_of_its_reach() -> None:
    note = "Reach: with 9 of 90 units held out a model fails where 7 units are known. Fewer are listed. More."
    shown = judged(replace(clean(), notes=(note,)))
    assert briefing.reach(shown) == (
        "With 9 of 90 units held out a model fails where 7 units are known. Fewer are listed."
    )


def test_one_cause_is_said_once() -> None:
    policy = load("base")
    judgement = judge(policy, untrained(), TODAY)
    shown = case(untrained(), judgement, policy.advice)
    cause = "finding nothing in it says nothing"
    page = render("html", shown)
    hidden = re.sub(r"<details.*?</details>", "", page[page.index('id="gates"') :], flags=re.DOTALL)
    alike = sum(verdict.reason.endswith(cause) for verdict in judgement.verdicts)
    assert hidden.count(f"{cause}.") == 1 and f"for one reason: {alike} rules" in hidden and alike > 10
    assert page.count('id="rule-') == len(judgement.verdicts)  # each is there all the same
