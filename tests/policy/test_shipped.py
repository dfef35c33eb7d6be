"""The shipped policies on evidence that fails and that passes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlmguard import cli
from mlmguard.artifacts import write_json
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load, shipped
from mlmguard.policy.rule import Policy
from mlmguard.types import Detector, Drift, Evidence, FindingCount, Judgement, LanguageCount, Status
from tests.fixtures.evidence import TODAY, changed, clean, extractable, manifest, not_private, number

WEIGHTS = clean().model.digest[:16]


def signed(name: str) -> Policy:
    """The shipped policy with every attestation signed for the fixture's weights."""
    policy = load(name)
    signatures = [
        {
            "attestation": asked.id,
            "role": asked.role,
            "by": f"the {asked.role} of the house",
            "date": date(2026, 2, 20),
            "model": WEIGHTS,
        }
        for asked in policy.attestations
    ]
    return Policy.model_validate({**policy.model_dump(exclude_defaults=True), "signatures": signatures})


# --- evidence for each --------------------------------------------------------------------------------


def thorough() -> Evidence:
    """The clean model, audited with enough probes to rule things out."""
    return changed(
        clean(),
        number("pii.extraction_rate", 0.0, 0.0, 0.0099, 1000, slice="CREDIT_CARD"),
        number("pii.extraction_excess", 0.0, -0.004, 0.006, 1000, slice="kept"),
        number("pii.extraction_excess", 0.0, -0.004, 0.006, 1000, slice="redacted"),
        number("canary.extraction_rate", 0.0, 0.0, 0.0147, 249),
        number("membership.auc", 0.512, 0.49, 0.54, 5740, slice="loss"),
        number("membership.auc", 0.521, 0.49, 0.55, 5740, slice="calibrated"),
        number("membership.tpr_at_1pct_fpr", 0.012, 0.006, 0.02, 5740),
        number("epsilon.one_run_lower_bound", 1.2, 1.2, n=60_000, ceiling=9.4),
    )


def deidentified() -> Evidence:
    """Everything HIPAA names has a detector, was redacted, and names were counted on a labelled sample."""
    entities = {rule.slice for rule in load("hipaa-safe-harbor").rules if rule.metric == "scan.redacted"}
    scanned = replace(
        manifest(),
        coverage=tuple(Detector(entity, "a detector", "1", "available") for entity in sorted(entities)),
        findings=tuple(FindingCount(entity, "clinic", 40, 31, 20) for entity in sorted(entities)),
    )
    recall = number("scan.recall", 0.982, 0.961, 0.993, 500, slice="PERSON")
    return replace(changed(thorough(), recall), manifest=scanned)


def cards_left_in() -> Evidence:
    left = FindingCount("CREDIT_CARD", "billing", 388, 0, 371)
    rows = tuple(left if row.rule == "CREDIT_CARD" else row for row in manifest().findings)
    return replace(thorough(), manifest=replace(manifest(), findings=rows))


def compared(p: float) -> Evidence:
    """Text of now held against text of before, one number of which has the p-value ``p``."""
    measurements = (
        number("model.unigram_margin", 0.6, 0.5, 0.7, 80),
        number("drift.vocabulary_js", 0.1, 0.05, 0.2, 160),
        number("drift.p", p, None, None, 160, slice="vocabulary_js"),
        number("drift.p", 1.0, None, None, 160, slice="loss_change"),
    )
    facts = {"before": 80, "now": 80}, {"tokens": "1024"}
    return Drift("run", "texts", "documents", clean().model, None, *facts, measurements, (), "0.1").evidence


PASSING: dict[str, Callable[[], Evidence]] = {
    "base": clean,
    "hipaa-safe-harbor": deidentified,
    "gdpr-anonymity-evidence": thorough,
    "pci-pan": thorough,
    "dp-release": thorough,
    "drift": lambda: compared(0.2),
}
FAILING: dict[str, tuple[Callable[[], Evidence], str]] = {
    "base": (extractable, "canary-extracted"),
    "hipaa-safe-harbor": (thorough, "a-names"),  # names were found, and none was redacted
    "gdpr-anonymity-evidence": (extractable, "kept-extracted"),
    "pci-pan": (cards_left_in, "pan-removed"),
    "dp-release": (not_private, "dp-epsilon"),
    "drift": (lambda: compared(0.05), "drift-found"),
}


def test_every_shipped_policy_is_tried() -> None:
    assert set(shipped()) == set(PASSING) == set(FAILING)


@pytest.mark.parametrize("name", list(PASSING))
def test_what_must_pass_passes(name: str) -> None:
    judgement = judge(signed(name), PASSING[name](), TODAY)
    unmet = {v.rule: v.reason for v in judgement.verdicts if v.status in (Status.FAIL, Status.INCONCLUSIVE)}
    assert unmet == {}
    assert exit_code(judgement) == 0


@pytest.mark.parametrize("name", list(FAILING))
def test_what_must_fail_fails(name: str) -> None:
    make, rule = FAILING[name]
    judgement = judge(signed(name), make(), TODAY)
    assert exit_code(judgement) == 10
    assert rule in {v.rule for v in judgement.verdicts if v.status is Status.FAIL}


