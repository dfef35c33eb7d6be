"""The three commands as users type them, with the network cut, and nothing personal where it must not be."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
import urllib.parse
from datetime import date, timedelta
from pathlib import Path

import pytest

from mlmguard.report.formats import FORMATS
from tests.conftest import DATA

ROOT = Path(__file__).resolve().parent.parent
EMAIL = "zebulon.quaverly@thistlemoor.example.org"
CARD = "4539 5787 6362 1486"
NAME = "Quaverly-Thrumwick"
PLANTED = (EMAIL, CARD, CARD.replace(" ", ""), NAME)
#: Where text of the corpus, or what the user wrote, may stand.
PRIVATE = ("corpus", "clean", "other", "asked", ".mlmguard", ".cut")
HOUSE = """\
id: house
version: "1"
title: House rules
extends: {{ policy: base, version: "2.1" }}
waivers:
  - rule: detectors
    reason: asked for by {email}, paid with {card}
    owner: "{email}"
    approver: privacy officer
    ticket: "{card}"
    created: {created}
    expires: {expires}
"""

# Any look-up of a name, by whatever library, ends the process loudly.
CUT = """
import socket, sys
def refuse(*arguments, **options):
    sys.stderr.write("NETWORK ASKED FOR\\n")
    raise OSError("the network is cut")
socket.getaddrinfo = socket.gethostbyname = socket.gethostbyname_ex = refuse
connect = socket.socket.connect
def among_ourselves(self, address):  # workers and the process that called for them meet at a file's name
    return connect(self, address) if self.family == socket.AF_UNIX else refuse()
