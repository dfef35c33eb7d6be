"""What lies in a stranger's folder, before anything of it is loaded: files, links, headers, numbers.

A checkpoint is data here. Whatever in it could run, leads out of it or asks for more memory than it stores is
named (:func:`surfaces`) or refused with one line. No torch and no transformers: ``verify`` and ``doctor``
look without loading.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlmguard.artifacts import json_of, sha256_file, text_of, walk
from mlmguard.errors import InputError
from mlmguard.loading.bounds import refuse_unbounded
from mlmguard.loading.headers import BITS, Entry, header

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model",
                "sentencepiece.bpe.model", "sentencepiece.model", "tokenizer.model", "bpe.codes")  # fmt: skip
"""Files that hold the entries of a tokenizer."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".h5", ".keras", ".npy")
_PROGRAMS = (".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".exe")
_OTHER_WEIGHTS = (".msgpack", ".gguf", ".ggml", ".onnx", ".tflite", ".mar")
_OF_TORCH = (".bin", ".pt", ".pth", ".ckpt")  # dictionaries of tensors, as torch.save writes them
_ADAPTER = "adapter_model.safetensors"
_READ = (".json", ".txt", ".model", ".codes", ".safetensors")
_TEMPLATES = (".jinja", ".jinja2", ".j2")

_POINTER = 1024  # bytes: what Git LFS leaves in the place of a file is shorter
_MOST_CONFIG = 8 << 20  # bytes: 100,000 labels fit
_MOST_INDEX = 64 << 20
_MOST_VALUES = 250_000  # in a configuration, lists and labels included
_MOST_LABELS = 100_000
_LONGEST_NAME = 255  # bytes: no file has a longer one
_FEWEST_LAYERS = 48  # layers may share their tensors, in a model of few
_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
          "max_position_embeddings", "type_vocab_size", "embedding_size", "dim", "hidden_dim",
          "n_layers", "n_heads", "d_model", "d_ff", "n_embd", "n_layer", "n_head", "n_positions",
          "num_layers")  # fmt: skip
_MAY_BE_NONE = ("max_position_embeddings", "type_vocab_size")
"""Zero says that there are none."""


# --- what could run, or leads out ---------------------------------------------------------------------


@dataclass(frozen=True)
class Surface:
    """Something in a folder that could run, or that stands for bytes which lie elsewhere."""

    kind: str
    where: str
    leaves: bool = False  # other bytes than those of the folder would be loaded


def surfaces(folder: Path) -> tuple[Surface, ...]:
    """Everything of the kind, by place; "" in ``where`` never."""
    found: list[Surface] = []
    for path in _all(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and leads_out(folder, path):
            found.append(Surface("link that leaves the folder", name, leaves=True))
        elif path.is_file():
            found += _of_file(path, name)
        elif _is_special(path):
            found.append(Surface("pipe or device", name, leaves=True))
    return tuple(sorted(found, key=lambda one: (one.where, one.kind)))


def _all(folder: Path) -> Iterator[Path]:
    for here, folders, names in walk(folder):  # links to folders are named and not followed
        linked = [name for name in folders if (here / name).is_symlink()]
        yield from (here / name for name in (*linked, *names))


def _of_file(path: Path, name: str) -> Iterator[Surface]:
    suffix = path.suffix.lower()
    if suffix in _PROGRAMS:
        yield Surface("program", name)
    elif suffix in PICKLES or _is_pickle(path):
        yield Surface("pickle", name)
    elif suffix in _TEMPLATES:
        yield Surface("template", name)
    elif suffix == ".json":
        yield from _of_json(path, name)


def _is_pickle(path: Path) -> bool:
    """A pickle by its first bytes, whatever its name: the protocol, or the archive that torch saves."""
    with path.open("rb") as stream:
        first = stream.read(2)
    return first in (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6)))


def _of_json(path: Path, name: str) -> Iterator[Surface]:
    if path.stat().st_size > _MOST_INDEX:
        return
    try:
        read = json_of(text_of(path, "JSON", _MOST_INDEX), name)
    except InputError:
        return  # what cannot be read is refused where it is loaded
    if not isinstance(read, dict):
        return
    if name == INDEX:
        outside = sorted(one for one in _shards(read) if not _is_plain(one))
        yield from (Surface("index entry that leaves the folder", f"{name}: {one}", True) for one in outside)
    if path.name == "adapter_config.json":
        yield Surface("adapter of a model that lies elsewhere", name, leaves=True)
    keys = set(_keys(read))
    if "auto_map" in keys:
        yield Surface("auto_map, code by name", name)
    if "chat_template" in keys:
        yield Surface("template", f"{name}: chat_template")
    if "transformers_weights" in keys:
        yield Surface("weights by another name", f"{name}: transformers_weights", leaves=True)


