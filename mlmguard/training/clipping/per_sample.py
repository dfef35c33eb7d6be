"""The slow ways to the same clipped sum, for comparison and for layers that the one-pass engine refuses.

* :func:`one_record_sum`: every row its own forward and backward. Nothing can mix; the other two are
  compared with it.
* :func:`opacus_sum`: Opacus' hooks (``GradSampleModule``), which write out every record's gradient of every
  parameter, B times the memory of the model.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlmguard.training.architectures import architecture_of
from mlmguard.training.clipping.unit_batch import (
    IGNORED,
    ClippedSum,
    UnitBatch,
    clip_factors,
    full_position_ids,
)


def one_record_sum(model: nn.Module, units: UnitBatch, max_grad_norm: float) -> ClippedSum:
    """Compute the clipped sum from one forward and backward per row, in plain autograd."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in named.items()}
    norms = torch.zeros(units.units, device=units.labels.device)
    losses = torch.zeros_like(norms)
    for unit, (grads, loss) in enumerate(one_record_gradients(model, units)):
        losses[unit] = loss
        norms[unit] = length_of(grads)
        weight = float(clip_factors(norms[unit], losses[unit], max_grad_norm))
        if weight:
            for name, grad in grads.items():
                sums[name] += weight * grad
    return ClippedSum(sums, norms, losses)


def length_of(gradients: Mapping[str, Tensor]) -> Tensor:
    """Return the Euclidean norm over all tensors together, 0 for none."""
    squares = [gradient.float().square().sum() for gradient in gradients.values()]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())


def one_record_gradients(model: nn.Module, units: UnitBatch) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Yield each unit's gradient by parameter, unclipped, and its loss; none where no token is masked."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    counts = torch.bincount(units.unit_of_target, minlength=units.units)
    for unit in range(units.units):
        grads: dict[str, Tensor] = {}
        total = torch.zeros((), device=units.labels.device)
        for row in (units.unit_of_row == unit).nonzero().flatten().tolist():
            if not bool((units.labels[row] != IGNORED).any()):
                continue
            logits = model(**{k: v[row : row + 1] for k, v in units.inputs.items()}).logits[0].float()
            loss = F.cross_entropy(logits, units.labels[row], ignore_index=IGNORED, reduction="sum")
            loss = loss / counts[unit]
            total += loss.detach()
            found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
            for name, grad in zip(named, found, strict=True):
                if grad is not None:
                    grads[name] = grads[name] + grad if name in grads else grad
        yield grads, total


def opacus_sum(model: nn.Module, units: UnitBatch, max_grad_norm: float) -> ClippedSum:
    """Compute the clipped sum from Opacus' per-sample gradients; one record at a time where Opacus cannot.

    Works on a copy of the model: Opacus leaves hooks and attributes behind, and the duplicate of the output
    bias, which it takes for a layer of its own, has to go.
    """
    # where it is wrong: batch-independent lookups (MPNet, DeBERTa-v2), LayerNorm without bias (ModernBERT),
    # parameters used outside of a layer (ESM)
    if not architecture_of(getattr(getattr(model, "config", None), "model_type", "")).opacus_exact:
        return one_record_sum(model, units, max_grad_norm)
    from opacus import GradSampleModule  # slow to import, and rarely needed

    names = {name for name, p in model.named_parameters() if p.requires_grad}
    twin = copy.deepcopy(model)
    twin.zero_grad(set_to_none=True)
    head_bias = {}  # the alias that named_parameters() shows -> the layer's own name, which it hides
    everything = dict(twin.named_parameters(remove_duplicate=False))
    for name, alias in everything.items():
        owner, _, leaf = name.rpartition(".")
        decoder = f"{owner}.decoder.bias"
        if (
            leaf == "bias"
            and decoder in everything
            and isinstance(twin.get_submodule(owner + ".decoder"), nn.Linear)
        ):
            if everything[decoder] is alias:
                head_bias[decoder] = name
            del twin.get_submodule(owner).bias
    for module in twin.modules():
        # Opacus records in train mode only; dropout, which owns no parameter, stays as the caller set it.
        module.training |= next(module.parameters(recurse=False), None) is not None
    hooked = GradSampleModule(twin, loss_reduction="sum", batch_first=True)
    with full_position_ids(twin, units.unit_of_row.shape[0]):
        logits = hooked(**units.inputs).logits
    total, losses = units.unit_losses(logits.flatten(0, 1)[units.masked])
    with warnings.catch_warnings():
        # Embeddings have no input to differentiate; Opacus hooks them all the same, and torch remarks on it.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        torch.autograd.backward(total)

    with torch.no_grad():
        squared = losses.new_zeros(units.units)
        per_unit: dict[str, Tensor] = {}
        for name, parameter in twin.named_parameters():
            sample: Tensor | None = getattr(parameter, "grad_sample", None)
            if sample is None:
                continue
            rows = sample.flatten(1)
            grads = rows.new_zeros(units.units, rows.shape[1]).index_add_(0, units.unit_of_row, rows)
            squared += grads.square().sum(1)
            per_unit[head_bias.get(name, name)] = grads
        norms = squared.sqrt()
        weight = clip_factors(norms, losses, max_grad_norm)
        sums = {}
        shapes: Mapping[str, Tensor] = dict(model.named_parameters())
        for name in names:
            grads_or_none = per_unit.get(name)
            if grads_or_none is None:
                sums[name] = torch.zeros_like(shapes[name], dtype=torch.float32)
            else:
                kept = grads_or_none.masked_fill((weight == 0)[:, None], 0.0)
                sums[name] = (weight @ kept).view(shapes[name].shape).float()
    return ClippedSum(sums, norms.float(), losses.float())