socket.socket.connect = among_ourselves
"""


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    cut = folder / ".cut"
    cut.mkdir(exist_ok=True)
    (cut / "sitecustomize.py").write_text(CUT)
    done = subprocess.run(
        [sys.executable, "-m", "mlmguard", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{cut}{os.pathsep}{ROOT}", **environment},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert "NETWORK ASKED FOR" not in done.stderr
    return done


def forms(value: str) -> set[str]:
    """A value as it might slip out: as it is, encoded, escaped, in pieces of base64 at every offset."""
    found = {
        value,
        value.lower(),
        html.escape(value),
        urllib.parse.quote(value),
        urllib.parse.quote_plus(value),
    }
    found.add("".join(f"&#{ord(c)};" for c in value))
    found.add(json.dumps(value)[1:-1])
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + value.encode()).decode()
        found.add(encoded[4:-4])  # the ends depend on the neighbours
        found.add(encoded[4:-4].translate(str.maketrans("+/", "-_")))
    found |= {value.encode().hex(), value.encode().hex().upper()}
    found.add("".join(f"%{byte:02X}" for byte in value.encode()))
    found.add("".join(f"&#x{ord(c):x};" for c in value))
    found.add("".join(f"\\u{ord(c):04x}" for c in value))
    return found


def leaks(text: str) -> list[str]:
    return [value for value in PLANTED for form in forms(value) if form in text]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """All commands, run over a corpus in which three values stand in every place one could think of."""
    folder = tmp_path_factory.mktemp("planted")
    corpus = folder / "corpus"
    corpus.mkdir()
    secret = f"{NAME} wrote from {EMAIL} and paid with card {CARD} on the ward."
    rows = [
        {
            "id": f"r{k}",
            "text": f"Note {k}: the patient in room {k * 7 % 90} slept well. {secret if k % 4 == 0 else ''}",
        }
        for k in range(160)
    ]
    rows += [{"id": EMAIL, "text": f"a row that is named after a person, number {k}"} for k in range(2)]
    lines = [json.dumps(row) for row in rows]
    lines.insert(5, f'{{"text": "{secret}')  # a malformed line that holds them all
    lines.insert(9, json.dumps({"body": secret}))  # no text
    (corpus / "notes.jsonl").write_text("\n".join(lines))
    (corpus / f"{EMAIL}.txt").write_text(f"A letter. {secret}")
    (corpus / "latin.txt").write_bytes(secret.encode() + b" caf\xe9")
    (corpus / "page.html").write_text(f"<html><title>{NAME}</title><p>{html.escape(secret)}</p></html>")
    (corpus / "table.csv").write_text(f'id,text\n{NAME},"{secret}"\n')
    asked = folder / "asked"  # what a person typed, the values among it: read, and never repeated
    asked.mkdir()
    (asked / "values.txt").write_text(f"{EMAIL}\n{CARD}\n{NAME}\n")
    today = date.today()
    (asked / "house.yaml").write_text(
        HOUSE.format(email=EMAIL, card=CARD, created=today, expires=today + timedelta(days=30))
    )
    formats = [part for name in FORMATS for part in ("--out", f"{name}=reports/gate.{name}")]
    again = [part for name in FORMATS for part in ("--out", f"{name}=reports/again.{name}")]
    small = {"MLMGUARD_TRAIN_INIT": "scratch", "MLMGUARD_TRAIN_STEPS": "5", "MLMGUARD_TRAIN_CANARIES": "20"}
    accepted = ["--reason", "known", "--owner", "data engineering", "--expires", str(today)]
    outputs = []
    for arguments in (
        ["scan", "corpus/", "--verbose"],
        ["baseline", *accepted, "--verbose"],
        ["train", "--dp-epsilon", "8", "--verbose"],
        ["audit", "ckpt/", "--policy", "base", "--records", "reports/records.jsonl", "--verbose"],
        ["gate", "reports/audit.json", "--policy", "asked/house.yaml", "--verbose", *formats],
        ["gate", "reports/audit.json", "--policy", "asked/house.yaml", "--json", "--verbose"],
        ["report", "reports/audit.json", "--verbose", *again],
        ["index", "reports/", "--verbose"],
        ["verify", "ckpt/", "--verbose", "--out", "reports/statement.json"],
        ["scan", "corpus/", "--json", "--baseline", "baseline.json", "--verbose"],
        ["scan", "corpus/", "--text-key", "body", "--clean", "other"],
        ["subject", "--values", "asked/values.txt", "--verbose"],
        ["check", f"corpus/{EMAIL}.txt", "corpus/notes.jsonl", "--verbose"],
        # a name for the hub is the one exception to no network
        ["train", "--dp-epsilon", "8", "--delta", "0.5", "--verbose"],
        ["gate", f"{EMAIL}.json"],
        ["explain", EMAIL],
        ["doctor", "--verbose"],
    ):
        done = command(folder, *arguments, **small)
        assert "inside mlmguard" not in done.stderr, (arguments, done.stderr)
        outputs.append(done.stdout + done.stderr)
        if "--verbose" in arguments:
            assert "event=begin" in done.stderr and "event=end" in done.stderr, arguments
    return folder, outputs


@pytest.mark.slow
def test_planted_values_are_in_no_output(planted):
    _, outputs = planted
    for shown in outputs:
        assert leaks(shown) == []


@pytest.mark.slow
def test_planted_values_are_in_no_file_but_clean_and_the_run_folder(planted):
    folder, _ = planted
    looked_at = 0
    for path in folder.rglob("*"):
        place = path.relative_to(folder)
        if path.is_dir() or place.parts[0] in PRIVATE:
            continue
        assert leaks(str(place)) == [], "a file name"
        assert leaks(path.read_bytes().decode("latin-1")) == [], place
        looked_at += 1
    assert looked_at > 12 + 2 * len(FORMATS)


@pytest.mark.slow
def test_what_was_found_was_redacted_and_what_was_not_is_said(planted):
    folder, _ = planted
    clean = "".join(path.read_text() for path in (folder / "clean").glob("*.jsonl"))
    assert EMAIL not in clean and CARD not in clean
    manifest = json.loads((folder / "clean" / "manifest.json").read_text())
    looked_for = {d["entity"]: (d["status"], d["recall"]) for d in manifest["coverage"]}
    assert looked_for["PERSON"][0] == "available" and "tweets" in looked_for["PERSON"][1]
    assert {s["reason"] for s in manifest["skipped"]}


@pytest.mark.slow
def test_nobody_else_may_read_the_run_folder(planted):
    folder, _ = planted
    for path in (folder / ".mlmguard").rglob("*"):
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == 0, path.name


MET = ("pass", "out of reach", "not applicable")


@pytest.mark.slow
def test_demo_beats_unigram_and_its_gate_reaches_a_verdict(tmp_path):
    done = command(tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    evidence = json.loads((tmp_path / "demo" / "reports" / "audit.json").read_text())
    found = {(m["attack"], m["metric"], m["slice"]): m for m in evidence["measurements"]}
    assert found["model", "unigram_margin", ""]["low"] > 0.5
    assert evidence["statement"]["epsilon"] <= 8
    assert found["epsilon", "one_run_lower_bound", ""]["value"] <= evidence["statement"]["epsilon"]
    assert found["epsilon", "one_run_lower_bound", ""]["examples"] == 500
    page = (tmp_path / "demo" / "reports" / "report.html").read_text()
    assert "default-src 'none'" in page and len(page) < 400_000
    judged = json.loads((tmp_path / "demo" / "reports" / "report.json").read_text())["judgement"]
    unmet = {v["rule"]: v["reason"] for v in judged["verdicts"] if v["status"] not in MET}
    # the family of tests is judged at .05, and this run draws its noise and its key anew: one in twenty warns
    assert judged["status"] == "pass" or (
        judged["status"] == "warn" and unmet.keys() <= {"not-chance", "canary-exposure"}
    ), unmet


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data beside this checkout")
def test_the_three_commands_on_real_mail(tmp_path):
    (tmp_path / "corpus").symlink_to(DATA / "mail")
    for arguments in (["scan", "corpus/"], ["train", "--dp-epsilon", "8"], ["audit", "ckpt/"]):
        done = command(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) <= 30 and max(map(len, lines)) <= 80, arguments
    manifest = json.loads((tmp_path / "clean" / "manifest.json").read_text())
    # of the 204 files that are not UTF-8, mails that say how they are encoded are read so
    assert sum(s["reason"] == "not UTF-8" for s in manifest["skipped"]) == 25
    assert json.loads((tmp_path / "ckpt" / "privacy.json").read_text())["epsilon"] <= 8
