"""How often the audit raises an alarm where there is nothing: two nulls, many seeds.

    python benchmarks/audit_nulls.py [--seeds 40] [--processes 2] [--kinds plain author ...] [--keep FILE]

``never saw``: a model trained on notes, audited beside canaries that no training ever saw, and for values
that were redacted before it was trained. ``random``: the same folder around weights that were never trained;
then no attack at all may find anything. A run counts when any test is below .05 after Holm's correction.
``--kinds``: plain runs and private ones, by document and by author; private ones are audited by all attacks,
as ``private``: at ε = 8 and this size a model remembers nothing that an attack could find.

Bar (issue 4): at most 4 runs of 40 on either. Chance allows 2 in the mean. Bar (issue 15): ``base`` fails at
most 1 % + 2 standard deviations, one of 40.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlmguard.artifacts import RUNS, load_key, read_json, read_noun, sha256_file, write_json
from mlmguard.audit import Ours, audit
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.leakage import canaries
from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load
from mlmguard.scan import scan
from mlmguard.settings import AuditSettings, ScanSettings
from mlmguard.train import TrainSettings, train
from mlmguard.training import checkpoint, models
from mlmguard.training.privacy import seals
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Evidence, PrivacyStatement, Status

QUICK = AuditSettings(documents=60, probed=600, spans=12, searched=32, restarts=8, samples=40)
SECRET = ("canary", "pii", "epsilon")  # what the model never saw: everything it did see may be found


#: Of each kind: the unit of the scan, the claim of the run, and the attacks of which nothing may be found.
KINDS: dict[str, tuple[str | None, float | None, tuple[str, ...] | None]] = {
    "plain": (None, None, SECRET),
    "author": ("author", None, SECRET),
    "private": (None, 8.0, None),
    "private-author": ("author", 8.0, None),
}


def found(evidence: Evidence, attacks: tuple[str, ...] | None) -> dict[str, list[str]]:
    """The tests below .05 of ``attacks``; None: of all, and the rules of ``base`` that fail."""
    tests = [
        f"{m.attack}.{m.metric} {m.slice}".strip()
        for m in evidence.measurements
        if m.metric.endswith("_p") and m.value is not None and m.value < 0.05
        if attacks is None or m.attack in attacks
    ]
    judged = judge(load("base"), evidence).verdicts if attacks is None else ()
    return {"tests": tests, "failed": [v.rule for v in judged if v.status is Status.FAIL]}


def one(corpus: str, kind: str, seed: int) -> dict[str, Any]:
    """What is found of one seed on either null."""
    torch.set_num_threads(1)
    _, epsilon, attacks = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="mlmguard-") as name:
        place = Path(name)
        shutil.copytree(corpus, place, dirs_exist_ok=True)
        runs, ckpt = place / RUNS, place / "ckpt"
        claim = {"canaries": 0, "steps": 120} if epsilon is None else {"dp_epsilon": epsilon, "steps": 30}
        settings = TrainSettings(init="scratch", seed=seed, **claim)
        train(place / "clean", ckpt, place / "reports", settings, runs=runs)
        if epsilon is None:
            plant_unseen(ckpt, runs, seed)
        saw = audit(ckpt, place / "reports", QUICK, source=Ours(corpus=place / "corpus", runs=runs))
        tokenizer = Tokenizer.load(str(ckpt))
        checkpoint.save_weights(ckpt, models.fresh("nano", tokenizer, 64, 0.0, 1000 + seed), tokenizer)
        restate(ckpt, runs / str(read_json(ckpt / "privacy.json")["run_id"]))
        random = audit(ckpt, place / "reports", QUICK, source=Ours(corpus=place / "corpus", runs=runs))
    return {"kind": kind, "seed": seed, "never saw": found(saw, attacks), "random": found(random, None)}


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
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["plain"])
    parser.add_argument("--keep", type=Path, help="results, a line each; what is there is not run again")
    options = parser.parse_args()
    kept = options.keep.read_text().splitlines() if options.keep and options.keep.exists() else []
    results = [json.loads(line) for line in kept]
    known = {(row["kind"], row["seed"]) for row in results}
    todo = [(k, seed) for seed in range(options.seeds) for k in options.kinds if (k, seed) not in known]
    with (
        tempfile.TemporaryDirectory(prefix="mlmguard-") as name,
        ProcessPoolExecutor(options.processes) as pool,
    ):
        places = {
            unit: corpus(Path(name) / (unit or "document"), unit) for unit in {KINDS[k][0] for k, _ in todo}
        }
        running = [pool.submit(one, str(places[KINDS[kind][0]]), kind, seed) for kind, seed in todo]
        for job in as_completed(running):
            results.append(job.result())
            if options.keep:
                with options.keep.open("a") as file:
                    file.write(json.dumps(results[-1]) + "\n")
    for kind in options.kinds:
        for null in ("never saw", "random"):
            rows = [
                row[null] for row in results if (row["kind"], row["seed"] < options.seeds) == (kind, True)
            ]
            counts = [sum(bool(row[what]) for row in rows) for what in ("tests", "failed")]
            what = ", ".join(sorted({hit for row in rows for hits in row.values() for hit in hits}))
            print(f"{kind}, {null}: of {len(rows)} runs {counts[0]} with an alarm, {counts[1]} fail; {what}")


def corpus(place: Path, unit: str | None) -> Path:
    """A folder with notes, scanned by ``unit``."""
    write_corpus(place / "corpus", place / "gold.jsonl", notes=400)
    settings = ScanSettings(unit_key=unit)
    scan(
        *(place / "corpus", place / "clean", place / "reports"),
        key=load_key(),
        settings=settings,
        runs=place / RUNS,
    )
    return place


if __name__ == "__main__":
    main()