def _keys(data: Any) -> Iterator[str]:
    left = [data]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield from one
            left += one.values()
        elif isinstance(one, list):
            left += one


def leads_out(folder: Path, path: Path) -> bool:
    """Does a path end elsewhere than in ``folder``? The cache of the hub links to its own files beside."""
    try:
        root, end = folder.resolve(), path.resolve(strict=True)
    except (OSError, RuntimeError):  # a link in a circle, or to nothing
        return True
    if end.is_relative_to(root):
        return False
    cached = root.parent.name == "snapshots" and end.parent == root.parent.parent / "blobs"
    return not cached


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:  # a link to nothing, or to itself
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def refuse_special(folder: Path) -> None:
    """Raise :class:`InputError` where a pipe or a device lies in ``folder``: a library that opens it waits
    for ever, or reads without end."""
    for path in sorted(folder.iterdir()):
        if _is_special(path):
            raise InputError(str(path), "a pipe or a device", "plain files", "take it out of the folder")


def refuse_leaving(folder: Path) -> None:
    """Raise :class:`InputError` where other bytes than those of the folder would be loaded from it."""
    for one in surfaces(folder):
        if one.leaves:
            raise InputError(f"{folder}/{one.where}", one.kind, "plain files of the folder itself")


# --- the files that are opened ------------------------------------------------------------------------


def weight_files(folder: Path) -> list[Path]:
    """The files whose tensors are loaded, in order; :class:`InputError` for one that leaves the folder."""
    if (folder / WEIGHTS).exists() or (folder / WEIGHTS).is_symlink():
        names = [WEIGHTS]
    elif (folder / INDEX).exists():
        read = _object(folder / INDEX, _MOST_INDEX)
        names = sorted(_shards(read))
        if not names or not isinstance(read.get("metadata"), dict):
            raise InputError(f"{folder}/{INDEX}", "no map of weights", "an index as transformers writes it")
    else:
        raise _no_weights(folder)
    for name in names:
        if not _is_plain(name) or not name.endswith(".safetensors"):
            found = f"an entry that leaves the folder or is no safetensors file ({name[:80]!r})"
            raise InputError(f"{folder}/{INDEX}", found, "names of files beside it")
        _refuse_link(folder, name)
        if (folder / name).is_dir():
            raise InputError(f"{folder}/{name}", "a folder", "a safetensors file as it was saved")
        if not (folder / name).is_file():
            do = "get the missing file, or the whole folder again"
            raise InputError(f"{folder}/{name}", f"no such file, and {INDEX} names it", "every part", do)
    return [folder / name for name in names]


