"""Copies against a naive all-pairs oracle, and against an exact join over real mail."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlmguard.corpus.copies import dedup
from mlmguard.corpus.copies.dedup import Copies, Found, digest, duplicates, sketch


def shingles(text: str) -> set[str]:
    """Runs of five lower-cased words; a shorter text is one shingle, a text without words has none."""
    words = re.findall(r"\w+", text.lower())
    if len(words) < 5:
        return {" ".join(words)} if words else set()
    return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a & b else 0.0


def oracle(texts: list[str], threshold: float) -> list[int]:
    """Roots of the graph of all pairs at or over the threshold, by the dullest means."""
    sets = [shingles(t) for t in texts]
    root = list(range(len(texts)))
    changed = True
    while changed:
        changed = False
        for a, b in combinations(range(len(texts)), 2):
            alike = digest(texts[a]) == digest(texts[b]) or jaccard(sets[a], sets[b]) >= threshold
            if alike and root[a] != root[b]:
                root[a] = root[b] = min(root[a], root[b])
                changed = True
    return root


def roots(found: Found) -> list[int]:
    return found.clusters.roots().tolist()


WORDS = [f"w{i}" for i in range(40)]


@st.composite
def corpora(draw: st.DrawFn) -> list[str]:
    """A few base texts and edits of them: random texts alone would hardly ever be alike."""
    bases = draw(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=60), min_size=1, max_size=4))
    texts = []
    for _ in range(draw(st.integers(1, 14))):
        words = list(draw(st.sampled_from(bases)))
        for _ in range(draw(st.integers(0, 3))):
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(WORDS))
        texts.append(draw(st.sampled_from([" ", "  ", "\n"])).join(words))
    return texts


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(corpora())
def test_clusters_are_the_oracles(texts: list[str]) -> None:
    assert roots(duplicates(texts)) == oracle(texts, 0.8)


def test_a_broken_bridge_does_not_merge() -> None:
    """A and C each share three quarters of B's shingles: candidates, but no verified pair."""
    base = [f"b{i}" for i in range(104)]
    a = base[:90] + [f"x{i}" for i in range(14)]
    c = [f"y{i}" for i in range(14)] + base[14:]
    texts = [" ".join(words) for words in (a, base, c)]
    assert 0.7 < jaccard(shingles(texts[0]), shingles(texts[1])) < 0.8
    assert roots(duplicates(texts)) == [0, 1, 2]
    assert roots(duplicates(texts, threshold=0.7)) == [0, 0, 0]


def test_a_chain_is_one_cluster_and_its_first_is_kept() -> None:
    base = [f"b{i}" for i in range(110)]
    texts = [" ".join(base[i : i + 100]) for i in (0, 5, 10)]
    assert (
        jaccard(shingles(texts[0]), shingles(texts[2]))
        < 0.85
        < jaccard(shingles(texts[0]), shingles(texts[1]))
    )
    assert roots(duplicates(texts, threshold=0.85)) == [0, 0, 0]
    assert roots(duplicates([texts[2], texts[0]], threshold=0.85)) == [0, 1]


def test_a_link_that_comes_last_joins_older_clusters() -> None:
    base = [f"b{i}" for i in range(110)]
    texts = [" ".join(base[i : i + 100]) for i in (0, 10, 5)]
    assert roots(duplicates(texts, threshold=0.85)) == [0, 0, 0]


def test_four_hundred_form_letters_cost_four_hundred_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    real = dedup.jaccard

    def counted(a: dedup.Array, b: dedup.Array) -> float:
        nonlocal calls
        calls += 1
        return real(a, b)

    monkeypatch.setattr(dedup, "jaccard", counted)
    letter = " ".join(f"w{i}" for i in range(80))
    found = duplicates([f"{letter} n{i}" for i in range(400)])
    assert set(roots(found)) == {0} and calls == 399 == len(found.pairs)


def test_a_letterhead_shared_by_many_is_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """All 300 share every band's candidates at a low threshold and none is a copy of another."""
    calls = 0

    def never(a: dedup.Array, b: dedup.Array) -> float:
        nonlocal calls
        calls += 1
        return 0.0

    monkeypatch.setattr(dedup, "jaccard", never)
    letter = " ".join(f"w{i}" for i in range(80))
    count = 300
    found = duplicates([f"{letter} n{i}" for i in range(count)])
    assert len(found.pairs) == 0 and calls <= 21 * 16 * count < count * (count - 1) * 21 // 2


def test_batches_do_not_matter() -> None:
    texts = [f"letter {i // 3} of the house " * 9 + f"and {i % 2}" for i in range(60)]
    whole = duplicates(texts)
    with Copies(texts.__getitem__) as copies:
        for start in range(0, 60, 7):
            copies.add(sketch(texts[start : start + 7]))
        pieces = copies.found()
    assert roots(pieces) == roots(whole) == oracle(texts, 0.8)
    assert pieces.pairs.tolist() == whole.pairs.tolist() and pieces.first.tolist() == whole.first.tolist()


def test_columns_longer_than_a_block_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "_BLOCK", 8)
    base = [" ".join(f"b{c}w{i}" for i in range(30)) for c in range(10)]
    texts = [f"{base[i % 10]} {i}" for i in range(77)]
    with Copies(texts.__getitem__) as copies:
        for start in range(0, 77, 5):
            copies.add(sketch(texts[start : start + 5]))
        assert roots(copies.found()) == oracle(texts, 0.8)


def test_white_space_and_accents_make_no_difference_case_does() -> None:
    assert digest("Caf\u00e9  one\n") == digest("Cafe\u0301 one") != digest("caf\u00e9 one")


def test_short_and_empty_texts() -> None:
    assert roots(duplicates(["...", "!!!", "Thanks!", "thanks"])) == [0, 1, 2, 2]


def test_nothing_at_all() -> None:
    assert roots(duplicates([])) == [] and duplicates([]).pairs.tolist() == []


def test_every_pair_is_verified_and_says_who_came_first() -> None:
    base = [f"b{i}" for i in range(110)]
    texts = [" ".join(base[i : i + 100]) for i in (0, 10, 5)] + ["x"] * 3
    found = duplicates(texts, threshold=0.85)
    assert [tuple(pair) for pair in found.pairs.tolist()] == [(3, 4), (3, 5), (0, 2), (1, 2)]
    assert found.first.tolist() == [0, 1, 2, 3, 3, 3]


def test_mail_pairs_of_an_exact_join(shared_data: Path) -> None:
    """Recall of pairs with Jaccard >= 0.8 at least .99; no cluster without a verified pair."""
    mail = shared_data / "mail"
    names, bodies = [], []
    for path in sorted(mail.rglob("*.txt")):
        text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
        names.append(path.relative_to(mail).as_posix())
        bodies.append(text.partition("\n\n")[2])
    place = {name: i for i, name in enumerate(names)}
    pairs = []
    for line in (shared_data / "neardup" / "mail.exact_jaccard.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            a, b, index = line.split("\t")
            if float(index) >= 0.8:
                pairs.append((place[a], place[b]))
    assert len(pairs) == 222
    clusters = duplicates(bodies).clusters
    together = sum(clusters.root(a) == clusters.root(b) for a, b in pairs)
    assert together >= 0.99 * len(pairs)
    members: dict[int, list[int]] = {}
    for index in range(len(clusters)):
        members.setdefault(clusters.root(index), []).append(index)
    for group in members.values():
        assert roots(duplicates([bodies[i] for i in group])) == [0] * len(group)
        assert set(oracle([bodies[i] for i in group], 0.8)) == {0}  # precision 1.0
