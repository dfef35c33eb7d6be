"""What a tokenizer's entries say of the texts it was learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mlmguard.leakage import metrics
from mlmguard.leakage.attack import Attack, Bench
from mlmguard.leakage.results import CONTROL, PValue, Result, Span, fisher, joined, measured
from mlmguard.leakage.spans import PERSONAL, WORD
from mlmguard.measures import family

LEARNT = "learnt from held-out"


def vocabulary(entries: set[str], trained: Mapping[str, int], held_out: Mapping[str, int]) -> Result:
    """Whole vocabulary entries among rare words of the training rows only, and of the held-out rows only.

    Both maps give the number of documents a word occurs in. Words of one document in one set alone are
    compared: a vocabulary learnt from public text knows as few of the one kind as of the other, one learnt
    from the training rows knows more. Words count in lower case, as most vocabularies hold them, and parts
    of words (``##ing``) without their mark.

    Beside both stands what a vocabulary of the same size learnt from the held-out rows would know of *their*
    rare words: its most frequent whole words, ties in the order of the alphabet, because training a
    WordPiece vocabulary breaks ties at random and an audit gives the same bytes twice.
    """
    entries = {entry.removeprefix("##").removeprefix("Ġ").removeprefix("▁") for entry in entries}
    rare = [
        {word.lower() for word, n in own.items() if n == 1 and word not in other}
        for own, other in ((trained, held_out), (held_out, trained))
    ]
    learnt = {word.lower() for word in sorted(held_out, key=lambda w: (-held_out[w], w))[: len(entries)]}
    known = [(name, words & entries, words) for name, words in zip(("train", CONTROL), rare)]
    known.append((LEARNT, rare[1] & learnt, rare[1]))
    hits, sizes = [len(found) for _, found, _ in known], [len(words) for _, _, words in known]
    p = fisher(hits[0], sizes[0], hits[1], sizes[1])
    return Result(
        tuple(
            measured("vocabulary", "rare_words_known", metrics.rate(h, n), n, name)
            for (name, _, _), h, n in zip(known, hits, sizes)
        ),
        (),
        (PValue("vocabulary", p, sizes[0], metric="rare_words"),) if all(sizes[:2]) else (),
    )


def findings(spans: Sequence[Span], kinds: Sequence[str]) -> Result:
    """Personal values that are one entry of the vocabulary, among different values of each kind.

    A name that many people bear may be one by chance: values in held-out rows, and in those alone, say how
    often. Values that stand in both are left out.
    """

    def value(span: Span) -> bytes:
        return span.target.ids[list(span.target.positions)].tobytes()

    values = {kind: {value(span) for span in spans if span.kind == kind} for kind in (*kinds, CONTROL)}
    one_entry = {value(span) for span in spans if len(span.target.positions) == 1}
    inside = set[bytes]().union(*(values[kind] for kind in kinds))
    controls = values[CONTROL] - inside
    hits, n = len(controls & one_entry), len(controls)
    measurements = [measured("vocabulary", "findings_known", metrics.rate(hits, n), n, CONTROL)]
    tests = []
    for kind in kinds:
        own = values[kind] - values[CONTROL]
        known, size = len(own & one_entry), len(own)
        measurements.append(measured("vocabulary", "findings_known", metrics.rate(known, size), size, kind))
        if size and n:
            p = fisher(known, size, hits, n)
            tests.append(PValue("vocabulary", p, size, slice=kind, metric="findings"))
    return Result(tuple(measurements), (), tuple(tests))


def _run(bench: Bench) -> Result:
    """Does the tokenizer know words of the training rows that it should not?"""
    splits = (bench.audited.members, bench.audited.held_out)
    words = [Counter(word for row in rows for word in set(WORD.findall(row["text"]))) for rows in splits]
    known = vocabulary(set(bench.entries), words[0], words[1])
    return joined(known, findings(bench.personal_spans, PERSONAL))


ATTACK = Attack(
    "vocabulary",
    "rare words and personal values that are entries, against those of held-out rows",
    family("vocabulary"),
    _run,
    how=(
        "vocabulary entries among words that stand in one training row only, and personal values that are "
        "one entry"
    ),
    control=(
        "words of one held-out row only, values of held-out rows only; beside them what a vocabulary learnt "
        "from the held-out rows would know"
    ),
)
