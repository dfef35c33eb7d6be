"""What is taken from Presidio, imported without transformers.

An engine of Presidio that nothing here runs asks for it, and does without where it is not installed: it took
3 of the 5 s of the import. torch stays: spaCy remembers if it was there, and a user's model may need it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def _without(name: str) -> Iterator[None]:
    """In this block the module ``name``, unless it is imported already, is as if it were not installed."""
    if name in sys.modules:
        yield
        return
    modules: dict[str, Any] = sys.modules
    modules[name] = None  # refuses the import
    try:
        yield
    finally:
        del modules[name]


with _without("transformers"):
    from presidio_analyzer import (
        EntityRecognizer,
        Pattern,
        PatternRecognizer,
        RecognizerRegistry,
        RecognizerResult,
        predefined_recognizers,
    )
    from presidio_analyzer.predefined_recognizers import EmailRecognizer, IbanRecognizer, PhoneRecognizer

__all__ = [
    "EmailRecognizer",
    "EntityRecognizer",
    "IbanRecognizer",
    "Pattern",
    "PatternRecognizer",
    "PhoneRecognizer",
    "RecognizerRegistry",
    "RecognizerResult",
    "predefined_recognizers",
]
