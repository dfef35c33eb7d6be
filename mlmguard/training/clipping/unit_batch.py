"""A batch as the clipper sees it: rows, the units of privacy they belong to, and the loss of a unit.

The loss of a unit is the mean over its own masked tokens, 0 where it has none. A mean over the whole batch
(what ``model(labels=...)`` computes) divides by a count that depends on everybody, so that one record moves
the sum by far more than the clipping norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlmguard.errors import InputError
from mlmguard.training.architectures import POINTWISE_LAYERS, SHARING_POSITIONS
from mlmguard.training.clipping.layers import Rows

IGNORED = -100  # the label of a token that was not masked (torch's and Hugging Face's convention)
OWN_KEYS = frozenset({"labels", "unit_ids", "units"})  # what the model itself is not given


@dataclass(frozen=True, repr=False)
class UnitBatch:
    """Checked tensors of one batch of B rows of T tokens, M of them masked, from U units."""

    inputs: dict[str, Tensor]  # keyword arguments of the model, each with B rows
    labels: Tensor  # (B, T)
    unit_of_row: Tensor  # (B,)
    units: int
    masked: Tensor  # (M,) positions in the flattened (B * T) batch
    targets: Tensor  # (M,)
    unit_of_target: Tensor  # (M,)
    target_weight: Tensor  # (M,) one over the number of masked tokens of the unit
    one_row_per_unit: bool  # unit_of_row is 0, 1, ..., B - 1

    def unit_losses(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(sum of the units' losses, losses (U,) detached) from the logits (M, V) at the masked tokens."""
        # fp32 whatever the autocast: a unit's loss decides whether the unit counts at all.
        wide = logits if logits.dtype == torch.float64 else logits.float()
        tokens = F.cross_entropy(wide, self.targets, reduction="none") * self.target_weight
        losses = tokens.new_zeros(self.units).index_add(0, self.unit_of_target, tokens.detach())
        return tokens.sum(), losses

    def rows_of(self, per_row: int) -> Rows:
        """Return the units of a tensor with ``per_row`` entries for each of the B rows."""
        return Rows(
            self.unit_of_row.repeat_interleave(per_row),
            self.units,
            per_row if self.one_row_per_unit else None,
        )

    def with_silent_copy(self) -> UnitBatch:
        """Return the same with every row a second time, without labels: no loss, no gradient."""
        return replace(
            self,
            inputs={key: torch.cat([value, value]) for key, value in self.inputs.items()},
            labels=torch.cat([self.labels, torch.full_like(self.labels, IGNORED)]),
            unit_of_row=torch.cat([self.unit_of_row, self.unit_of_row]),
            one_row_per_unit=False,
        )


@dataclass(frozen=True)
class ClippedSum:
    """What one batch contributes. ``norms`` and ``losses`` are private: they never leave the step."""

    gradients: dict[str, Tensor] = field(repr=False)  # by named_parameters() name, fp32, tied matrices once
    norms: Tensor = field(repr=False)  # (U,) before clipping, fp32; inf or NaN where a unit was dropped
    losses: Tensor = field(repr=False)  # (U,) mean over the unit's masked tokens, detached


def clip_factors(norms: Tensor, losses: Tensor, max_grad_norm: float) -> Tensor:
    """(U,) min(1, C / norm), and 0 for a unit whose norm or loss is not finite."""
    finite = norms.isfinite() & losses.isfinite()
    return torch.where(finite, max_grad_norm / norms.clamp(min=max_grad_norm), 0.0)


