"""What a tokenizer's entries say of the texts it was learnt from."""

from __future__ import annotations

from collections.abc import Mapping

from mlmguard.leakage import metrics
from mlmguard.leakage.results import CONTROL, PValue, Result, fisher, measured


def vocabulary(entries: set[str], trained: Mapping[str, int], held_out: Mapping[str, int]) -> Result:
    """Whole vocabulary entries among rare words of the training rows only, and of the held-out rows only.

    Both maps give the number of documents a word occurs in. Words of one document on one side alone are
    compared: a vocabulary learnt from public text knows as few of the one kind as of the other, one learnt
    from the training rows knows more. Words count in lower case, as most vocabularies hold them.
    """
    rare = [
        {word.lower() for word, n in own.items() if n == 1 and word not in other}
        for own, other in ((trained, held_out), (held_out, trained))
    ]
    hits = [sum(word in entries for word in words) for words in rare]
    sizes = [len(words) for words in rare]
    p = fisher(hits[0], sizes[0], hits[1], sizes[1])
    return Result(
        tuple(
            measured("vocabulary", "rare_words_known", metrics.rate(h, n), n, name)
            for name, h, n in zip(("train", CONTROL), hits, sizes)
        ),
        (),
        (PValue("vocabulary", p, sizes[0], metric="rare_words"),) if all(sizes) else (),
    )
