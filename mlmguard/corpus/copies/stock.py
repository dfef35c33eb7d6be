"""What our copies must be: words by a regular expression, sets of shingles, and stock ``datasketch``.

The readable and slow definition, for tests and ``scan --prove``. Of ours it has the numbers that stand for
shingles, from which ``datasketch`` makes its signatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from datasketch import MinHash, MinHashLSH

from mlmguard.corpus.copies.minhash import SHINGLE, SPACELESS, Array, bands, lower

_ALONE = "[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in SPACELESS) + "]"
_WORD = re.compile(rf"(?={_ALONE})\w|(?:(?!{_ALONE})\w)+")


def words(text: str) -> list[str]:
    """List the words of ``text``; in scripts without spaces each letter."""
    return _WORD.findall(lower(text))


def shingle_set(text: str) -> set[tuple[str, ...]]:
    """Return the runs of five words; a shorter text is one, a text without words has none."""
    found = words(text)
    if len(found) < SHINGLE:
        return {tuple(found)} if found else set()
    return {tuple(found[start : start + SHINGLE]) for start in range(len(found) - SHINGLE + 1)}


def jaccard(a: str, b: str) -> float:
    """Shared shingles over all shingles of two texts; 0 where there are none."""
    left, right = shingle_set(a), shingle_set(b)
    return len(left & right) / len(left | right) if left & right else 0.0


def signature(fingerprints: Iterable[int], permutations: int) -> Array:
    """Return datasketch's signature, uint32[permutations], of shingles by their 64-bit fingerprints."""
    found = MinHash(num_perm=permutations, seed=1, hashfunc=int)
    for fingerprint in fingerprints:
        found.update(fingerprint >> 32)
    return np.asarray(found.digest())


def candidates(
    some: Iterable[int],
    everyone: Iterable[int],
    signature_of: Callable[[int], Array],
    threshold: float,
    permutations: int,
) -> Iterator[tuple[int, int]]:
    """Give pairs (one of ``some``, one of ``everyone``) that share a band, as datasketch's LSH finds them."""
    lsh = MinHashLSH(params=bands(threshold, permutations), num_perm=permutations)
    first = MinHash(num_perm=permutations, seed=1, hashfunc=int)

    def named(number: int) -> MinHash:
        about = {"permutations": first.permutations, "scheme": first.scheme}
        return MinHash(permutations, seed=1, hashfunc=int, hashvalues=signature_of(number), **about)

    for number in some:
        lsh.insert(number, named(number))
    for number in everyone:
        yield from ((int(other), number) for other in lsh.query(named(number)) if other != number)
