"""The user's own words: what is always personal, what never is, and patterns that prove themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mlmguard import cli
from mlmguard.commands.rules import prove_rules
from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.own import read
from mlmguard.corpus.detect.phrases import Phrases, words_of
from mlmguard.errors import InputError
from tests.scan.places import Place, files, jsonl

BADGES = """
[[recogniser]]
type = "BADGE_NUMBER"
patterns = ['QF-\\d{6}']
finds = ["the badge «QF-123456» was lost"]
leaves = ["QF-12 is a room"]
values = ["Project Nightjar"]
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_denied_values_go_whatever_their_case_accents_and_line_ends(place: Place, tmp_path: Path) -> None:
    deny = written(tmp_path / "deny.txt", "# our projects\nProject Nightjar\nSTAFF_NAME\tZoë Quill-Marsh\n\n")
    place.put(
        "1.txt", "PROJECT\nNIGHTJAR and project  nightjar; projects nightjars. zoe quill-marsh said so."
    )
    manifest = place.scan(deny_list=deny, no_names=True)
    (row,) = place.rows()
    assert row["text"] == "<DENY_LIST> and <DENY_LIST>; projects nightjars. <STAFF_NAME> said so."
    assert {one.entity: one.name for one in manifest.coverage}["STAFF_NAME"] == "DenyList"


def test_a_list_is_in_no_output_and_another_list_is_another_run(place: Place, tmp_path: Path) -> None:
    deny, runs = tmp_path / "deny.txt", []
    place.put("1.txt", "We speak of Project Nightjar and of Heron Lake.")
    for value in ("Project Nightjar", "Heron Lake"):
        runs.append(place.scan(deny_list=written(deny, value), no_names=True).run_id)
        shown = b"".join(files(place.reports).values()) + (place.clean / "manifest.json").read_bytes()
        assert b"Nightjar" not in shown and b"Heron" not in shown and b"deny.txt" not in shown
        guess = hashlib.sha256(f"deny {value}".encode()).hexdigest()[:12]  # a list of one name can be guessed
        assert read(deny, None).digest == guess and guess.encode() not in shown
    assert runs[0] != runs[1]


def test_allowed_values_stay_and_are_counted_as_left(place: Place, tmp_path: Path) -> None:
    allow = written(tmp_path / "allow.txt", "Help@Example.org\n")
    place.put("1.txt", "Write to help@example.org or to ann@example.org today.")
    place.scan(allow_list=allow, no_names=True)
    (row,) = place.rows()
    assert "help@example.org" in row["text"] and "ann@example.org" not in row["text"]
    left = [one for one in jsonl(place.run / "spans.jsonl") if not one["redacted"]]
    assert [one["rule"] for one in left] == ["EMAIL_ADDRESS"]


def test_an_allowed_name_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    allow = written(tmp_path / "allow.txt", "Mary Quillfeather\n")
    text = "Dear Mary Quillfeather,\nthe Quillfeather prize is yours.\n"
    ours = pii.Names(ours=True, own=read(None, allow))
    assert [one.rule for one in pii.finder(names=pii.OURS).find(text)] == ["PERSON", "PERSON"]
    assert [one.rule for one in pii.finder(names=ours).find(text) if one.rule == "PERSON"] == []


def test_own_patterns_are_proved_and_find(place: Place, tmp_path: Path) -> None:
    rules = written(tmp_path / "badges.toml", BADGES)
    (proved,) = prove_rules([str(rules)])
    assert proved.line == "badges-1: BADGE_NUMBER, right on 2 texts"
    place.put("1.txt", "badge qf-654321, room QF-12, project nightjar")
    manifest = place.scan(deny_list=rules, no_names=True)
    assert {one.entity: one.name for one in manifest.coverage}["BADGE_NUMBER"] == "DenyList"  # no file's name
    assert place.rows()[0]["text"] == "badge <BADGE_NUMBER>, room QF-12, <BADGE_NUMBER>"


def test_a_pattern_that_fails_its_own_text_is_refused(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = written(tmp_path / "badges.toml", BADGES.replace("d{6}", "d{7}"))
    place.put("1.txt", "a text")
    with pytest.raises(InputError, match="'badges-1': it does not find text 1 of `finds`"):
        place.scan(deny_list=rules)
    assert cli.run(["rules", "prove", str(rules)]) == 2
    assert "badges-1: it does not find text 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("deny.txt", "\n# nothing\n", "an empty list"),
        ("deny.txt", "person name\tAnn Lee", "line 1: no entity type before the tab"),
        ("deny.txt", "Ann Lee\nx\n", "line 2: a value of fewer than two letters or digits"),
        ("deny.toml", "[[recogniser]\n", "line 1: not valid TOML"),
        ("deny.toml", "x = 1\n", r"no tables \[\[recogniser"),
        ("deny.toml", "[[recogniser]]\nvalues = ['Ann Lee']\n", "recogniser 1: no type"),
        ("deny.toml", "[[recogniser]]\ntype = 'A_B'\nvalue = ['Ann Lee']\n", "recogniser 1: the key 'value'"),
        ("deny.toml", "[[recogniser]]\ntype = 'A_B'\nvalues = 'Ann Lee'\n", "values is no list of texts"),
        ("deny.toml", "[[recogniser]]\ntype = 'A_B'\n", "neither values nor patterns"),
        ("deny.toml", BADGES.replace("QF-", "(", 1), "'deny-1'.*pattern 1 cannot be compiled"),
    ],
)
def test_a_list_that_is_none_is_one_line_without_its_content(
    place: Place, tmp_path: Path, name: str, text: str, said: str
) -> None:
    place.put("1.txt", "a text")
    with pytest.raises(InputError, match=said) as told:
        place.scan(deny_list=written(tmp_path / name, text))
    assert "Ann" not in str(told.value) and "\n" not in str(told.value)


def test_one_value_cannot_be_both(tmp_path: Path) -> None:
    both = written(tmp_path / "both.txt", "Ann  LEE\n")
    with pytest.raises(InputError, match="1 of its values are in the deny-list, too"):
        read(written(tmp_path / "deny.txt", "ann lee\n"), both)


def test_phrases_against_a_naive_oracle() -> None:
    import random

    rng = random.Random(3)
    for _ in range(200):
        words = [rng.choice(["ab", "cd", "ef", "gh"]) for _ in range(12)]
        phrases = {" ".join(words[i : i + rng.randint(1, 3)]): "T" for i in (1, 5, 9)}
        text = " ".join(words)
        naive, at = [], 0
        while at < len(words):
            fits = [p.split() for p in phrases if words[at : at + len(p.split())] == p.split()]
            longest = max(map(len, fits), default=0)
            if longest:
                start = len(" ".join(words[:at])) + (at > 0)
                naive.append((start, start + len(" ".join(words[at : at + longest])), "T"))
            at += longest or 1
        assert list(Phrases((words_of(p), what) for p, what in phrases.items()).find(text)) == naive
