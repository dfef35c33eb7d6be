"""Random numbers that nobody can replay: noise, draws, masks and coins of private runs.

A seed of 32 bits can be searched: torch's CPU generator keeps the low 32 bits of its seed, and the signs of a
released one-step update give it away in minutes. Here everything comes from a cipher under 256 bits of the
operating system's entropy. The key is never written, and a resumed run takes a fresh one.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from randomgen import ChaCha
from torch import Tensor

KEY_BYTES = 32
_BLOCK = 1 << 20  # bytes enciphered at once: what a core's cache holds


class NoiseSource:
    """A stream of AES-256 in counter mode, and Gaussian samples from it.

    Every byte of the stream is used once: a source cannot be rewound, copied or sent to another process.
    """

    def __init__(self, key: bytes | None = None) -> None:
        """Start the stream of ``key`` (32 bytes), or of a fresh one. Raises ValueError for another length."""
        key = secrets.token_bytes(KEY_BYTES) if key is None else key
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes; expected {KEY_BYTES}")
        # the counter starts at 0: no two streams share a key, so none needs a nonce of its own
        self._stream: Any = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._zeros = bytes(_BLOCK)

    def __repr__(self) -> str:
        return "NoiseSource()"

    def __reduce__(self) -> Any:
        raise TypeError("a copy of a noise source would repeat its noise")

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next ``count`` words of 64 bits."""
        size = 8 * count
        found = bytearray(size + 15)  # the cipher asks for room for one block more
        for start in range(0, size, _BLOCK):
            block = memoryview(self._zeros)[: min(_BLOCK, size - start)]
            self._stream.update_into(block, memoryview(found)[start:])
        return np.frombuffer(found, dtype="<u8", count=count)

    def gaussian(self, count: int) -> Tensor:
        """Return ``count`` independent N(0, 1) in float64, by Box and Muller from uniforms of 53 bits.

        The largest possible is 8.65; what lies beyond has probability 5e-18.
        """
        pairs = (count + 1) // 2
        words = torch.from_numpy(self.words(2 * pairs).view(np.int64))
        uniform = words.bitwise_right_shift(11).bitwise_and_((1 << 53) - 1).to(torch.float64)
        uniform.add_(0.5).mul_(2.0**-53)
        radius = uniform[:pairs].log_().mul_(-2.0).sqrt_()
        angle = uniform[pairs:].mul_(2 * math.pi)
        return torch.cat([radius * angle.cos(), radius * angle.sin()])[:count]

    def normal(self, shape: Sequence[int], std: float) -> Tensor:
        """Return N(0, ``std``²) of ``shape``, in float32 on the CPU."""
        shape = torch.Size(shape)
        return self.gaussian(shape.numel()).mul_(std).to(torch.float32).reshape(shape)


def noise_source(key: bytes | None = None) -> NoiseSource:
    """Return the noise of ``key`` (32 bytes); None takes a fresh key from the operating system."""
    return NoiseSource(key)


def private_rng() -> np.random.Generator:
    """Return a generator for draws, windows, masks and coins: ChaCha20 under a fresh key of 256 bits."""
    return np.random.Generator(ChaCha(key=secrets.randbits(256)))
