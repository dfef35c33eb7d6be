"""Bytes of other encodings and line ends as UTF-8 with the usual ones."""

from __future__ import annotations

import codecs
import io
from typing import IO, Any

from mlmguard.corpus.read.document import Refused

_PIECE = 1 << 16
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def as_utf8(stream: io.BufferedReader) -> IO[bytes]:
    """``stream``, recoded while it is read where it begins with the mark of UTF-16 or its lines end in lone
    carriage returns."""
    start = stream.peek(_PIECE)[:_PIECE]
    encoding = _MARKS.get(start[:2])
    if encoding:
        stream.read(2)
        return io.BufferedReader(_Recoded(stream, encoding), _PIECE)
    if b"\r" in start.rstrip(b"\r") and b"\n" not in start:
        return io.BufferedReader(_Recoded(stream, "utf-8"), _PIECE)
    return stream


class _Recoded(io.RawIOBase):
    """Text of ``encoding`` as UTF-8, each of its line ends a line feed."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._surrogates = "surrogateescape" if encoding == "utf-8" else "strict"
        self._decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(encoding)(self._surrogates), translate=True
        )
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            data = self._stream.read(_PIECE)
            try:
                text = self._decoder.decode(data, final=not data)
                self._rest = text.encode("utf-8", self._surrogates)
            except UnicodeError:
                raise Refused("not UTF-16, whose mark it begins with") from None
            if not data:
                break
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
