"""How often the audit raises an alarm where there is nothing: two nulls, many seeds.

    python benchmarks/audit_nulls.py [--seeds 40] [--processes 2]

``never saw``: a model trained on notes, audited beside canaries that no training ever saw, and for values
that were redacted before it was trained. ``random``: the same folder around weights that were never trained;
then no attack at all may find anything. A run counts when any test is below .05 after Holm's correction.

Bar (issue 4): at most 4 runs of 40 on either. Chance allows 2 in the mean.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from mlmguard.artifacts import RUNS, load_key, read_json, read_noun, sha256_file, write_json
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

QUICK = AuditSettings(documents=60, probed=600, spans=12, searched=32, restarts=8, samples=40)
SECRET = ("canary", "pii", "epsilon")  # what the model never saw: everything it did see may be found


def alarms(evidence: Evidence, attacks: tuple[str, ...] | None) -> list[str]:
    return [
        f"{m.attack}.{m.metric} {m.slice}".strip()
        for m in evidence.measurements
        if m.metric.endswith("_p") and (m.value or 1.0) < 0.05 and (attacks is None or m.attack in attacks)
    ]


def one(task: tuple[str, int]) -> tuple[list[str], list[str]]:
    """The alarms of one seed on either null."""
    corpus, seed = task
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="mlmguard-") as name:
        place = Path(name)
        shutil.copytree(corpus, place, dirs_exist_ok=True)
        runs, ckpt = place / RUNS, place / "ckpt"
        settings = TrainSettings(init="scratch", steps=120, canaries=0, seed=seed)
        train(place / "clean", ckpt, place / "reports", settings, runs=runs)
        plant_unseen(ckpt, runs, seed)
        saw = audit(ckpt, place / "reports", QUICK, source=Ours(corpus=place / "corpus", runs=runs))
        tokenizer = Tokenizer.load(str(ckpt))
        checkpoint.save_weights(ckpt, models.fresh("nano", tokenizer, 64, 0.0, 1000 + seed), tokenizer)
        restate(ckpt, runs / str(read_json(ckpt / "privacy.json")["run_id"]))
        random = audit(ckpt, place / "reports", QUICK, source=Ours(corpus=place / "corpus", runs=runs))
    return alarms(saw, SECRET), alarms(random, None)


def plant_unseen(ckpt: Path, runs: Path, seed: int) -> None:
    """Canaries with coins, drawn after the training, in its run folder."""
    run = runs / str(read_json(ckpt / "privacy.json")["run_id"])
    path = run / "canaries.jsonl"
    canaries.save(canaries.draw(120, np.random.default_rng(1000 + seed)), path)
    planted = {"canaries": 120, "canaries_digest": sha256_file(path)}
    write_json(ckpt / "training.json", {**read_json(ckpt / "training.json"), **planted})
    write_json(run / "run.json", {**read_json(run / "run.json"), "guesses": 60})
    restate(ckpt, run)


def restate(ckpt: Path, run: Path) -> None:
    """Bind the statement to the files as they lie now: an audit refuses others."""
    facts, statement = read_json(run / "run.json"), read_noun(ckpt / "privacy.json", PrivacyStatement)
    made = seals.bound(statement, ckpt, run, True, facts.get("guesses"), load_key())
    write_json(ckpt / "privacy.json", made)
    write_json(run / "run.json", {**facts, "seal": made.seal})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlmguard-") as name:
        place = Path(name)
        write_corpus(place / "corpus", place / "gold.jsonl", notes=400)
        scan(place / "corpus", place / "clean", place / "reports", key=load_key(), runs=place / RUNS)
        with ProcessPoolExecutor(options.processes) as pool:
            found = list(pool.map(one, [(name, seed) for seed in range(options.seeds)]))
    for label, per_seed in zip(("never saw", "random"), zip(*found)):
        runs = sum(bool(hits) for hits in per_seed)
        alarms = sorted({hit for hits in per_seed for hit in hits})
        print(f"{label}: {runs} of {options.seeds} runs with an alarm (bar: 4 of 40) {', '.join(alarms)}")


if __name__ == "__main__":
    main()
