"""Plain files: one document, or pieces of one that is longer; one that begins as a mail does is a mail."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from mlmguard.corpus.read.document import Refused, Settings, document, no_unit, too_long
from mlmguard.corpus.read.mail import looks_like_mail, mail
from mlmguard.types import Document, Skipped

_READ = 1 << 20
_ENDS = ("\n\n", "\n")  # where a long text is cut: between paragraphs, else lines


def plain(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Read a plain file; more than ``settings.max_chars`` characters in pieces, each with its line."""
    start = stream.read(8 * settings.max_chars + 1)
    if looks_like_mail(start):
        if len(start) > 8 * settings.max_chars:
            raise Refused(too_long(settings))
        text, unit = mail(start, settings)
        yield document(name, name, text, unit, settings)
        return
    unit = no_unit(settings)
    waiting, line, cut = "", 1, 0
    for text in _decoded(start, stream):
        waiting += text
        while len(waiting) > settings.max_chars:
            cut = _cut(waiting, settings.max_chars)
            if not cut:
                raise Refused(too_long(settings), line if line > 1 else 0)
            yield from _piece(waiting[:cut], line, name, settings)
            line += waiting.count("\n", 0, cut)
            waiting = waiting[cut:]
    if not cut:
        yield document(name, name, waiting, unit, settings)
    else:
        yield from _piece(waiting, line, name, settings)


def _piece(text: str, line: int, name: str, settings: Settings) -> Iterator[Document]:
    if text.strip():
        yield document(f"{name}#L{line}", name, text, "", settings)


def _cut(text: str, most: int) -> int:
    """Where the first piece of ``text`` ends; 0 where one line is longer than a piece."""
    for end in _ENDS:
        at = text.rfind(end, most // 2, most)
        if at >= 0:
            return at + len(end)
    return text.rfind("\n", 0, most) + 1


def _decoded(start: bytes, stream: IO[bytes]) -> Iterator[str]:
    """The text of ``start`` and of what follows in ``stream``; :class:`Refused` where it is none."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    data = start
    while True:
        if b"\0" in data:
            raise Refused("a binary file")
        following = stream.read(_READ)
        try:
            yield decoder.decode(data, final=not following)
        except UnicodeDecodeError:
            raise Refused("not UTF-8") from None
        if not following:
            return
        data = following
