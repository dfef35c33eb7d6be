"""The models: sizes, where they start from, and logits at masked positions only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.loading import loader
from mlmguard.settings import Size as Choice
from mlmguard.training.architectures import architecture_of
from mlmguard.training.clipping.unit_batch import last_to_mix_tokens, takes
from mlmguard.training.text.tokenizer import Tokenizer


class Size(NamedTuple):
    """Layers, hidden width and attention heads; the feed-forward width is four times the hidden one."""

    layers: int
    hidden: int
    heads: int


# The BERT miniatures of Turc et al. 2019, and one below them for demonstrations and ablations.
SIZES: dict[str, Size] = {
    Choice.NANO: Size(2, 64, 2),
    Choice.TINY: Size(2, 128, 2),
    Choice.MINI: Size(4, 256, 4),
    Choice.SMALL: Size(4, 512, 8),
    Choice.BASE: Size(12, 768, 12),
}


INITIAL_SPREAD = 0.8
"""Standard deviation of initial weights times the square root of the width. BERT's 0.02 at width 768 is
0.55; kept at width 64 it starts logits so flat that the first hundreds of steps only undo it."""


def fresh(size: str, tokenizer: Tokenizer, window: int, dropout: float, seed: int) -> Any:
    """Make a randomly initialised BERT with a tied decoder, for sequences of at most ``window`` tokens."""
    from transformers import BertConfig, BertForMaskedLM

    shape = SIZES[size]
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden,
        max_position_embeddings=window,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=INITIAL_SPREAD / shape.hidden**0.5,
        pad_token_id=tokenizer.pad,
        type_vocab_size=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForMaskedLM(config)


def untrained(model: nn.Module, seed: int) -> Any:
    """Make a model of the same configuration with weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return type(model)(model.config)


def load(path: str | Path, *, causal: bool = False, seed: int = 0) -> loader.Loaded:
    """Load a masked language model from a folder or a hub name, in fp32, by the one loader.

    ``causal``: a model that predicts the next token instead, which can be audited and not trained. A head
    that did not come with the weights is drawn from ``seed``. Raises :class:`InputError` for weights that are
    no numbers, are missing or belong to another model.
    """
    loaded = loader.model(path, loader.CAUSAL if causal else loader.MASKED, seed)
    _refuse_not_finite(loaded.model, str(path))
    return loaded


def _refuse_not_finite(model: nn.Module, thing: str) -> None:
    """Raise :class:`InputError` where a weight is NaN or infinite: such a model has nothing to say.

    Also for a matrix or a norm of zeros alone, as a file holds that was given its length before its bytes.
    RoBERTa's types of tokens, which nobody uses, are zeros by right.
    """
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise InputError(thing, f"weights of {name} are not finite", "numbers", "take another checkpoint")
        matrix = name.endswith("weight") and "token_type" not in name
        if matrix and parameter.numel() and not bool(parameter.any()):
            do = "get the file again, or take another checkpoint"
            raise InputError(thing, f"weights of {name} are all zero", "weights of a trained model", do)


def refuse_too_few_rows(model: nn.Module, tokenizer: Tokenizer, thing: str) -> None:
    """Raise :class:`InputError` where ``tokenizer`` has an id that ``model`` has no row for."""
    rows = int(model.config.vocab_size)  # type: ignore[union-attr, arg-type]
    largest = len(tokenizer) - 1 - len(tokenizer.added)
    if largest < rows:
        return
    extra = sum(1 for k in tokenizer.hugging_face.added_tokens_decoder if k >= rows)
    found = f"a tokenizer with an id of {largest:,}" + (f" ({extra:,} tokens added to it)" if extra else "")
    do = f"take the model's own tokenizer, or resize the model, resize_token_embeddings({largest + 1})"
    raise InputError(thing, found, f"less than the {rows:,} rows of the model", do)