def _no_weights(folder: Path) -> InputError:
    """The error for a folder without weights that are read here, by the name of those that lie in it."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    renamed = [name for name in names if name.endswith(".safetensors") and name != _ADAPTER]
    if renamed:
        do = f"rename it to {WEIGHTS}" if len(renamed) == 1 else f"get {INDEX}, which says what lies where"
        return InputError(f"{folder}/{renamed[0]}", "weights by another name", f"{WEIGHTS} or {INDEX}", do)
    others = [name for name in names if Path(name).suffix.lower() in (*PICKLES, *_OTHER_WEIGHTS)]
    if others:
        found = "weights in another format than safetensors, the only one that is read here"
        return InputError(f"{folder}/{others[0]}", found, WEIGHTS, _conversion(folder, others[0]))
    if _ADAPTER in names:
        do = "merge it with the model that it adapts, and save that"
        return InputError(f"{folder}/{_ADAPTER}", "an adapter, and no model", WEIGHTS, do)
    return InputError(
        str(folder), "no weights in safetensors", WEIGHTS, "get the file, or save the model again"
    )


def _conversion(folder: Path, name: str) -> str:
    """How weights become safetensors; a format that nothing here reads has to be saved again elsewhere."""
    if name.startswith("pytorch_model") and name.endswith(".bin"):
        return (
            'where you trust it, convert it: python -c "from transformers import AutoModelForMaskedLM as M; '
            f"M.from_pretrained('{folder.name}').save_pretrained('{folder.name}')\""
        )
    if Path(name).suffix.lower() in _OF_TORCH:
        read = f"torch.load('{name}', weights_only=True).items()"
        return (
            'where you trust it and it holds weights alone, convert it, there: python -c "import torch; '
            "from safetensors.torch import save_file; save_file({k: w.contiguous().clone() for k, w in "
            f"{read}}}, '{WEIGHTS}')\""
        )
    return "save the model again where it was made, with save_pretrained, or get its safetensors"


def _refuse_link(folder: Path, name: str) -> None:
    if (folder / name).is_symlink() and leads_out(folder, folder / name):
        raise InputError(
            f"{folder}/{name}", "a link that leaves the folder", "the file itself", "copy it there"
        )


def _shards(index: dict[str, Any]) -> set[str]:
    mapped = index.get("weight_map")
    return {str(name) for name in mapped.values()} if isinstance(mapped, dict) else set()


def _is_plain(name: str) -> bool:
    """Is it the name of a file, in this folder?"""
    try:
        long = len(os.fsencode(name)) > _LONGEST_NAME
    except UnicodeEncodeError:  # half of a character
        return False
    return not long and name not in ("", ".", "..") and not any(c in name for c in "/\\\0")


def _object(path: Path, most: int) -> dict[str, Any]:
    read = json_of(text_of(path, "JSON", most), str(path))
    if not isinstance(read, dict):
        raise InputError(str(path), "not a JSON object", "a file as transformers writes it")
    return read


def digest(folder: Path) -> str:
    """One SHA-256 over the files of a folder that a model or a tokenizer is read from."""
    read = sorted(path for path in folder.iterdir() if path.suffix in _READ and path.is_file())
    told = "".join(f"{path.name} {sha256_file(path)}\n" for path in read)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()


# --- headers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """What the headers of the weight files promise; every promise is kept by the file's own length."""

    files: tuple[Path, ...]
    entries: Mapping[str, Entry] = field(repr=False)

    @property
    def tensors(self) -> int:
        """How many tensors there are."""
        return len(self.entries)

    @property
    def elements(self) -> int:
        """How many numbers they hold."""
        return sum(math.prod(entry.shape) for entry in self.entries.values())


def stored(folder: Path) -> Stored:
    """Read the header of every weight file; :class:`InputError` for one that its bytes do not bear out.

    Also for a part that lacks what the index says it holds, and for weights of 8 bits, which are numbers only
    together with scales that lie elsewhere.
    """
    refuse_special(folder)
    files = weight_files(folder)
    entries: dict[str, Entry] = {}
    for path in files:
        entries |= header(path)
    if not (folder / WEIGHTS).exists():
        named = _object(folder / INDEX, _MOST_INDEX)["weight_map"]
        lost = sorted(name for name in named if name not in entries)
        if lost:
            do = "get the files again"
            raise InputError(f"{folder}/{named[lost[0]]}", f"no {some(lost)}, which {INDEX} names", do=do)
    for name, entry in entries.items():
        if name.endswith("weight") and BITS[entry.dtype] == 8:
            do = "save the model again in fp32, fp16 or bf16"
            raise InputError(f"{folder}: {name}", f"quantised weights ({entry.dtype})", "plain weights", do)
    return Stored(tuple(files), entries)


def some(names: Sequence[str]) -> str:
    """The first of ``names``, and how many more there are."""
    return names[0] + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")


# --- the configuration --------------------------------------------------------------------------------


def config(folder: Path) -> dict[str, Any]:
    """``config.json`` as plain data, after its numbers were looked at; :class:`InputError` for what it may
    not ask for: code, kernels and formats that come from elsewhere, sizes that are none."""
    path = folder / CONFIG
    _refuse_link(folder, CONFIG)
    _refuse_pointers(folder)
    read = _object(path, _MOST_CONFIG)
    _refuse_too_many(read, path)
    kind = read.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise InputError(str(path), "a model_type that is no text", "its name, as transformers has it")
    for name in ("quantization_config", "compression_config", "transformers_weights"):
        if read.get(name) is not None:
            do = "save the model again without it, in fp32, fp16 or bf16"
            raise InputError(str(path), f"{name}, which loads by other rules", "plain weights", do)
    for key, value in _pairs(read):
        if "implementation" in key and isinstance(value, str) and ("/" in value or "flex" in value):
            raise InputError(str(path), f"{key} names a kernel of a hub or a compiler", "eager or sdpa")
        if key in _SIZES and not _is_size(value, key):
            raise InputError(str(path), f"{key} is no size", "a whole number above 0")
        if key.endswith("_token_id") and not _is_token(value, key):
            raise InputError(str(path), f"{key} is no id of a token", "a whole number, or null")
        if key == "num_labels" and not _is_size(value, key, _MOST_LABELS):
            raise InputError(str(path), f"{key} is no number of labels", f"at most {_MOST_LABELS:,}")
    return read


