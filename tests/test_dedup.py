"""Copies against a naive all-pairs oracle, and against an exact join over real mail."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlmguard.corpus.dedup import Clusters, bands, digest, duplicates, jaccard, shingles, signature


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


def roots(clusters: Clusters) -> list[int]:
    return [clusters.root(i) for i in range(len(clusters))]


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


def test_a_thousand_form_letters_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlmguard.corpus.dedup as module

    calls = 0

    def counted(a: set[str], b: set[str]) -> float:
        nonlocal calls
        calls += 1
        return jaccard(a, b)

    monkeypatch.setattr(module, "jaccard", counted)
    letter = " ".join(f"w{i}" for i in range(80))
    clusters = duplicates([f"{letter} n{i}" for i in range(400)])
    assert set(roots(clusters)) == {0} and calls == 399


def test_white_space_and_accents_make_no_difference_case_does() -> None:
    assert digest("Caf\u00e9  one\n") == digest("Cafe\u0301 one") != digest("caf\u00e9 one")


def test_short_and_empty_texts() -> None:
    assert shingles("") == set() and shingles("...") == set() and signature("...") is None
    assert shingles("One two") == {"one two"}
    assert jaccard(set(), set()) == 0.0
    assert roots(duplicates(["...", "!!!", "Thanks!", "thanks"])) == [0, 1, 2, 2]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_miss_one_pair_in_a_thousand_at_most(threshold: float) -> None:
    count, rows = bands(threshold, 128)
    assert count * rows <= 128 and (1 - threshold**rows) ** count <= 0.001


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
    clusters = duplicates(bodies)
    together = sum(clusters.root(a) == clusters.root(b) for a, b in pairs)
    assert together >= 0.99 * len(pairs)
    members: dict[int, list[int]] = {}
    for index in range(len(clusters)):
        members.setdefault(clusters.root(index), []).append(index)
    for group in members.values():
        assert roots(duplicates([bodies[i] for i in group])) == [0] * len(group)
        assert set(oracle([bodies[i] for i in group], 0.8)) == {0}  # precision 1.0