def read_batch(model: nn.Module, batch: Mapping[str, Tensor | int]) -> UnitBatch:
    """Check ``batch`` and add the ids that the model would otherwise make up for itself.

    Raises:
        InputError: a tensor is missing or has the wrong shape, or the units are not 0..U-1.
    """
    for key in ("input_ids", "attention_mask", "labels"):
        if not isinstance(batch.get(key), Tensor):
            # Without a mask the padding of the longest row changes everybody else's gradient.
            raise InputError(
                "batch", f'no tensor "{key}"', "input_ids, attention_mask and labels, each (B, T)"
            )
    shape = tuple(batch["input_ids"].shape)  # type: ignore[union-attr]
    if len(shape) != 2:
        raise InputError("batch: input_ids", f"shape {shape}", "(B, T)")
    rows, _ = shape
    given = {k: v for k, v in batch.items() if isinstance(v, Tensor) and k not in OWN_KEYS}
    for key, value in {**given, "labels": batch["labels"]}.items():
        if isinstance(value, Tensor) and tuple(value.shape[:2]) != shape:
            raise InputError(f"batch: {key}", f"shape {tuple(value.shape)}", f"{shape}")
    labels: Tensor = batch["labels"]  # type: ignore[assignment]
    device = labels.device

    unit_ids = batch.get("unit_ids")
    if unit_ids is None:
        unit_of_row = torch.arange(rows, device=device)
        units = int(batch.get("units", rows))
    else:
        assert isinstance(unit_ids, Tensor)
        if tuple(unit_ids.shape) != (rows,) or unit_ids.dtype != torch.long:
            raise InputError(
                "batch: unit_ids", f"{unit_ids.dtype} {tuple(unit_ids.shape)}", f"long ({rows},)"
            )
        unit_of_row = unit_ids
        units = int(batch.get("units", int(unit_ids.max()) + 1 if rows else 0))
    if rows and not (int(unit_of_row.min()) >= 0 and int(unit_of_row.max()) < units):
        raise InputError("batch: unit_ids", "an id outside 0..units-1", f"0..{units - 1}")

    if not takes(model, "attention_mask") and bool(given["attention_mask"].all()):
        del given["attention_mask"]  # it attends to everything, and there is nothing else here
    for key in given:
        if not takes(model, key):
            known = ", ".join(signature(_unwrapped(model).forward).parameters)
            raise InputError(f"batch: {key}", "a tensor the model does not take", f"one of {known}")
    if takes(model, "token_type_ids") and "token_type_ids" not in given and _has_token_types(model):
        given["token_type_ids"] = torch.zeros_like(given["input_ids"])

    flat = labels.reshape(-1)
    masked = (flat != IGNORED).nonzero().squeeze(1)
    unit_of_target = unit_of_row[masked // max(shape[1], 1)]
    counts = torch.bincount(unit_of_target, minlength=units)
    return UnitBatch(
        inputs=given,
        labels=labels,
        unit_of_row=unit_of_row,
        units=units,
        masked=masked,
        targets=flat[masked],
        unit_of_target=unit_of_target,
        target_weight=1.0 / counts[unit_of_target],
        one_row_per_unit=units == rows and bool((unit_of_row == torch.arange(rows, device=device)).all()),
    )


def takes(model: nn.Module, name: str) -> bool:
    """Does the forward of ``model`` take a tensor of this name?"""
    return name in signature(_unwrapped(model).forward).parameters


def _has_token_types(model: nn.Module) -> bool:
    """Does it look up type 0 by itself? XLM takes types as words, and adds none where none are given."""
    return any(name.endswith("token_type_embeddings") for name, _ in model.named_modules())


def _unwrapped(model: nn.Module) -> nn.Module:
    """The Hugging Face model inside a peft wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    inner = unwrap() if callable(unwrap) else model
    assert isinstance(inner, nn.Module)
    return inner


def encoder_of(model: nn.Module) -> nn.Module:
    """Return the part of a Hugging Face masked language model below its head."""
    inner = _unwrapped(model)
    encoder = getattr(inner, "base_model", inner)
    if encoder is inner or not isinstance(encoder, nn.Module):
        raise InputError(
            f"model {type(model).__name__}",
            "no encoder below its head",
            "a Hugging Face masked language model (base_model other than itself)",
        )
    return encoder


@contextmanager
def full_position_ids(model: nn.Module, rows: int) -> Iterator[None]:
    """Ids that the model makes once for all rows, (1, T), are looked up once a row instead, (B, T).

    The values are the same; but autograd gives one gradient for an embedding that is looked up once and
    broadcast, the sum over the batch, and no rule can take that apart again. Expanding at the lookup works
    for every architecture, however it numbers its positions.
    """

    def expand(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        ids = args[0] if args else None
        if isinstance(ids, Tensor) and ids.ndim == 2 and ids.shape[0] == 1 and rows > 1:
            return (ids.expand(rows, -1), *args[1:])
        return None

    handles = [
        embedding.register_forward_pre_hook(expand)
        for owner in model.modules()
        if type(owner).__name__ not in SHARING_POSITIONS  # whose table (T, T) is (1, T) for one token
        for embedding in owner.children()
        if isinstance(embedding, nn.Embedding)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def masked_logits(model: nn.Module, units: UnitBatch, on_head: Callable[[], None] | None = None) -> Tensor:
    """One forward: the encoder over (B, T), the head over the M masked positions only; logits (M, V).

    The head sees the gathered rows as a batch of one sequence, (1, M, hidden), so whatever the
    architecture does between there and its logits runs unchanged. ``on_head`` is called where it begins.
    """

    def gather(module: nn.Module, args: tuple[object, ...], output: Any) -> object:
        hidden: Tensor = output[0]
        picked = hidden.reshape(-1, hidden.shape[-1]).index_select(0, units.masked).unsqueeze(0)
        if on_head is not None:
            on_head()
        if isinstance(output, tuple):
            return (picked, *output[1:])
        output.last_hidden_state = picked
        return output

    handle = last_to_mix_tokens(model).register_forward_hook(gather)
    try:
        with full_position_ids(model, units.unit_of_row.shape[0]):
            logits: Tensor = model(**units.inputs).logits
    finally:
        handle.remove()
    return logits.squeeze(0)


def last_to_mix_tokens(model: nn.Module) -> nn.Module:
    """The module after which no token looks at another: the last attention if that is known, or the encoder.

    The feed-forward part of the last layer is then computed at the masked positions only, too: about an
    eighth of a step on four layers.
    """
    encoder = encoder_of(model)
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    last = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
    if last is None or type(last).__name__ not in POINTWISE_LAYERS:
        return encoder
    unusual = (
        getattr(last, "add_cross_attention", False)  # attends once more
        or getattr(last, "chunk_size_feed_forward", 0)  # wants a multiple of the chunk
        # runs the layer again in the backward, without this hook
        or any(getattr(module, "gradient_checkpointing", False) for module in encoder.modules())
    )
    attention = last.attention
    return encoder if unusual or not isinstance(attention, nn.Module) else attention
