"""Waivers: scoped, dated, approved by another person, and signed where that is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mlmguard import cli
from mlmguard.artifacts import to_json, write_json
from mlmguard.commands.approval import signed
from mlmguard.commands.gate import gate
from mlmguard.commands.waive import waive
from mlmguard.errors import InputError
from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.policy.waiver import LONGEST, same_person
from mlmguard.report.clearance import case
from mlmguard.report.formats import FORMATS, render
from mlmguard.types import Evidence, Judgement, Status
from tests.fixtures.evidence import TODAY, changed, clean, extractable, number

WAIVER: dict[str, object] = {
    "rule": "not-chance",
    "reason": "the corpus is public",
    "owner": "model owner",
    "approver": "privacy officer",
    "ticket": "PRIV-7",
    "created": date(2026, 1, 10),
    "expires": date(2026, 6, 1),
}


def with_waivers(*changes: dict[str, object]) -> Policy:
    """The base policy with a waiver for each change of :data:`WAIVER`."""
    base = load("base").model_dump(exclude_defaults=True)
    return Policy.model_validate({**base, "waivers": [{**WAIVER, **change} for change in changes]})


def status(judgement: Judgement, rule: str) -> Status:
    return next(v.status for v in judgement.verdicts if v.rule == rule)


def two_slices() -> Evidence:
    """Extraction beyond chance of kept spans and of redacted ones."""
    return changed(
        clean(),
        number("pii.extraction_p", 0.001, n=320, slice="kept"),
        number("pii.extraction_p", 0.002, n=320, slice="redacted"),
    )


# --- scope --------------------------------------------------------------------------------------------


def test_a_waiver_of_one_slice_leaves_the_other_failing() -> None:
    rule = "not-chance"
    assert status(judge(with_waivers({}), two_slices(), TODAY), rule) is Status.WAIVED
    one = with_waivers({"slice": "pii.extraction kept"})
    assert status(judge(one, two_slices(), TODAY), rule) is Status.FAIL
    both = with_waivers({"slice": "pii.extraction kept"}, {"slice": "pii.extraction redacted"})
    assert status(judge(both, two_slices(), TODAY), rule) is Status.WAIVED
    with pytest.raises(ValueError, match="two waivers of one rule"):
        with_waivers({"slice": "pii.extraction kept"}, {"slice": "pii.extraction kept"})


def test_a_waiver_by_fingerprint_is_for_one_checkpoint() -> None:
    rule = "not-chance"
    mark = next(v.fingerprint for v in judge(load("base"), two_slices(), TODAY).verdicts if v.rule == rule)
    policy = with_waivers({"fingerprint": mark})
    assert status(judge(policy, two_slices(), TODAY), rule) is Status.WAIVED
    retrained = replace(two_slices(), model=replace(two_slices().model, digest="0f" * 32))
    judgement = judge(policy, retrained, TODAY)
    assert status(judgement, rule) is Status.FAIL
    assert judgement.waivers[0].state == "unused"
    with pytest.raises(ValueError, match="fingerprint"):
        with_waivers({"fingerprint": "line 12"})


# --- what became of it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "evidence", "state"),
    [
        (date(2026, 3, 2), two_slices, "in force"),
        (date(2026, 5, 10), two_slices, "expires soon"),
        (date(2026, 6, 1), two_slices, "expires soon"),
        (date(2026, 6, 2), two_slices, "expired"),
        (date(2026, 1, 9), two_slices, "not yet"),
        (date(2026, 3, 2), clean, "unused"),
        (None, two_slices, "undated"),
    ],
)
def test_every_waiver_is_listed_with_its_state(
    today: date | None, evidence: Callable[[], Evidence], state: str
) -> None:
    judgement = judge(with_waivers({}), evidence(), today)
    assert [use.state for use in judgement.waivers] == [state]
    shown = case(evidence(), judgement)
    for fmt in ("html", "markdown", "csv"):
        assert state in render(fmt, shown)


def test_an_expired_waiver_fails_its_rule_through_the_real_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1782000000")  # 2026-06-21
    monkeypatch.setenv("COLUMNS", "200")
    write_json(tmp_path / "e.json", clean())
    policy = tmp_path / "p.yaml"
    policy.write_text(CHILD + LIVE, "utf-8")
    assert cli.run(["gate", "e.json", "--policy", "p.yaml"]) == 10
    assert "PRIV-7) expired on 2026-06-01" in capsys.readouterr().out
    policy.write_text(CHILD + WAIVERS.format(created="2026-06-10", expires="2026-07-01"), "utf-8")
    assert cli.run(["gate", "e.json", "--policy", "p.yaml"]) == 0


def test_planted_values_in_a_waiver_reach_no_format() -> None:
    planted, card = "zaphira.quux@private.example", "4111 1111 1111 1111"
    soiled = with_waivers({"reason": f"asked by {planted}", "owner": planted, "ticket": card})
    judgement = judge(soiled, extractable(), TODAY)
    shown = case(extractable(), judgement, soiled.advice, 10)
    for fmt in FORMATS:
        text = render(fmt, shown)
        assert planted not in text and card not in text, fmt


# --- writing one --------------------------------------------------------------------------------------

CHILD = """\
# our own rules
id: house
version: "1"
title: House rules
extends: { policy: base, version: "2.1" }
"""
WAIVERS = """\

