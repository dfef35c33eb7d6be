"""One forward and one backward of a model, kept as shares of its parameters' per-unit gradients.

Every layer that owns a trainable parameter is watched during the forward. The backward asks autograd for
the gradients of the layers' *outputs* only, so no weight gradient is computed. What a layer does with its
parameters is known here by its class; a parameter that is reached in any other way is found by walking the
graph from the loss, and refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mlmguard.errors import InputError
from mlmguard.training.architectures import ADDING_BIAS, SHARING_POSITIONS, UNREACHED_HEADS
from mlmguard.training.clipping.layers import OuterShare, Rows, Share, UnitShare, lookup_share, wide
from mlmguard.training.clipping.unit_batch import UnitBatch, masked_logits

DO = "--dp-engine opacus takes one record after the other; or leave it as it is with --freeze"


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
    for_all: bool = False  # made once for all records, from nothing of theirs


@dataclass(repr=False)
class FanOut:
    """A tensor made once for all records, and where every record got its copy: there its gradients are."""

    source: Tensor  # (s, ...)
    copies: GradientEdge  # (B * s, ...), record-major


@dataclass(repr=False)
class Trace:
    """The calls of one forward, in order."""

    calls: list[Call] = field(default_factory=list)
    fan_outs: list[FanOut] = field(default_factory=list)
    in_head: bool = False

    def enter_head(self) -> None:
        self.in_head = True


class _FanOutWatch(TorchFunctionMode):
    """Notes every expand and repeat that gives each of ``rows`` records its copy of something trainable."""

    def __init__(self, trace: Trace, rows: int) -> None:
        super().__init__()
        self.trace, self.rows = trace, rows

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if func in (Tensor.expand, Tensor.repeat) and isinstance(result, Tensor) and result.requires_grad:
            source = args[0]
            if source.ndim == result.ndim and len(result) == self.rows * len(source):
                self.trace.fan_outs.append(FanOut(source, get_gradient_edge(result)))
        return result


def traced_shares(model: nn.Module, units: UnitBatch) -> tuple[dict[str, list[Share]], Tensor]:
    """(shares of every trainable parameter by name, losses (U,)) from one forward and one backward.

    A parameter without shares has gradient zero for every unit.

    Raises:
        InputError: a layer or parameter whose per-unit gradients this engine does not know, named.
    """
    trainable: dict[Tensor, str] = {p: name for name, p in model.named_parameters() if p.requires_grad}
    trace = Trace()
    fans_out = any(type(module).__name__ in SHARING_POSITIONS for module in model.modules())
    if fans_out and len(units.unit_of_row) == 1:
        units = units.with_silent_copy()  # a copy for one record cannot be told from no copy
    with torch.enable_grad(), _watched(model, trainable, trace):
        with _FanOutWatch(trace, len(units.unit_of_row)) if fans_out else nullcontext():
            logits = masked_logits(model, units, trace.enter_head)
        total, losses = units.unit_losses(logits)
    loose = _walk(model, total, trace, trainable)
    gradients = _output_gradients(total, trace, loose)

    shares: dict[str, list[Share]] = {name: [] for name in trainable.values()}
    tokens = units.labels.shape[1]
    body = units.rows_of(tokens)
    head = Rows(units.unit_of_target, units.units, None)
    silent = _Silent.of(units)
    read: dict[int, Tensor] = {}  # one object for what several layers read, so that its products are shared
    with torch.no_grad(), torch.autocast(units.labels.device.type, enabled=False):
        for call, gradient in zip(trace.calls, gradients, strict=False):
            if gradient is None:
                continue
            if call.inputs._version != call.version:
                raise InputError(f"layer {call.name}", "its input was changed in place afterwards", do=DO)
            if call.for_all:
                rows = units.rows_of(gradient[0].numel() // gradient.shape[-1])
            else:
                _check_rows(call, units)
                rows = head if call.in_head else body
            inputs = read.get(id(call.inputs))
            if inputs is None:
                inputs = read[id(call.inputs)] = _flat_inputs(call)
            if rows is body and isinstance(call.layer, nn.Linear):
                inputs, gradient, rows = silent.dropped(inputs, gradient, rows)
            rule = _rule_of(call.layer)
            assert rule is not None
            for parameter, share in rule(call.layer, inputs, gradient, rows):
                if parameter in trainable:
                    shares[trainable[parameter]].append(share)
        for parameter, gradient in zip(loose, gradients[len(trace.calls) :], strict=True):
            if gradient is not None:
                written = UnitShare(units.rows_of(1).sum_by_unit(gradient.flatten(1)))
                shares[trainable[parameter]].append(written)
    return shares, losses


@dataclass(repr=False)
class _Silent:
    """Rows of the body whose output gradient is zero: they add nothing and are not worth multiplying.

    In the last layer that is every position but the masked ones, in every layer the padding.
    """

    choices: list[tuple[Tensor, Tensor, Rows]]  # (rows to drop, rows to keep, units of those)

    @classmethod
    def of(cls, units: UnitBatch) -> _Silent:
        everything = torch.zeros(units.labels.numel(), dtype=torch.bool, device=units.labels.device)
        masked = everything.index_fill(0, units.masked, True)
        attention = units.inputs.get("attention_mask")
        known = attention is not None and attention.shape == units.labels.shape
        attended = attention.flatten() != 0 if known else ~everything  # type: ignore[union-attr]
        unit = units.rows_of(units.labels.shape[1]).unit
        choices = []
        for kept in (masked, attended):
            keep, drop = kept.nonzero().squeeze(1), (~kept).nonzero().squeeze(1)
            if 4 * len(drop) >= len(kept):  # below a quarter the gathering costs what it saves
                choices.append((drop, keep, Rows(unit[keep], units.units, None)))
        return cls(choices)

    def dropped(self, x: Tensor, g: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Rows]:
        """(inputs, output gradients, rows) without the rows whose gradient is zero, each checked."""
        flat = _flat(g)
        for drop, keep, kept in self.choices:
            few = drop[:: max(1, len(drop) // 64)]  # most layers are settled by a look at a few rows
            if not bool(flat[few].any()) and not bool(flat[drop].any()):
                return x[keep], flat[keep], kept
        return x, g, rows


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
            if _is_own_rms_norm(layer):
                _check_own_rms_norm(name, layer, inputs, output)
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


def _walk(model: nn.Module, total: Tensor, trace: Trace, trainable: dict[Tensor, str]) -> list[Tensor]:
    """Check that the watched calls account for every use of every trainable parameter in the graph.

    The walk jumps from a watched layer's output to its input, so what it meets of a parameter's own node
    is a use that no call accounts for. Counting uses instead would fail under autocast, which casts a
    weight once for several layers. Marks the calls made for all records at once, and returns the
    parameters that such a part uses with no layer in between.

    Raises:
        InputError: a parameter used in an unknown way, or not at all.
    """
    jumps = {c.output.node: c for c in trace.calls if type(c.layer).__name__ not in ADDING_BIAS}
    added = {
        p
        for c in trace.calls
        if type(c.layer).__name__ in ADDING_BIAS
        for p in c.layer.parameters(recurse=False)
        if p in trainable
    }
    fan_outs = {f.copies.node: f for f in trace.fan_outs}

    def walk(starts: list[Node]) -> tuple[list[Call], list[Tensor], list[FanOut]]:
        calls: list[Call] = []
        met: list[Tensor] = []
        fanned: list[FanOut] = []
        seen: set[Node] = set()
        stack = list(starts)
        while stack:
            node = stack.pop()
            variable = getattr(node, "variable", None)
            if variable is not None and variable in trainable:
                met.append(variable)  # before the test for seen: twice is one use too many
            if node in seen:
                continue
            seen.add(node)
            if node in fan_outs:
                fanned.append(fan_outs[node])
            elif node in jumps:
                calls.append(jumps[node])
                below = jumps[node].below
                if below is not None:
                    stack.append(below)
            else:
                stack.extend(below for below, _ in node.next_functions if below is not None)
        return calls, met, fanned

    of_records, met, fanned = walk([get_gradient_edge(total).node])
    for_all, loose, nested = walk([get_gradient_edge(f.source).node for f in fanned])
    unknown = [p for p in met if p not in added or met.count(p) > 1]
    both = {id(c) for c in of_records} & {id(c) for c in for_all}
    unknown += [p for c in for_all if id(c) in both or nested for p in c.layer.parameters(recurse=False)]
    for parameter in unknown:
        raise InputError(
            f"parameter {trainable.get(parameter, 'of a frozen layer')}",
            "used in a way whose per-record gradient is not known here",
            "linear, embedding, LayerNorm, RMSNorm or Conv1d layers",
            DO,
        )
    for call in for_all:
        call.for_all = True
    trace.fan_outs = fanned
    reached = {*met, *loose, *(p for c in of_records + for_all for p in c.layer.parameters(recurse=False))}
    _refuse_unreached(model, trainable, reached)
    return list(dict.fromkeys(loose))


def _output_gradients(total: Tensor, trace: Trace, loose: list[Tensor]) -> list[Tensor | None]:
    """The backward: gradients of the calls' outputs, then of the ``loose`` parameters.

    What was made once for all records has one gradient a record, (B, ...): autograd gives it where the
    records got their copies, and a second, small backward carries all B of them down together.
    """
    per_record = [c.output for c in trace.calls if not c.for_all]
    found = torch.autograd.grad(total, [*per_record, *(f.copies for f in trace.fan_outs)], allow_unused=True)
    ours, copies = iter(found), found[len(per_record) :]
    for_all: Iterator[Tensor | None] = iter(())
    below = [c.output for c in trace.calls if c.for_all] + [get_gradient_edge(p) for p in loose]
    used = [(f.source, g) for f, g in zip(trace.fan_outs, copies, strict=True) if g is not None]
    if below and used:
        for_all = iter(
            torch.autograd.grad(
                [source for source, _ in used],
                below,
                [g.view(-1, *source.shape) for source, g in used],
                is_grads_batched=True,
                allow_unused=True,
            )
        )
    ordered = [next(for_all, None) if c.for_all else next(ours) for c in trace.calls]
    return [*ordered, *(next(for_all, None) for _ in loose)]


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
        if type(module).__name__ in UNREACHED_HEADS:
            aliases |= {f"{name}.{own}" for own, _ in module.named_parameters()}
    for parameter, name in trainable.items():
        if parameter not in reached and not any(name.endswith(alias) for alias in aliases):
            raise InputError(
                f"parameter {name}", "trainable, but no forward pass reaches it", do="--freeze it"
            )


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
#
# A rule is given the layer, what it read, (rows, features), ids (rows,) for an embedding, (B, c, T) for a
# convolution, the gradient of what it returned, and the units of the gradient's rows. A call made for all
# records at once has B times as many rows of gradients as it read, record after record.

Rule = Callable[[nn.Module, Tensor, Tensor, Rows], Iterator[tuple[Tensor, Share]]]


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _flat_inputs(call: Call) -> Tensor:
    x = call.inputs.detach()
    if isinstance(call.layer, nn.Embedding):
        return x.flatten()
    return x if isinstance(call.layer, nn.Conv1d) else _flat(x)


def _times(normed: Tensor, g: Tensor) -> Tensor:
    """What the layer normed times what came back, row by row; the first may be the same for all records."""
    g = _flat(g)
    if len(g) == len(normed):
        return normed.mul_(g)
    return _flat(normed * g.view(-1, *normed.shape))


def _linear(layer: nn.Module, x: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    assert isinstance(layer, nn.Linear)
    g = _flat(g)
    if layer.weight.requires_grad:
        yield layer.weight, OuterShare(x, g, rows, copies=len(g) // len(x))
    if layer.bias is not None and layer.bias.requires_grad:
        yield layer.bias, UnitShare(rows.sum_by_unit(g))


def _conv(layer: nn.Module, x: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    """A convolution over tokens is a linear layer on windows: x (B, c, T), g (B, p, T)."""
    assert isinstance(layer, nn.Conv1d)
    g = _flat(g.mT)
    if layer.weight.requires_grad:
        width = layer.kernel_size[0]
        windows = F.pad(x, (width // 2, width // 2)).unfold(2, width, 1)  # (B, c, T, width)
        yield layer.weight, OuterShare(windows.permute(0, 2, 1, 3).flatten(2).flatten(0, 1), g, rows)
    if layer.bias is not None and layer.bias.requires_grad:
        yield layer.bias, UnitShare(rows.sum_by_unit(g))


def _embedding(layer: nn.Module, ids: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    assert isinstance(layer, nn.Embedding)
    g = _flat(g)
    ids = ids.repeat(len(g) // len(ids))
    yield layer.weight, lookup_share(ids, g, rows, layer.num_embeddings, layer.padding_idx)


def _layer_norm(layer: nn.Module, x: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    assert isinstance(layer, nn.LayerNorm)
    if layer.weight is not None and layer.weight.requires_grad:
        normed = F.layer_norm(wide(x), layer.normalized_shape, eps=layer.eps)
        yield layer.weight, UnitShare(rows.sum_by_unit(_times(normed, g)))
    if layer.bias is not None and layer.bias.requires_grad:
        yield layer.bias, UnitShare(rows.sum_by_unit(_flat(g)))


def _rms_norm(layer: nn.Module, x: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    normed = F.rms_norm(wide(x), weight.shape, eps=_epsilon(layer))
    yield weight, UnitShare(rows.sum_by_unit(_times(normed, g)))


def _added_bias(layer: nn.Module, x: Tensor, g: Tensor, rows: Rows) -> Iterator[tuple[Tensor, Share]]:
    for bias in layer.parameters(recurse=False):
        yield bias, UnitShare(rows.sum_by_unit(_flat(g)))


RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.Conv1d: _conv,
}


def _rule_of(layer: nn.Module) -> Rule | None:
    """By class; a subclass counts only while its forward is the one the rule was made for."""
    for base, rule in RULES.items():
        if isinstance(layer, base) and type(layer).forward is base.forward:
            if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.scale_grad_by_freq):
                return None  # the first changes weights in the forward, the second couples the records
            if isinstance(layer, nn.LayerNorm | nn.RMSNorm) and len(layer.normalized_shape) > 1:
                return None
            if isinstance(layer, nn.Conv1d) and not _keeps_tokens(layer):
                return None
            return rule
    if _is_own_rms_norm(layer):
        return _rms_norm
    return _added_bias if type(layer).__name__ in ADDING_BIAS else None


def _keeps_tokens(layer: nn.Conv1d) -> bool:
    """One output per token, each channel seeing all channels: what the window form above computes."""
    plain = (
        layer.stride == (1,)
        and layer.dilation == (1,)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )
    return plain and layer.padding == ((layer.kernel_size[0] - 1) // 2,) and layer.kernel_size[0] % 2 == 1


def _epsilon(layer: nn.Module) -> float | None:
    found = getattr(layer, "eps", getattr(layer, "variance_epsilon", None))
    return None if found is None else float(found)


def _is_own_rms_norm(layer: nn.Module) -> bool:
    """Each architecture of transformers brings its own class for the same formula."""
    own = dict(layer.named_parameters(recurse=False))
    named = type(layer).__name__.endswith("RMSNorm") and not isinstance(layer, nn.RMSNorm)
    return named and list(own) == ["weight"] and own["weight"].ndim == 1 and _epsilon(layer) is not None


def _check_own_rms_norm(name: str, layer: nn.Module, x: Tensor, output: Tensor) -> None:
    """A name is no proof: its output has to be the normed input times the weight, or times 1 + weight."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        normed = F.rms_norm(x.float(), weight.shape, eps=_epsilon(layer))
        finite = output.isfinite()
        for scale in (weight.float(), 1 + weight.float()):
            if torch.allclose((normed * scale)[finite], output.float()[finite], rtol=2e-2, atol=1e-3):
                return
    raise InputError(f"layer {name}", f"{type(layer).__name__} is not an RMSNorm by its output", do=DO)
