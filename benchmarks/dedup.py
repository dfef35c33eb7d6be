"""Finding copies: the whole pass beside datasketch's and rensa's, in one process, and recall on real mail.

    python benchmarks/dedup.py [ROUNDS]

All three look at the same five-word shingles with as many permutations, and index them in 21 bands of 6 rows.
The peers shingle with a regular expression, as their users do; ours also finds exact copies and verifies
every candidate, which theirs do not. rensa's second line is its own documentation's use: single words, no
shingles, and so another question.
CPU time, best of the rounds.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from datasketch import MinHash, MinHashLSH

from mlmguard.corpus.copies import dedup, minhash
from mlmguard.corpus.read import documents as readers
from mlmguard.types import Document

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
BANDS, ROWS = minhash.bands(dedup.THRESHOLD, minhash.PERMUTATIONS)


def shingles(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    if len(words) < 5:
        return {" ".join(words)} if words else set()
    return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


def ours(texts: list[str]) -> int:
    return len(dedup.duplicates(texts).pairs)


def by_datasketch(texts: list[str]) -> int:
    index = MinHashLSH(num_perm=minhash.PERMUTATIONS, params=(BANDS, ROWS))
    found = 0
    sets = [[shingle.encode() for shingle in shingles(text)] for text in texts]
    for number, sketch in enumerate(MinHash.bulk(sets, num_perm=minhash.PERMUTATIONS)):
        found += bool(index.query(sketch))
        index.insert(number, sketch)
    return found


def by_rensa(texts: list[str], parts: Callable[[str], list[str]] = lambda text: list(shingles(text))) -> int:
    from rensa import RMinHash, RMinHashLSH

    permutations = BANDS * ROWS  # it takes multiples of the bands only
    matrix = RMinHash.digest_matrix_from_token_sets([parts(text) for text in texts], permutations, 1)
    index = RMinHashLSH(dedup.THRESHOLD, permutations, BANDS)
    return sum(index.insert_matrix_and_query_duplicate_flags(matrix))


def by_rensa_on_words(texts: list[str]) -> int:
    return by_rensa(texts, lambda text: text.lower().split())


def corpora() -> dict[str, list[str]]:
    """Mail bodies, PEPs, and news articles with planted copies."""
    mail = [d.text for d in readers.read(DATA / "mail") if isinstance(d, Document)]
    prose = [d.text for d in readers.read(DATA / "prose") if isinstance(d, Document)]
    news = (DATA / "neardup" / "articles_2500.train").read_text("utf-8").splitlines()
    return {"mail": mail, "prose": prose, "news": news}


def mail_bodies() -> tuple[dict[str, int], list[str]]:
    """As the exact join has them: everything behind the first empty line."""
    names, bodies = {}, []
    for path in sorted((DATA / "mail").rglob("*.txt")):
        text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
        names[path.relative_to(DATA / "mail").as_posix()] = len(bodies)
        bodies.append(text.partition("\n\n")[2])
    return names, bodies


def recall_and_precision() -> tuple[int, int, int, int]:
    """(exact pairs found, exact pairs, pairs we joined, those of them that are copies by the definition)."""
    names, bodies = mail_bodies()
    found = dedup.duplicates(bodies)
    pairs = []
    for line in (DATA / "neardup" / "mail.exact_jaccard.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            a, b, index = line.split("\t")
            if float(index) >= dedup.THRESHOLD:
                pairs.append((names[a], names[b]))
    together = sum(found.clusters.root(a) == found.clusters.root(b) for a, b in pairs)
    right = 0
    for a, b in found.pairs.tolist():
        one, other = shingles(bodies[a]), shingles(bodies[b])
        right += dedup.digest(bodies[a]) == dedup.digest(bodies[b]) or (
            len(one & other) / len(one | other) >= dedup.THRESHOLD
        )
    return together, len(pairs), len(found.pairs), right


def timed(work: Callable[[list[str]], int], texts: list[str], rounds: int) -> tuple[float, int]:
    best, result = float("inf"), 0
    for _ in range(rounds):
        began = time.process_time()
        result = work(texts)
        best = min(best, time.process_time() - began)
    return best, result


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    peers = {"datasketch": by_datasketch}
    try:
        import rensa  # noqa: F401

        peers |= {"rensa": by_rensa, "rensa, words": by_rensa_on_words}
    except ImportError:
        print("rensa: not installed (pip install rensa)")
    dedup.duplicates(["warm up"])
    total: dict[str, float] = {}
    for name, texts in corpora().items():
        size = sum(map(len, texts)) / 1e6
        own, found = timed(ours, texts, rounds)
        print(f"{name}: {len(texts)} documents, {size:.1f} M characters")
        print(f"  {'ours':14} {own:6.2f} s  {size / own:6.1f} MB/s          {found} verified joins")
        for peer, work in peers.items():
            taken, flagged = timed(work, texts, rounds)
            total[peer] = total.get(peer, 0.0) + taken
            speed = f"{size / taken:6.1f} MB/s  {taken / own:5.1f}×"
            print(f"  {peer:14} {taken:6.2f} s  {speed}  {flagged} flagged")
        total["ours"] = total.get("ours", 0.0) + own
    for peer in peers:
        print(f"all three corpora: {peer} takes {total[peer] / total['ours']:.1f}× our time")
    together, exact, joined, right = recall_and_precision()
    print(f"mail, exact pairs with Jaccard ≥ {dedup.THRESHOLD}: {together} of {exact} in one cluster")
    print(f"mail, joined pairs that are copies by the definition: {right} of {joined}")


if __name__ == "__main__":
    main()
