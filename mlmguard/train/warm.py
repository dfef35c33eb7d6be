"""The public start: a model warmed up on public text, shipped for the small sizes, else made once a user.

Every private run of one size begins the same, so that no run chooses its start by private text.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_model

from mlmguard import __version__
from mlmguard.artifacts import made_state_folder, run_folder, sha256_file, state_folder, write_text
from mlmguard.corpus.synthetic import public_documents
from mlmguard.settings import TrainSettings
from mlmguard.train import planning
from mlmguard.train.run import Run
from mlmguard.training import checkpoint, models, numerics
from mlmguard.training.journal import Journal
from mlmguard.training.loop import train as run_plain_steps
from mlmguard.training.numerics import best_device
from mlmguard.training.recipes import Recipe
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import group
from mlmguard.types import SILENT, Watcher

STEPS = 600
BATCH = 128
WINDOW = 64
"""What the shipped starts were trained with; `tools/warm.py` makes them."""

FOLDER = Path(__file__).with_name("starts")
#: SHA-256 of each file that is shipped.
SHIPPED: Mapping[str, str] = {
    "nano": "c7f5753f56fc17a5a0af24e8452fbd337dd818e1e4709b63f1a216a4b5079e73",
    "tiny": "ef260e907c329f07e79040363ae977e77a48c9f5e4ee7571e75c8c52966f1cb6",
}


def start(run: Run, settings: TrainSettings, tokenizer: Tokenizer, recipe: Recipe, watcher: Watcher) -> Any:
    """Return the public start of these settings: shipped, or kept for this user, or made now."""
    shipped = _shipped(settings.size, tokenizer, recipe.window)
    return shipped if shipped is not None else _kept(run, settings, tokenizer, recipe.window, watcher)


def _shipped(size: str, tokenizer: Tokenizer, window: int) -> Any | None:
    """The model of the package, for its own tokenizer and window; None for others.

    The seed of a run moves masks and draws, not where it starts.
    """
    file = FOLDER / f"{size}.safetensors"
    ours = size in SHIPPED and window == WINDOW and tokenizer.is_shipped()
    if not ours or sha256_file(file) != SHIPPED[size]:
        return None
    model = models.fresh(size, tokenizer, window, 0.0, 0)
    load_model(model, file)  # our own file, pinned above
    return model


def made(
    size: str, tokenizer: Tokenizer, window: int, seed: int, scratch: Path, watcher: Watcher = SILENT
) -> Any:
    """Train a fresh model plainly on public text; what is unfinished lies in ``scratch``."""
    documents = public_documents()
    rows = [
        (f"{document.id}#{k}", part)
        for document, ids in zip(documents, tokenizer.encode(d.text for d in documents))
        for k, part in enumerate(
            np.array_split(np.array(ids, dtype=np.int64), max(1, len(ids) // (2 * window)))
        )
    ]
    steps = _steps(window)
    fresh = models.fresh(size, tokenizer, window, 0.0, seed)
    settings = TrainSettings(size=size, seed=seed)
    plain = Recipe(
        steps,
        BATCH,
        planning.learning_rate(settings),
        steps // 10,
        window,
        precision=numerics.chosen("auto", best_device(), False),
        seed=seed,
    )

    def warming(stage: str, done: int, total: int | None) -> None:
        watcher.progress("warm up on public text", done, total)

    hears = Watcher(warming, stop=watcher.stop)
    run_plain_steps(fresh, group(rows), tokenizer, plain, Journal(scratch), watcher=hears)
    return fresh


def _steps(window: int) -> int:
    return max(1, STEPS * 64 // window)


def _kept(run: Run, settings: TrainSettings, tokenizer: Tokenizer, window: int, watcher: Watcher) -> Any:
    """A start that is not shipped: kept for the user, as every run with these settings begins the same."""
    of = [settings.size, window, _steps(window), BATCH, settings.seed, __version__]
    name = hashlib.sha256(json.dumps([*of, sorted(tokenizer.entries())]).encode()).hexdigest()[:12]
    folder = state_folder() / "starts" / name
    written = folder.parent / f"{name}.sha256"
    if folder.exists() and not (written.exists() and written.read_text() == _digest(folder)):
        watcher.tell(f"the model warmed up on public text ({name}) is not as it was made: made anew")
        shutil.rmtree(folder)
    if not folder.exists():
        scratch = run_folder(f"warm-{name}", run.folder.parent)
        fresh = made(settings.size, tokenizer, window, settings.seed, scratch, watcher)
        made_state_folder()
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        temporary = folder.parent / f".coming-{name}-{os.getpid()}"  # beside it: a home is another disk
        checkpoint.save_weights(temporary, fresh, tokenizer)
        digest = _digest(temporary)
        checkpoint.replace_folder(temporary, folder)
        write_text(written, digest, mode=0o600)
    return models.load(folder)[0]


def _digest(folder: Path) -> str:
    """One SHA-256 over every file of a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(
        "".join(f"{path.name} {sha256_file(path)}\n" for path in files).encode()
    ).hexdigest()
