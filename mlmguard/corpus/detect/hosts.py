"""Which ends of a host are anybody's to register: the public suffix list that comes with its package."""

from __future__ import annotations

import tldextract

suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
"""Never downloads a newer list, which it would at the first address otherwise. One for all: it is large."""
