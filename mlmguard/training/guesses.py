"""What a model predicts at the masked positions of one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mlmguard.errors import InputError
from mlmguard.training.models import masked_logits
from mlmguard.training.text.masking import IGNORED, Ids
from mlmguard.training.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Guess:
    """The probability of the token that stands there, and the likeliest tokens with theirs, best first."""

    probability: float
    likeliest: tuple[tuple[str, float], ...]


@torch.inference_mode()
def guesses(
    model: Any, tokenizer: Tokenizer, shown: Ids, labels: Ids, most: int, top: int = 5
) -> dict[int, Guess]:
    """Return the :class:`Guess` of each position (0 … T-1) with a label. ``shown`` and ``labels`` are (T,).

    ``most`` is how many tokens the model takes, frame included. Raises :class:`InputError` for more.
    """
    framed = np.r_[tokenizer.cls, shown, tokenizer.sep]
    if len(framed) > most:
        raise InputError("the text", f"{len(shown):,} tokens", f"at most {most - 2:,} for this model")
    where = np.r_[False, labels != IGNORED, False]
    if not where.any():
        return {}
    model.eval()
    ids = torch.tensor(framed)[None]
    logits = masked_logits(model, ids, torch.ones_like(ids), torch.tensor(where)[None]).float()
    shares = logits.softmax(-1)
    best, entries = shares.topk(min(top, shares.shape[-1])), tokenizer.tokens()
    found = {}
    for row, position in enumerate(np.flatnonzero(labels != IGNORED).tolist()):
        likeliest = zip(best.indices[row].tolist(), best.values[row].tolist())
        found[position] = Guess(
            float(shares[row, int(labels[position])]),
            tuple((entries[id_] if id_ < len(entries) else "", share) for id_, share in likeliest),
        )
    return found
