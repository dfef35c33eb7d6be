"""Models small enough to be trained inside a test."""

from __future__ import annotations

from typing import Any
from unittest import mock

from mlmguard.training import models
from mlmguard.training.text.tokenizer import Tokenizer


def small(
    tokenizer: Tokenizer,
    window: int = 32,
    seed: int = 0,
    *,
    layers: int = 1,
    hidden: int = 16,
    heads: int = 2,
) -> Any:
    """A BERT of a size that no dial offers; the table of sizes is left as it was."""
    with mock.patch.dict(models.SIZES, {"test": models.Size(layers, hidden, heads)}):
        return models.fresh("test", tokenizer, window, 0.0, seed)
