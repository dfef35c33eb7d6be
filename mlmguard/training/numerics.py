"""Which numbers a pass computes in, on which device, and whether its layers are compiled.

Parameters, moments, norms, sums and noise are fp32 whatever is chosen here: it is the matrix products of the
forward and backward passes that may be shorter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mlmguard.errors import InputError
from mlmguard.settings import Precision
from mlmguard.training.clipping.unit_batch import encoder_of

PRECISIONS = tuple(map(str, Precision))
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_HAS_BF16 = (8, 0)  # compute capability from which on a GPU multiplies bf16 itself


def best_device() -> torch.device:
    """Return the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """Return the name of the GPU, or "processor" where there is none."""
    return torch.cuda.get_device_name() if best_device().type == "cuda" else "processor"


def chosen(precision: str, device: torch.device, private: bool) -> str:
    """Return the precision to use; "auto" becomes "fp32", "bf16" or "fp16".

    By itself: bf16 on a GPU that has it, and on an older one fp16 with its gradient scaled, which a private
    run cannot have; fp32 on a CPU. Raises :class:`InputError` for what is not known or not possible here.
    """
    if precision not in PRECISIONS:
        raise InputError("--precision", repr(precision), "one of " + ", ".join(PRECISIONS))
    if precision == "fp16" and private:
        raise InputError(
            "--precision fp16",
            "a private run: a step whose gradient overflows would be left out, and which one is private",
            "bf16 or fp32",
        )
    if precision == "fp16" and device.type != "cuda":
        raise InputError(
            "--precision fp16", "no GPU", "a GPU, which it is made for", "bf16 and fp32 run here"
        )
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "fp32"
    if torch.cuda.get_device_capability(device) >= _HAS_BF16:
        return "bf16"
    return "fp32" if private else "fp16"


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Passes in ``precision``; "auto" is what a plain run takes by itself."""
    short = chosen(precision, device, False) if precision == "auto" else precision
    return torch.autocast(device.type, dtype=_TYPES[short], enabled=short != "fp32")


# --- compiled layers ----------------------------------------------------------------------------------


@contextmanager
def compiled(model: nn.Module) -> Iterator[None]:
    """Layers that run as one kernel where they can, for widths and heights that change from batch to batch.

    Layer by layer, because they are alike and one compilation serves all. The last one stays as it is: in it
    the masked positions are picked out (:func:`unit_batch.last_to_mix_tokens`).
    """
    layers = _layers(model)[:-1]
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None


def refuse_uncompilable(model: nn.Module, device: torch.device) -> None:
    """Raise :class:`InputError` where nothing can be compiled: no layers to compile, or no compiler."""
    if len(_layers(model)) < 2:
        raise InputError(
            "--compile", f"{type(model).__name__} has less than two layers of its own", "a deeper model"
        )

    def trial(x: Any) -> Any:
        return torch.relu(x) * 2

    try:
        torch.compile(trial)(torch.ones(8, device=device))
    except Exception as error:  # whatever a toolchain can lack
        raise InputError(
            "--compile",
            f"nothing can be compiled here ({type(error).__name__})",
            "a C++ compiler for a CPU, Triton for a GPU",
            "install it, or leave --compile out",
        ) from None


def _layers(model: nn.Module) -> list[nn.Module]:
    """The layers of the encoder, in order: the longest list in it."""
    lists = [module for module in encoder_of(model).modules() if isinstance(module, nn.ModuleList)]
    return max((list(one) for one in lists), key=len, default=[])