waivers:
  - rule: detectors
    reason: no places occur
    owner: model owner
    approver: privacy officer
    ticket: PRIV-7
    created: {created}
    expires: {expires}
"""
LIVE = WAIVERS.format(created="2026-01-10", expires="2026-06-01")
GIVEN = {
    "reason": 'places: "none" occur # truly',
    "owner": "model owner",
    "approver": "privacy-officer",
    "ticket": "PRIV-8",
}


@pytest.mark.parametrize(
    "before",
    [
        CHILD,
        CHILD.rstrip("\n"),
        CHILD + LIVE,
        CHILD + LIVE + "\n# the end\n",
        CHILD.replace(
            "title:", WAIVERS.format(created="2026-01-10", expires="2026-06-01") + "\n# next\ntitle:"
        ),
        CHILD + "waivers:\n- {rule: detectors, reason: r, owner: o, approver: a, ticket: t, "
        "created: 2026-01-10, expires: 2026-02-01}\n",
    ],
)
def test_waive_adds_one_and_leaves_the_rest_as_it_was_written(tmp_path: Path, before: str) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(before, "utf-8")
    had = len(load(path).waivers)
    waive(path, "attacks-run", created=date(2026, 3, 2), days=30, **GIVEN)
    after = path.read_text("utf-8")
    kept = iter(after.splitlines())
    assert all(line in kept for line in before.splitlines())  # every old line, in its order
    added = load(path).waivers[-1]
    assert len(load(path).waivers) == had + 1
    assert (added.rule, added.reason, added.expires) == ("attacks-run", GIVEN["reason"], date(2026, 4, 1))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"rule": "dp-not-refuted"}, "cannot be waived"),
        ({"rule": "atacks-run"}, "did you mean 'attacks-run'"),
        ({"approver": "Model Owner"}, "same person"),
        ({"days": LONGEST.days + 1}, "1 to 365"),
        ({"days": 0}, "1 to 365"),
        ({"fingerprint": "xyz"}, "fingerprint"),
        ({"reason": ""}, "reason"),
    ],
)
def test_waive_refuses_and_leaves_the_file_alone(
    tmp_path: Path, change: dict[str, object], line: str
) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(CHILD, "utf-8")
    with pytest.raises(InputError) as caught:
        waive(path, **{"rule": "attacks-run", **GIVEN, **change})  # type: ignore[arg-type]
    assert line in str(caught.value)
    assert path.read_text("utf-8") == CHILD


def test_a_policy_that_comes_with_mlmguard_is_not_edited() -> None:
    with pytest.raises(InputError, match="extends it"):
        waive(Path("base"), "attacks-run", **GIVEN)


def test_waive_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(CHILD, "utf-8")
    people = ["--owner", "model owner", "--approver", "privacy officer", "--ticket", "T-1"]
    assert cli.run(["waive", str(path), "attacks-run", "--reason", "r", *people]) == 0
    assert "attacks-run" in capsys.readouterr().err
    assert cli.run(["waive", str(path), "attacks-run", "--reason", "r", *people]) == 2  # two of one rule


@pytest.mark.parametrize(
    "approver",
    [
        "M\u043edel owner",
        "Model\u200b owner",
        "Model owne\u0301r",
        "\uff2dodel owner",
        "M0del\u2011owner",
        "MODEL  OWNER",
    ],
)
def test_names_that_look_alike_are_one_person(approver: str) -> None:
    assert same_person("Model owner", approver)
    assert not same_person("Privacy officer", approver)


@pytest.mark.parametrize(
    ("owner", "approver"),
    [
        ("Ian", "lan"),
        ("Ann", "Ann\u3164"),
        ("Ann", "A\u2800nn"),
        ("ann@example.org", "Ann <ann@example.org>"),
    ],
    ids=["a capital I", "a filler", "a blank of Braille", "an address"],
)
def test_so_are_names_of_letters_that_are_drawn_alike_or_not_at_all(owner: str, approver: str) -> None:
    assert same_person(owner, approver) and same_person(approver, owner)
    assert not same_person(owner, "Bob <bob@example.org>")


# --- signed approval ----------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a policy, two people with keys, and git that knows whose they are."""
    if shutil.which("git") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("git and ssh-keygen sign here")
    repository, keys = tmp_path / "house", tmp_path / "keys"
    repository.mkdir()
    keys.mkdir()
    monkeypatch.setenv("HOME", str(keys))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    allowed = []
    for person in ("privacy-officer", "model-owner", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person, "-f", str(keys / person)]
        subprocess.run(command, check=True)
        if person != "stranger":
            allowed.append(f"{person} {(keys / f'{person}.pub').read_text()}")
    (keys / "allowed").write_text("".join(allowed))
    git(repository, "init", "-q")
    git(repository, "config", "gpg.format", "ssh")
    git(repository, "config", "gpg.ssh.allowedSignersFile", str(keys / "allowed"))
    (repository / "house.yaml").write_text(CHILD + LIVE)
    monkeypatch.chdir(repository)
    return repository


