"""How much of what plain training gains survives ε = 8, by how many windows a drawn unit gives.

    python benchmarks/utility.py CLEAN... [--lines 60x400x1,60x400x4,60x1510x1] [--seeds 0,1]

CLEAN are folders that ``mlmguard scan`` wrote. In one run, all from the start that is shipped: nothing
trained, the peer (plain training, as ``mlmguard train`` plans it), and private training by lines of
STEPSxUNITSxK: steps, expected units a step, augmentation multiplicity; then mask rate and learning rate,
where a line names them. Printed by line, over the seeds: σ; the rows that are computed (steps x units x K,
what a line costs); the length of the mean clipped gradient at the first step, in C; and the share of the
plain gain that is kept, in held-out nats a token and in accuracy, with the lowest and the highest seed.

Draws, windows and masks of a seed are fixed, and so is the noise, which in a run never is. No canaries take
part. Three minutes a line of 60,000 rows on a core.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch

from mlmguard.corpus.clean import open_clean
from mlmguard.settings import TrainSettings
from mlmguard.train import planning, warm
from mlmguard.training import gradients, loop, mechanism
from mlmguard.training.evaluation import HeldOut, held_out, unigram_log_probabilities
from mlmguard.training.journal import Journal
from mlmguard.training.privacy.randomness import NoiseSource
from mlmguard.training.recipes import Recipe
from mlmguard.training.text.masking import Ids
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import group
from mlmguard.types import DpPlan

CPU = torch.device("cpu")


class Line(NamedTuple):
    """One way to spend ε."""

    steps: int
    units: int
    views: int
    mask_rate: float | None = None
    learning_rate: float | None = None

    @classmethod
    def of(cls, text: str) -> Line:
        steps, batch, views, *more = text.split("x")
        return cls(int(steps), int(batch), int(views), *map(float, more))

    def __str__(self) -> str:
        named = {"masks": self.mask_rate, "rate": self.learning_rate}
        return ", ".join(
            [f"{self.steps} x {self.units}, K = {self.views}"]
            + [f"{name} {value:g}" for name, value in named.items() if value is not None]
        )


class Bench:
    """The units of one corpus, its held-out windows, and the model that every line starts from."""

    def __init__(self, clean: Path, size: str) -> None:
        self.tokenizer, self.size = Tokenizer.load(None), size
        folder = open_clean(clean)
        self.units = group(self._tokens(folder.rows("train")))
        apart = group(self._tokens([*folder.rows("validation"), *folder.rows("test")]))
        self.apart = [unit.sequences[0] for unit in apart]
        tokens = np.concatenate([ids for unit in self.units for ids in unit.sequences])
        self.unigram = unigram_log_probabilities(np.bincount(tokens, minlength=len(self.tokenizer)))

    def _tokens(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Ids]]:
        rows = list(rows)
        for row, ids in zip(rows, self.tokenizer.encode(row["text"] for row in rows)):
            yield row["id"], np.array(ids)

    def start(self) -> Any:
        model = warm._shipped(self.size, self.tokenizer, warm.WINDOW)
        assert model is not None, f"no start of size {self.size} is shipped"
        return model

    def measured(self, model: Any) -> HeldOut:
        return held_out(model, self.apart, self.unigram, self.tokenizer, warm.WINDOW, CPU)

    def trained(self, recipe: Recipe, plan: DpPlan | None, seed: int) -> tuple[HeldOut, float]:
        """What a model knows afterwards, and how long the mean clipped gradient of its first step was."""
        model, lengths = self.start(), []
        original = gradients.clipped_total

        def noted(*given: Any) -> Any:
            total, losses = original(*given)
            square = sum(float(gradient.double().square().sum()) for gradient in total.values())
            lengths.append(square**0.5 / max(1.0, float(losses[1])))
            return total, losses

        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(mechanism, "private_rng", lambda: np.random.default_rng([seed, 1])),
            mock.patch.object(mechanism, "noise_source", lambda: NoiseSource(seed.to_bytes(32, "little"))),
            mock.patch.object(gradients, "clipped_total", noted),
        ):
            journal = Journal(Path(folder), plan)
            loop.train(model, self.units, self.tokenizer, recipe, journal, plan, device=CPU)
        return self.measured(model), lengths[0] if lengths else 0.0

    def plain(self, steps: int | None, seed: int) -> HeldOut:
        settings = TrainSettings(size=self.size, steps=steps, seed=seed)
        return self.trained(planning.plain_recipe(settings, len(self.units)), None, seed)[0]

    def private(self, line: Line, epsilon: float, seed: int) -> tuple[DpPlan, HeldOut, float]:
        settings = TrainSettings(
            size=self.size, dp_epsilon=epsilon, steps=line.steps, batch_units=line.units,
            augmentation_multiplicity=line.views, mask_rate=line.mask_rate, learning_rate=line.learning_rate,
        )  # fmt: skip
        plan = planning.private_plan(settings, len(self.units), (), "document")
        return plan, *self.trained(planning.private_recipe(settings, plan), plan, seed)


def spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    for clean in options.clean:
        bench = Bench(clean, options.size)
        before = bench.measured(bench.start())
        plain = [bench.plain(options.plain_steps, seed) for seed in options.seeds]
        nats = statistics.fmean(one.mean_loss for one in plain)
        hits = statistics.fmean(one.accuracy for one in plain)
        lengths = [len(ids) for unit in bench.units for ids in unit.sequences]
        print(
            f"{clean.name}: {len(bench.units):,} units, median {np.median(lengths):.0f} tokens; "
            f"{options.size}, ε = {options.epsilon:g}, {len(options.seeds)} seeds; held-out nats "
            f"{before.mean_loss:.3f} before, {nats:.3f} plain; accuracy {before.accuracy:.3f}, {hits:.3f}\n"
            "| steps x units, K | σ | rows | length of the mean | nats kept | accuracy kept |\n"
            "|---|---|---|---|---|---|",
            flush=True,
        )
        for line in options.lines:
            runs = [bench.private(line, options.epsilon, seed) for seed in options.seeds]
            saved = [(before.mean_loss - one.mean_loss) / (before.mean_loss - nats) for _, one, _ in runs]
            found = [(one.accuracy - before.accuracy) / (hits - before.accuracy) for _, one, _ in runs]
            length = statistics.fmean(length for *_, length in runs)
            print(
                f"| {line} | {runs[0][0].noise_multiplier:.3f} | {line.steps * line.units * line.views:,} | "
                f"{length:.2f} | {spread(saved)} | {spread(found)} |",
                flush=True,
            )


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clean", type=Path, nargs="+")
    parser.add_argument("--lines", default="120x512x1,120x512x4,120x2048x1")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--size", default="nano")
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--plain-steps", type=int, help="of the peer; what `train` derives without it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    options.lines = [Line.of(text) for text in options.lines.split(",")]
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    return options


if __name__ == "__main__":
    main()
