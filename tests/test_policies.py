"""The shipped policies on evidence that fails and that passes them; policies that extend others."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from evidence_fixture import TODAY, changed, clean, extractable, manifest, not_private, number
from ruamel.yaml import YAML

from mlmguard import cli
from mlmguard.artifacts import write_json
from mlmguard.commands.policies import differences, resolved
from mlmguard.errors import InputError
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load, parse, shipped
from mlmguard.policy.rule import Policy, Rule, looser, written
from mlmguard.types import AttackRun, Detector, Evidence, FindingCount, Judgement, Status

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


def every_attack() -> Evidence:
    ran = AttackRun("generation", "run", "Gibbs sampling, 10,000 texts")
    return replace(thorough(), attacks=(*clean().attacks, ran))


def cards_left_in() -> Evidence:
    left = FindingCount("CREDIT_CARD", "billing", 388, 0, 371)
    rows = tuple(left if row.rule == "CREDIT_CARD" else row for row in manifest().findings)
    return replace(thorough(), manifest=replace(manifest(), findings=rows))


PASSING: dict[str, Callable[[], Evidence]] = {
    "base": clean,
    "hipaa-safe-harbor": deidentified,
    "gdpr-anonymity-evidence": every_attack,
    "pci-pan": thorough,
    "dp-release": thorough,
}
FAILING: dict[str, tuple[Callable[[], Evidence], str]] = {
    "base": (extractable, "canary-extracted"),
    "hipaa-safe-harbor": (thorough, "a-names"),  # names were found, and none was redacted
    "gdpr-anonymity-evidence": (extractable, "kept-ruled-out"),
    "pci-pan": (cards_left_in, "pan-removed"),
    "dp-release": (not_private, "dp-epsilon"),
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
    assert _of(judgement, "c-ages") == (Status.INCONCLUSIVE, "nobody looked for AGE")


# --- attestations -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "day", "today", "expected"),
    [
        (WEIGHTS, date(2026, 2, 20), TODAY, "signed by"),
        ("f" * 16, date(2026, 2, 20), TODAY, "signed for other weights"),
        (WEIGHTS, date(2024, 2, 20), TODAY, "not within a year"),
        (WEIGHTS, date(2027, 2, 20), TODAY, "not within a year"),
        (WEIGHTS, date(2026, 2, 20), None, "not held against a date"),
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


# --- extending ----------------------------------------------------------------------------------------

CHILD = """\
id: house
version: "3"
title: House rules
extends: { policy: base, version: "1.0" }
rules:
  - id: dp-epsilon
    fail: "> 6"
    warn: "> 4"
