"""The one door to ``from_pretrained``: no code of a folder runs, no question is asked, nothing is fetched.

A folder is looked at first (:mod:`mlmguard.loading.folder`). A hub name is the one thing that is fetched, and
only its data files; what arrives is a folder like any other, and loaded as one, with the network closed. A
model is built without memory before it is built with it, so that it is no larger than what it stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.loading import weights

_T = TypeVar("_T")

_CLASSES = {
    "masked language model": "AutoModelForMaskedLM",
    "causal language model": "AutoModelForCausalLM",
    "token classifier": "AutoModelForTokenClassification",
}
MASKED, CAUSAL, TAGGER = _CLASSES
_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
_DATA = ("*.json", "*.txt", "*.model")
_WEIGHTS = "model*.safetensors"
_SPARE = 1 << 20  # parameters that a checkpoint may lack and a model have, besides twice what is stored
_ADAPTER = "adapter_config.json"
_OTHERS = {"BF16": "bf16", "F16": "fp16", "F64": "fp64"}
_BUFFERS = 1 << 28  # elements of masks and position tables, which are computed and not stored


def tokenizer(name: str | Path) -> Any:
    """The tokenizer in a folder, or by hub name; :class:`InputError` where none loads."""
    place = _here(name, f"tokenizer {name}", _DATA)
    folders.tokenizer_files(place)
    from transformers import AutoTokenizer

    return guarded(
        lambda: AutoTokenizer.from_pretrained(str(place), **_CLOSED),
        f"tokenizer {name}",
        "no tokenizer loads from it",
        "a folder with tokenizer.json, or a hub name",
    )


def config(name: str | Path) -> Any:
    """The configuration of a model alone; :class:`InputError` where there is none that transformers knows."""
    return _config(_here(name, str(name), ("config.json",)), name)


def folder_of(name: str | Path) -> Path:
    """The folder ``name``, or the one that model and tokenizer of a hub name were fetched into."""
    return _here(name, str(name), (*_DATA, _WEIGHTS))


class Loaded(NamedTuple):
    """A model, whether its head came with the weights, and what whoever uses it has to know."""

    model: Any
    head: bool
    told: tuple[str, ...] = ()


def model(name: str | Path, what: str, seed: int = 0) -> Loaded:
    """A model (:data:`MASKED`, :data:`CAUSAL` or :data:`TAGGER`) in fp32, with every weight of its encoder.

    What stands in its files is what it holds: prefixes of other tools are taken off and told, a head that is
    not there is drawn from ``seed`` and told. Raises :class:`InputError` for weights that are missing, that
    the model has no place for, or whose shape is not the one in ``config.json``, by name.
    """
    import torch
    import transformers

    place = folder_of(name)
    auto: Any = getattr(transformers, _CLASSES[what])
    missing, expected = (
        f"no {what} loads from it",
        "a Hugging Face folder with config.json and model.safetensors",
    )
    refuse_adapter(place)
    known = _config(place, name)
    if type(known) not in auto._model_mapping:
        do = "an encoder such as BERT or RoBERTa" if what == MASKED else ""
        raise InputError(str(name), f"{known.model_type}, of which there is no {what}", f"a {what}", do)
    found = folders.stored(place)
    folders.refuse_layers(place, folders.config(place), found)
    built = guarded(lambda: _built(auto, known), str(name), missing, expected, _contradiction(known))
    renamed, prefixes = weights.renamed(found.entries, built, str(name))
    weights.refuse_whole_numbers(built, found.entries, renamed, str(name))
    weights.refuse_other_shapes(built, {renamed[old]: one.shape for old, one in found.entries.items()}, place)
    _refuse_larger(built, found, place)

    def load() -> Any:
        more: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
        if prefixes:
            return type(built).from_pretrained(
                None, config=known, state_dict=weights.read(found.files, renamed), **more
            )
        return auto.from_pretrained(
            str(place), config=known, use_safetensors=True, ignore_mismatched_sizes=True, **more, **_CLOSED
        )

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # what is not in the file is drawn: the same whoever loads it
        loaded, info = guarded(load, str(name), missing, expected)
    head, told = weights.judged(loaded, info, str(name), seed, what)
    if prefixes:
        taken = " and ".join(f"“{one}”" for one in prefixes)
        told = (f"{name}: {taken} is taken off the names of its weights, as a wrapper left them", *told)
    others = sorted({one.dtype for one in found.entries.values()} & _OTHERS.keys())
    if others:
        told = (*told, f"{name}: weights in {' and '.join(_OTHERS[one] for one in others)} are read as fp32")
    return Loaded(loaded, head, told)


def refuse_adapter(place: Path) -> None:
    """Raise :class:`InputError` for a folder of an adapter: what it adapts lies elsewhere, and is not fetched
    by a name that the folder gives."""
    if not (place / _ADAPTER).exists():
        return
    told = folders.config_of_adapter(place)
    of = told.get("base_model_name_or_path")
    base = f" of {of[:80]!r}" if isinstance(of, str) and of else ""
    do = (
        "merge the two first: PeftModel.from_pretrained(AutoModelForMaskedLM.from_pretrained(BASE), "
        f"'{place.name}').merge_and_unload().save_pretrained('merged'), and the tokenizer beside it"
    )
    raise InputError(f"{place}/{_ADAPTER}", f"an adapter{base}, and no model", "merged weights", do)


def gliner(place: Path) -> Any:
    """A GLiNER model, whose own library loads it; :class:`InputError` where its folder could run anything."""
    folders.refuse_leaving(place)
    for one in folders.surfaces(place):
        if one.kind.startswith(("auto_map", "program")):
            raise InputError(str(place), "a model with code of its own", "one of weights and settings only")
    if not (place / folders.WEIGHTS).is_file():
        do = "save it again with save_pretrained(safe_serialization=True)"
        raise InputError(str(place), "no model.safetensors", "it", do)
    try:
        from gliner import GLiNER
    except ImportError:
        do = "pip install 'mlmguard[gliner]'"
        raise InputError(str(place), "GLiNER is not installed", "it", do) from None
    folders.stored(place)
    return guarded(
        lambda: GLiNER.from_pretrained(str(place), local_files_only=True, load_tokenizer=True),
        str(place),
        "a GLiNER model that cannot be loaded from its folder alone",
        "its weights, its tokenizer and the settings of its encoder",
        "save it again with save_pretrained(safe_serialization=True)",
    )


def guarded(work: Callable[[], _T], thing: str, found: str, expected: str, do: str = "") -> _T:
    """``work`` on a stranger's bytes, with the network closed: what it raises is one line without its text.

    Libraries raise what they raise, and a panic of Rust is no ``Exception``; only its type is shown.
    """
    try:
        with offline(), _silent():
            return work()
    except (KeyboardInterrupt, SystemExit, GeneratorExit, InputError):
        raise
    except BaseException as error:
        raise InputError(thing, f"{found} ({type(error).__name__})", expected, do) from None


@contextmanager
def offline() -> Iterator[None]:
    """Nothing reaches a hub in this block, and no question about code can be asked."""
    from huggingface_hub import constants
    from transformers import dynamic_module_utils as asking

    before = constants.HF_HUB_OFFLINE, asking.TIME_OUT_REMOTE_CODE
    constants.HF_HUB_OFFLINE, asking.TIME_OUT_REMOTE_CODE = True, 0
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, asking.TIME_OUT_REMOTE_CODE = before


@contextmanager
def _silent() -> Iterator[None]:
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


_ANSWER = 4  # seconds that a hub has to answer in
_CLOSED: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


def _here(name: str | Path, thing: str, wanted: tuple[str, ...]) -> Path:
    """The folder ``name``, or the one that the data files of a hub name were fetched into."""
    place, expected = Path(name), "a Hugging Face folder, or a hub name"
    try:
        if place.is_dir():
            return place
        there = place.exists() or place.is_symlink()
    except (OSError, ValueError):
        there = False
    if there:
        raise InputError(thing, "not a folder", expected)
    missing = InputError(thing, "no such folder, nor does a hub give it", expected)
    if not _HUB_NAME.fullmatch(str(name)) or ".." in str(name):
        raise missing
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(name), allow_patterns=list(wanted), etag_timeout=_ANSWER))
    except (
        Exception
    ) as error:  # no network, no such name, no right to it, no place: the hub's words are its own
        found = f"no such folder, nor does a hub give it ({type(error).__name__})"
        raise InputError(thing, found, expected) from None


def _config(place: Path, name: str | Path) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if not (place / folders.CONFIG).exists():
        raise InputError(str(name), "no config.json", "a Hugging Face folder or name")
    kind = folders.config(place).get("model_type")
    if kind is not None and kind not in CONFIG_MAPPING:
        do = "code that comes with a model is never run here"
        raise InputError(
            str(name), f"the architecture {str(kind)[:60]!r} is unknown", "one of transformers", do
        )
    known = guarded(
        lambda: AutoConfig.from_pretrained(str(place), **_CLOSED),
        str(name),
        "no model's config.json",
        "a Hugging Face folder or name",
    )
    for asked in _MORE_OUTPUTS:
        if getattr(known, asked, False):
            setattr(known, asked, False)
    return known


_MORE_OUTPUTS = ("output_attentions", "output_hidden_states", "torchscript")
"""Nobody here looks at them, and a model that gives them cannot always be saved."""


def _built(auto: Any, known: Any) -> Any:
    """The model of a configuration, nothing of it allocated."""
    import torch

    with torch.device("meta"):
        return auto.from_config(known, trust_remote_code=False)


def _contradiction(known: Any) -> str:
    """What may be wrong with a configuration that no model can be built by; "" for nothing that is known."""
    own = known.get_text_config() if hasattr(known, "get_text_config") else known
    width, heads = getattr(own, "hidden_size", None), getattr(own, "num_attention_heads", None)
    if isinstance(width, int) and isinstance(heads, int) and heads and width % heads:
        return f"look at config.json: its {heads} attention heads do not divide its hidden_size of {width}"
    pad, rows = getattr(own, "pad_token_id", None), getattr(own, "vocab_size", None)
    if isinstance(pad, int) and isinstance(rows, int) and pad >= rows:
        return f"look at config.json: its pad_token_id of {pad:,} is beyond its vocab_size of {rows:,}"
    return "look at config.json: one of its values is none that this architecture knows"


def _refuse_larger(built: Any, found: folders.Stored, place: Path) -> None:
    """Raise :class:`InputError` for a model that is larger than its weights."""
    parameters = sum(one.numel() for one in built.parameters())
    buffers = sum(one.numel() for one in built.buffers())
    if parameters > 2 * found.elements + _SPARE or buffers > 2 * found.elements + _BUFFERS:
        said = f"a model of {parameters:,} parameters and {found.elements:,} numbers stored"
        raise InputError(f"{place}/{folders.CONFIG}", said, "sizes of the weights beside it")
