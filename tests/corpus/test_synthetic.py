"""The embedded corpus is what its docstring says: exact gold, planted copies and secrets, always the same."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from mlmguard.corpus.copies import dedup
from mlmguard.corpus.read import documents as readers
from mlmguard.corpus.synthetic import Gold, private_documents, public_documents, write_corpus
from mlmguard.types import Document


@pytest.fixture(scope="module")
def notes() -> tuple[list[Document], list[Gold]]:
    return private_documents()


def test_public_text_is_cpythons_help() -> None:
    documents = public_documents()
    assert len(documents) > 60
    assert sum(len(d.text) for d in documents) > 300_000
    assert [d.id for d in documents] == sorted(d.id for d in documents)


def test_notes_are_the_same_every_time_and_leave_global_chance_alone() -> None:
    random.seed(1)
    before = random.getstate()
    assert private_documents(200) == private_documents(200)
    assert private_documents(200, seed=1) != private_documents(200, seed=2)
    assert random.getstate() == before


def test_gold_spans_hold_values_of_their_kind(notes: tuple[list[Document], list[Gold]]) -> None:
    documents, gold = notes
    text = {d.id: d.text for d in documents}
    for item in gold:
        value = text[item.document_id][item.start : item.end]
        assert value == value.strip() and value
        if item.rule == "EMAIL_ADDRESS":
            assert value.count("@") == 1 and value.split("@")[1].split(".")[-2] == "example"
        if item.rule == "PHONE_NUMBER":
            assert "555" in value and "01" in value  # 555-01xx belongs to nobody
        if item.rule in ("US_SSN", "CREDIT_CARD", "MEDICAL_RECORD_NUMBER", "ACCESS_CODE"):
            assert sum(c.isdigit() for c in value) in (6, 7, 9, 16)
        if item.rule == "PERSON":
            assert value[0].isupper() and " " in value


def test_notes_have_natural_length_and_many_authors(notes: tuple[list[Document], list[Gold]]) -> None:
    documents, _ = notes
    lengths = [len(d.text.split()) for d in documents]
    assert len(documents) == 4000
    assert min(lengths) >= 35 and max(lengths) <= 95
    by_author = Counter(d.metadata["author"] for d in documents)
    assert len(by_author) == 400 and sorted(by_author.values())[20] >= 4


def test_copies_are_copies_and_nothing_else_is(notes: tuple[list[Document], list[Gold]]) -> None:
    documents, _ = notes
    text = {d.id: d.text for d in documents}
    kinds = Counter(d.metadata.get("copy") for d in documents)
    assert kinds["exact"] == 120 and kinds["near"] == 160
    for document in documents:
        if (copy := document.metadata.get("copy")) is None:
            continue
        original = text[document.metadata["copy_of"]]
        assert (document.text == original) == (copy == "exact")
        assert len(dedup.duplicates([document.text, original]).pairs) == 1
    originals = [d.text for d in documents if "copy" not in d.metadata]
    assert len(dedup.duplicates(originals[:800]).pairs) == 0


def test_secrets_repeat_as_often_as_said(notes: tuple[list[Document], list[Gold]]) -> None:
    documents, _ = notes
    uses: dict[str, int] = defaultdict(int)
    for document in documents:
        if "secret" in document.metadata and "copy" not in document.metadata:
            uses[document.metadata["secret"]] += 1
    times = Counter(uses.values())
    assert times[2] >= 20 and times[5] >= 10 and times[12] >= 5 and times[30] >= 2
    for name, found in uses.items():
        assert name.startswith(f"secret-{found}x-")


def test_written_corpus_reads_back_with_exact_gold(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", tmp_path / "gold.jsonl", notes=240)
    read = list(readers.read(tmp_path / "corpus"))
    texts = {d.id: d.text for d in read if isinstance(d, Document)}
    assert len(texts) == len(read) == 240
    suffixes = {Path(id.partition("#")[0]).suffixes[-1] for id in texts}
    assert suffixes == {".jsonl", ".txt", ".md", ".rst", ".gz", ".eml", ".html", ".csv"}
    expected, gold = private_documents(240)
    value = {d.id: d.text for d in expected}
    wanted = Counter(value[g.document_id][g.start : g.end] for g in gold)
    lines = [json.loads(line) for line in (tmp_path / "gold.jsonl").read_text().splitlines()]
    assert Counter(texts[g["document_id"]][g["start"] : g["end"]] for g in lines) == wanted
    before = {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}
    write_corpus(tmp_path / "corpus", tmp_path / "gold.jsonl", notes=240)
    assert before == {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}
