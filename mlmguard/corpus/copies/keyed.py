"""Numbers of a text made useless to who lacks the key, and still the same for the same text.

A block of AES is a permutation of 128 bits that nobody tells from a random one without its key. What is cut
off of it is no permutation any more, and hides as much.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mlmguard.corpus.copies.minhash import Array

_SHINGLES = (1 << 64) - 1  # the second half of a block of a shingle; of the key of a band its number
_TOGETHER = 1 << 16  # blocks: a megabyte


class Keyed:
    """The permutation under one key of 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self.__cipher = Cipher(
            algorithms.AES(secret), modes.ECB()
        )  # every block for itself: equal stays equal

    def digests(self, digests: bytes) -> Array:
        """Name texts by their digests, 16 bytes each: uint64[2, texts]."""
        return np.frombuffer(self.__cipher.encryptor().update(digests), np.uint64).reshape(-1, 2).T

    def band_keys(self, keys: Array) -> Array:
        """Name what texts have in each band: uint64[bands, texts] of such."""
        return np.stack([self._numbers(row, number) for number, row in enumerate(keys)])

    def shingles(self, fingerprints: Array) -> Array:
        """Name shingles: uint32 of their 64-bit fingerprints, in the same order.

        Two that differ look the same once in 4 × 10⁹ pairs.
        """
        return (self._numbers(fingerprints, _SHINGLES) >> np.uint64(32)).astype(np.uint32)

    def _numbers(self, numbers: Array, kind: int) -> Array:
        named = np.empty(len(numbers), np.uint64)
        for start in range(0, len(numbers), _TOGETHER):
            some = numbers[start : start + _TOGETHER]
            blocks = np.full((len(some), 2), kind, np.uint64)
            blocks[:, 0] = some
            named[start : start + len(some)] = self.digests(blocks.tobytes())[0]
        return named
