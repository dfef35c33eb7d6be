"""Units, copies, splits and passages: what is kept, and where it goes."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mlmguard import artifacts
from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.read.originals import originals
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError
from mlmguard.scan import scan
from mlmguard.types import ColumnCount, Manifest, RepeatedIds
from tests.scan.places import KEY, Place, files, jsonl


def test_no_author_and_no_copy_crosses(tmp_path: Path) -> None:
    place = Place(tmp_path)
    write_corpus(place.corpus, None, notes=300)
    manifest = place.scan(unit_key="author")
    assert {s.reason for s in manifest.skipped} == {'no "author"'}
    authors = {}
    for file in sorted(place.corpus.rglob("*.jsonl")):
        authors |= {f"{file.relative_to(place.corpus)}#{row['id']}": row["author"] for row in jsonl(file)}
    split = {row["id"]: side for side in ("train", "validation", "test") for row in place.rows(side)}
    sides, units, clusters = defaultdict(set), defaultdict(set), defaultdict(set)
    for document in jsonl(place.run / "documents.jsonl"):
        if document["split"]:
            clusters[document["cluster"]].add(document["split"])
        if (author := authors.get(document["id"])) and document["id"] in split:
            sides[author].add(split[document["id"]])
    for row in place.rows():
        if row["id"] in authors:
            units[authors[row["id"]]].add(row["unit"])
    assert all(len(s) == 1 for s in [*sides.values(), *units.values(), *clusters.values()])
    assert not any("staff" in row["unit"] for row in place.rows())
    assert min(manifest.splits.values()) >= 1


def test_the_first_copy_is_kept_and_found_in_the_raw_text(place: Place) -> None:
    letter = (
        "Dear {}, your order of the kettle has left our house and will arrive on Monday before lunch. " * 2
    )
    place.put("1.txt", letter.format("a.b@example.com", "a.b@example.com"))
    place.put("2.txt", letter.format("a.b@example.com", "a.b@example.com") + "\n")
    place.put("3.txt", letter.format("c.d@example.com", "c.d@example.com"))
    manifest = place.scan()
    assert [d["status"] for d in jsonl(place.run / "documents.jsonl")] == ["kept", "exact-duplicate", "kept"]
    assert manifest.duplicates.clusters == (2,)


@pytest.mark.parametrize(("keep", "kept"), [("first", "1"), ("longest", "3"), ("fewest-findings", "2")])
def test_the_kept_copy_is_chosen_by_the_rule(place: Place, keep: str, kept: str) -> None:
    letter = " ".join(f"word{i}" for i in range(60))
    place.put("1.txt", f"{letter} a.b@example.com")
    place.put("2.txt", letter)
    place.put("3.txt", f"{letter} a.b@example.com and more")
    place.put("4.txt", letter + "\n")
    place.put("5.txt", "something else")
    manifest = place.scan(keep=keep)
    status = {d["id"]: d["status"] for d in jsonl(place.run / "documents.jsonl")}
    assert [id for id, s in status.items() if s == "kept"] == [f"{kept}.txt", "5.txt"]
    assert manifest.duplicates.exact == 1 and manifest.duplicates.near == 2
    assert {status[f"{n}.txt"] for n in (2, 4)} >= {"exact-duplicate"}


def test_other_columns_survive_and_are_cleaned(place: Place) -> None:
    rows = [
        {"id": "n-1", "text": "the first note", "topic": "cats", "year": 2001, "by": "a.b@example.com"},
        {"id": "n-2", "text": "another one about dogs", "tags": ["x", "y"], "none": None},
        {"id": "n-3", "text": "and a third"},
    ]
    place.put("r.jsonl", "\n".join(json.dumps(row) for row in rows))
    manifest = place.scan(unit_key=None)
    assert manifest.findings == () and manifest.columns == (ColumnCount("EMAIL_ADDRESS", "by", 1, 1),)
    (finding,) = jsonl(place.reports / "findings.jsonl")
    assert finding["location"] == {"document_id": "r.jsonl#n-1", "start": 0, "end": 15, "column": "by"}
    assert finding["fingerprint"] == KEY.fingerprint("EMAIL_ADDRESS", "a.b@example.com")
    assert {row["id"]: json.loads(row["metadata"]) for row in place.rows()} == {
        "r.jsonl#n-1": {"topic": "cats", "year": "2001", "by": "<EMAIL_ADDRESS>"},
        "r.jsonl#n-2": {"tags": '["x", "y"]'},
        "r.jsonl#n-3": {},
    }


def test_columns_whose_cleaned_names_are_one_keep_their_values(place: Place) -> None:
    row = {"text": "a note", "a.b@example.com": "one", "A.B@example.com": "two", "c": "a.b@example.com"}
    place.put("r.jsonl", json.dumps(row))
    manifest = place.scan()
    ((name, one), (other, two), _) = json.loads(place.rows()[0]["metadata"]).items()
    assert (one, two) == ("one", "two") and other == f"{name} (2)" and "@" not in name
    assert {c.column for c in manifest.columns} == {name, other, "c"}


COLUMNS: list[list[dict[str, object]]] = [
    [{"text": "a", "x": "1"}, {"text": "b"}],
    [{"text": "a"}, {"text": "b", "late": "1"}],
    [{"text": "a", "n": 1}, {"text": "b", "n": "one"}],
    [{"text": "a", "n": 1}, {"text": "b", "n": 1.5}],
    [{"text": "a", "o": {"p": 1}}, {"text": "b", "o": [1, 2]}],
    [{"text": "a", "o": None}, {"text": "b", "o": True}],
    [{"text": "a", "d": "2001-02-03"}, {"text": "b", "d": "never"}],
    [{"text": "a", "x.y@example.com": "1"}, {"text": "b", "ssn": "512-46-7183"}],
    [{"messages": [{"role": "user", "content": "a"}]}, {"text": "b", "role": "user"}],
    [{"text": "a", "text ": "c"}, {"text": "b", "id": 7, "metadata": {"text": "d"}}],
]


@pytest.mark.slow
@pytest.mark.parametrize("rows", COLUMNS, ids=range(len(COLUMNS)))
def test_clean_opens_in_datasets_whatever_the_columns(place: Place, rows: list[dict[str, object]]) -> None:
    import datasets

    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    many = [{**rows[n > 15], **({"id": f"n-{n}"} if n else {})} for n in range(30)]
    for n, row in enumerate(many):
        if "text" in row:
            row["text"] = f"{row['text']} {words[n % 10]} note {words[n // 10]} of {words[(n * 7) % 10]}"
    place.put("r.jsonl", "\n".join(map(json.dumps, many)))
    manifest = place.scan(keep="all", splits="0.4,0.3,0.3")
    opened = datasets.load_dataset(str(place.clean), cache_dir=str(place.clean.parent / "cache"))
    text = datasets.Value("string")
    assert all(
        of.features == dict.fromkeys(("id", "text", "unit", "metadata"), text) for of in opened.values()
    )
    assert {name: len(of) for name, of in opened.items()} == manifest.splits
    assert sum(manifest.splits.values()) == 30


@pytest.mark.slow
def test_clean_with_one_split_opens_in_datasets(place: Place) -> None:
    import datasets

    place.put("1.txt", "one text")
    place.scan()
    opened = datasets.load_dataset(str(place.clean), cache_dir=str(place.clean.parent / "cache"))
    assert {name: list(of["text"]) for name, of in opened.items()} == {"train": ["one text"]}


def test_the_card_has_counts_and_says_what_was_not_looked_for(place: Place) -> None:
    place.put("a.txt", "write to ann@example.org or to bob@example.org")
    place.put("b.txt", "write to ann@example.org or to bob@example.org")
    manifest = place.scan(entities=("EMAIL_ADDRESS",))
    card = (place.clean / "README.md").read_text("utf-8")
    head, _, body = card.removeprefix("---\n").partition("---\n")
    read = YAML(typ="safe", pure=True).load(head)
    assert read["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.jsonl"}]
    assert [one["name"] for one in read["dataset_info"]["features"]] == list(place.rows()[0])
    assert "1 of 2 documents, after 1 exact and 0 near copies" in body and manifest.run_id in body
    assert "| `EMAIL_ADDRESS` | 4 | 2 |" in body and "not anonymous" in body
    assert re.search(r"Not looked for: .*`PERSON`", body) and "example.org" not in card


def test_a_card_of_somebody_else_is_not_replaced(place: Place) -> None:
    place.put("a.txt", "one text")
    place.scan()
    place.scan(mode="mask")
    (place.clean / "README.md").write_text("# ours")
    with pytest.raises(InputError, match="did not write"):
        place.scan()


def test_a_value_that_stays_stays_in_every_column(place: Place) -> None:
    place.put("r.jsonl", '{"text": "from a.b@example.com", "by": "a.b@example.com"}')
    mark = KEY.fingerprint("EMAIL_ADDRESS", "a.b@example.com")
    manifest = place.scan(kept=(("EMAIL_ADDRESS", mark),))
    (row,) = place.rows()
    assert "a.b@example.com" in row["text"] and row["metadata"] == '{"by": "a.b@example.com"}'
    (left,) = manifest.findings
    assert (left.rule, left.found, left.redacted, left.left) == ("EMAIL_ADDRESS", 0, 0, 1)
    assert manifest.columns == ()
    (span,) = jsonl(place.run / "spans.jsonl")
    assert (span["rule"], span["fingerprint"], span["redacted"]) == ("EMAIL_ADDRESS", mark, False)


@pytest.mark.parametrize(
    "settings", [{"entities": ("EMAIL_ADDRESS",)}, {"threshold": 0.97}], ids=["not asked for", "too weak"]
)
def test_what_the_settings_leave_in_the_text_is_written_down_for_the_audit(
    place: Place, settings: dict[str, object]
) -> None:
    """The address goes and moves what follows; the telephone number stays and is known by its place."""
    text = "Write to a.b@example.com or call 212-555-0142 before noon."
    place.put("r.jsonl", json.dumps({"text": text}))
    place.scan(**settings)
    (row,) = place.rows()
    spans = {span["rule"]: span for span in jsonl(place.run / "spans.jsonl")}
    assert spans["EMAIL_ADDRESS"]["redacted"] and not spans["PHONE_NUMBER"]["redacted"]
    phone = spans["PHONE_NUMBER"]
    assert text[phone["raw_start"] : phone["raw_end"]] == "212-555-0142"
    assert row["text"][phone["clean_start"] : phone["clean_end"]] == "212-555-0142"


def test_as_the_settings_come_nothing_is_left(place: Place) -> None:
    place.put("r.jsonl", json.dumps({"text": "Write to a.b@example.com or call 212-555-0142 before noon."}))
    place.scan()
    assert all(span["redacted"] for span in jsonl(place.run / "spans.jsonl"))


def test_rows_with_one_id_are_kept_and_told(place: Place) -> None:
    rows = [
        {"id": "n-1", "text": "the first note"},
        {"id": "n-1", "text": "another note with its id"},
        {"id": 7, "text": "a number is no name, but an id"},
        {"id": 7, "text": "and stands there twice"},
        {"id": "", "text": "nothing"},
        {"id": "", "text": "and nothing again"},
    ]
    place.put("r.jsonl", "\n".join(json.dumps(row) for row in rows))
    place.put("s.jsonl", '{"id": "n-1", "text": "in another file it is another one"}')
    manifest = place.scan()
    assert manifest.repeated_ids == (RepeatedIds("r.jsonl", 2, "r.jsonl#L2"),)
    assert manifest.documents_written == 7 and manifest.skipped == ()
    assert artifacts.read_json(place.reports / "scan.json")["repeated_ids"][0]["documents"] == 2


def test_another_run_is_not_replaced_unasked(place: Place) -> None:
    def scan_again(clean: Path = place.clean, reports: Path = place.reports, **said: Any) -> Manifest:
        return scan(place.corpus, clean, reports, key=KEY, runs=place.runs, **said)

    place.put("1.txt", "one text")
    first = scan_again()
    assert scan_again() == first  # the same command, again
    place.put("2.txt", "two texts")
    before = files(place.root)
    with pytest.raises(InputError, match=f"{first.run_id}, another run.*--overwrite"):
        scan_again()
    with pytest.raises(InputError, match="reports: it holds"):
        scan_again(place.root / "other")
    assert files(place.root) == before
    assert scan_again(place.root / "other", place.root / "others").documents_read == 2
    assert scan_again(overwrite=True).documents_read == 2


def passage(name: str, count: int = 60) -> str:
    return " ".join(f"{name}{i}" for i in range(count))


@pytest.mark.parametrize("cut", ["between-splits", "everywhere", "nowhere"])
def test_no_passage_crosses_a_split(place: Place, cut: str) -> None:
    """Sixty documents with a footer in common: none is left in validation or test, and none is lost."""
    for number in range(60):
        place.put(
            f"{number:02}.txt", f"{passage(f'own{number}x', 150)}.\n\n{passage('footer')}, n{number} said."
        )
    manifest = place.scan(cut_passages=cut)
    assert manifest.documents_written == 60 and manifest.duplicates.near == 0
    holders = {split: sum("footer59" in r["text"] for r in place.rows(split)) for split in manifest.splits}
    sizes = manifest.splits
    expected = {
        "between-splits": {"train": sizes["train"], "validation": 0, "test": 0},
        "everywhere": {"train": 1, "validation": 0, "test": 0},
        "nowhere": dict(sizes),
    }
    assert holders == expected[cut] and sizes["test"] > 0 and sizes["validation"] > 0
    report = artifacts.read_json(place.reports / "scan.json")
    held_out = sizes["validation"] + sizes["test"]
    assert report["passages"]["shared_with"] == {
        "other splits": held_out,
        "the same split": sizes["train"] - 1,
    }
    assert manifest.duplicates.passages == 59
    assert (
        manifest.duplicates.passages_cut == {"between-splits": held_out, "everywhere": 59, "nowhere": 0}[cut]
    )
    assert report["boilerplate"][0]["documents"] == 59
    raw = dict(originals(place.run))
    cuts = jsonl(place.run / "passages.jsonl")
    assert len(cuts) == manifest.duplicates.passages_cut
    for row in cuts:  # never inside a word, and nothing else is gone
        assert raw[row["id"]][row["raw_start"] : row["raw_end"]] == passage("footer")
        (text,) = (r["text"] for r in place.rows() if r["id"] == row["id"])
        assert text == raw[row["id"]].replace(passage("footer"), "")


def test_a_cut_brings_nothing_personal_together(place: Place) -> None:
    shared = passage("shared")
    place.put("1.txt", shared)
    place.put("2.txt", f"her social security number {shared} 536-90-4399 it is")
    place.scan(cut_passages="everywhere")
    assert all(not pii.finder().find(row["text"]) for row in place.rows())
    assert "536-90-4399" not in "".join(row["text"] for row in place.rows())


def test_a_document_of_shared_passages_only_is_left_out(place: Place) -> None:
    place.put("1.txt", f"{passage('a')} {passage('b')}")
    place.put("2.txt", passage("a"))
    place.put("3.txt", "something else")
    manifest = place.scan(cut_passages="everywhere", splits="1,0,0")
    documents = {d["id"]: (d["status"], d["split"]) for d in jsonl(place.run / "documents.jsonl")}
    assert documents["2.txt"] == ("passages-only", "") and manifest.documents_written == 2


def test_what_stands_in_an_evaluation_set_is_taken_out(place: Place, tmp_path: Path) -> None:
    sets = [tmp_path / "eval-a", tmp_path / "eval-b"]
    for number, folder in enumerate(sets):
        folder.mkdir()
        rows = [{"text": passage(f"set{number}r{i}x", 80)} for i in range(5)]
        (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken")
    place.put("exact.txt", passage("set0r1x", 80) + "\n")
    place.put("near.txt", passage("set1r4x", 80) + " and so on")
    place.put(
        "part.txt",
        f"Before it. {passage('set1r2x', 80)[: -len(' set1r2x79')]} and after it. " + passage("own", 200),
    )
    place.put("clean.txt", passage("nothing", 100))
    place.put("twice.txt", passage("nothing", 100) + " of it")
    manifest = place.scan(against=tuple(sets))
    status = {d["id"]: (d["status"], d["copies"]) for d in jsonl(place.run / "documents.jsonl")}
    assert status == {
        "clean.txt": ("kept", 2), "exact.txt": ("evaluation-copy", 1), "near.txt": ("evaluation-copy", 1),
        "part.txt": ("kept", 1), "twice.txt": ("near-duplicate", 2),
    }  # fmt: skip
    assert manifest.documents_read == 5 and manifest.duplicates.evaluation == 2
    assert "set1r2x" not in "".join(row["text"] for row in place.rows())
    assert artifacts.read_json(place.reports / "scan.json")["passages"] == {
        "shared_with": {"evaluation sets": 1}, "against": 10,
    }  # fmt: skip
    assert [(s.source, s.reason) for s in manifest.skipped] == [("against: rows.jsonl", "malformed JSON")] * 2
    again = place.scan()
    assert again.duplicates.evaluation == 0 and again.run_id != manifest.run_id
    (sets[0] / "rows.jsonl").write_text('{"text": "another set"}')
    assert place.scan(against=tuple(sets)).run_id != manifest.run_id
    with pytest.raises(InputError, match="no such folder"):
        place.scan(against=(tmp_path / "nowhere",))


@pytest.mark.parametrize("mode", ["replace", "mask", "pseudonym", "drop-document"])
def test_modes(place: Place, mode: str) -> None:
    place.put("1.txt", "write to a.b@example.com about the cat")
    place.put("2.txt", "nothing personal in this one")
    place.put("3.txt", "and nothing to see here either")
    place.scan(mode=mode)
    kept = [row["text"] for row in place.rows()]
    assert len(kept) == (2 if mode == "drop-document" else 3)
    assert all("a.b@example.com" not in text and not pii.finder().find(text) for text in kept)


def test_letters_of_one_form_are_in_one_split(place: Place) -> None:
    """Sixty letters that differ in their values alone, among other notes: no cleaned copy in two splits."""
    for n in range(60):
        place.put(
            f"letter-{n:02}.txt",
            f"Dear patient, your visit of {n % 28 + 1} June {1990 + n % 30} is booked.\n"
            f"Call 212-555-{100 + n:04} or write to desk{n}@example.org; your MRN: {4482000 + 37 * n}.\n",
        )
        place.put(f"note-{n:02}.txt", " ".join(f"{word}{n * k}" for k, word in enumerate("abcdefghij", 1)))
    place.scan(splits="0.6,0.2,0.2")
    splits: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        assert place.rows(split)
        for row in place.rows(split):
            splits.setdefault(row["text"], set()).add(split)
    letters = [text for text in splits if text.startswith("Dear")]
    assert len(letters) == 1 and all(len(its) == 1 for its in splits.values())


FORMS = (
    "Dear {name}, your visit of {date} is booked with our {word} clinic. Call {phone} or write to "
    "{mail}; your MRN: {mrn}. Please bring your card and be there ten minutes before the time that was "
    "agreed upon.",
    "Invoice for {name}, {street}. Card ending {four}, due on {date}. Questions about the {word} items "
    "go to {mail} or to {phone}, on weekdays between nine and five; thank you for paying within thirty "
    "days of this letter.",
    "Ticket closed on {date}: the caller ({phone}, {mail}) could sign in again after the {word} reset. "
    "Nothing else was changed, no data was lost, and the case may be opened again within a week by "
    "answering this mail.",
    "| Patient | {name} |\n| DOB | {date} |\n| MRN | {mrn} |\n| Phone | {phone} |\n\nSeen for {word} "
    "pain, without fever. Plan: rest, fluids, come back if it gets worse; the patient agreed and had "
    "no further questions.",
    "Hello,\nyour parcel to {street} left our {word} depot on {date}. Track it at "
    "https://post.example.org/{mrn} or ring {phone}. You can still change the day on which it is "
    "brought until the evening before.\nYour team",
)


@pytest.mark.parametrize("seed", [1, 2])
def test_letters_of_five_forms_with_drawn_values_leave_no_near_copy_across_splits(
    place: Place, seed: int
) -> None:
    """Once their values are out they are one text but for a word or two."""
    draw = random.Random(seed)
    digits = lambda count: "".join(draw.choice("123456789") for _ in range(count))  # noqa: E731
    words = ["eastern", "northern", "evening", "children", "summer", "village", "central", "weekly"]
    names = ["Mary Oakes", "John Hill", "Ann Brook", "Carl Stone", "Susan Field", "Peter Marsh"]
    for n in range(5 * 30):
        filled = FORMS[n % 5].format(
            name=draw.choice(names), date=f"{draw.randint(1, 28)} June {draw.randint(1950, 2010)}",
            word=draw.choice(words), phone=f"212-555-{digits(4)}", mail=f"desk{digits(3)}@example.org",
            mrn=digits(7), street=f"{draw.randint(1, 99)} Oak Street", four=digits(4),
        )  # fmt: skip
        place.put(f"letter-{n:03}.txt", filled)
    for n in range(60):
        place.put(f"note-{n:02}.txt", " ".join(f"{word}{n * k}" for k, word in enumerate("abcdefghij", 1)))
    place.scan(splits="0.6,0.2,0.2")
    train, held_out = (
        [row["text"] for split in part for row in place.rows(split)]
        for part in (["train"], ["validation", "test"])
    )

    def shingles(text: str) -> set[tuple[str, ...]]:
        parts = re.findall(r"\w+", text.lower())
        return {tuple(parts[k : k + 5]) for k in range(max(1, len(parts) - 4))}

    near = [
        (one, other)
        for one, other in product(map(shingles, set(train)), map(shingles, set(held_out)))
        if len(one & other) >= 0.8 * len(one | other)
    ]
    assert train and held_out and not near