"""
REASON = "    loosened: { owner: privacy officer, reason: the corpus is public }\n"


def test_a_child_tightens_freely_and_keeps_the_rest() -> None:
    child, base = parse(CHILD, "house.yaml"), load("base")
    assert [rule.id for rule in child.rules] == [rule.id for rule in base.rules]
    rule = next(rule for rule in child.rules if rule.id == "dp-epsilon")
    assert (rule.fail, rule.title) == ("> 6", "A differential-privacy claim of reasonable size stands")
    assert exit_code(judge(child, clean(), TODAY)) == 10  # ε = 7.98
    assert child.loosened == ()


def test_verdicts_of_a_child_stand_in_the_file_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(CHILD, "utf-8")
    placed = {v.rule: (v.file, v.line) for v in judge(load(path), clean(), TODAY).verdicts}
    assert placed["dp-epsilon"] == ("house.yaml", 6)
    assert placed["dp-delta"][0] == "policies/base.yaml"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"> 6"', '"> 20"', "line 6: rule 'dp-epsilon' asks less than base 1.0: fail was"),
        ('    fail: "> 6"\n    warn: "> 4"', "    warn: null", "expected loosened"),
        ('"> 6"', '"about 6"', "line 7: fail 'about 6': not a threshold"),
        ("    fail:", "    fial:", "line 7: unknown key 'fial' (did you mean 'fail'?)"),
        ('version: "1.0"', 'version: "0.9"', "line 4: base is version 1.0; expected 0.9 as pinned"),
        ('version: "1.0"', 'version: "1.0", digest: "0000000000000000"', "line 4: base has digest"),
        ('version: "1.0"', 'version: "1.0", digset: "00"', "unknown key 'digset' (did you mean 'digest'?)"),
        ("policy: base,", "policy: bass,", "did you mean 'base'?"),
        ("policy: base, ", "", "line 4: no 'policy'"),
        ("rules:", "drop: [{rule: dp-epsilom, owner: o, reason: r}]\nrules:", "no rule 'dp-epsilom'"),
        ("rules:", "drop: [{rule: dp-delta, owner: o}]\nrules:", "line 5: no 'reason'"),
        ("  - id: dp-epsilon\n", "  - id: dp-epsilon\n    severity: low\n", "severity was high and is low"),
        ("dp-epsilon\n", "dp-not-refuted\n    waivable: true\n", "asks less"),
    ],
)  # fmt: skip
def test_a_bad_child_gets_one_line(old: str, new: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(CHILD.replace(old, new, 1), "house.yaml")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_loosening_needs_an_owner_and_a_reason_and_is_shown() -> None:
    child = parse(CHILD.replace('"> 6"', '"> 20"') + REASON, "house.yaml")
    assert child.loosened == ("dp-epsilon: the corpus is public (privacy officer)",)
    assert judge(child, clean(), TODAY).loosened == child.loosened
    dropped = CHILD.replace("rules:", "drop: [{rule: detectors, owner: o, reason: r}]\nrules:")
    assert parse(dropped, "house.yaml").loosened == ("detectors, left out: r (o)",)
    assert "detectors" not in {rule.id for rule in parse(dropped, "house.yaml").rules}


def test_a_grandchild_cannot_hide_behind_its_parents_reason(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text(CHILD.replace('"> 6"', '"> 20"') + REASON, "utf-8")
    grandchild = tmp_path / "grandchild.yaml"
    text = CHILD.replace("policy: base", "policy: parent.yaml").replace('"1.0"', '"3"')
    grandchild.write_text(text.replace('"> 6"', '"> 30"'), "utf-8")
    with pytest.raises(InputError, match="asks less than house 3"):
        load(grandchild)
    grandchild.write_text(text.replace('"> 6"', '"> 19"'), "utf-8")
    assert load(grandchild).loosened == ("dp-epsilon: the corpus is public (privacy officer)",)


def test_policies_that_extend_each_other_in_a_circle(tmp_path: Path) -> None:
    path = tmp_path / "ring.yaml"
    path.write_text(CHILD.replace("policy: base", "policy: ring.yaml").replace('"1.0"', '"3"'), "utf-8")
    with pytest.raises(InputError, match="no circle"):
        load(path)


BASE_RULE = {
    "id": "r",
    "title": "R",
    "stage": "audit",
    "metric": "pii.extraction_rate",
    "fail": "> 0.1",
    "warn": "> 0.05",
    "severity": "high",
    "min_n": 20,
    "why": "w",
    "do": "d",
}


@pytest.mark.parametrize(
    ("change", "less"),
    [
        ({"fail": "> 0.2"}, True),
        ({"fail": "> 0.09"}, False),
        ({"fail": ">= 0.1"}, False),
        ({"fail": None}, True),
        ({"warn": None}, True),
        ({"fail": "> 0.05", "warn": None}, False),  # what warned fails now
        ({"min_n": 19}, True),
        ({"min_n": 200}, False),
        ({"bound": "value"}, True),
        ({"bound": "upper_ci"}, False),
        ({"slice": "kept"}, True),
        ({"metric": "pii.top1_excess"}, True),
        ({"on_inconclusive": "warn"}, True),
        ({"on_inconclusive": "fail"}, False),
        ({"on_low_ceiling": "warn"}, True),
        ({"void_if": "membership.shift"}, True),
        ({"severity": "medium"}, True),
        ({"waivable": False}, False),
        ({"title": "Another"}, False),
    ],
)
def test_asking_less(change: dict[str, object], less: bool) -> None:
    old, new = Rule.model_validate(BASE_RULE), Rule.model_validate({**BASE_RULE, **change})
    assert bool(looser(old, new)) is less
    if less:
        assert looser(old, old) == ""


# --- resolve and diff ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(shipped()))
def test_a_resolved_policy_has_the_digest_of_the_original(name: str) -> None:
    text = resolved(load(name))
    again = parse(text, f"{name}.yaml")
    assert again.digest == load(name).digest
    assert again.extends is None and YAML(typ="safe", pure=True).load(text)["rules"]


def test_the_digest_changes_with_what_is_asked_of_the_parent(tmp_path: Path) -> None:
    parent = tmp_path / "parent.yaml"
    child = tmp_path / "child.yaml"
    parent.write_text(resolved(load("base")), "utf-8")
    child.write_text(CHILD.replace("policy: base", "policy: parent.yaml"), "utf-8")
    before = load(child).digest
    parent.write_text(parent.read_text("utf-8").replace("fail: '> 0.7'", "fail: '> 0.69'"), "utf-8")
    assert load(child).digest != before


def test_differences() -> None:
    text = CHILD.replace('"> 6"', '"> 20"') + REASON
    text = text.replace("rules:", "drop: [{rule: detectors, owner: o, reason: r}]\nrules:")
    text += (
        '  - id: dp-delta\n    fail: "> 0.5"\n    warn: "> 0.1"\n  - id: beats-unigram\n    title: Learnt\n'
        "  - id: extra\n    title: E\n    stage: audit\n    metric: pii.top1_excess\n    fail: '> 0.5'\n"
        "    severity: low\n    why: w\n    do: d\n"
    )
    rows = dict(reversed(differences(load("base"), parse(text, "house.yaml"))))
    assert rows["left out"] == "detectors"
    assert rows["added"].startswith("extra: upper end ≤ 0.5")
    assert rows["asks less"].endswith('is "> 20" (the corpus is public; privacy officer)')
    assert rows["asks more"] == 'dp-delta: fail was "> 1" and is "> 0.5", warn was "> 0.5" and is "> 0.1"'
    assert rows["said otherwise"] == "beats-unigram: title"
    assert differences(load("base"), load("base")) == ()


def test_differences_are_values_as_a_policy_writes_them() -> None:
    change = {"min_n": 2000, "waivable": False, "on_inconclusive": "fail", "fail": "> 0.01", "warn": None}
    whole = {"id": "one", "title": "One", "version": "1"}
    one, other = (
        Policy.model_validate({**whole, "rules": [rule]}) for rule in (BASE_RULE, {**BASE_RULE, **change})
    )
    seen = set()
    for old, new in ((one, other), (other, one)):
        for _, said in differences(old, new):
            for name, was, now in re.findall(r"(\w+) was (.+?) and is ([^,]+)", said):
                shown = tuple(YAML(typ="safe", pure=True).load(text) for text in (was, now))
                assert shown == (getattr(old.rules[0], name), getattr(new.rules[0], name)), said
                seen.add(name)
    assert "warn" in seen


@pytest.mark.parametrize(
    "value", ["> 6", "high", "*", "", "no", "true", "null", "1.0", "pii.top1", None, True, False, 1000, 0.5]
)
@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_a_value_is_written_so_that_yaml_reads_it_back(value: object, version: tuple[int, int]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    assert yaml.load(written(value)) == value
