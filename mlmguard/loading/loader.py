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
from typing import Any, TypeVar

from mlmguard.errors import InputError
from mlmguard.loading import folder as folders

_T = TypeVar("_T")

_CLASSES = {
    "masked language model": "AutoModelForMaskedLM",
    "causal language model": "AutoModelForCausalLM",
    "token classifier": "AutoModelForTokenClassification",
}
MASKED, CAUSAL, TAGGER = _CLASSES
_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
_DATA = ("*.json", "*.txt", "*.model")
_SPARE = 1 << 20  # parameters that a checkpoint may lack and a model have, besides twice what is stored
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


def model(name: str | Path, what: str) -> tuple[Any, dict[str, Any]]:
    """A model (:data:`MASKED`, :data:`CAUSAL` or :data:`TAGGER`) and how it was loaded."""
    import transformers

    place = _here(name, str(name), (*_DATA, "model*.safetensors"))
    auto: Any = getattr(transformers, _CLASSES[what])
    missing, expected = (
        f"no {what} loads from it",
        "a Hugging Face folder with config.json and model.safetensors",
    )
    if (place / "adapter_config.json").exists():
        raise InputError(str(name), "an adapter, whose model lies elsewhere", expected, "merge the two first")
    known = _config(place, name)
    found = folders.stored(place)
    folders.refuse_layers(place, folders.config(place), found)
    guarded(lambda: _refuse_larger(auto, known, found, place), str(name), missing, expected)
    return guarded(
        lambda: auto.from_pretrained(
            str(place), config=known, use_safetensors=True, output_loading_info=True, **_CLOSED
        ),
        str(name),
        missing,
        expected,
    )


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
        return Path(snapshot_download(str(name), allow_patterns=list(wanted)))
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
    return guarded(
        lambda: AutoConfig.from_pretrained(str(place), **_CLOSED),
        str(name),
        "no model's config.json",
        "a Hugging Face folder or name",
    )


def _refuse_larger(auto: Any, known: Any, found: folders.Stored, place: Path) -> None:
    """Raise :class:`InputError` for a model that is larger than its weights; nothing of it is allocated."""
    import torch

    with torch.device("meta"):
        built = auto.from_config(known, trust_remote_code=False)
    parameters = sum(one.numel() for one in built.parameters())
    buffers = sum(one.numel() for one in built.buffers())
    if parameters > 2 * found.elements + _SPARE or buffers > 2 * found.elements + _BUFFERS:
        said = f"a model of {parameters:,} parameters and {found.elements:,} numbers stored"
        raise InputError(f"{place}/{folders.CONFIG}", said, "sizes of the weights beside it")
