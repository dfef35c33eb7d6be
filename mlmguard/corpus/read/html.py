"""Pages, as a reader of them sees them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from mlmguard.corpus.read.document import Settings, decoded, no_unit


def html(data: bytes, settings: Settings) -> tuple[str, str]:
    """Give the text of a page."""
    return html_text(decoded(data)), no_unit(settings)


_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article blockquote br dd div dl dt footer form h1 h2 h3 h4 h5 h6 header hr li main "
        "nav ol p pre section table title tr ul",
    )
)
_UNSEEN = frozenset(("script", "style", "template", "noscript"))


class _Page(HTMLParser):
    """Collects what a reader of the page sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        if tag in _BLOCKS:
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append("\t")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(re.sub(r"\s+", " ", data))


_NO_TEXT = re.compile(
    r"<(script|style)\b[^>]*(?:>.*?(?:</\1\s*>|\Z)|\Z)|<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<[!?][^>]*(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
"""What no reader sees, to its end or to that of the page, as in browsers. A match takes all it looked at."""
_TAG = re.compile(r"<[a-zA-Z/]")


def _closed(source: str) -> str:
    """``source`` without comments, and without a tag at its end that is never closed.

    Python's parser looks for the end of each from each beginning: 200 KB of them take it 17 seconds.
    """
    source = _NO_TEXT.sub("", source)
    end = source.rfind(">") + 1
    unclosed = _TAG.search(source, end)
    return source[: unclosed.start()] if unclosed else source


def html_text(source: str) -> str:
    """Give the text of a page: tags gone, blocks on lines of their own, white space as a browser shows it."""
    page = _Page()
    page.feed(_closed(source))
    page.close()
    lines = (line.strip() for line in "".join(page.pieces).split("\n"))
    return "\n".join(line for line in lines if line)
