"""The sum of clipped per-unit gradients: what a private step adds its noise to.

``S = sum_u min(1, C / ||g_u||) g_u`` over the units of privacy in a batch, with ``g_u`` the gradient of the
unit's own loss over *all* trainable parameters. Adding or removing one unit moves S by at most C, whatever
is in the unit; noise of scale C times the multiplier is calibrated to exactly that.

The one-pass engine costs little more than a plain step (``benchmarks/private_step.py``): one forward, one
backward of activation gradients, then norms and sums from what the layers saw (``trace``,
``layers``). The Opacus engine is the slow oracle beside it (``per_sample``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from mlmguard.errors import InputError, MlmguardError
from mlmguard.training.clipping.layers import Gram, squared_norms, weighted_sum
from mlmguard.training.clipping.per_sample import length_of, one_record_gradients, one_record_sum, opacus_sum
from mlmguard.training.clipping.trace import traced_shares
from mlmguard.training.clipping.unit_batch import IGNORED, ClippedSum, UnitBatch, clip_factors, read_batch

__all__ = [
    "ClippedSum",
    "Engine",
    "clipped_gradient_sum",
    "distance_from_loop",
    "refuse_unclippable",
    "self_check",
]

Engine = Literal["one-pass", "opacus"]

CHECKED_UNITS = 3  # of the first batch: enough for the units to be told apart, cheap enough for every run
TOLERANCE = 1e-3  # relative; a missing cross term shows as 1e-2 to 1, fp32 rounding as 1e-6


def clipped_gradient_sum(
    model: nn.Module,
    batch: Mapping[str, Tensor | int],
    max_grad_norm: float,
    engine: Engine = "one-pass",
) -> ClippedSum:
    """Sum the units' gradients, each scaled down to norm ``max_grad_norm`` where it is longer.

    Args:
        model: a Hugging Face masked language model with fp32 parameters, in train or eval mode. Frozen
            parameters count for nothing and are absent from the result. Left as it was found.
        batch: ``input_ids``, ``attention_mask``, ``labels`` (-100 where not masked), each (B, T); optional
            ``unit_ids`` (B,) long in 0..U-1, rows of one unit having one loss, the mean over all its masked
            tokens; optional ``units``, U, where a unit may have no row. Default: every row a unit.
        max_grad_norm: C, the Euclidean bound on one unit's contribution.
        engine: "one-pass" or "opacus".

    Returns:
        The sums (shapes of the parameters), norms (U,) and losses (U,). A unit with no masked token has
        loss and norm 0; one whose loss or gradient is not finite contributes exactly zero.

    Raises:
        InputError: a model or batch whose clipped sum would not be exact, by the name of what is in the way.

    Sources: clipping per unit Abadi et al. 2016; one pass Bu et al. 2023, section 3; ghost norms Li et al.
    2022, section 4, after Goodfellow 2015.
    """
    if not (math.isfinite(max_grad_norm) and max_grad_norm > 0):
        raise InputError("max_grad_norm", f"{max_grad_norm}", "a finite number above 0")
    refuse_unclippable(model)
    units = read_batch(model, batch)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not len(units.masked):  # nothing to learn from: no forward, and no gradient other than zero
        nothing = units.labels.new_zeros(units.units, dtype=torch.float32)
        return ClippedSum(
            {n: torch.zeros_like(p, dtype=torch.float32) for n, p in named.items()}, nothing, nothing
        )
    if engine == "one-pass":
        return _one_pass(model, units, named, max_grad_norm)
    if engine == "opacus":
        return opacus_sum(model, units, max_grad_norm)
    raise InputError("engine", repr(engine), '"one-pass" or "opacus"')


def self_check(
    model: nn.Module, batch: Mapping[str, Tensor | int], max_grad_norm: float, engine: Engine = "one-pass"
) -> None:
    """Compare the result of ``engine`` with a one-record-at-a-time loop on the first few units of ``batch``.

    Runs at the start of every private run, in fp32 with dropout off. What the library underneath changed
    since the tests ran, and a layer that mixes records, show here. The model, its modes and its ``.grad``
    are left as they were; no random number is drawn.

    Raises:
        MlmguardError: norms, losses or sums differ by more than 1e-3; nothing was trained.
        InputError: as :func:`clipped_gradient_sum`.
    """
    few = _few_units(model, batch)
    if few is None:
        return
    with _as_checked(model, few["labels"].device):
        ours = clipped_gradient_sum(model, few, max_grad_norm, engine)
        truth = one_record_sum(model, read_batch(model, few), max_grad_norm)
    _compare(ours, truth, engine)


def distance_from_loop(
    model: nn.Module, batch: Mapping[str, Tensor | int], engine: Engine = "one-pass"
) -> float:
    """Return how far the clipped sum of a few units of ``batch`` lies from a loop, relative to its length.

    The loop takes one record after the other through plain autograd and scales each by min(1, C / ‖g‖)
    itself, for a C below the shortest gradient: at the run's own C a missing clip of short gradients would
    not show.
    In fp32 with dropout off; 0 where no token of the batch is masked, inf for a sum that is not finite. A
    unit whose gradient is zero or not finite counts for nothing, as in a step: whether there was one is
    private.
    """
    few = _few_units(model, batch)
    if few is None:
        return 0.0
    with _as_checked(model, few["labels"].device):
        gradients = [
            (found, length)
            for found, loss in one_record_gradients(model, read_batch(model, few))
            if 0 < (length := float(length_of(found))) < math.inf and bool(loss.isfinite())
        ]
        if not gradients:
            return 0.0
        bound = min(length for _, length in gradients) / 2
        ours = clipped_gradient_sum(model, few, bound, engine=engine).gradients
    truth = {name: torch.zeros_like(gradient) for name, gradient in ours.items()}
    for found, length in gradients:
        for name, gradient in found.items():
            truth[name] += gradient * (bound / length)
    away = length_of({name: ours[name] - truth[name] for name in truth}) / length_of(truth)
    return float(away) if bool(away.isfinite()) else math.inf


def _few_units(model: nn.Module, batch: Mapping[str, Tensor | int]) -> dict[str, Tensor] | None:
    """The first units of ``batch`` that have something to predict, as a batch; None where none has."""
    whole = read_batch(model, batch)
    rows: list[int] = []
    chosen = torch.unique(whole.unit_of_target)[:CHECKED_UNITS].tolist()
    for unit in chosen:
        rows += (whole.unit_of_row == unit).nonzero().flatten().tolist()
    if not rows:
        return None
    picked = torch.tensor(rows, device=whole.labels.device)
    few = {key: value[picked] for key, value in whole.inputs.items()}
    few["labels"] = labels = whole.labels[picked]
    few.setdefault("attention_mask", torch.ones_like(labels))  # of a model that takes none
    # What is to be predicted stands in the text too: where it is masked, what a tied embedding matrix learns
    # as an embedding and as a decoder hardly meets, and a missing cross term would pass for rounding.
    few["input_ids"] = torch.where(labels == IGNORED, whole.inputs["input_ids"][picked], labels)
    few["unit_ids"] = torch.unique(whole.unit_of_row[picked], return_inverse=True)[1]
    return few


@contextmanager
def _as_checked(model: nn.Module, device: torch.device) -> Iterator[None]:
    """In fp32 and evaluation mode; the modes of ``model`` are left as they were."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _compare(ours: ClippedSum, truth: ClippedSum, engine: Engine) -> None:
    squares = [(ours.gradients[name] - truth.gradients[name]).square().sum() for name in truth.gradients]
    length = torch.stack([g.square().sum() for g in truth.gradients.values()]).sum().sqrt()
    apart = {
        "sum": float(torch.stack(squares).sum().sqrt() / length.clamp(min=1e-30)),
        "norm": _relative(ours.norms, truth.norms),
        "loss": _relative(ours.losses, truth.losses),
    }
    for what, error in apart.items():
        if not error <= TOLERANCE:  # NaN is a mismatch too
            raise MlmguardError(
                f"private step: the {engine} {what} differs by {error:.1e} from a one-record loop; "
                f"expected at most {TOLERANCE:.0e}; nothing was trained; --dp-engine opacus is the other one."
            )