def refuse_one_word(tokenizer: Tokenizer, thing: str) -> None:
    """Raise :class:`InputError` where ``tokenizer`` has fewer than two tokens to tell apart."""
    if len(set(tokenizer.ids.tolist()) - tokenizer.special_ids) < 2:
        found = f"a vocabulary of {len(tokenizer)} entries, of which one is no special token"
        raise InputError(thing, found, "words to tell apart", "get the tokenizer's own file")


def add_rows(model: nn.Module, added: Mapping[int, tuple[int, ...]], seed: int) -> None:
    """Give ``model`` a row for each new id: the mean of the rows of its pieces, tied where the others are."""
    if not added:
        return
    own: Any = model
    if max(added) >= own.config.vocab_size:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            own.resize_token_embeddings(1 + max(added), mean_resizing=False)
    layers = [one for one in (own.get_input_embeddings(), own.get_output_embeddings()) if one is not None]
    tables = {id(p): p for layer in layers for p in layer.parameters(recurse=False) if len(p) > max(added)}
    with torch.no_grad():
        for table in tables.values():
            for new, pieces in added.items():
                table[new] = table[list(pieces)].mean(0)


def predicts_next(folder: Path) -> bool:
    """Does the ``config.json`` in ``folder`` name a causal model?"""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    named = folders.config(folder).get("architectures") or ()
    if not isinstance(named, list) or any(str(name) in MASKED.values() for name in named):
        return False  # XLM's masked model has a name like a causal one's
    return any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in named)


def random_window(tokenizer: Tokenizer, length: int) -> Tensor:
    """(length,) ordinary tokens between the two that frame a window: the same at every call, and nobody's."""
    rng = np.random.default_rng(length)
    ordinary = np.setdiff1d(tokenizer.ids, sorted(tokenizer.special_ids))
    return torch.from_numpy(
        np.concatenate([[tokenizer.cls], rng.choice(ordinary, length - 2), [tokenizer.sep]]).astype(np.int64)
    )


TRIED = 16  # tokens of the longer of two windows that are tried
FEWEST = 4  # tokens of a window: two that frame it, one to hide and one to see
SAME = 1e-3  # of the largest logit: what padding may change by rounding


@torch.inference_mode()
def refuse_unusable(model: nn.Module, tokenizer: Tokenizer, thing: str) -> None:
    """Raise :class:`InputError` for a model that cannot be shown windows of any length, one beside the other.

    It breaks on them, or answers with no numbers; or the padding of a neighbour changes its answers, so that
    one record would move what another contributes; or no token sees another, as where its kernel is missing
    on this machine.
    """
    training = model.training
    model.eval()
    most = min(TRIED, window_of(model))
    if most < FEWEST:
        own = getattr(model.config, "pad_token_id", None)
        found = f"a table of positions with room for {max(most, 0)} tokens behind its padding_idx"
        do = f"set pad_token_id ({own}) and max_position_embeddings as they were when it learnt"
        raise InputError(f"{thing}/config.json", found, "a window of text", do)
    few = most // 2 + 1
    try:
        short, long = random_window(tokenizer, few), random_window(tokenizer, most)
        ids = torch.full((2, most), tokenizer.pad)
        ids[0, :few], ids[1] = short, long
        attention = (torch.arange(most) < torch.tensor([[few], [most]])).long()
        alone = _logits(model, short[None], torch.ones_like(short)[None])
        together = _logits(model, ids, attention)[:few]
        other = short.clone()
        other[1:3] = short[3:5]
        neighbour = _logits(model, other[None], torch.ones_like(other)[None])
    except InputError:
        raise
    except Exception as error:  # of an architecture that nobody here has tried
        found = f"its forward pass fails on windows of {few} and {most} tokens ({type(error).__name__})"
        do = "take another architecture"
        if getattr(model.config, "pad_token_id", None) is None and isinstance(error, TypeError):
            do = f"set pad_token_id to {tokenizer.pad} in its config.json, or take another architecture"
        raise InputError(thing, found, "an encoder that takes any length", do) from None
    finally:
        model.train(training)
    _refuse_no_numbers(torch.cat([alone, together, neighbour]), thing)
    near = SAME * float(alone.abs().max())
    if float((together - alone).abs().max()) > near:
        found, do = "the padding behind a text changes its answers", "take another architecture"
        own = getattr(model.config, "pad_token_id", None)
        if isinstance(own, int) and own != tokenizer.pad:  # mBART looks for the end of a text by it
            found += f", and its config.json pads with id {own}, its tokenizer with id {tokenizer.pad}"
            do = f"set pad_token_id to {tokenizer.pad} in its config.json, or take its own tokenizer"
        raise InputError(thing, found, "a model that heeds its attention mask", do)
    if float((neighbour - alone)[4:].abs().max()) <= 1e-6 * float(alone.abs().max()):
        found = "no token sees another in it, on this machine"
        raise InputError(thing, found, "an encoder with attention", "take another architecture")


