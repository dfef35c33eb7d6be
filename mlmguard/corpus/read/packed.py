"""Packed files, which may not expand without bound."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Any

from mlmguard.corpus.read.document import Refused

BOMB_BYTES = 16 << 20  # a packed file may expand to this ...
BOMB_RATIO = 200  # ... and beyond it at most this many times its own size (text: 3 to 20)


def _zstd(raw: IO[bytes]) -> IO[bytes]:
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd")  # type: ignore[no-any-return]


PACKED: dict[str, tuple[str, Callable[[IO[bytes]], Any]]] = {
    ".gz": ("gzip", lambda raw: gzip.GzipFile(fileobj=raw)),
    ".bz2": ("bzip2", bz2.BZ2File),
    ".xz": ("xz", lzma.LZMAFile),
    ".zst": ("zstd", _zstd),
}
"""Extension -> (name of the packing, how to open it)."""


class Unpacked(io.RawIOBase):
    """What a packed file holds; it refuses to expand without bound."""

    def __init__(self, raw: IO[bytes], packing: str, size: int) -> None:
        self._name, open_packed = PACKED[packing]
        self._stream = open_packed(raw)
        self._left = max(BOMB_BYTES, size * BOMB_RATIO)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the disk's fault
            raise Refused(f"broken {self._name}") from None
        buffer[: len(data)] = data
        self._left -= len(data)
        if self._left < 0:
            raise Refused(f"expands more than {BOMB_RATIO}-fold")
        return len(data)
