"""One person's data: found again, answered for, left out of the next corpus, and never printed."""

import io
import json

import pytest

from mlmguard.artifacts import Key, write_json
from mlmguard.commands.forget_list import forget_list, read
from mlmguard.commands.subject import subject, values_of
from mlmguard.corpus.clean import read_clean
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings, scan
from tests.fixtures.workbench import KEY

ID = "notes.jsonl#{}".format
EMAIL, NAME = "jane.roe@example.org", "Wilhelmina Ostrander"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("subject")
    rows = [
        {
            "id": "a-1",
            "author": "p1",
            "text": f"Please write to {EMAIL} about the spare key of the boat house.",
        },
        {
            "id": "b-1",
            "author": "p2",
            "text": f"Met  {NAME.upper()} at the harbour, who asked for the old map.",
        },
        {"id": "b-2", "author": "p3", "text": f"Met {NAME} at the harbour, who asked for the old map."},
        {
            "id": "c-1",
            "author": "p1",
            "text": "Nothing of anybody in this long and rather dull sentence here.",
        },
        *[
            {"id": f"x-{k}", "author": f"q{k}", "text": f"Filler number {k} about weather and boats."}
            for k in range(30)
        ],
    ]
    (place / "corpus").mkdir()
    (place / "corpus" / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(place, "clean", no_names=True)
    write_json(
        place / ".mlmguard" / "runs" / "train-1" / "run.json",
        {
            "commitment": read_clean(place / "clean").manifest.commitment, "status": "done",
            "checkpoint": "ckpt", "plan": {"epsilon": 8.0, "unit": "author"},
        },
    )  # fmt: skip
    return place


def run(place, clean, **more):
    settings = ScanSettings(unit_key="author", **more)
    return scan(
        place / "corpus", place / clean, place / f"{clean}-reports", key=KEY, settings=settings,
        runs=place / ".mlmguard" / "runs",
    )  # fmt: skip


def ask(place, values, **more):
    return subject(place / "clean", place / ".mlmguard" / "runs", KEY, values, **more)


def test_a_value_is_found_by_fingerprint_where_it_was_redacted_and_by_text_where_nobody_saw_it(folder):
    found = ask(folder, [EMAIL, NAME, "nobody at all"])
    told = {(one.value, one.document_id, one.found_as, one.status) for one in found.held}
    assert told == {
        (1, ID("a-1"), "EMAIL_ADDRESS", "redacted"),
        (2, ID("b-1"), "", "in the text"),
        (2, ID("b-2"), "", "removed as a copy"),
    }
    assert [one.claim for one in found.checkpoints] == ["ε = 8, unit author"]
    assert EMAIL not in repr(found) and NAME.lower() not in repr(found).lower()


def test_a_person_is_found_however_the_name_is_written(folder):
    run(folder, "named")
    first, _, last = NAME.partition(" ")
    for written in (NAME, NAME.upper(), f"{last}, {first}", f"Dr. {first} Q. {last}"):
        found = subject(folder / "named", folder / ".mlmguard" / "runs", KEY, [written])
        told = {(one.document_id, one.found_as) for one in found.held}
        assert (ID("b-1"), "PERSON") in told, written


def test_a_person_is_found_by_the_key_of_the_scan(folder):
    found = ask(folder, [], person="author=p1")
    assert {(one.value, one.document_id, one.status) for one in found.held} == {
        (0, ID("a-1"), "this person's"), (0, ID("c-1"), "this person's"),
    }  # fmt: skip
    for wrong in ("name=p1", "author", "author="):
        with pytest.raises(InputError, match=r"--key: .*author=VALUE") as refused:
            ask(folder, [], person=wrong)
        assert "p1" not in str(refused.value)


def test_exposure_is_that_of_the_documents_found(folder, tmp_path):
    records = tmp_path / "records.jsonl"
    lines = [
        {"document_id": name, "attack": "pii", "kind": "EMAIL_ADDRESS", "score": 1.0, "copies": 1}
        for name in (ID("a-1"), ID("x-3"))
    ]
    records.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [row.document_id for row in ask(folder, [EMAIL], records=records).exposed] == [ID("a-1")]
    records.write_text("not json\n")
    with pytest.raises(InputError, match="line 1: not a line of `mlmguard audit --records`"):
        ask(folder, [EMAIL], records=records)


def test_another_key_is_refused(folder):
    with pytest.raises(InputError, match="scanned under key"):
        subject(folder / "clean", folder / "runs", Key(b"another key, also of thirty-two b"), [EMAIL])


def test_values_are_one_a_line_and_not_too_short():
    assert values_of(io.StringIO(" one value \n\ntwo values\n")) == ["one value", "two values"]
    for text, said in (("", "no value"), ("abcd\nab\n", "line 2: too short")):
        with pytest.raises(InputError, match=said):
            values_of(io.StringIO(text))


def test_what_an_audit_lists_is_left_out_of_the_next_corpus(folder, tmp_path):
    records, out = tmp_path / "records.jsonl", tmp_path / "forget.json"
    rows = [(ID("a-1"), 1.0), (ID("b-1"), 0.99), (ID("c-1"), 0.2)]
    records.write_text(
        "".join(
            json.dumps(
                {"document_id": name, "attack": "membership", "kind": "document", "score": score, "copies": 1}
            )
            + "\n"
            for name, score in rows
        )
    )
    assert forget_list(records, out, "data owner", 0.9).new == 2
    assert forget_list(records, out, "data owner", 0.9).new == 0  # not a second time
    assert [(one.id, one.reason, one.owner) for one in read(out).documents] == [
        (ID("a-1"), "membership: document", "data owner"), (ID("b-1"), "membership: document", "data owner"),
    ]  # fmt: skip
    manifest = run(folder, "next", left_out=frozenset(one.id for one in read(out).documents))
    assert (manifest.documents_read, manifest.documents_written) == (34, 31)  # a copy of one goes with it
    assert manifest.settings["left_out"].startswith("2 documents, ")
    corpus = read_clean(folder / "next")
    assert not {ID("a-1"), ID("b-1"), ID("b-2")} & {row["id"] for row in (*corpus.train, *corpus.held_out)}
    with pytest.raises(InputError, match="--owner"):
        forget_list(records, out, " ", 0.0)