def full_attention(model: nn.Module, window: int, thing: str) -> tuple[str, ...]:
    """Write down that a BigBird attends to all tokens of a window, where its blocks would fit; what to tell.

    The first short text it meets switches it for good, so that what is learnt from long ones would depend on
    their order.
    """
    own: Any = model.config
    if own.model_type != "big_bird" or own.attention_type == "original_full":
        return ()
    if window <= (5 + 2 * own.num_random_blocks) * own.block_size:
        return ()
    model.base_model.set_attention_type("original_full")  # type: ignore[union-attr, operator]
    own.attention_type = "original_full"
    return (f"{thing}: attention to all tokens of a window, not by blocks; its config.json will say so",)


@torch.inference_mode()
def refuse_unusable_causal(model: nn.Module, tokenizer: Tokenizer, thing: str) -> None:
    """Raise :class:`InputError` for a model that cannot answer what comes next, or not with numbers."""
    ids = random_window(tokenizer, min(TRIED, window_of(model)))[None]
    try:
        found = next_token_logits(model.eval(), ids, torch.ones_like(ids), torch.ones_like(ids).bool())
    except Exception as error:
        said = f"its forward pass fails ({type(error).__name__})"
        raise InputError(thing, said, "a model of text", "take another architecture") from None
    _refuse_no_numbers(found, thing)


def _refuse_no_numbers(answers: Tensor, thing: str) -> None:
    if not bool(answers.isfinite().all()):
        raise InputError(thing, "its answers are not finite", "numbers", "take another checkpoint")


def padding_of(model: nn.Module, tokenizer: Tokenizer, thing: str) -> tuple[str, ...]:
    """What is to be told of a model that pads with another id than its tokenizer; nothing where they agree.

    RoBERTa and its kin give no position to what has their own padding id. Raises :class:`InputError` where
    that is an ordinary token, or the one that masks.
    """
    own = getattr(model.config, "pad_token_id", None)
    if not isinstance(own, int) or own == tokenizer.pad or not 0 <= own < len(tokenizer):
        return ()
    (token,) = tokenizer.tokens([own])
    said = f"config.json pads with id {own}, {token!r} to its tokenizer, which pads with id {tokenizer.pad}"
    ordinary = token and (own == tokenizer.mask_id or own not in tokenizer.special_ids)
    if first_position(model) and ordinary:
        do = f"take the model's own tokenizer, or set pad_token_id to {tokenizer.pad} if it learnt with that"
        raise InputError(thing, f"{said}: {token!r} would have no place in a text", "one padding token", do)
    return (f"{thing}: {said}: the row of {token!r} is not learnt where it is read",) if ordinary else ()


def _logits(model: nn.Module, ids: Tensor, attention: Tensor) -> Tensor:
    """Logits of every token that is attended to, row by row."""
    device = next(model.parameters()).device
    ids, attention = ids.to(device), attention.to(device)
    return masked_logits(model, ids, attention, attention.bool()).float()


def window_of(model: nn.Module) -> int:
    """Return the longest sequence, special tokens included, the model has positions for."""
    config: Any = model.config
    return int(getattr(config, "max_position_embeddings", 512)) - first_position(model)