def git(repository: Path, *arguments: str, key: str = "") -> None:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@house.example"]
    if key:
        who += ["-c", f"user.signingkey={Path(os.environ['HOME']) / key}", "-c", "commit.gpgsign=true"]
    subprocess.run(["git", *who, *arguments], cwd=repository, check=True, capture_output=True)


def commit(repository: Path, key: str) -> None:
    git(repository, "add", "house.yaml")
    git(repository, "commit", "-q", "-m", "policy", key=key)


def test_a_commit_signed_by_the_approver_is_accepted(house: Path) -> None:
    commit(house, "privacy-officer")
    approvals = signed(load("house.yaml"))
    assert [(one.what, one.signer) for one in approvals] == [("waiver of 'detectors'", "privacy-officer")]
    write_json(house / "e.json", clean())
    _, code = gate(["e.json"], "house.yaml", today=TODAY, require_signed=True)
    assert code == 0


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("", "not signed"),
        ("model-owner", "signed by its owner"),
        ("stranger", "unknown key"),
    ],
)
def test_any_other_commit_is_refused(house: Path, key: str, line: str) -> None:
    commit(house, key)
    (house / "e.json").write_text(to_json(clean()))
    with pytest.raises(InputError) as caught:
        gate(["e.json"], "house.yaml", today=TODAY, require_signed=True)
    assert line in str(caught.value)
    assert cli.run(["gate", "e.json", "--policy", "house.yaml", "--require-signed"]) == 2
    assert gate(["e.json"], "house.yaml", today=TODAY)[1] == 0  # where nobody asks for signatures


def test_a_waiver_changed_after_its_approval_is_refused(house: Path) -> None:
    commit(house, "privacy-officer")
    path = house / "house.yaml"
    path.write_text(path.read_text().replace("2026-06-01", "2026-12-31"))
    with pytest.raises(InputError, match="not committed yet"):
        signed(load("house.yaml"))
    commit(house, "model-owner")
    with pytest.raises(InputError, match="signed by its owner"):
        signed(load("house.yaml"))


def test_what_stands_beside_a_waiver_may_be_changed_by_anyone(house: Path) -> None:
    commit(house, "privacy-officer")
    path = house / "house.yaml"
    path.write_text(path.read_text().replace("House rules", "Rules of the house"))
    commit(house, "model-owner")
    assert len(signed(load("house.yaml"))) == 1


def test_a_policy_outside_git_has_no_approval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "house.yaml").write_text(CHILD + LIVE)
    with pytest.raises(InputError, match="is in no commit"):
        signed(load("house.yaml"))
    with pytest.raises(InputError, match="not from a file"):
        signed(with_waivers({}))
    assert signed(load("base")) == ()
