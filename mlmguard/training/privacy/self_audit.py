"""A private run tests its own mechanism while it runs, and keeps what it saw for the audit.

Dirac canaries (Nasr et al. 2023; Steinke, Nasr and Jagielski 2023, section 6): m coordinates that no text can
reach are appended to the parameters, and a coin decides for each whether a unit whose gradient points along
it takes part. The units that do go through the same draw, ledger, clipping and noise as units of text; they
cost no pass, and what is released on their coordinates is scored and cut off before the optimiser sees it.
They are no row of the vocabulary: through the softmax every text has a gradient there.

Canaries do not see text. So at a few random steps the noise of every parameter tensor is measured, and the
clipped sum of units of text is compared with a loop that clips one record after the other by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from mlmguard.artifacts import read_json, write_json
from mlmguard.training import mechanism
from mlmguard.training.clipping import unit_batch
from mlmguard.training.journal import Journal
from mlmguard.types import SILENT, DpPlan, LedgerEntry, Watcher

LENGTH = 4.0
"""Gradient norm of a canary in units of C: clipped it adds C, as every unit may; unclipped, four times C."""
CHECKED_STEPS = 8
"""Steps at which the noise of every tensor and the clipping of texts are measured."""
LEVEL = 1e-4
"""Below this p-value a check has failed, over all tensors together: one false alarm in 10,000 runs."""
LOOP_TOLERANCE = 1e-2
"""Relative. Rounding in fp32 is 1e-5; a missing clip, a lost cross term or a mixed record is 0.1 or more."""
SPREAD_FROM = 5.0
"""Variance of a canary's number of draws from which on the sum of squares is χ², its freedom corrected."""
SIMULATED = 1_000_000  # releases of canaries in a simulation
COINS, NUMBERS, SCORES = "canary_coins.json", "mechanism.json", "mechanism.safetensors"
"""Files of the run folder: the canaries' coins, what was measured, and the scores of an ended run."""
ON_CANARIES = "Dirac canaries"  # the name of their coordinates among the parameter tensors


@dataclass
class _Step:
    """What one step has shown. A step that is tried again, after it ran out of memory, shows it anew."""

    number: int
    drawn: NDArray[np.int64]
    released: Tensor | None = None  # (m,) in units of C
    log_ratios: Tensor | None = None  # (m,)
    noise: dict[str, tuple[float, int]] = field(default_factory=dict)


