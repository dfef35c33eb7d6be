"""The terminal: results on stdout, talk on stderr, and nothing from outside is obeyed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from datetime import date
from typing import Any

import pytest

from mlmguard import console, logs
from mlmguard.commands.doctor import doctor
from mlmguard.commands.explain import explain
from mlmguard.heartbeat import heartbeat
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.report.clearance import Case, case
from mlmguard.types import SILENT, Evidence, FindingCount, LanguageCount, Skipped
from tests.fixtures.evidence import (
    TODAY,
    changed,
    clean,
    extractable,
    manifest,
    not_private,
    number,
    statement,
)

WIDTHS = (80, 140)


def judged(evidence: Evidence) -> Case:
    policy = load("base")
    judgement = judge(policy, evidence, TODAY)
    return case(evidence, judgement, policy.advice, exit_code(judgement))


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("NO_COLOR", "1")
    return int(request.param)


def shown(capsys: pytest.CaptureFixture[str], width: int) -> str:
    """What stdout got: nothing of it wider than the terminal, nothing on stderr."""
    out, err = capsys.readouterr()
    assert err == ""
    assert all(len(row.rstrip()) <= width for row in out.splitlines())
    return out


def test_scan(capsys: pytest.CaptureFixture[str], width: int) -> None:
    console.scan_summary(manifest(), {"throughput": "3.1 MB/s"})
    text = shown(capsys, width)
    for expected in ("3,284 documents", "8,813 found", "641 / 640", "not UTF-8", "3.1 MB/s"):
        assert expected in text
    assert "not looked for: LOCATION, ORGANIZATION" in text


def test_no_type_and_no_source_is_cut_however_many_there_are(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    """What does not fit beside the others is added up with them."""
    found = tuple(
        FindingCount(rule, f"letters-of-department-{k}", 2, 2, 1)
        for k in range(14)
        for rule in ("DATE_OF_BIRTH", "EMAIL_ADDRESS")
    )
    console.scan_summary(replace(manifest(), findings=found), {})
    rows = shown(capsys, width).splitlines()
    (head,) = [row for row in rows if row.split()[:1] == ["type"]]
    sources = [word for word in head.split() if word.startswith("letters")]
    assert len(sources) == (1 if width == 80 else 3) and all(one[-1].isdigit() for one in sources)
    assert sum("28 / 28" in row for row in rows) == 2


def test_more_reasons_than_are_shown_are_told(capsys: pytest.CaptureFixture[str], width: int) -> None:
    manifest = clean().manifest
    assert manifest is not None
    for reasons, told in ((4, False), (5, True)):
        skipped = tuple(Skipped(f"{k}.txt", f"reason {k}") for k in range(reasons))
        console.scan_summary(replace(manifest, skipped=skipped))
        assert ("and others (--verbose)" in " ".join(capsys.readouterr().out.split())) is told


def test_one_source_is_only_its_sum_and_a_file_is_not_named(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    found = tuple(FindingCount("EMAIL_ADDRESS", name, 2, 2, 1) for name in ("anna.txt", "notes.jsonl"))
    console.scan_summary(replace(manifest(), findings=found), {})
    text = shown(capsys, width)
    heads = [row.split() for row in text.splitlines() if row.split()[-1:] == ["all"]]
    assert heads == [["type", "all"]] and "4 / 4" in text and "anna" not in text


def test_train(capsys: pytest.CaptureFixture[str], width: int) -> None:
    console.train_summary(statement(), {"held-out loss": "4.87"})
    text = shown(capsys, width)
    assert "ε = 7.98, δ = 1e-05" in text
    assert "PLD 7.977" in text and "600 of 600 charged" in text and "warning" not in text
    assert "preprocessing, tuning" in text


def test_train_warns_of_steps_that_were_paid_for_and_lost(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    console.train_summary(replace(statement(), steps_applied=3, warnings=("3 of 600 steps",)))
    text = shown(capsys, width)
    assert "3 of 600 charged" in text and "warning" in text


def test_train_without_a_claim_says_so(capsys: pytest.CaptureFixture[str], width: int) -> None:
    said = not_private().statement
    assert said is not None
    console.train_summary(said)
    assert "not private" in shown(capsys, width)


def test_audit(capsys: pytest.CaptureFixture[str], width: int) -> None:
    console.audit_summary(clean())
    text = shown(capsys, width)
    assert "not run" in text and len(text.splitlines()) <= 30
    assert "could not tell members from non-members" in " ".join(text.split())
    assert "reference_auc" not in text


def test_audit_with_verbose_has_every_number_and_breaks_no_name(
    capsys: pytest.CaptureFixture[str], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "asked", lambda: True)
    evidence = changed(clean(), number("pii.extraction_rate", 0.0, slice="MEDICAL_RECORD_NUMBER", n=9))
    console.audit_summary(evidence)
    rows = shown(capsys, width).splitlines()
    for m in evidence.measurements:
        label = f"{m.metric}, {m.slice}" if m.slice else m.metric
        assert any(row.strip().startswith(label) for row in rows), label


def test_verdicts(capsys: pytest.CaptureFixture[str], width: int) -> None:
    console.verdicts(judged(extractable()))
    text = shown(capsys, width)
    assert re.search(r"✕ Fail  fail 5, inconclusive \d+, warning \d+, ", text)
    assert "canary-extracted" in text and "✓" not in text  # what passed is for --verbose
    assert "→ Do not release." in text


def test_doctor_and_explain(capsys: pytest.CaptureFixture[str], width: int) -> None:
    console.checks([(row.what, row.found, row.health, row.do) for row in doctor(manifest().coverage)])
    told = explain("dp-epsilon")
    console.explanation(told.title, told.lines)
    text = shown(capsys, width)
    assert "torch" in text and "> 10" in text


def test_no_colour_means_no_escape_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "")
    console.verdicts(judged(extractable()))
    console.error("wrong")
    out, err = capsys.readouterr()
    assert "\x1b[3" not in out + err


def test_markup_and_escapes_from_outside_are_text(capsys: pytest.CaptureFixture[str], width: int) -> None:
    hostile = "[red]a.txt[/red] \x1b[2J [link=http://e.example]x[/link]"
    console.scan_summary(replace(manifest(), skipped=(Skipped("s", hostile),)))
    console.error(f"{hostile}: not UTF-8.")
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "[red]" in text and "[/red]" in text
        assert "\x1b[2J" not in text
        assert "\x1b]8" not in text


def test_planted_values_are_not_in_the_terminal(capsys: pytest.CaptureFixture[str], width: int) -> None:
    planted = ("zaphira.quux@private.example", "4111 1111 1111 1111")

    def soiled(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: soiled(getattr(value, f.name)) for f in fields(value)})
        if isinstance(value, tuple):
            return tuple(soiled(one) for one in value)
        return f"{value} {' '.join(planted)}" if type(value) is str else value

    policy = load("base")
    waived = Policy.model_validate(
        {
            **policy.model_dump(exclude_defaults=True),
            "waivers": [
                {
                    "rule": "not-chance",
                    "reason": planted[0],
                    "owner": planted[1],
                    "approver": "privacy officer",
                    "ticket": "T",
                    "created": TODAY,
                    "expires": date(2026, 6, 1),
                }
            ],
        }
    )
    judgement = judge(waived, extractable(), TODAY)
    for shown_case in (case(soiled(clean()), soiled(judgement)), case(extractable(), judgement)):
        console.verdicts(shown_case)
    console.audit_summary(soiled(clean()))
    console.scan_summary(soiled(manifest()))
    console.train_summary(soiled(statement()))
    console.explanation(planted[0], [(planted[1], planted[0])])
    console.checks([(planted[0], planted[1], "ok", planted[0])])
    console.tell(f"{planted[0]}.txt:3: PERSON")
    out = capsys.readouterr().out
    for value in planted:
        assert value not in out and value not in " ".join(out.split())


def test_talk_goes_to_stderr_and_one_line_stays_one_line(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    console.error("clean/03.jsonl: line 12: no text; " + "set --text-key, " * 12)
    console.warn("careful")
    console.say("hello")
    console.say("hush", quiet=True)
    console.written(["reports/a.html"])
    out, err = capsys.readouterr()
    assert out == ""
    first, *rest = err.splitlines()
    assert first.startswith("error: clean/03.jsonl") and len(first) > 200
    assert rest == ["warning: careful", "hello", "wrote reports/a.html"]


@pytest.mark.parametrize("quiet", [True, False])
def test_a_short_run_leaves_no_line_in_a_log(capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    with console.progress_bar(quiet) as progress:
        assert (progress is SILENT.progress) == quiet
        progress("reading", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_long_run_says_now_and_then_where_it_is() -> None:
    said: list[str] = []
    with heartbeat(said.append, every=0.02) as progress:
        until(lambda: said)
        progress("train", 1200, 5000)
        until(lambda: "train" in said[-1])
        progress("audit", 3, None)
        until(lambda: "audit" in said[-1])
    there = len(said)
    assert said[0] == "starting · 0:00 since the start" and said[-1].startswith("audit · 3 · 0:0")
    assert any(line.startswith("train · 1,200 of 5,000 · 0:0") for line in said)
    time.sleep(0.1)
    assert len(said) == there  # nothing after the end


def until(true: Callable[[], object], most: float = 20.0) -> None:
    end = time.monotonic() + most
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    assert true()


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with console.progress_bar() as progress:
        progress("reading", 1, 20)
        progress("reading", 20, 20)
        progress("counting", 3, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading" in err and "20/20" in err


@pytest.mark.parametrize(
    "counts, share",
    [
        ({"en": 95, "es": 5}, ""),
        ({"en": 94, "es": 6}, "6%"),
        ({"en": 94, "es": 3, "ru": 3}, "6%"),
        ({"en": 90, "und": 10}, ""),  # too little text to tell is no other language
        ({"es": 100}, "100%"),
        ({}, ""),
    ],
)
def test_documents_in_a_language_that_nobody_looked_for_are_a_warning_above_a_twentieth(
    counts: dict[str, int], share: str, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    status = {"en": "looked for", "und": "undetermined"}
    rows = tuple(LanguageCount(one, n, status.get(one, "not looked for")) for one, n in counts.items())
    console.scan_summary(replace(manifest(), documents_read=100, languages=rows))
    said = " ".join(shown(capsys, width).split())
    line = f"! {share} of the documents are in a language whose identifiers nobody looked for: "
    assert (line in said) == bool(share) and ("nobody looked for" in said) == bool(share)
    if share:
        foreign = ", ".join(f"{one} {n}" for one, n in counts.items() if one not in status)
        known = [one for one in counts if one in ("es", "de", "fr", "it", "pt", "nl")]
        asked = f"--language {','.join(known)} " if known else ""
        assert f"{line}{foreign}; scan again with {asked}--overwrite" in said


@pytest.mark.parametrize("left, share", [(0, ""), (5, ""), (6, "6%"), (100, "50%")])
def test_records_left_out_are_a_warning_above_a_twentieth(
    left: int, share: str, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = (Skipped("notes", "not UTF-8", records=left),) if left else ()
    read = max(100 - left, 100 if left == 100 else 0)
    console.scan_summary(replace(manifest(), documents_read=read, skipped=skipped))
    said = " ".join(shown(capsys, width).split())
    assert (f"! {share} of the records were left out: nobody looked into them" in said) == bool(share)
    assert ("of the records were left out" in said) == bool(share)


def test_the_marks_of_a_mask_make_no_address(capsys: pytest.CaptureFixture[str], width: int) -> None:
    console.masks([("token", [("anna", "", False), ("@", "kept", False), ("@", "swapped", True)])])
    text = shown(capsys, width)
    assert "=@= ~@~" in text and "withheld" not in text
