"""How much of what plain training gains on private text survives ε = 8, by what is trained.

    python benchmarks/adaptation.py PUBLIC PRIVATE --private-steps 60 --batch-units 400 --learning-rate 4e-3
    python benchmarks/adaptation.py PUBLIC --notes 30000

PUBLIC and PRIVATE are folders that ``mlmguard scan`` reads; with ``--notes`` the private corpus is that many
invented notes. A model is trained plainly on PUBLIC; from there once plainly on PRIVATE, and once under ε for
each kind of adaptation. Printed, with n, trained parameters and settings, is the share of the plain gain in
held-out masked-token accuracy that is kept. The goal on 30,000 notes is 0.7 (issue 3).

Some ten minutes a model on a core; ``--steps`` is for the public and the plain model, ``--private-steps`` for
those under ε. The learning rate is that of ``full``; three times it where fewer parameters are trained.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from mlmguard.artifacts import RUNS, load_key
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.scan import scan
from mlmguard.train import TrainResult, TrainSettings, train


class Bench:
    """A working folder with one scan a corpus and one checkpoint a model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def scan(self, corpus: Path, name: str) -> None:
        place = self.folder
        scan(corpus, place / name, place / "scans" / name, key=load_key(), runs=place / RUNS)

    def train(self, clean: str, ckpt: str, settings: TrainSettings) -> TrainResult:
        place = self.folder
        return train(place / clean, place / ckpt, place / "reports", settings, runs=place / RUNS)


def main() -> None:
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="mlmguard-") as name:
        bench = Bench(Path(name))
        private = options.private
        if options.notes:
            private = bench.folder / "notes"
            write_corpus(private, bench.folder / "gold.jsonl", notes=options.notes)
        bench.scan(options.public, "public")
        bench.scan(private, "private")
        common = {"canaries": 0, "window": options.window}
        bench.train(
            "public", "start", TrainSettings(size=options.size, init="scratch", steps=options.steps, **common)
        )
        start = str(bench.folder / "start")
        # one step at a rate of nothing: the accuracy on private text before anything was learnt of it
        before = bench.train(
            "private", "before", TrainSettings(init=start, steps=1, learning_rate=1e-12, **common)
        )
        plain = bench.train("private", "plain", TrainSettings(init=start, steps=options.steps, **common))
        lowest, highest = (accuracy(result) for result in (before, plain))
        print(
            f"n = {plain.unprotected['units']:,.0f} units, {plain.facts['parameters']:,} parameters, "
            f"window {options.window}; held-out accuracy {lowest:.3f} before, {highest:.3f} plain"
        )
        print("| trained | parameters | steps | batch | rate | accuracy | share of the gain kept |")
        print("|---|---|---|---|---|---|---|")
        for kind in options.kinds.split(","):
            settings = TrainSettings(
                init=start, dp_epsilon=options.epsilon, adapt=kind, steps=options.private_steps,
                batch_units=options.batch_units, mask_rate=options.mask_rate,
                learning_rate=options.learning_rate * (1 if kind == "full" else 3), **common,
            )  # fmt: skip
            result = bench.train("private", kind, settings)
            facts, kept = result.facts, (accuracy(result) - lowest) / (highest - lowest)
            print(
                f"| {kind} | {facts['trained_parameters']:,} | {facts['steps']} | {facts['batch_units']} | "
                f"{facts['learning_rate']:g} | {accuracy(result):.3f} | {kept:.2f} |",
                flush=True,
            )


def accuracy(result: TrainResult) -> float:
    return result.unprotected["heldout_accuracy"]


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("public", type=Path)
    parser.add_argument("private", type=Path, nargs="?")
    parser.add_argument("--notes", type=int, default=0, help="invented notes instead of PRIVATE")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--private-steps", type=int, default=75)
    parser.add_argument("--batch-units", type=int, default=2048)
    parser.add_argument("--learning-rate", type=float, default=8e-3)
    parser.add_argument(
        "--mask-rate", type=float, default=0.4, help="of the private runs; .15 is measured at"
    )
    parser.add_argument("--kinds", default="full,lora,bitfit")
    options = parser.parse_args()
    if (options.private is None) == (options.notes == 0):
        parser.error("name PRIVATE, or give --notes")
    return options


if __name__ == "__main__":
    main()