def _relative(ours: Tensor, truth: Tensor) -> float:
    """Largest difference over the finite entries, relative to each; inf where one side alone is finite."""
    finite = truth.isfinite()
    if bool((finite != ours.isfinite()).any()):
        return math.inf
    if not bool(finite.any()):
        return 0.0
    ours, truth = ours[finite], truth[finite]
    return float(((ours - truth).abs() / truth.abs().clamp(min=1e-6)).max())


def refuse_unclippable(model: nn.Module) -> None:
    """Refuse a model in which no engine can tell the records apart, or whose sums would be rounded.

    Raises:
        InputError: by the name of the layer or parameter.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise InputError(
                f"layer {name}", f"{type(module).__name__} mixes records", "a norm within the record"
            )
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"parameter {name}",
                str(parameter.dtype),
                "torch.float32",
                "load in fp32 and train under autocast",
            )


def _one_pass(
    model: nn.Module, units: UnitBatch, named: Mapping[str, nn.Parameter], max_grad_norm: float
) -> ClippedSum:
    shares, losses = traced_shares(model, units)
    with torch.no_grad(), torch.autocast(units.labels.device.type, enabled=False):
        squared, gram = losses.new_zeros(units.units), Gram()
        for name, found in shares.items():
            if found:
                try:
                    squared += squared_norms(found, units.units, gram)
                except NotImplementedError:
                    raise InputError(
                        f"parameter {name}", "shared by layers of kinds not combined here"
                    ) from None
        # The ghost form subtracts nearly equal numbers where a gradient is zero up to rounding.
        norms = squared.clamp(min=0.0).sqrt()
        weight = clip_factors(norms, losses, max_grad_norm)
        dropping = bool((weight == 0).any())
        gradients = {}
        for name, parameter in named.items():
            found = shares.pop(name)  # freed one by one: all the activations hang on them
            gradients[name] = (
                weighted_sum(found, weight, parameter.shape, dropping).float()
                if found
                else torch.zeros_like(parameter, dtype=torch.float32)
            )
    return ClippedSum(gradients, norms.float(), losses.float())
