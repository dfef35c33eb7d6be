"""Plain training here beside Hugging Face's Trainer: held-out loss and time at equal tokens, in one run.

    python benchmarks/trainer.py FILES... [--steps 600] [--batch 32] [--clock cpu]

FILES are JSON lines with a ``text`` each. Both train BERT 4 x 256 with a vocabulary of 8,000 learnt
from the training part, from the same weights, on the same windows of 128 tokens: AdamW, linear warm-up and
decay, dropout 0.1, gradients clipped to norm 1, 15 % masked 80/10/10, fp32. The peer is ``Trainer`` with
``DataCollatorForLanguageModeling``, its logs and its progress bar switched off. Both models are then measured
by the same function on the same masks of the held-out part.

Bars (issue 7): held-out loss within 1 %, our time <= 0.7 of theirs. Beside them: the share of our time that
drawing, masking and collating batches takes, which is what a loader could cost at most.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

from mlmguard.training import loop, models
from mlmguard.training.evaluation import held_out, unigram_log_probabilities
from mlmguard.training.examples import collate, example
from mlmguard.training.journal import Journal
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import tokenizer, units

WINDOW = 128
VOCABULARY = 8000
CPU = torch.device("cpu")
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class Bench:
    """The texts as windows, and the settings that both share."""

    def __init__(self, texts: list[str], recipe: Recipe, now: Callable[[], float]) -> None:
        order = np.random.default_rng(0).permutation(len(texts))
        split = len(texts) // 10
        apart, learnt = [texts[k] for k in order[:split]], [texts[k] for k in order[split:]]
        self.tokenizer = tokenizer.learn(learnt, VOCABULARY)
        self.units = units.group(units.cut(self.tokenised(learnt), WINDOW))
        self.apart = [unit.sequences[0] for unit in units.group(units.cut(self.tokenised(apart), WINDOW))]
        tokens = np.concatenate([unit.sequences[0] for unit in self.units])
        self.unigram = unigram_log_probabilities(np.bincount(tokens, minlength=len(self.tokenizer)))
        self.recipe, self.now = recipe, now

    def tokenised(self, texts: list[str]) -> list[tuple[str, np.ndarray]]:
        return [(str(k), np.array(ids)) for k, ids in enumerate(self.tokenizer.encode(texts))]

    def ours(self, model: torch.nn.Module) -> float:
        with tempfile.TemporaryDirectory() as folder:
            began = self.now()
            loop.train(model, self.units, self.tokenizer, self.recipe, Journal(Path(folder)), device=CPU)
            return self.now() - began

    def theirs(self, model: torch.nn.Module) -> float:
        recipe = self.recipe
        with tempfile.TemporaryDirectory() as folder:
            settings = TrainingArguments(
                output_dir=folder,
                max_steps=recipe.steps,
                per_device_train_batch_size=recipe.batch_units,
                learning_rate=recipe.learning_rate,
                warmup_steps=recipe.warmup_steps,
                weight_decay=recipe.weight_decay,
                lr_scheduler_type="linear",
                adam_beta2=0.99,
                max_grad_norm=1.0,
                use_cpu=True,
                report_to=[],
                logging_strategy="no",
                save_strategy="no",
                disable_tqdm=True,
                seed=recipe.seed,
            )
            frame = (self.tokenizer.cls, self.tokenizer.sep)
            rows = [
                {"input_ids": units.window(unit, WINDOW, *frame, rng).tolist()}
                for unit, rng in zip(self.units, map(np.random.default_rng, range(len(self.units))))
            ]
            trainer = Trainer(
                model,
                settings,
                DataCollatorForLanguageModeling(
                    self.tokenizer.hugging_face, mlm_probability=recipe.masking.rate
                ),
                train_dataset=rows,
            )
            began = self.now()
            trainer.train()
            return self.now() - began

    def loader(self) -> float:
        """Seconds for all batches of the run, without a model."""
        recipe = self.recipe
        began = self.now()
        for step in range(recipe.steps):
            drawn = units.shuffled_draw(len(self.units), recipe.batch_units, step, recipe.seed)
            rng = np.random.default_rng([recipe.seed, step, 1])
            examples = [example(self.units[k], self.tokenizer, recipe, rng) for k in drawn]
            collate(examples, self.tokenizer.pad, recipe.micro_tokens, CPU)
        return self.now() - began

    def loss(self, model: torch.nn.Module) -> float:
        return held_out(model, self.apart, self.unigram, self.tokenizer, WINDOW, CPU).mean_loss


def main() -> int:
    options = read_options()
    torch.set_num_threads(options.threads)
    texts = [json.loads(line)["text"] for file in options.files for line in file.open(encoding="utf-8")]
    recipe = Recipe(
        steps=options.steps,
        batch_units=options.batch,
        learning_rate=options.learning_rate,
        warmup_steps=options.steps // 10,
        window=WINDOW,
        last_rate=0.0,
    )
    bench = Bench(texts, recipe, CLOCKS[options.clock])
    ours = models.fresh("mini", bench.tokenizer, WINDOW, 0.1, 0)
    theirs = copy.deepcopy(ours)
    print(
        f"{len(bench.units):,} windows to train on, {len(bench.apart):,} held out; {options.steps} steps of "
        f"{options.batch}; {options.threads} threads, {options.clock} clock"
    )
    seconds = {"ours": bench.ours(ours), "Trainer": bench.theirs(theirs), "loader": bench.loader()}
    losses = {"ours": bench.loss(ours), "Trainer": bench.loss(theirs)}
    tokens = options.steps * options.batch * WINDOW
    for name, loss in losses.items():
        print(
            f"  {name:<8} held-out loss {loss:.4f}   {seconds[name]:7.1f} s   "
            f"{tokens / seconds[name]:,.0f} tokens/s"
        )
    loss, cost = losses["ours"] / losses["Trainer"], seconds["ours"] / seconds["Trainer"]
    print(f"  loss, ours / Trainer   {loss:.4f}   (bar <= 1.01)")
    print(f"  time, ours / Trainer   {cost:.3f}   (bar <= 0.7)")
    print(f"  loader / our time      {seconds['loader'] / seconds['ours']:.4f}")
    return 0 if loss <= 1.01 and cost <= 0.7 else 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