@pytest.mark.parametrize(("which", "code"), [("passing", 0), ("failing", 10)])
@pytest.mark.parametrize("name", list(shipped()))
def test_the_command_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, which: str, code: int
) -> None:
    """A house that extends the shipped policy and signs what it asks for; a gate over a saved file."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1772445600")  # the day of the fixture
    parent = load(name)
    signatures = [signature.model_dump(mode="json") for signature in signed(name).signatures]
    house = {"id": "house", "version": "1", "title": "House", "signatures": signatures}
    house["extends"] = {"policy": name, "version": parent.version}
    YAML().dump(house, tmp_path / "house.yaml")
    make = PASSING[name] if which == "passing" else FAILING[name][0]
    write_json(tmp_path / "e.json", make())
    assert cli.run(["gate", str(tmp_path / "e.json"), "--policy", str(tmp_path / "house.yaml")]) == code


@pytest.mark.parametrize("name", list(shipped()))
def test_no_evidence_is_inconclusive_or_fails_and_never_passes(name: str) -> None:
    silent = replace(clean(), manifest=None, statement=None, measurements=(), curves=(), attacks=(), notes=())
    assert exit_code(judge(signed(name), silent, TODAY)) in (3, 10)


def _of(judgement: Judgement, rule: str) -> tuple[Status, str]:
    return next((v.status, v.reason) for v in judgement.verdicts if v.rule == rule)


def test_hipaa_is_inconclusive_until_a_labelled_sample_shows_recall() -> None:
    without = replace(
        deidentified(), measurements=tuple(m for m in deidentified().measurements if m.metric != "recall")
    )
    judgement = judge(signed("hipaa-safe-harbor"), without, TODAY)
    assert exit_code(judgement) == 3
    expected = (Status.INCONCLUSIVE, "no measurement scan.recall of slice 'PERSON'")
    assert _of(judgement, "a-names-recall") == expected
    few = changed(deidentified(), number("scan.recall", 1.0, 0.9, 1.0, 30, slice="PERSON"))
    assert "299 are needed" in _of(judge(signed("hipaa-safe-harbor"), few, TODAY), "a-names-recall")[1]


def test_hipaa_covers_the_eighteen_letters() -> None:
    policy = load("hipaa-safe-harbor")
    controls = [rule.control for rule in policy.rules] + [asked.control for asked in policy.attestations]
    letters = {found[1] for text in controls if (found := re.search(r"\(b\)\(2\)\(i\)\(([A-R])\)", text))}
    assert letters == set("ABCDEFGHIJKLMNOPQR")
    assert any("(b)(2)(ii)" in text for text in controls)


def test_a_type_without_a_detector_is_unknown_and_not_clean() -> None:
    scanned = deidentified().manifest
    assert scanned is not None
    blind = replace(
        scanned,
        coverage=tuple(replace(d, status="no detector") for d in scanned.coverage if d.entity == "AGE"),
        findings=(),
    )
    judgement = judge(signed("hipaa-safe-harbor"), replace(deidentified(), manifest=blind), TODAY)
    assert _of(judgement, "c-ages") == (Status.INCONCLUSIVE, "no detector looked for AGE")


# --- attestations -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "day", "today", "expected"),
    [
        (WEIGHTS, date(2026, 2, 20), TODAY, "signed by"),
        ("f" * 16, date(2026, 2, 20), TODAY, "signed for other weights"),
        (WEIGHTS, date(2024, 2, 20), TODAY, "not within a year"),
        (WEIGHTS, date(2027, 2, 20), TODAY, "not within a year"),
        (WEIGHTS, date(2026, 2, 20), None, "not checked against a date"),
    ],
)
def test_a_signature_is_for_these_weights_and_a_year(
    model: str, day: date, today: date | None, expected: str
) -> None:
    policy = signed("pci-pan")
    (signature,) = policy.signatures
    changed_one = signature.model_copy(update={"model": model, "date": day})
    judgement = judge(policy.model_copy(update={"signatures": (changed_one,)}), thorough(), today)
    status, reason = _of(judgement, "no-authentication-data")
    assert expected in reason
    assert (status is Status.PASS) == (expected == "signed by")
    assert bool(judgement.attestations[0].signed_by) == (status is Status.PASS)


def test_an_unsigned_attestation_says_who_is_asked() -> None:
    judgement = judge(load("pci-pan"), thorough(), TODAY)
    assert exit_code(judgement) == 3
    status = _of(judgement, "no-authentication-data")
    assert status == (Status.INCONCLUSIVE, "not signed by the PCI compliance lead")


@pytest.mark.parametrize("name", ["hipaa-safe-harbor", "gdpr-anonymity-evidence"])
def test_a_language_whose_identifiers_nobody_looked_for_leaves_it_open(name: str) -> None:
    """More than five documents in a hundred; a scan that told no languages is no better."""
    policy = signed(name)
    whole = manifest()

    def status(*rows: LanguageCount) -> Status:
        evidence = replace(thorough(), manifest=replace(whole, languages=rows))
        return next(v.status for v in judge(policy, evidence, TODAY).verdicts if v.rule == "languages")

    def of(spanish: int, status: str = "not looked for") -> tuple[LanguageCount, ...]:
        english = LanguageCount("en", whole.documents_read - spanish, "looked for")
        return english, LanguageCount("es", spanish, status)

    assert status(*of(164)) == Status.PASS
    assert status(*of(165)) == Status.INCONCLUSIVE
    assert status(*of(1000, "looked for")) == Status.PASS
    assert status() == Status.INCONCLUSIVE
