"""Policy files: every fault is one line with its place; a policy that extends another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlmguard import policy
from mlmguard.errors import InputError
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load, parse, shipped
from mlmguard.policy.rule import Rule
from tests.fixtures.evidence import TODAY, clean

GOOD = """\
id: mine
version: "1"
title: Mine
rules:
  - id: leak
    title: No leak
    stage: audit
    metric: pii.extraction_rate
    fail: "> 0.05"
    severity: high
    why: Because.
    do: Redact.
"""


@pytest.mark.parametrize("kind", ["device", "random", "pipe", "folder", "itself", "huge"])
@pytest.mark.parametrize("extended", [False, True])
def test_a_policy_is_a_file_that_ends(kind: str, extended: bool, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    {
        "device": lambda: path.symlink_to("/dev/zero"),
        "random": lambda: path.symlink_to("/dev/urandom"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "itself": lambda: path.symlink_to(path.name),
        "huge": lambda: path.write_text("# " + "x" * 2_000_000),
    }[kind]()
    asked = path
    if extended:
        asked = tmp_path / "child.yaml"
        asked.write_text(f'id: c\nversion: "1"\ntitle: C\nextends: {{policy: {path}, version: "1"}}\n')
    with pytest.raises(InputError) as refused:
        load(asked)
    assert path.name in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "    severity:",
            "    severty:",
            "p.yaml: line 10: unknown key 'severty' (did you mean 'severity'?)",
        ),
        ("title: Mine", "titel: Mine", "p.yaml: line 3: unknown key 'titel' (did you mean 'title'?)"),
        (
            "pii.extraction_rate",
            "pii.extracton_rate",
            "line 5: unknown metric 'pii.extracton_rate' (did you mean",
        ),
        ('"> 0.05"', '"about 5 %"', "line 9: fail 'about 5 %': not a threshold"),
        ('"> 0.05"', '"> nan"', "not a threshold"),
        ('"> 0.05"', '"> \u0660"', "not a threshold"),
        ('"> 0.05"', '"> 1e999"', "not a finite threshold"),
        ('"> 0.05"', '"> claim"', "for epsilon metrics only"),
        ('    fail: "> 0.05"\n', "", "has no threshold"),
        ('    fail: "> 0.05"\n', '    fail: "> 0.05"\n    warn: "> 0.5"\n', "lies beyond fail"),
        ('    fail: "> 0.05"\n', '    fail: "> 0.05"\n    warn: "< 0.5"\n', "different directions"),
        (
            '    fail: "> 0.05"\n',
            '    fail: "> 0.05"\n    fail: "> 0.9"\n',
            "line 10: key 'fail' is given twice",
        ),
        ('version: "1"', "version: 1.0", "line 2: version '1.0'"),
        ("high", "hihg", "line 10: severity 'hihg'"),
        ("    do: Redact.\n", "", "line 5: no 'do'"),
        ("rules:", "rules: [", "not valid YAML"),
        ("rules:", "rules: []\nwaivers:", "an empty policy"),
    ],
)
def test_a_bad_policy_gets_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(GOOD.replace(old, new, 1), "utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


NO_POLICY = ("", "# nothing\n", "id: x\nversion: '1'\ntitle: x\n", "- a\n", "just words", "a: 2026-99-99")


@pytest.mark.parametrize("text", NO_POLICY)
def test_files_that_are_no_policy(text: str) -> None:
    with pytest.raises(InputError):
        parse(text, "p.yaml")


BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(9 * [f'*{before}'])}]\n" for before, name in zip("abcdefghi", "bcdefghij")
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id: !!python/object/apply:os.system [ls]\n" + GOOD, "p.yaml: line 1: not valid YAML"),
        (GOOD.replace("Mine", "!include /etc/hostname"), "p.yaml: line 3: not valid YAML"),
        (GOOD + BOMB, "unknown key 'a'"),
        (GOOD.replace("rules:", "other: &r [*r]\nrules:"), "unknown key 'other'"),
        ("[" * 5000, "not valid YAML"),
        ("id: *nobody", "line 1: not valid YAML"),
        (GOOD + "---\n" + GOOD, "not valid YAML"),
        (GOOD + "title: Yours\n", "line 13: key 'title' is given twice"),
        (GOOD + "# " + "x" * 250_000, "larger than 250,000 bytes; expected a YAML policy"),
    ],
    ids=("tag", "include", "bomb", "circle", "deep", "alias", "documents", "twice", "huge"),
)
def test_hostile_yaml_gets_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_there_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'base'"):
        load("bass")


def test_every_shipped_policy_loads_and_explains_itself() -> None:
    assert "base" in shipped()
    for name in shipped():
        for rule in load(name).rules:
            assert rule.why and rule.do and rule.title
            assert rule.required
            assert isinstance(rule, Rule)


def test_the_hash_is_of_what_the_policy_says_not_of_how_it_is_written() -> None:
    once = parse(GOOD, "p.yaml")
    again = parse("# a remark\n" + GOOD.replace('"> 0.05"', "'> 0.05'"), "p.yaml")
    other = parse(GOOD.replace("0.05", "0.06"), "p.yaml")
    assert once.digest == again.digest != other.digest


# --- extending ----------------------------------------------------------------------------------------

CHILD = """\
id: house
version: "3"
title: House rules
extends: { policy: base, version: "2.1" }
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
        ('"> 6"', '"> 20"', "line 6: rule 'dp-epsilon' is looser than base 2.1: fail was"),
        ('    fail: "> 6"\n    warn: "> 4"', "    warn: null", "add loosened"),
        ('"> 6"', '"about 6"', "line 7: fail 'about 6': not a threshold"),
        ("    fail:", "    fial:", "line 7: unknown key 'fial' (did you mean 'fail'?)"),
        ('version: "2.1"', 'version: "0.9"', "line 4: base is version 2.1; expected 0.9 as pinned"),
        ('version: "2.1"', 'version: "2.1", digest: "0000000000000000"', "line 4: base has digest"),
        ('version: "2.1"', 'version: "2.1", digset: "00"', "unknown key 'digset' (did you mean 'digest'?)"),
        ("policy: base,", "policy: bass,", "did you mean 'base'?"),
        ("policy: base, ", "", "line 4: no 'policy'"),
        ("rules:", "drop: [{rule: dp-epsilom, owner: o, reason: r}]\nrules:", "no rule 'dp-epsilom'"),
        ("rules:", "drop: [{rule: dp-delta, owner: o}]\nrules:", "line 5: no 'reason'"),
        ("  - id: dp-epsilon\n", "  - id: dp-epsilon\n    severity: low\n", "severity was high and is low"),
        ("dp-epsilon\n", "dp-not-refuted\n    waivable: true\n", "is looser"),
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
    text = CHILD.replace("policy: base", "policy: parent.yaml").replace('"2.1"', '"3"')
    grandchild.write_text(text.replace('"> 6"', '"> 30"'), "utf-8")
    with pytest.raises(InputError, match="is looser than house 3"):
        load(grandchild)
    grandchild.write_text(text.replace('"> 6"', '"> 19"'), "utf-8")
    assert load(grandchild).loosened == ("dp-epsilon: the corpus is public (privacy officer)",)


def test_policies_that_extend_each_other_in_a_circle(tmp_path: Path) -> None:
    path = tmp_path / "ring.yaml"
    path.write_text(CHILD.replace("policy: base", "policy: ring.yaml").replace('"2.1"', '"3"'), "utf-8")
    with pytest.raises(InputError, match="no circle"):
        load(path)


# --- old names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["load", "parse", "shipped", "judge", "exit_code", "worst", "Policy"])
def test_a_name_from_before_the_package_works_and_names_the_new_place(name: str) -> None:
    with pytest.warns(
        DeprecationWarning, match=rf"mlmguard\.policy\.{name} is now mlmguard\.policy\.\w+\.{name}"
    ):
        assert getattr(policy, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = policy.nowhere
