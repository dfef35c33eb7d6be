"""Which parameters a run trains. Under DP every trained parameter carries noise, so fewer can be better.

``full`` everything; ``lora`` low-rank updates of every linear layer of the encoder (Hu et al. 2021, through
``peft``); ``bitfit`` biases only (Ben Zaken et al. 2022); ``head`` the part above the encoder. All go through
the same exact clipping, and the result is saved as a plain Hugging Face model.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from mlmguard.errors import InputError
from mlmguard.loading.folder import some
from mlmguard.settings import Adaptation
from mlmguard.training.clipping.unit_batch import encoder_of
from mlmguard.training.models import masked_logits, random_window, window_of
from mlmguard.training.text.tokenizer import Tokenizer

KINDS = tuple(map(str, Adaptation))
RANK = 8  # of the low-rank updates; their scale is 2, as in the paper's alpha = 2 r


def adapt(
    model: nn.Module, kind: str, seed: int, rank: int | None = None, targets: Sequence[str] = ()
) -> None:
    """Freeze what ``kind`` does not train, in place; for "lora", put adapters into the encoder first.

    Those are of ``rank``, on the linear layers whose names match one of the patterns ``targets``: all of them
    without a pattern.

    Raises :class:`InputError` for an unknown kind, a model without such parameters, or a missing ``peft``.
    """
    if kind not in KINDS:
        raise InputError("--adapt", repr(kind), "one of " + ", ".join(KINDS))
    if kind == "full":
        return
    if kind == "lora":
        _add_low_rank(model, seed, rank or RANK, targets)
        return
    below = {id(parameter) for parameter in encoder_of(model).parameters()}
    for name, parameter in model.named_parameters():
        # a decoder tied to the word matrix belongs to the encoder, too, and stays frozen with it
        chosen = name.endswith("bias") if kind == "bitfit" else id(parameter) not in below
        parameter.requires_grad_(chosen)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(
            f"--adapt {kind}", f"{type(model).__name__} has no such parameter", "another kind of adaptation"
        )


def trained_parameters(model: nn.Module) -> int:
    """Return how many numbers the optimiser moves."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def merge(model: nn.Module) -> None:
    """Add low-rank updates to the weights they belong to and take the adapters out, in place."""
    for path, module in list(model.named_modules()):
        if callable(getattr(module, "get_base_layer", None)):
            adapter: Any = module
            adapter.merge()
            owner, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(owner), leaf, adapter.get_base_layer())
    model.requires_grad_(True)


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Leave parameters as they are whose names match one of ``patterns``, as in ``*.embeddings.*``.

    Raises :class:`InputError` for a pattern that matches none, or where nothing is left to train.
    """
    for pattern in patterns:
        found = [p for name, p in model.named_parameters() if fnmatchcase(name, pattern)]
        if not found:
            names = [name for name, _ in model.named_parameters()]
            raise InputError(f"--freeze {pattern}", "no parameter of that name", f"one like {names[0]}")
        for parameter in found:
            parameter.requires_grad_(False)
    if patterns and not trained_parameters(model):
        raise InputError("--freeze", "nothing is left to train", "patterns that leave something")


def freeze_unreached(model: nn.Module, tokenizer: Tokenizer) -> list[str]:
    """Leave parameters as they are that no forward pass reaches, such as a pooler's; return their names.

    Under DP they would receive noise and learn nothing. They are found on public random tokens.

    Raises :class:`InputError` where no other is left to train.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    ids = random_window(tokenizer, min(UNREACHED_TOKENS, window_of(model)))[None].to(
        next(model.parameters()).device
    )
    with torch.enable_grad():
        where = torch.ones_like(ids, dtype=torch.bool)
        total = masked_logits(model, ids, torch.ones_like(ids), where).square().sum()
    found: Sequence[torch.Tensor | None] = [None] * len(named)
    if total.requires_grad:
        found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    lost = [name for (name, _), gradient in zip(named.items(), found, strict=True) if gradient is None]
    if len(lost) == len(named):
        said = f"no forward pass reaches what is left to train ({some(lost)})" if lost else "nothing is left"
        raise InputError("--adapt, --freeze", said, "parameters that move an answer", "train others")
    for name in lost:
        named[name].requires_grad_(False)
    return lost


UNREACHED_TOKENS = 12


def _add_low_rank(model: nn.Module, seed: int, rank: int, targets: Sequence[str]) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise InputError(
            "--adapt lora", "peft is not installed", "the package peft", "pip install 'mlmguard[lora]'"
        ) from None
    encoder = encoder_of(model)
    inside = {id(module) for module in encoder.modules()}
    linear = [
        name
        for name, module in model.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear)
    ]
    if linear and targets:
        chosen = [name for name in linear if any(fnmatchcase(name, pattern) for pattern in targets)]
        if not chosen:
            found = f"no linear layer of the encoder is called {' or '.join(targets)}"
            raise InputError("--lora-targets", found, f"one like {linear[0]}")
        linear = chosen
    if not linear:
        raise InputError("--adapt lora", f"{type(model).__name__} has no linear layer", "another adaptation")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=linear)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