@dataclass
class SelfAudit:
    """The canaries of one run, their scores, and what the checks have measured so far.

    Nothing here is a function of the text: coins, draws and noise are. All of it stays in the run folder.
    """

    planted: NDArray[np.bool_] = field(repr=False)  # (m,) the coins
    checked: frozenset[int] = field(repr=False)  # steps at which tensors and texts are measured
    guesses: int  # r, fixed before the run: a number chosen afterwards voids the bound
    length: float = LENGTH
    sums: Tensor = field(init=False, repr=False)  # (m,) of what was released there, in units of C
    log_ratios: Tensor = field(init=False, repr=False)  # (m,) of "takes part", by the plan
    draws: NDArray[np.int64] = field(init=False, repr=False)  # how often each unit that takes part was drawn
    noise: dict[str, tuple[float, int]] = field(init=False, default_factory=dict)  # Σz² and count by tensor
    apart: list[float] = field(init=False, default_factory=list)  # of sum and loop, relative, by checked step
    steps: int = field(init=False, default=0)  # released
    _now: _Step | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        m = len(self.planted)
        self._places = torch.from_numpy(np.flatnonzero(self.planted))
        self.sums, self.log_ratios = torch.zeros(m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
        self.draws = np.zeros(len(self._places), dtype=np.int64)

    @classmethod
    def draw(cls, folder: Path, plan: DpPlan, canaries: int, guesses: int) -> SelfAudit:
        """Draw the canaries of the run in ``folder`` and write them there, before its first step."""
        rng = mechanism.private_rng()
        planted = rng.random(canaries) < 0.5
        checked = rng.choice(plan.steps, min(CHECKED_STEPS, plan.steps), replace=False)
        coins = {"canaries": canaries, "coins": np.packbits(planted).tobytes().hex()}
        write_json(folder / COINS, {**coins, "guesses": guesses, "checked": checked.tolist()}, mode=0o600)
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> SelfAudit:
        """Read the canaries of the run in ``folder``, as it began with them: nothing is scored yet."""
        known = read_json(folder / COINS)
        bits = np.frombuffer(bytes.fromhex(known["coins"]), np.uint8)
        planted = np.unpackbits(bits)[: known["canaries"]].astype(bool)
        return cls(planted, frozenset(known["checked"]), known["guesses"])

    @property
    def taking_part(self) -> int:
        """Units that the canaries add to the draw: the first ones of it."""
        return len(self._places)

    # --- a step ---

    def drew(self, step: int, drawn: NDArray[np.int64]) -> None:
        """Begin ``step``, whose draw holds the canaries ``drawn``, (D,) numbers of those that take part."""
        self.finish()
        self._now = _Step(step, drawn)

    def looks(self) -> bool:
        """Return whether tensors and texts are measured at this step."""
        return self._now is not None and self._now.number in self.checked

    def release(self, plan: DpPlan, noise: mechanism.NoiseSource) -> None:
        """Clip, sum and release the canaries of this step as units of text are."""
        assert self._now is not None
        drawn = torch.from_numpy(self._now.drawn)
        norms = torch.full((len(drawn),), self.length * plan.max_grad_norm)
        factors = unit_batch.clip_factors(norms, torch.zeros_like(norms), plan.max_grad_norm)
        clipped_sum = torch.zeros(len(self.planted))
        clipped_sum[self._places[drawn]] = factors * norms
        released = mechanism.noisy_mean(clipped_sum, plan, noise)
        self.saw_noise(ON_CANARIES, clipped_sum, released, plan)
        self._now.released = released.double() * (plan.normaliser / plan.max_grad_norm)
        self._now.log_ratios = log_likelihood_ratio(self._now.released, plan)

    def saw_noise(self, name: str, clipped_sum: Tensor, released: Tensor, plan: DpPlan) -> None:
        """Measure the noise between a clipped sum and what was released, against what ``plan`` says."""
        assert self._now is not None
        drawn = released.double() * plan.normaliser - clipped_sum.double()
        square = float(drawn.square().sum()) / (planned_noise(plan) * plan.max_grad_norm) ** 2
        if drawn.numel():  # MobileBERT has a matrix of no columns where its embeddings are as wide as it is
            self._now.noise[name] = (square, drawn.numel())

    def saw_clipping(self, apart: float) -> None:
        """Note how far a clipped sum of texts lies from a loop over them, relative to its length."""
        self.apart.append(apart)

    def finish(self) -> None:
        """Count the step that was begun last, if it has released something."""
        step, self._now = self._now, None
        if step is None or step.released is None or step.log_ratios is None:
            return
        self.steps += 1
        self.draws[step.drawn] += 1
        self.sums += step.released
        self.log_ratios += step.log_ratios
        for name, (square, count) in step.noise.items():
            squares, counted = self.noise.get(name, (0.0, 0))
            self.noise[name] = (squares + square, counted + count)

    # --- between steps, and at the end ---

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a resumed run needs, as tensors and as JSON."""
        self.finish()
        tensors = {
            "sums": self.sums, "log_ratios": self.log_ratios, "draws": torch.from_numpy(self.draws),
        }  # fmt: skip
        return tensors, {"steps": self.steps, "noise": self.noise, "apart": self.apart}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.sums, self.log_ratios = tensors["sums"].clone(), tensors["log_ratios"].clone()
        self.draws = tensors["draws"].numpy().copy()
        self.steps, self.apart = int(numbers["steps"]), list(numbers["apart"])
        self.noise = {name: (float(square), int(count)) for name, (square, count) in numbers["noise"].items()}

    def noise_p(self) -> tuple[float, str]:
        """The least p-value of the noise of any tensor, times their number, and which tensor it is of."""
        found = [(_chi_square_p(square, count), name) for name, (square, count) in self.noise.items()]
        least, name = min(found, default=(1.0, ""))
        return min(1.0, least * len(found)), name

    def draws_p(self, plan: DpPlan) -> float:
        """The p-value of how often each canary was drawn, beside independent draws at every step.

        Of a large corpus most canaries are never drawn, and a χ² of their numbers would see a fault in every
        sound run. Exact at any rate are all draws together and how many canaries have the likeliest number;
        how far the numbers spread is compared where there are enough of them.
        """
        count, rate = len(self.draws), plan.sample_rate
        expected, variance = self.steps * rate, self.steps * rate * (1 - rate)
        if variance <= 0:
            return float(bool((self.draws == expected).all()))
        likeliest = min(self.steps, math.floor((self.steps + 1) * rate))
        found = [
            _binomial_p(int(self.draws.sum()), count * self.steps, rate),
            _binomial_p(
                int((self.draws == likeliest).sum()),
                count,
                float(stats.binom.pmf(likeliest, self.steps, rate)),
            ),
        ]
        if variance >= SPREAD_FROM:
            excess = (1 - 6 * rate * (1 - rate)) / variance  # of a binomial's fourth moment over a Gaussian's
            freedom = count * 2 / (2 + excess)
            square = float(((self.draws - expected) ** 2).sum()) / variance
            found.append(_chi_square_p(square * freedom / count, freedom))
        return min(1.0, len(found) * min(found))

    def right(self) -> int:
        """How many guesses are right: the likeliest half took part, the least likely half did not."""
        guesses, order = self.guesses, np.argsort(self.log_ratios.numpy(), kind="stable")
        out, into = order[: guesses // 2], order[len(order) - (guesses - guesses // 2) :]
        return int(self.planted[into].sum() + (~self.planted[out]).sum())


def log_likelihood_ratio(released: Tensor, plan: DpPlan) -> Tensor:
    """log of N(0, s²) mixed with N(1, s²) at the sample rate over N(0, s²), of values in units of C."""
    shifted = (released - 0.5) / planned_noise(plan) ** 2
    rate = torch.tensor(plan.sample_rate, dtype=torch.float64)
    return torch.logaddexp(torch.log1p(-rate), rate.log() + shifted)


def planned_noise(plan: DpPlan) -> float:
    """The noise that ``plan`` demands in units of C; computed here and not where it is drawn."""
    wider = (1 + plan.precision_margin) * (1 + (mechanism.GRID_MARGIN if plan.grid else 0.0))
    return plan.noise_multiplier * wider


def _binomial_p(found: int, count: int, rate: float) -> float:
    """Two-sided and exact."""
    each = stats.binom(count, rate)
    return float(min(1.0, 2 * min(each.cdf(found), each.sf(found - 1))))


def _chi_square_p(square: float, count: float) -> float:
    """Two-sided: too little noise breaks the claim, too much is not what was planned."""
    return float(2 * min(stats.chi2.cdf(square, count), stats.chi2.sf(square, count)))


def simulated_share(plan: DpPlan, noise: float, contribution: float, guessed: float) -> float:
    """Return the share of right guesses under ``noise`` and ``contribution``, both in units of C.

    ``guessed`` is the share of canaries that are guessed. From a fixed seed; a million releases or so.
    """
    rng = np.random.default_rng(0)
    m = max(1000, min(20_000, SIMULATED // plan.steps))
    audit = SelfAudit(np.arange(m) % 2 == 0, frozenset(), round(guessed * m))
    for _ in range(plan.steps):
        drawn = audit.planted & (rng.random(m) < plan.sample_rate)
        released = noise * rng.standard_normal(m) + contribution * drawn
        audit.log_ratios += log_likelihood_ratio(torch.from_numpy(released), plan)
    return audit.right() / audit.guesses


# --- the mechanism by itself --------------------------------------------------------------------------


@dataclass(frozen=True)
class DiracRun:
    """One full plan over canaries and nothing else."""

    audit: SelfAudit = field(repr=False)
    ledger: tuple[LedgerEntry, ...]
    sampler: mechanism.SamplerCheck


def dirac_run(
    plan: DpPlan,
    planted: NDArray[np.bool_],
    folder: Path,
    guesses: int,
    *,
    length: float = LENGTH,
    watcher: Watcher = SILENT,
) -> DiracRun:
    """Run every step of ``plan`` over the ``planted`` canaries, of ``length`` times C, charged in ``folder``.

    Noise comes from the operating system's entropy as in training, so no two runs are equal.
    """
    audit = SelfAudit(planted, frozenset(), guesses, length)
    rng, noise = mechanism.private_rng(), mechanism.noise_source()
    journal = Journal(folder, plan)
    for step in range(plan.steps):
        audit.drew(step, mechanism.draw(audit.taking_part, plan, step, journal, rng))
        audit.release(plan, noise)
        watcher.progress("private step", step + 1, plan.steps)
    audit.finish()
    sampler = mechanism.check_sampler(journal.drawn, audit.taking_part, plan.sample_rate)
    return DiracRun(audit, journal.entries(), sampler)


def split(drawn: Sequence[int] | NDArray[np.int64], taking_part: int) -> tuple[NDArray[np.int64], Any]:
    """Return the canaries of a draw, and the units of text by their own numbers."""
    drawn = np.asarray(drawn, dtype=np.int64)
    return drawn[drawn < taking_part], drawn[drawn >= taking_part] - taking_part
