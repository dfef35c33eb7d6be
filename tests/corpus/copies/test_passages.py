"""Shared passages against an oracle that compares every word of every document with every other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlmguard.corpus.copies import minhash
from mlmguard.corpus.copies import passages as module
from mlmguard.corpus.copies.passages import LEAST, Passage, Passages, anchors


def found(texts: list[str], rank: list[int] | None = None, batch: int = 3) -> list[Passage]:
    with Passages() as passages:
        for start in range(0, len(texts), batch):
            passages.add(start, anchors(minhash.words(texts[start : start + batch])))
        order = np.array(range(len(texts)) if rank is None else rank)
        return list(passages.found(lambda i: minhash.words([texts[i]]), order))


def shared_words(texts: list[list[str]], document: int) -> set[int]:
    """Places of a document that lie in a run of LEAST words which an earlier one holds: the dull way."""
    places: set[int] = set()
    runs = {tuple(other[i : i + LEAST]) for other in texts[:document] for i in range(len(other) - LEAST + 1)}
    for start in range(len(texts[document]) - LEAST + 1):
        if tuple(texts[document][start : start + LEAST]) in runs:
            places.update(range(start, start + LEAST))
    return places


def words(name: str, count: int) -> list[str]:
    return [f"{name}{i}" for i in range(count)]


def test_the_longest_shared_run_is_found() -> None:
    shared = words("s", 60)
    texts = [words("a", 30) + shared + words("b", 5), words("c", 7) + shared + words("d", 40)]
    (one,), (other,) = (found([" ".join(t) for t in texts], rank=rank) for rank in ([0, 1], [1, 0]))
    assert one == Passage(1, 7, 67, 0, 30, one.opening)
    assert other == Passage(0, 30, 90, 1, 7, one.opening)  # one passage, wherever it is found
    assert found([" ".join(t) for t in texts], rank=[0, -1]) == []


def test_fifty_are_found_wherever_they_lie_and_forty_nine_are_not() -> None:
    for before in range(0, 60, 7):
        for count in (LEAST - 1, LEAST):
            shared = words("s", count)
            texts = [words("a", before) + shared, words("b", 59 - before) + shared + words("c", before)]
            assert len(found([" ".join(t) for t in texts])) == (count == LEAST)


def test_a_passage_inside_one_document_is_nobodys_copy() -> None:
    assert found([" ".join([*words("s", 60), "x", *words("s", 60)])]) == []


def test_one_word_over_and_over_is_bounded() -> None:
    of = minhash.words(["x " * 100_000])
    assert len(anchors(of).runs) <= 2
    assert [p.end - p.start for p in found(["x " * 400, "y " + "x " * 300])] == [300]


@st.composite
def corpora(draw: st.DrawFn) -> list[list[str]]:
    """Documents put together from a few long pieces, with cuts at odd places."""
    pieces = [words(name, 80) for name in "pqr"]
    documents = []
    for number in range(draw(st.integers(1, 5))):
        text: list[str] = []
        for _ in range(draw(st.integers(1, 4))):
            piece = draw(st.sampled_from([*pieces, words(f"own{number}", 90)]))
            start = draw(st.integers(0, 40))
            text += piece[start : start + draw(st.integers(1, 80))]
        documents.append(text)
    return documents


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(corpora(), st.integers(1, 4))
def test_what_is_found_is_shared_and_what_is_shared_is_found(documents: list[list[str]], batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_REFERENCES", 20)  # all there can be
        _check_against_the_oracle(documents, batch)


def _check_against_the_oracle(documents: list[list[str]], batch: int) -> None:
    texts = [" ".join(document) for document in documents]
    covered: dict[int, set[int]] = {}
    for passage in found(texts, batch=batch):
        mine = documents[passage.document][passage.start : passage.end]
        count = passage.end - passage.start
        assert mine == documents[passage.other][passage.other_start : passage.other_start + count]
        assert count >= LEAST and passage.other < passage.document
        places = covered.setdefault(passage.document, set())
        assert not places & set(range(passage.start, passage.end))
        places.update(range(passage.start, passage.end))
    for document in range(len(documents)):
        shared, got = shared_words(documents, document), covered.get(document, set())
        assert got <= shared
        # what is left of a shared stretch beside a passage that was found is shorter than a passage
        assert not any(set(range(s, s + LEAST)) <= shared - got and _one_run(documents, document, s)
                       for s in range(len(documents[document])))  # fmt: skip


def _one_run(documents: list[list[str]], document: int, start: int) -> bool:
    run = documents[document][start : start + LEAST]
    return any(
        run == other[i : i + LEAST] for other in documents[:document] for i in range(len(other) - LEAST + 1)
    )