def size_of(path: str | Path) -> str:
    """The name in :data:`SIZES` whose width is that of the checkpoint in ``path``, or the next above it."""
    width = getattr(loader.config(path), "hidden_size", None)
    if not isinstance(width, int):
        raise InputError(str(path), "its config.json names no hidden_size", "that of a masked language model")
    return next((name for name, size in SIZES.items() if size.hidden >= width), "base")


def first_position(model: nn.Module) -> int:
    """Return the position id of a sequence's first token: RoBERTa and its kin count from padding_idx + 1.

    They say so by the padding index of the table of positions itself.
    """
    for name, module in model.named_modules():
        own: Any = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and isinstance(own, int):
            return own + 1
    return 0


def sees_padding(model: nn.Module) -> bool:
    """Does what stands behind a text change the model's answers in it? Such a model is never given any."""
    config: Any = model.config
    return architecture_of(config.model_type).sees_padding


def set_dropout(model: nn.Module, rate: float) -> None:
    """Set every dropout of ``model``, and the configuration's so that a saved copy agrees."""
    config: Any = model.config
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        elif isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", rate)  # noqa: B010 - attention that calls the functional form
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(config, name):
            setattr(config, name, rate)


def checkpoint_gradients(model: nn.Module) -> None:
    """Keep no activations inside layers for the backward pass: more time, less memory, the same gradient."""
    try:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    except (AttributeError, ValueError):
        raise InputError(
            "--gradient-checkpointing", f"{type(model).__name__} does not support it", do="leave it out"
        ) from None


def masked_logits(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor,
    where: Tensor,
    position_ids: Tensor | None = None,
) -> Tensor:
    """Logits (M, V) at the M positions where the (B, T) mask ``where`` is true, in row-major order.

    ``attention_mask`` is (B, T), or (B, 1, T, T) and added to the attention scores for packed rows, which
    bring ``position_ids`` (B, T), too. A model that sees padding is shown rows of one length at a time.

    Only those rows go through the head, which is most of a small model's cost, and through the part of the
    last layer that treats tokens one by one (:func:`unit_batch.last_to_mix_tokens`). A hook swaps the
    (B, T, H) state for the (1, M, H) rows, and the model's own forward goes on from there.
    """

    def keep_masked(module: nn.Module, inputs: Any, output: Any) -> Any:
        rows = output[0][where].unsqueeze(0)
        if isinstance(output, tuple):
            return (rows, *output[1:])
        output["last_hidden_state"] = rows
        return output

    lengths = attention_mask.sum(1) if attention_mask.ndim == 2 and sees_padding(model) else None
    if lengths is not None and bool((lengths < attention_mask.shape[1]).any()):
        return _without_padding(model, input_ids, attention_mask, where, lengths)
    handle = last_to_mix_tokens(model).register_forward_hook(keep_masked)
    try:
        more = {} if position_ids is None else {"position_ids": position_ids}
        if takes(model, "attention_mask"):
            more["attention_mask"] = attention_mask
        return model(input_ids=input_ids, **more).logits.squeeze(0)
    finally:
        handle.remove()


def _without_padding(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, where: Tensor, lengths: Tensor
) -> Tensor:
    """:func:`masked_logits`, rows of each length apart."""
    rows = where.nonzero()[:, 0]  # of each logit
    found: Tensor | None = None
    for length in torch.unique(lengths).tolist():
        own = lengths == length
        part = masked_logits(
            model, input_ids[own, :length], attention_mask[own, :length], where[own, :length]
        )
        if found is None:
            found = part.new_zeros(len(rows), part.shape[-1])
        found = found.index_put((own[rows].nonzero()[:, 0],), part)
    assert found is not None
    return found


def next_token_logits(model: nn.Module, input_ids: Tensor, attention_mask: Tensor, where: Tensor) -> Tensor:
    """Logits (M, V) of a causal model for the tokens at the M true positions of ``where``, row by row.

    What stands at a position is predicted one position before it; the first position has none.
    """
    logits: Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
    return logits[:, :-1][where[:, 1:]]
