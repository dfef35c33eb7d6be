"""A small corpus, scanned and trained on for real, shared by the tests that need one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from mlmguard.artifacts import Key, load_key, read_json, read_noun, sha256_file, write_json
from mlmguard.audit import Ours, audit
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.leakage import canaries
from mlmguard.scan import scan
from mlmguard.settings import AuditSettings
from mlmguard.train import TrainSettings, train
from mlmguard.training import checkpoint, models
from mlmguard.training.privacy import seals
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Evidence, PrivacyStatement

KEY = Key(b"a key that only tests use, 32 b.")
QUICK = AuditSettings(documents=60, probed=600, spans=12, searched=32, restarts=8, samples=40)


class Bench:
    """A working folder with corpus/, clean/ and whatever is trained in it."""

    def __init__(self, folder: Path, notes: int = 400) -> None:
        self.folder = folder
        self.runs = folder / ".mlmguard" / "runs"
        write_corpus(folder / "corpus", folder / "gold.jsonl", notes=notes)
        self.manifest = scan(folder / "corpus", folder / "clean", folder / "reports", key=KEY, runs=self.runs)

    def train(self, name: str, settings: TrainSettings) -> Path:
        train(self.folder / "clean", self.folder / name, self.folder / "reports", settings, runs=self.runs)
        return self.folder / name

    def audit(self, ckpt: Path, settings: AuditSettings = QUICK) -> Evidence:
        return audit(ckpt, self.folder / "reports", settings, source=Ours(runs=self.runs))

    def run_of(self, ckpt: Path) -> Path:
        return self.runs / str(read_json(ckpt / "privacy.json")["run_id"])

    def clone(self, ckpt: Path, name: str) -> Path:
        """Another checkpoint with a run folder of its own, to be changed by a test."""
        copy = self.folder / name
        shutil.copytree(ckpt, copy)
        run = self.runs / f"train-{name}"
        shutil.copytree(self.run_of(ckpt), run)
        for path in (copy / "privacy.json", copy / "training.json"):
            write_json(path, {**read_json(path), "run_id": run.name})
        self.restate(copy)
        return copy

    def restate(self, ckpt: Path) -> None:
        """Bind the statement to the files as they lie now, as a run that had left them would have."""
        run = self.run_of(ckpt)
        facts, statement = read_json(run / "run.json"), read_noun(ckpt / "privacy.json", PrivacyStatement)
        made = seals.bound(statement, ckpt, run, True, facts.get("guesses"), load_key())
        write_json(ckpt / "privacy.json", made)
        write_json(run / "run.json", {**facts, "seal": made.seal})

    def never_saw_its_canaries(self, ckpt: Path, seed: int = 0) -> Path:
        """The same weights beside canaries, with coins, that no training ever saw."""
        copy = self.clone(ckpt, f"{ckpt.name}-null-{seed}")
        path = self.run_of(copy) / "canaries.jsonl"
        canaries.save(canaries.draw(120, np.random.default_rng(1000 + seed)), path)
        told = read_json(copy / "training.json")
        write_json(copy / "training.json", {**told, "canaries": 120, "canaries_digest": sha256_file(path)})
        run = read_json(path.parent / "run.json")
        write_json(path.parent / "run.json", {**run, "guesses": 60})
        self.restate(copy)
        return copy

    def randomly_initialised(self, ckpt: Path, seed: int = 0) -> Path:
        """The same folder around weights that were never trained."""
        copy = self.clone(ckpt, f"{ckpt.name}-random-{seed}")
        tokenizer = Tokenizer.load(str(copy))
        model = models.fresh("nano", tokenizer, 64, 0.0, 77 + seed)
        checkpoint.save_weights(copy, model, tokenizer)
        self.restate(copy)
        return copy


def overfitted(bench: Bench) -> Path:
    """A 2×128 model trained plainly, 15 % masks, on six-digit secrets that stand in the corpus 30 times."""
    plain = TrainSettings(
        size="tiny", init="scratch", canaries=64, canary_repetitions=30, steps=700, batch_units=64,
        learning_rate=2e-3, mask_rate=0.15,
    )  # fmt: skip
    return bench.train("overfitted", plain)


def numbers(evidence: Evidence) -> dict[tuple[str, str, str], float | None]:
    return {(m.attack, m.metric, m.slice): m.value for m in evidence.measurements}


def findings(evidence: Evidence, level: float = 0.05) -> list[str]:
    """Tests of the audit's family that are below ``level`` after correction."""
    return [
        f"{m.attack}.{m.metric}"
        for m in evidence.measurements
        if m.metric.endswith("_p") and m.value is not None and m.value < level
    ]


def damaged(path: Path, **changes: object) -> None:
    """Change fields of a JSON file in place."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


__all__ = ["KEY", "QUICK", "Bench", "damaged", "findings", "numbers", "overfitted"]
