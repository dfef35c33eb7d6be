"""What an encoder makes of a text: the vectors of its tokens, and their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlmguard.training.clipping.unit_batch import encoder_of
from mlmguard.training.examples import Batch, collate
from mlmguard.training.models import sees_padding
from mlmguard.training.numerics import autocast
from mlmguard.training.text.masking import Ids
from mlmguard.training.text.units import micro_batches

MICRO_TOKENS = 8192


def last_layer(model: nn.Module, batch: Batch, device: torch.device) -> Tensor:
    """(B, T, H) the last hidden states of the encoder of ``model``."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with autocast(device):
        hidden: Tensor = encoder_of(model)(**inputs)[0]
    return hidden


@torch.inference_mode()
def pooled(
    model: nn.Module, windows: Sequence[Ids], pad_id: int, device: torch.device
) -> NDArray[np.float64]:
    """(N, H) the mean of the last hidden states over the tokens of each of ``windows``, in order."""
    alike = sees_padding(model)
    order = [k for group in micro_batches(windows, MICRO_TOKENS, alike) for k in group]
    model.eval()
    rows = []
    for batch in collate([(ids, ids) for ids in windows], pad_id, MICRO_TOKENS, device, alike):
        hidden = last_layer(model, batch, device).float()
        attended = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        rows.append(((hidden * attended).sum(1) / attended.sum(1)).cpu().numpy())
    found = np.concatenate(rows).astype(np.float64)
    back = np.empty_like(found)
    back[order] = found
    return back


def rows_moved(old: nn.Module, new: nn.Module) -> NDArray[np.float64] | None:
    """(V,) one minus the cosine of each token's row in the input embeddings of two models of one tokenizer.

    0: the row points where it did; None where the rows are of different widths. Rows that only one model
    has (a vocabulary filled up to a round number) are left out at the end.
    """
    before, after = (model.get_input_embeddings().weight.detach().float().cpu() for model in (old, new))  # type: ignore[operator]
    if before.shape[1] != after.shape[1]:
        return None
    rows = min(len(before), len(after))
    cosine = nn.functional.cosine_similarity(before[:rows], after[:rows], dim=1)
    found: NDArray[np.float64] = (1 - cosine).clamp(0, 2).double().numpy()
    return found
