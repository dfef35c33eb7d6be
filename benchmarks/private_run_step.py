"""What a step of a real private run costs with all that belongs to it, beside a plain step, in one run.

    python benchmarks/private_run_step.py [--repeats 5] [--batch 256] [--threads 2]

BERT 4 x 256, vocabulary 8000, 128 tokens, 15 % masked, fp32, micro-batches of 32. The functions are those of
training (``gradients``, ``mechanism``, ``self_audit``); medians of interleaved steps, wall clock:

* private:  clipped sums, noise of a cipher on a grid, canaries; no optimiser;
* plain:    the gradient of a mean loss, as a plain run takes it;
* noise:    the noise of all tensors alone, and torch's generator in its place;
* tests:    canaries at every step, noise and clipping measured at 8 of 100.

Bars: noise <= 5 % and tests <= 3 % of a private step, private / plain <= 1.33.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from private_step import TOKENS, VOCABULARY, model_of

from mlmguard.training import gradients, mechanism
from mlmguard.training.clipping.clip import CHECKED_UNITS, distance_from_loop
from mlmguard.training.examples import Examples, collate
from mlmguard.training.privacy.self_audit import CHECKED_STEPS, SelfAudit
from mlmguard.types import DpPlan

CPU = torch.device("cpu")
TORCH = "torch's noise"
STEPS = 100  # of a run, over which the measured steps are spread


def examples_of(rows: int) -> Examples:
    rng = np.random.default_rng(1)
    made = []
    for _ in range(rows):
        ids = np.minimum(np.exp(rng.random(TOKENS) * 9).astype(np.int64), VOCABULARY - 1)
        masked = rng.random(TOKENS) < 0.15
        masked[0] = True
        made.append((np.where(masked, 4, ids), np.where(masked, ids, -100)))
    return made


def median_of(work: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats + 1):  # the first one warms up
        for name, step in work.items():
            began = time.perf_counter()
            step()
            if repeat:
                found[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    examples, micro_tokens = examples_of(given.batch), 32 * TOKENS
    plan = DpPlan(1.387, 1.0, 0.1, STEPS, 1e-5, "document", float(given.batch), 4.0, mechanism.GRID)
    ours, plain = model_of(0), model_of(0)
    for model in (ours, plain):
        model.train()
    rng = np.random.default_rng(0)
    audit = SelfAudit(rng.random(20_000) < 0.5, frozenset(), 2000)
    noise = mechanism.noise_source()
    shapes = [torch.zeros(p.shape) for p in ours.parameters()]
    few = collate(examples[:CHECKED_UNITS], 0, micro_tokens, CPU)[0]
    drawn = np.flatnonzero(rng.random(audit.taking_part) < plan.sample_rate)

    def private() -> None:
        audit.drew(0, drawn)
        gradients.private_gradient(ours, examples, 0, plan, noise, "one-pass", micro_tokens, CPU, audit=audit)

    def canaries() -> None:
        audit.drew(0, drawn)
        audit.release(plan, noise)

    def measured() -> None:
        audit.drew(0, drawn)
        for shape in shapes:
            audit.saw_noise("tensor", shape, shape, plan)
        distance_from_loop(ours, few)

    took = median_of(
        {
            "private": private,
            "plain": lambda: gradients.plain_gradient(plain, examples, 0, micro_tokens, CPU),
            "noise": lambda: [mechanism.noisy_mean(shape, plan, noise) for shape in shapes],
            TORCH: lambda: [shape + torch.randn_like(shape) for shape in shapes],
            "canaries": canaries,
            "a measured step": measured,
        },
        given.repeats,
    )
    for name, seconds in took.items():
        print(f"{name:16} {seconds:8.4f} s")
    private_s, count = took["private"], sum(shape.numel() for shape in shapes)
    tests = took["canaries"] + took["a measured step"] * CHECKED_STEPS / STEPS
    print(f"private / plain {private_s / took['plain']:.3f}  (<= 1.33)")
    each = {name: took[name] / count * 1e9 for name in ("noise", TORCH)}
    print(f"noise {took['noise'] / private_s:.1%} of a private step (<= 5 %)")
    print(f"      {each['noise']:.0f} ns a parameter; torch's {each[TORCH]:.0f}")
    print(f"tests {tests / private_s:.1%} of a private step (<= 3 %)")


if __name__ == "__main__":
    main()
