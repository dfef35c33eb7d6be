"""The released folder: a plain Hugging Face checkpoint that appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn
from transformers.utils import logging

from mlmguard.artifacts import scratch, write_json, write_text
from mlmguard.errors import InputError
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import PrivacyStatement


def refuse_foreign(folder: Path) -> None:
    """Raise :class:`InputError` if ``folder`` holds something that this tool did not write."""
    if folder.exists() and not folder.is_dir():
        raise InputError(str(folder), "a file", "a folder for the checkpoint", "name another with --ckpt")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "privacy.json").exists():
        raise InputError(
            str(folder), "not empty and not a checkpoint of mlmguard", do="name another with --ckpt"
        )


def save(
    folder: Path,
    model: nn.Module,
    tokenizer: Tokenizer,
    training: Mapping[str, object],
    card: str,
    bind: Callable[[Path], PrivacyStatement],
) -> PrivacyStatement:
    """Write weights, tokenizer, the public facts of the training, a model card, and the statement.

    ``bind`` makes the statement from the folder that holds all the rest: it names their digests.
    """
    with scratch(folder.parent, "ckpt") as temporary:
        save_weights(temporary, model, tokenizer)
        write_json(temporary / "training.json", dict(training))
        write_text(temporary / "README.md", card)
        statement = bind(temporary)
        write_json(temporary / "privacy.json", statement)
        for path in temporary.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    return statement


def save_weights(folder: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Save the Hugging Face part alone, for its owner: libraries write as the umask says."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    logging.disable_progress_bar()
    model.to("cpu").save_pretrained(folder)  # type: ignore[operator]
    tokenizer.save(folder)
    for path in folder.iterdir():
        if path.is_file():
            path.chmod(0o600)


def replace_folder(new: Path, target: Path) -> None:
    """Put ``new`` in the place of ``target``; between the two renames the old one is beside it, whole."""
    old = target.with_name(f".old-{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