def config_of_adapter(folder: Path) -> dict[str, Any]:
    """``adapter_config.json`` as plain data."""
    return _object(folder / "adapter_config.json", _MOST_CONFIG)


def refuse_layers(folder: Path, read: dict[str, Any], found: Stored) -> None:
    """Raise :class:`InputError` for more layers than the weights have tensors: they cost time, one by one."""
    most = max(_FEWEST_LAYERS, found.tensors)
    for key, value in _pairs(read):
        if "layer" in key and type(value) is int and value > most:
            said = f"{key} is {value:,}"
            raise InputError(
                f"{folder}/{CONFIG}", said, f"at most the {found.tensors:,} tensors of the weights"
            )


def tokenizer_files(folder: Path) -> None:
    """Look at the files of a tokenizer; :class:`InputError` for what is damaged or leaves the folder."""
    refuse_special(folder)
    for path in folder.iterdir():
        if path.suffix in (".json", ".txt", ".model"):
            _refuse_link(folder, path.name)
    _refuse_pointers(folder)
    for name in (*TOKENIZER, "vocab.json"):
        path = folder / name
        if not path.exists():
            continue
        read = json_of(text_of(path, "a tokenizer file as transformers writes it"), str(path))
        if not isinstance(read, dict):
            raise InputError(str(path), "not a JSON object", "a tokenizer file as transformers writes it")
        if name == "tokenizer_config.json":
            _refuse_named_files(read, path)
        refuse_unbounded(read, path)
    if (folder / CONFIG).exists():
        config(folder)


def _refuse_pointers(folder: Path) -> None:
    """Raise :class:`InputError` for a text file that Git LFS left only its pointer of."""
    for path in sorted(folder.iterdir()):
        small = (
            path.suffix in (".json", ".txt", ".model") and path.is_file() and path.stat().st_size < _POINTER
        )
        if small and path.read_bytes().startswith(b"version https://git-lfs"):
            found, do = "a pointer of Git LFS and not the file", "get the file itself: git lfs pull"
            raise InputError(str(path), found, "the file", do)


def has_vocabulary(folder: Path) -> bool:
    """Is there a file that holds the entries of a tokenizer?"""
    return any((folder / name).is_file() for name in VOCABULARIES)


def _refuse_named_files(read: dict[str, Any], path: Path) -> None:
    for name in ("vocab_file", "merges_file", "tokenizer_file", "spm_file", "sp_model_file", "emoji_file"):
        if isinstance(read.get(name), str) and not _is_plain(read[name]):
            raise InputError(str(path), f"{name} names a file elsewhere", "the files beside it")
    listed = read.get("fast_tokenizer_files") or []
    if not (isinstance(listed, list) and all(isinstance(one, str) and _is_plain(one) for one in listed)):
        raise InputError(str(path), "fast_tokenizer_files names files elsewhere", "the files beside it")


def _refuse_too_many(data: Any, path: Path) -> None:
    """Raise for a configuration of more values than any: a parser takes minutes over it."""
    count, left = 0, [data]
    while left:
        inner = left.pop()
        values: Iterable[Any] = inner.values() if isinstance(inner, dict) else inner
        for one in values:
            count += 1
            if isinstance(one, dict | list):
                left.append(one)
        if count > _MOST_VALUES:
            raise InputError(str(path), f"more than {_MOST_VALUES:,} values", "the configuration of a model")


def _pairs(data: Any) -> Iterator[tuple[str, Any]]:
    left = [data]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield from one.items()
            left += [value for value in one.values() if isinstance(value, dict | list)]
        elif isinstance(one, list):
            left += [value for value in one if isinstance(value, dict | list)]


def _is_token(value: Any, key: str) -> bool:
    """An id, or none; some models end with one of several."""
    listed = value if key == "eos_token_id" and isinstance(value, list) else [value]
    return all(one is None or (type(one) is int and abs(one) < 1 << 31) for one in listed)


def _is_size(value: Any, key: str, most: int = 1 << 40) -> bool:
    if isinstance(value, list):  # of models whose layers differ
        return all(_is_size(one, key, most) for one in value)
    return value is None or (type(value) is int and (0 if key in _MAY_BE_NONE else 1) <= value <= most)
