"""One forward and one backward of a model, kept as shares of its parameters' per-unit gradients.

Every layer that owns a trainable parameter is watched during the forward. The backward asks autograd for
the gradients of the layers' *outputs* only, so no weight gradient is computed. What a layer does with its
parameters is known here by its class; a parameter that is reached in any other way is found by walking the
graph from the loss, and refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.nn import functional as F

from mlmguard.errors import InputError
from mlmguard.training.grad_layers import OuterShare, Rows, Share, UnitShare, lookup_share
from mlmguard.training.unit_batch import UnitBatch, masked_logits

DO = 'use engine "opacus", or freeze it'

# Parameters of these classes belong to other tasks than masked language modelling: no forward reaches them.
OTHER_TASKS = frozenset({"EsmContactPredictionHead"})


@dataclass(repr=False)
class Call:
    """One call of one watched layer."""

    name: str
    layer: nn.Module
    inputs: Tensor
    version: int  # of ``inputs`` when the layer read them
    output: GradientEdge
    below: Node | None  # where the graph goes on under the layer
    in_head: bool


@dataclass(repr=False)
class Trace:
    """The calls of one forward, in order."""

    calls: list[Call] = field(default_factory=list)
    in_head: bool = False

    def enter_head(self) -> None:
        self.in_head = True


def traced_shares(model: nn.Module, units: UnitBatch) -> tuple[dict[str, list[Share]], Tensor]:
    """(shares of every trainable parameter by name, losses (U,)) from one forward and one backward.

    A parameter without shares has gradient zero for every unit.

    Raises:
        InputError: a layer or parameter whose per-unit gradients this engine does not know, named.
    """
    trainable: dict[Tensor, str] = {p: name for name, p in model.named_parameters() if p.requires_grad}
    trace = Trace()
    with torch.enable_grad(), _watched(model, trainable, trace):
        total, losses = units.unit_losses(masked_logits(model, units, trace.enter_head))
    reached = _walk(total, trace.calls, trainable)
    _refuse_unreached(model, trainable, reached)
    gradients = torch.autograd.grad(total, [c.output for c in trace.calls], allow_unused=True)
    shares: dict[str, list[Share]] = {name: [] for name in trainable.values()}
    body = Rows(
        units.unit_of_row.repeat_interleave(units.labels.shape[1]),
        units.units,
        units.labels.shape[1] if units.one_row_per_unit else None,
    )
    head = Rows(units.unit_of_target, units.units, None)
    with torch.no_grad(), torch.autocast(units.labels.device.type, enabled=False):
        for call, gradient in zip(trace.calls, gradients, strict=True):
            if gradient is None:
                continue
            if call.inputs._version != call.version:
                raise InputError(f"layer {call.name}", "its input was changed in place afterwards", do=DO)
            _check_rows(call, units)
            for parameter, share in _shares_of(call, gradient, head if call.in_head else body):
                if parameter in trainable:
                    shares[trainable[parameter]].append(share)
    return shares, losses


@contextmanager
def _watched(model: nn.Module, trainable: dict[Tensor, str], trace: Trace) -> Iterator[None]:
    def watch(name: str) -> Callable[..., None]:
        def hook(
            layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Tensor
        ) -> None:
            inputs = args[0] if args else next(iter(kwargs.values()))
            if not output.requires_grad:
                raise InputError(
                    f"layer {name}",
                    "ran without gradients",
                    "gradient checkpointing with use_reentrant=False",
                )
            below = get_gradient_edge(inputs).node if inputs.requires_grad else None
            trace.calls.append(
                Call(name, layer, inputs, inputs._version, get_gradient_edge(output), below, trace.in_head)
            )

        return hook

    handles = []
    try:
        for name, layer in model.named_modules():
            own = [p for p in layer.parameters(recurse=False) if p in trainable]
            if own and _rule_of(layer) is not None:
                handles.append(layer.register_forward_hook(watch(name), with_kwargs=True))
        yield
    finally:
        # Off before the backward: gradient checkpointing runs the layers a second time there.
        for handle in handles:
            handle.remove()


def _walk(total: Tensor, calls: list[Call], trainable: dict[Tensor, str]) -> set[Tensor]:
    """Parameters that the loss depends on; refuses one that is reached other than through a watched layer.

    The walk jumps from a watched layer's output to its input, so what it meets of a parameter's own node
    is a use that no share accounts for. Counting uses instead would fail under autocast, which casts a
    weight once for several layers.
    """
    by_node: dict[Node, Call] = {c.output.node: c for c in calls}
    reached: set[Tensor] = set()
    seen: set[Node] = set()
    stack = [get_gradient_edge(total).node]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None and variable in trainable:
            raise InputError(
                f"parameter {trainable[variable]}",
                "used in a way whose per-record gradient is not known here",
                "linear, embedding, LayerNorm, RMSNorm or Conv1d layers",
                DO,
            )
        call = by_node.get(node)
        if call is None:
            stack.extend(below for below, _ in node.next_functions if below is not None)
        else:
            reached.update(p for p in call.layer.parameters(recurse=False) if p in trainable)
            if call.below is not None:
                stack.append(call.below)
    return reached


def _refuse_unreached(model: nn.Module, trainable: dict[Tensor, str], reached: set[Tensor]) -> None:
    """Noise would be added to a parameter that learns nothing; its owner should know before that.

    Two kinds are the architecture's own doing and have gradient zero by design: the duplicate of an output
    bias that Hugging Face leaves behind when weights are not tied, and heads of other tasks.
    """
    aliases = set()
    for module in model.modules():
        tied = getattr(module, "_tied_weights_keys", None) or {}
        aliases |= {*tied, *(tied.values() if isinstance(tied, dict) else ())}
    for name, module in model.named_modules():
        if type(module).__name__ in OTHER_TASKS:
            aliases |= {f"{name}.{own}" for own, _ in module.named_parameters()}
    for parameter, name in trainable.items():
        if parameter not in reached and not any(name.endswith(alias) for alias in aliases):
            raise InputError(f"parameter {name}", "trainable, but no forward pass reaches it", do="freeze it")


def _check_rows(call: Call, units: UnitBatch) -> None:
    """The leading dimensions are (rows, tokens), in the head (1, masked tokens): else no row has an owner."""
    shape = call.inputs.shape
    if isinstance(call.layer, nn.Conv1d):
        shape = torch.Size((shape[0], shape[-1], shape[1]))
    expected = (1, len(units.masked)) if call.in_head else tuple(units.labels.shape)
    wanted = 2 if isinstance(call.layer, nn.Embedding) else 3
    if len(shape) != wanted or tuple(shape[:2]) != expected:
        raise InputError(
            f"layer {call.name}",
            f"was given {tuple(call.inputs.shape)}, rows that belong to no record",
            f"{expected} first",
            DO,
        )


# --- what each class of layer does with its parameters --------------------------------------------------

Rule = Callable[[nn.Module, Tensor, Tensor, Rows], Iterator[tuple[Tensor, Share]]]


def _linear(layer: nn.Module, x: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    assert isinstance(layer, nn.Linear)
    if layer.weight.requires_grad:
        yield layer.weight, OuterShare(x, g, rows)
    if layer.bias is not None and layer.bias.requires_grad:
        yield layer.bias, UnitShare(rows.sum_by_unit(g))


def _embedding(layer: nn.Module, ids: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    assert isinstance(layer, nn.Embedding)
    yield layer.weight, lookup_share(ids, g, rows, layer.num_embeddings, layer.padding_idx)


def _layer_norm(layer: nn.Module, x: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    assert isinstance(layer, nn.LayerNorm)
    if layer.weight is not None and layer.weight.requires_grad:
        normed = F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        yield layer.weight, UnitShare(rows.sum_by_unit(normed.mul_(g)))
    if layer.bias is not None and layer.bias.requires_grad:
        yield layer.bias, UnitShare(rows.sum_by_unit(g))


RULES: dict[type[nn.Module], Rule] = {nn.Linear: _linear, nn.Embedding: _embedding, nn.LayerNorm: _layer_norm}


def _rule_of(layer: nn.Module) -> Rule | None:
    """By class; a subclass counts only while its forward is the one the rule was made for."""
    for base, rule in RULES.items():
        if isinstance(layer, base) and type(layer).forward is base.forward:
            if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.scale_grad_by_freq):
                return None  # the first changes weights in the forward, the second couples the records
            return rule
    return None


def _shares_of(call: Call, gradient: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    rule = _rule_of(call.layer)
    assert rule is not None
    wide = torch.float64 if gradient.dtype == torch.float64 else torch.float32
    g = gradient.reshape(-1, gradient.shape[-1]).to(wide)
    x = call.inputs.detach()
    if isinstance(call.layer, nn.Embedding):
        return rule(call.layer, x.reshape(-1), g, rows)
    return rule(call.layer, x.reshape(-1, x.shape[-1]).to(wide), g, rows)
