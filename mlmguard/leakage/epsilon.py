"""ε from below, by canaries whose coins are known to us and not to the model."""

from __future__ import annotations

import numpy as np

from mlmguard.leakage import metrics
from mlmguard.leakage.answers import Ids
from mlmguard.leakage.attack import Audited, Part
from mlmguard.leakage.exposure import CanaryScores
from mlmguard.leakage.results import Result
from mlmguard.measures import family
from mlmguard.showing import show_epsilon
from mlmguard.types import Measurement


def one_run_epsilon(found: CanaryScores, guesses: int, delta: float, claimed: float | None) -> Result:
    """Compute the one-run lower bound (Steinke, Nasr and Jagielski 2023) beside the claim, with its ceiling.

    ``guesses`` was fixed before training: the highest-scored half of it is guessed in, the lowest half out.
    """
    m = len(found.scores)
    guesses = min(guesses, m) // 2 * 2
    order = np.argsort(found.scores, kind="stable")
    out, into = order[: guesses // 2], order[m - guesses // 2 :]
    right = int(found.planted[into].sum() + (~found.planted[out]).sum())
    bound = metrics.one_run_epsilon_lower_bound(m, guesses, right, delta)
    ceiling = metrics.one_run_ceiling(m, guesses, delta)
    refutable = float(claimed is not None and ceiling > claimed)
    note = f"{right} of {guesses} guesses right over {m} canaries"
    return Result(
        (
            Measurement("epsilon", "one_run_lower_bound", bound, bound, None, 0.95, m, ceiling, note=note),
            Measurement("epsilon", "claimed", claimed, None, None, 1.0, m),
            Measurement("epsilon", "refutable", refutable, None, None, 1.0, m, note=_need(claimed, delta)),
        )
    )


def epsilon_heuristics(found: CanaryScores, delta: float, rng: np.random.Generator) -> Result:
    """Two bounds that are no theorems about one training run: shown, able to warn, never a reason to fail.

    ``two_sample_heuristic``: Clopper-Pearson on true and false positives (Nasr et al. 2021), proved for
    independent runs. ``if_gaussian``: the same ends as a μ-GDP test (Nasr et al. 2023), true only if the
    model's secrets leak like a Gaussian mechanism's. The threshold is chosen on half of the canaries and
    used on the other.
    """
    order = rng.permutation(len(found.scores))
    choose, use = order[: len(order) // 2], order[len(order) // 2 :]
    candidates = np.unique(found.scores[choose])
    best = max(candidates, key=lambda t: _two_sample(found, choose, float(t), delta), default=np.inf)
    m = len(use)
    bounds = {
        "two_sample_heuristic": _two_sample(found, use, float(best), delta),
        "if_gaussian": metrics.gaussian_epsilon(_mu(found, use, float(best)), delta),
    }
    note = "not a theorem about one training run"
    return Result(
        tuple(
            Measurement("epsilon", name, bound, bound, None, 0.95, m, note=note)
            for name, bound in bounds.items()
        )
    )


def _positives(found: CanaryScores, use: Ids, threshold: float) -> tuple[int, int, int, int]:
    """True positives, planted, false positives, not planted, at scores of at least ``threshold``."""
    above, planted = found.scores[use] >= threshold, found.planted[use]
    return (
        int((above & planted).sum()), int(planted.sum()), int((above & ~planted).sum()), int((~planted).sum())
    )  # fmt: skip


def _two_sample(found: CanaryScores, use: Ids, threshold: float, delta: float) -> float:
    return metrics.two_sample_epsilon_lower_bound(*_positives(found, use, threshold), delta)


def _mu(found: CanaryScores, use: Ids, threshold: float) -> float:
    tp, positives, fp, negatives = _positives(found, use, threshold)
    return metrics.gaussian_mu_lower_bound(tp, positives, fp, negatives)


def _need(claimed: float | None, delta: float) -> str:
    if claimed is None:
        return "no ε is claimed"
    needed = metrics.canaries_to_refute(claimed, delta)
    if needed is None:
        return "no canary audit of practical size can refute this ε"
    return f"refuting ε = {show_epsilon(claimed)} takes {needed:,} canaries, every guess right"


NO_CANARIES = "no canaries were planted"


def _cannot(audited: Audited) -> str:
    if audited.planted_once:
        return ""
    return "canaries are repeated: not one unit each" if audited.secrets else NO_CANARIES


EPSILON = Part(
    "epsilon",
    "one-run lower bound, guesses fixed before training",
    family("epsilon"),
    _cannot,
    how=(
        "the one-run lower bound of Steinke, Nasr and Jagielski (2023), with the number of guesses fixed "
        "before training"
    ),
    control="the claim, and the ceiling: the most this many canaries could show",
    compares=False,
)
