"""What a checkpoint folder holds already: a private run has spent its ε, and none brings its weights back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlmguard.artifacts import as_noun, read_json, read_noun
from mlmguard.corpus.clean import Damaged
from mlmguard.errors import InputError
from mlmguard.settings import TrainSettings
from mlmguard.train.data import Corpus
from mlmguard.train.released import TrainResult
from mlmguard.train.run import digest_of
from mlmguard.training.privacy import seals
from mlmguard.types import PrivacyStatement, Watcher


def result(
    ckpt: Path, reports: Path, corpus: Corpus, settings: TrainSettings, runs: Path, watcher: Watcher
) -> TrainResult | None:
    """Return what the same command has trained privately into ``ckpt`` before; None: it may be written.

    A plain run is a function of its settings, and may be replaced: trained again it is the same. Raises
    :class:`InputError` where ``ckpt`` holds another private run, one that was changed since, or one that
    ``reports`` does not tell of.
    """
    path = ckpt / "privacy.json"
    if not path.is_file():
        return None
    statement = read_noun(path, PrivacyStatement)
    if not statement.private:
        return None
    run, told = _at(runs / statement.run_id / "run.json"), _at(reports / "train.json")
    same = run.get("status") == "done" and run.get("settings_digest") == digest_of(corpus, settings)
    if not same or told.get("statement", {}).get("digest") != statement.digest:
        raise InputError(
            str(ckpt),
            f"the checkpoint of another private run, {statement.run_id}",
            "a new or empty folder",
            "name another with --ckpt, or say --overwrite: the ε of the earlier one stays spent",
        )
    statement = seals.read_statement(ckpt)
    watcher.tell(
        f"{ckpt} holds what this command has trained, {statement.run_id}: nothing was trained again; "
        "--overwrite trains anew and spends its ε once more"
    )
    left_out = tuple(as_noun(one, Damaged, str(reports / "train.json")) for one in told.get("left_out", ()))
    return TrainResult(statement, told["facts"], told["unprotected"], left_out, trained=False)


def _at(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}
