"""Names and shapes of weights: what a file holds beside what a model has, one by one.

A weight that is nowhere in a file leaves a random one in the model, and libraries say so in a warning at
most. Here every weight of the encoder comes from the file, or nothing loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlmguard.errors import InputError
from mlmguard.loading.folder import CONFIG, some
from mlmguard.loading.headers import Entry

_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What compiling, sharding and checkpointing put into names, wherever a module was wrapped."""
_LEADING = re.compile(r"(?:(?:module|model|base_model)\.)+")
"""What data parallelism, trainers and PEFT put before names; a model may have a part of that name, too."""
_COMPUTED = ("position_ids", "token_type_ids", "inv_freq")
"""Buffers that old checkpoints store and every model computes."""


def renamed(entries: Mapping[str, Entry], built: Any, thing: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The name of each weight in ``built`` by its name in the file, and the prefixes that were taken off."""
    known = _names(built)
    names = {name: _WRAPPERS.sub("", name) for name in entries}
    taken = {found[0] for name in entries for found in _WRAPPERS.finditer(name)}
    while True:
        leading = _leading(names.values(), known)
        if not leading:
            break
        names = {old: new.removeprefix(leading) for old, new in names.items()}
        taken.add(leading)
    twice = sorted(new for new, count in _counted(names.values()).items() if count > 1)
    if twice:
        raise InputError(thing, f"{some(twice)} stands there with a prefix and without", "one of the two")
    return names, tuple(sorted(taken))


def _leading(names: Iterable[str], known: frozenset[str]) -> str:
    """A first part of ``names`` without which more of them are known; "" for none.

    It is made of what wrappers write, as often as they do, or of what all names begin with.
    """
    listed = list(names)
    before = sum(name in known for name in listed)
    tried = {match[0] for name in listed if (match := _LEADING.match(name))}
    shared = ""
    for parts in zip(*(name.split(".") for name in listed)):
        if len(set(parts)) > 1:
            break
        shared += f"{parts[0]}."
        tried.add(shared)
    found = {one: sum(name.removeprefix(one) in known for name in listed) for one in tried}
    best = min(found, key=lambda one: (-found[one], len(one)), default="")
    return best if best and found[best] > before else ""


def _names(built: Any) -> frozenset[str]:
    """What a file may call the weights of a model: with the name of the encoder before them or without."""
    names, base = set(built.state_dict()), f"{built.base_model_prefix}."
    return frozenset(names | {name.removeprefix(base) for name in names})


def _counted(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def refuse_other_shapes(built: Any, shapes: Mapping[str, tuple[int, ...]], place: Path) -> None:
    """Raise :class:`InputError` for a weight of another shape than ``config.json`` gives it."""
    own, base = built.state_dict(), f"{built.base_model_prefix}."
    of_words = _of_words(built)
    full_names = {name if name in own else base + name: name for name in shapes}
    for full in sorted(full_names, key=lambda one: (one not in of_words, one)):
        name, shape = full_names[full], shapes[full_names[full]]
        if full not in own or tuple(own[full].shape) == shape:
            continue
        if full in of_words and len(shape) == 2 and tuple(own[full].shape[1:]) == shape[1:]:
            said = f"a vocab_size of {own[full].shape[0]:,}, and {shape[0]:,} rows of {name} in the weights"
            do = (
                f"set vocab_size to {shape[0]} if the tokenizer has no more entries, or get the right weights"
            )
        else:
            said = f"{name} is {_shown(own[full].shape)} by it and {_shown(shape)} in the weights"
            do = "take both from one place"
        raise InputError(f"{place}/{CONFIG}", said, "the sizes of the weights beside it", do)


_FRACTIONS = ("F64", "F32", "F16", "BF16")


def refuse_whole_numbers(
    built: Any, entries: Mapping[str, Entry], renamed: Mapping[str, str], thing: str
) -> None:
    """Raise :class:`InputError` for a weight of whole numbers or of 8 bits: its scale lies elsewhere."""
    base, own = f"{built.base_model_prefix}.", {name for name, _ in built.named_parameters()}
    for name, entry in entries.items():
        if entry.dtype not in _FRACTIONS and {renamed[name], base + renamed[name]} & own:
            do = "save the model again in fp32, fp16 or bf16"
            raise InputError(f"{thing}: {name}", f"quantised weights ({entry.dtype})", "plain weights", do)


def _of_words(built: Any) -> set[str]:
    """The names of the matrix that words are looked up in."""
    try:
        words = built.get_input_embeddings()
    except NotImplementedError:
        return set()
    return {f"{name}.weight" for name, module in built.named_modules() if module is words}


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def read(files: Sequence[Path], names: Mapping[str, str]) -> dict[str, Any]:
    """The tensors of ``files`` under their new ``names``."""
    from safetensors.torch import load_file

    return {names[name]: tensor for path in files for name, tensor in load_file(path).items()}


def judged(
    model: Any, info: Mapping[str, Any], thing: str, seed: int, what: str
) -> tuple[bool, tuple[str, ...]]:
    """Whether the head came with the weights, and what is to be told of how a model was loaded.

    Raises :class:`InputError` for weights of the encoder that are missing, a head that is there in part, and
    weights of an encoder that this one has no place for.
    """
    base = f"{model.base_model_prefix}."
    parameters = [name for name, _ in model.named_parameters()]
    encoder = model.base_model
    inside = {name for name in parameters if encoder is model or name.startswith(base)}
    lost = {name for name in info["missing_keys"] if name in set(parameters) and ".pooler." not in name}
    do = "get the whole checkpoint, or the configuration that belongs to it"
    if lost & inside:
        missing = sorted(lost & inside)
        said = f"{len(missing):,} of {len(inside):,} weights of the encoder are missing ({some(missing)})"
        raise InputError(thing, said, f"the weights of {_article(type(model).__name__)}", do)
    head, there = set(parameters) - inside, lost - inside
    if there and there != head:
        said = f"{len(there):,} of {len(head):,} weights of the head are missing ({some(sorted(there))})"
        raise InputError(thing, said, "all of them, or none", do)
    other = sorted(map(str, info.get("mismatched_keys") or ()))
    if other:
        raise InputError(thing, f"weights of another shape ({some(other)})", "those of config.json", do)
    parts = {name for name, _ in encoder.named_children()} if encoder is not model else set()
    spare = [name for name in info["unexpected_keys"] if name.rpartition(".")[2] not in _COMPUTED]
    foreign = sorted(name for name in spare if name.removeprefix(base).partition(".")[0] in parts)
    if foreign:
        said = f"{len(foreign):,} weights that config.json has no place for ({some(foreign)})"
        raise InputError(thing, said, f"the weights of {_article(type(model).__name__)}", do)
    told = []
    if there:
        if what == "token classifier":
            raise InputError(
                thing, "an encoder without a classifier", "a model that was trained to find names"
            )
        told.append(f"{thing}: an encoder without its head: the head is drawn at random from seed {seed}")
    if spare:
        told.append(f"{thing}: {len(spare):,} weights of other heads are left out ({some(sorted(spare))})")
    return not there, tuple(told)


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
