"""Plain files; one that begins as a mail does is read as one."""

from __future__ import annotations

from mlmguard.corpus.read.document import Settings, decoded, no_unit
from mlmguard.corpus.read.mail import looks_like_mail, mail


def plain(data: bytes, settings: Settings) -> tuple[str, str]:
    """Give the text of a plain file; that of a mail where it begins as one."""
    if looks_like_mail(data):
        return mail(data, settings)
    return decoded(data), no_unit(settings)
