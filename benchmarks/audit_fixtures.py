"""What each of our attacks finds on models whose memory is known, beside the loss attack.

    python benchmarks/audit_fixtures.py [--only secrets|epsilon] [--times 4]

``secrets``: a 2 x 128 model trained plainly, 15 % masks, on notes among which six-digit secrets stand 30, 4
or 1 times, for 700 steps (20 epochs where they stand 30 times), and 4 times for 20 epochs. For every attack
the area under its ROC, for the search the share of secrets got back whole, and of those that were never
planted. ``epsilon``: runs at eps = 2 and 8 with 1,000 canaries, and a run that claims eps = 2 while its
clipping and noise were switched off; the lower bound, its ceiling, and what the gate says. Each unit is drawn
200 times: after 73 the broken run had not learnt its canaries well enough to be refuted (bound 0.93).

Bars (issue 4): x 30: at least .9 back, none of the others. x 4: the loss attack between .8 and .95, the best
not below it, and no verdict that calls it safe. Bound <= claim but for the switched-off run, which alone
fails.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch

from mlmguard.artifacts import RUNS, load_key
from mlmguard.audit import Ours, audit
from mlmguard.commands.gate import judge_evidence
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.policy.reading import load
from mlmguard.scan import scan
from mlmguard.settings import AuditSettings
from mlmguard.train import TrainSettings, train
from mlmguard.types import Evidence, Measurement


class Bench:
    """A folder with one scanned corpus and a checkpoint for each model."""

    def __init__(self, folder: Path, notes: int) -> None:
        self.folder = folder
        write_corpus(folder / "corpus", folder / "gold.jsonl", notes=notes)
        scan(folder / "corpus", folder / "clean", folder / "reports", key=load_key(), runs=folder / RUNS)

    def audited(self, name: str, settings: TrainSettings) -> Evidence:
        place, runs = self.folder, self.folder / RUNS
        train(place / "clean", place / name, place / "reports", settings, runs=runs)
        return audit(place / name, place / "reports", AuditSettings(spans=24), source=Ours(runs=runs))

    def verdict(self, evidence: Evidence, rule: str = "") -> str:
        judged = judge_evidence(self.folder / "audit.json", evidence, load("base")).judgement
        if not rule:
            return judged.status
        return next(v.status for v in judged.verdicts if v.rule == rule)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("secrets", "epsilon"))
    parser.add_argument("--times", type=int, help="only the secrets that stand so many times")
    options = parser.parse_args()
    only = options.only
    with tempfile.TemporaryDirectory(prefix="mlmguard-") as name:
        if only != "epsilon":
            secrets(Bench(Path(name) / "secrets", 400), options.times)
        if only != "secrets":
            epsilon(Bench(Path(name) / "epsilon", 150))


TRAININGS = ((30, 700), (4, 175), (4, 700), (1, 700))  # copies of a secret, steps


def secrets(bench: Bench, only: int | None) -> None:
    print("| secrets | attack | figure | interval | n |\n|---|---|---|---|---|")
    for times, steps in TRAININGS:
        if only not in (None, times):
            continue
        evidence = bench.audited(
            f"times-{times}-{steps}",
            TrainSettings(
                size="tiny", init="scratch", canaries=128, canary_repetitions=times, steps=steps,
                batch_units=64, learning_rate=2e-3, mask_rate=0.15,
            ),
        )  # fmt: skip
        for m in evidence.measurements:
            if shown(m):
                low, high = (f"{end:.3f}" if end is not None else "–" for end in (m.low, m.high))
                label = f"{m.attack}.{m.metric}" + (f" {m.slice}" if m.slice else "")
                print(
                    f"| × {times}, {steps} steps | {label} | {m.value:.3f} | {low} … {high} | {m.examples} |"
                )
        print(f"| × {times}, {steps} steps | gate `base` | {bench.verdict(evidence)} | | |", flush=True)


def shown(m: Measurement) -> bool:
    wanted = {
        ("canary", "auc"), ("canary", "extraction_rate"), ("canary", "extraction_rate_heldout"),
        ("canary", "exposure_mean"), ("canary", "exact_exposure_median"), ("membership", "auc"),
        ("ngram", "top1_excess"), ("generation", "documents_emitted_excess"), ("pii", "extraction_excess"),
        ("rare", "extraction_excess"),
    }  # fmt: skip
    return (m.attack, m.metric) in wanted and m.value is not None


def epsilon(bench: Bench) -> None:
    print("| run | claim | bound | ceiling | ε against claim | gate `base` |\n|---|---|---|---|---|---|")
    private = {"size": "tiny", "canaries": 1000, "batch_units": 80, "steps": 1600, "learning_rate": 2e-3}
    for name, claim, broken in (("honest", 2.0, False), ("honest", 8.0, False), ("switched off", 2.0, True)):
        with switched_off() if broken else unchanged():
            evidence = bench.audited(f"{name}-{claim}", TrainSettings(dp_epsilon=claim, **private))  # type: ignore[arg-type]
        (bound,) = [m for m in evidence.measurements if m.metric == "one_run_lower_bound"]
        rule = bench.verdict(evidence, "dp-not-refuted")
        print(
            f"| {name} | {claim:g} | {bound.value:.3f} | {bound.ceiling:.2f} | {rule} | "
            f"{bench.verdict(evidence)} |",
            flush=True,
        )


@contextmanager
def switched_off() -> Iterator[None]:
    """Neither clipping nor noise, behind the program's back: the ledger still claims both."""
    ones = lambda norms, losses, bound: torch.ones_like(norms)  # noqa: E731
    with (
        patch("mlmguard.training.clipping.clip.clip_factors", ones),
        patch("mlmguard.training.clipping.per_sample.clip_factors", ones),
        patch(
            "mlmguard.training.mechanism.gaussian",
            lambda like, plan, noise: torch.zeros_like(like, dtype=torch.float64),
        ),
    ):
        yield


@contextmanager
def unchanged() -> Iterator[None]:
    yield


if __name__ == "__main__":
    main()
