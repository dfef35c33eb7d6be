"""What a private step costs on a CPU, beside plain steps and beside Opacus, in one run.

    python benchmarks/private_step.py [--repeats 7] [--batch 32] [--threads 2] [--clock wall]

On a machine that others use too, ``--threads 1 --clock cpu`` counts this process' processor time only:
wall time of several threads that wait for each other at every operation says little there.

BERT 4 x 256, vocabulary 8000, 128 tokens, 15 % masked, fp32, dropout as in training, AdamW. Four steps,
interleaved so that a busy machine hurts them alike, medians printed:

* private:  our clipped sum, unit noise, AdamW;
* plain:    the same model and the same head at masked positions only, autograd, AdamW;
* dense:    what Hugging Face's Trainer does: ``model(**batch).loss.backward()``, AdamW;
* opacus:   ``GradSampleModule`` hooks and ``DPOptimizer`` around AdamW, the head at every position.

Bars (issue 3): private / plain <= 1.4, private / dense <= 0.9, opacus / private >= 2.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from mlmguard.training.clipping.clip import clipped_gradient_sum
from mlmguard.training.clipping.unit_batch import masked_logits, read_batch

NORM = 1.0
NOISE = 1.0
VOCABULARY = 8000
TOKENS = 128


def model_of(seed: int) -> BertForMaskedLM:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        max_position_embeddings=TOKENS,
    )
    model: BertForMaskedLM = BertForMaskedLM(config)
    model.train()
    return model


def batch_of(rows: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    # Word ranks roughly as in text: the embedding rules work on distinct words, not on uniform noise.
    ranks = torch.rand(rows, TOKENS, generator=generator).mul(9.0).exp().long().clamp(max=VOCABULARY - 1)
    masked = torch.rand(rows, TOKENS, generator=generator) < 0.15
    masked[:, 0] = True
    return {
        "input_ids": torch.where(masked, 4, ranks),
        "attention_mask": torch.ones_like(ranks),
        "labels": torch.where(masked, ranks, -100),
    }


def private_step(model: BertForMaskedLM, batch: dict[str, Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rows = len(batch["labels"])

    def step() -> None:
        clipped = clipped_gradient_sum(model, batch, NORM)
        for name, parameter in model.named_parameters():
            gradient = clipped.gradients[name]
            parameter.grad = gradient.add_(torch.randn_like(gradient), alpha=NOISE * NORM).div_(rows)
        optimizer.step()
        optimizer.zero_grad()

    return step


def plain_step(model: BertForMaskedLM, batch: dict[str, Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rows = len(batch["labels"])

    def step() -> None:
        units = read_batch(model, batch)
        total, _ = units.unit_losses(masked_logits(model, units))
        torch.autograd.backward(total / rows)
        optimizer.step()
        optimizer.zero_grad()

    return step


def dense_step(model: BertForMaskedLM, batch: dict[str, Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def opacus_step(model: BertForMaskedLM, batch: dict[str, Tensor]) -> Callable[[], None]:
    """Opacus as shipped, made exact from outside: the duplicated bias deleted, ids for every row."""
    del model.cls.predictions.bias
    hooked = GradSampleModule(model, loss_reduction="sum")
    rows, tokens = batch["labels"].shape
    optimizer = DPOptimizer(
        torch.optim.AdamW(hooked.parameters(), lr=1e-4),
        noise_multiplier=NOISE,
        max_grad_norm=NORM,
        expected_batch_size=rows,
    )
    ids = {
        "position_ids": torch.arange(tokens).expand(rows, -1),
        "token_type_ids": torch.zeros_like(batch["input_ids"]),
    }

    def step() -> None:
        units = read_batch(model, batch)
        logits = hooked(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], **ids).logits
        total, _ = units.unit_losses(logits.flatten(0, 1)[units.masked])
        torch.autograd.backward(total)
        optimizer.step()
        optimizer.zero_grad()

    return step


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def measure(rows: int, repeats: int, now: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each step."""
    batch = batch_of(rows)
    model = model_of(0)
    steps = {
        make.__name__.removesuffix("_step"): make(copy.deepcopy(model), batch)
        for make in (private_step, plain_step, dense_step, opacus_step)
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            began = now()
            step()
            if repeat:  # the first round warms caches and allocators
                seconds[name].append(now() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    options = parser.parse_args()
    # Embeddings have no input to differentiate; Opacus hooks them all the same, and torch remarks on it.
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    torch.set_num_threads(options.threads)
    if options.clock == "wall" and os.getloadavg()[0] > 0.5:
        print("others are busy on this machine: see --clock cpu", file=sys.stderr)
    seconds = measure(options.batch, options.repeats, CLOCKS[options.clock])
    ratios = {
        "private / plain": (seconds["private"] / seconds["plain"], "<=", 1.4),
        "private / dense": (seconds["private"] / seconds["dense"], "<=", 0.9),
        "opacus / private": (seconds["opacus"] / seconds["private"], ">=", 2.0),
    }
    if options.json:
        print(
            json.dumps({"seconds": seconds, "ratios": {name: value for name, (value, *_) in ratios.items()}})
        )
    else:
        print(f"BERT 4x256, vocabulary {VOCABULARY}, T {TOKENS}, batch {options.batch}")
        print(f"{options.threads} threads, {options.clock} clock, median of {options.repeats}")
        for name, value in seconds.items():
            print(f"  {name:<18} {value:7.3f} s")
        for name, (value, sense, bar) in ratios.items():
            print(f"  {name:<18} {value:7.2f}   (bar {sense} {bar})")
    held = all(value <= bar if sense == "<=" else value >= bar for value, sense, bar in ratios.values())
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
