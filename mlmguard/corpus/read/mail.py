"""Mails and mailboxes."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from typing import IO

from mlmguard.corpus.read.document import Refused, Settings, document, lines_of, too_long
from mlmguard.corpus.read.html import html_text
from mlmguard.types import Document, Skipped

_MAIL_FIELD = re.compile(rb"(?:From \S.*|[!-9;-~]+:.*|[ \t].*)\r?\n")
_MAIL_FIELDS = frozenset((b"from", b"date", b"received", b"message-id", b"return-path", b"subject", b"to"))


def looks_like_mail(data: bytes) -> bool:
    """Say whether a plain file begins as a mail does: nothing but header fields up to an empty line, at least
    three of them being those that every mail has.
    """
    at, known = 0, set()
    while field := _MAIL_FIELD.match(data, at):
        known.add(data[at : field.end()].partition(b":")[0].lower())
        at = field.end()
    return data[at : at + 1] in (b"\r", b"\n") and len(known & _MAIL_FIELDS) >= 3


def mail(data: bytes, settings: Settings) -> tuple[str, str]:
    """Give the text and the unit of a mail; raises :class:`Refused` where it cannot be read."""
    # the parser itself takes seconds for what is refused below
    if data.count(b"\n--") > 5 * MAX_PARTS:
        raise Refused(f"a mail of more than {MAX_PARTS:,} parts")
    if any(len(field) > MAX_HEADER for field in _FIELD_END.split(_HEAD_END.split(data, maxsplit=1)[0])):
        raise Refused(f"a mail with a header field longer than {MAX_HEADER:,} characters")
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        _refuse_endless(message)
        unit = str(message[settings.unit_key] or "") if settings.unit_key else ""
        headers = [f"{key}: {message[key]}" for key in ("Subject", "From", "To") if message[key]]
        bodies = list(_texts(message))
    except Refused:
        raise
    except Exception as error:  # the standard parser fails on hostile mail in many ways: all mean the same
        raise Refused(f"malformed mail ({type(error).__name__})") from None
    if settings.unit_key and not unit:
        raise Refused(f'no "{settings.unit_key}"')
    if settings.mail_headers and headers:
        return "\n".join([*headers, "", "\n".join(bodies)]), unit
    return "\n".join(bodies), unit


_HEAD_END, _FIELD_END = re.compile(rb"\r?\n\r?\n"), re.compile(rb"\n(?![ \t])")
MAX_HEADER = 20_000
"""Characters of one header field: a letter to five hundred people. Its parser takes the square of them."""
MAX_PARTS = 1_000


def _refuse_endless(message: EmailMessage) -> None:
    """Raise :class:`Refused` for a mail whose headers or parts hold up the scan; no header is parsed here."""
    for number, part in enumerate(message.walk()):
        if number >= MAX_PARTS:
            raise Refused(f"a mail of more than {MAX_PARTS:,} parts")
        if any(len(str(value)) > MAX_HEADER for _, value in part.raw_items()):
            raise Refused(f"a mail with a header field longer than {MAX_HEADER:,} characters")


def mbox(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Read mails one after the other, each behind a line "From " that an empty line or nothing precedes."""
    for number, data in _mbox_messages(stream, settings):
        try:
            if data is None:
                raise Refused(too_long(settings))
            text, unit = mail(data, settings)
            yield document(f"{name}#L{number}", name, text, unit, settings)
        except Refused as refused:
            yield Skipped(name, str(refused), number)


def _mbox_messages(stream: IO[bytes], settings: Settings) -> Iterator[tuple[int, bytes | None]]:
    """(line, bytes) of each message; None for one too long to be a record."""
    first, size, lines, blank = 0, 0, list[bytes](), True
    for number, line in lines_of(stream, settings):
        if line is not None and blank and line.startswith(b"From "):
            if first:
                yield first, b"".join(lines) if size <= 8 * settings.max_chars else None
            first, size, lines, blank = number, 0, [], False
            continue
        if not first:
            raise Refused("not a mailbox")
        size += 8 * settings.max_chars + 1 if line is None else len(line)
        if line is not None and size <= 8 * settings.max_chars:
            lines.append(line.removeprefix(b">") if re.match(rb">+From ", line) else line)
        else:
            lines = []
        blank = line in (b"\n", b"\r\n")
    if first:
        yield first, b"".join(lines) if size <= 8 * settings.max_chars else None


def _text_parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The texts of a mail, attached ones too; of alternatives the plain one, if it is no stub."""
    if message.get_content_type() == "multipart/alternative":
        parts = [p for p in message.iter_parts() if isinstance(p, EmailMessage)]
        yield from _best([list(_text_parts(part)) for part in parts])
    elif message.is_multipart():
        for inner in message.iter_parts():
            if isinstance(inner, EmailMessage):
                yield from _text_parts(inner)
    elif message.get_content_maintype() == "text":
        yield message


def _best(alternatives: list[list[EmailMessage]]) -> list[EmailMessage]:
    """The plain alternative, or the longest one where it has less than half of its words."""
    words = [sum(map(_words, parts)) for parts in alternatives]
    if not words:
        return []
    longest = alternatives[words.index(max(words))]
    for parts, count in zip(alternatives, words):
        if len(parts) == 1 and parts[0].get_content_type() == "text/plain" and 2 * count >= max(words):
            return parts
    return longest


def _words(part: EmailMessage) -> int:
    try:
        return len(_part_text(part).split())
    except Refused:
        return 0  # who takes it will say so


def _texts(message: EmailMessage) -> Iterator[str]:
    """The text of each part; of what is attached only what can be read as text."""
    for part in _text_parts(message):
        try:
            yield _part_text(part)
        except Refused:
            if part.get_content_disposition() != "attachment":
                raise


def _part_text(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    charset = part.get_content_charset() or "utf-8"
    try:
        text = payload.decode(charset) if isinstance(payload, bytes) else ""
    except LookupError:
        raise Refused("a mail in an unknown character set") from None
    except UnicodeDecodeError:
        raise Refused("not UTF-8" if charset == "utf-8" else "not in the character set it names") from None
    return html_text(text) if part.get_content_subtype() == "html" else text
