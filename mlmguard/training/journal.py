"""What a run needs to go on after it was stopped, and the ledger of what it has spent.

The ledger is a file that only grows: one line a step, on disk before the step's noise is drawn. A step that
was charged and then lost (a kill, a power cut) is not run again, so ε never exceeds the plan: charged = T,
applied = T − lost. State is safetensors and JSON, never a pickle.

Every line carries a digest of itself, of all lines before it and of the plan (``ledger``).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mlmguard.artifacts import read_json, write_json
from mlmguard.training.privacy.ledger import ChainedFile, seed_of
from mlmguard.training.watch import EASED, Evaluation
from mlmguard.types import DpPlan, LedgerEntry

if TYPE_CHECKING:
    from mlmguard.training.privacy.self_audit import SelfAudit

SAVE_EVERY_SECONDS = 60.0

PRIVATE_NUMBERS = ("loss", "tokens", "seconds", "loading_seconds", "gpu_memory_gib", "gpu_utilisation")
"""Curves of a private run that no ε covers. The gradient's norm is that of the noised mean, and covered."""


class Journal:
    """The private record of one training run, in its run folder.

    Raises :class:`InputError` when the ledger is not the one that this run has written.
    """

    def __init__(
        self,
        folder: Path,
        plan: DpPlan | None = None,
        writes: bool = True,
        quiet: bool = False,
        track: Callable[[int, Mapping[str, float]], None] = lambda step, numbers: None,
    ) -> None:
        """``writes`` is false in all but the first process of a team: they read what it wrote.

        ``quiet`` keeps no number that is computed on private text; ``track`` hears the others, step by step.
        """
        self.folder = folder
        self._quiet, self._track = quiet, track
        self._writes = writes
        self.plan = plan
        self.charged = 0
        self.drawn: list[int] = []  # sizes of the draws, where the ledger still knows them
        self.curves: dict[str, list[float | None]] = {"loss": []}  # one point a step
        self.evaluations: list[Evaluation] = []
        self.eased = 1.0  # factor on the learning rate since the run fell back
        self.applied = 0
        self.scaler: torch.amp.GradScaler | None = None  # of a run in fp16; the loop sets it
        self.audit: SelfAudit | None = None  # of a private run; the loop sets it
        self.saves = 0
        self.seconds_saving = 0.0
        self.seconds_running = 0.0  # of this process, in its steps
        self._saved_at = time.monotonic()
        self._ledger = ChainedFile(folder / "ledger.jsonl", seed_of(plan))
        for line in self._ledger.lines:
            self.charged += 1
            if line is not None:
                self.drawn.append(int(line["drawn"]))
        self._refuse_shorter_than_state()

    def charge(self, step: int, drawn: int) -> None:
        """Write that ``step`` is paid for, and wait until the disk has it."""
        if self._writes:
            self._ledger.append({"step": step, "drawn": drawn})
        self.charged += 1
        self.drawn.append(drawn)

    @property
    def losses(self) -> list[float | None]:
        """Training loss of every step that reached the weights; None for an empty draw."""
        return self.curves["loss"]

    def completed(self, step: int, loss: float, **numbers: float) -> None:
        """A step reached the weights; ``loss`` is nan for an empty draw. ``numbers`` are curves by name."""
        self.applied += 1
        numbers = {"loss": loss, **numbers}
        if self._quiet:
            numbers = {name: value for name, value in numbers.items() if name not in PRIVATE_NUMBERS}
        for name, value in numbers.items():
            self.curves.setdefault(name, []).append(value if math.isfinite(value) else None)
        self._track(step, {name: value for name, value in numbers.items() if math.isfinite(value)})

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return the steps charged so far as one ledger entry; empty for a plain run."""
        if self.plan is None or not self.charged:
            return ()
        plan = self.plan
        return (
            LedgerEntry(
                "poisson-gaussian", plan.noise_multiplier, plan.sample_rate, self.charged, what="training"
            ),
        )

    def save_due(self) -> bool:
        """Time for another checkpoint of the state? After the first step always: it was paid for."""
        late = time.monotonic() - self._saved_at > SAVE_EVERY_SECONDS
        return self._writes and (self.saves == 0 or late)

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, name: str = "state"
    ) -> None:
        """Store weights and optimiser moments after ``step`` steps; ``NAME.json`` is written last."""
        if not self._writes:
            return
        began = time.monotonic()
        tensors = {f"model.{key}": value.detach().contiguous() for key, value in model.named_parameters()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value.contiguous() for key, value in state.items()}
        scores, measured = self.audit.state() if self.audit else ({}, {})
        tensors |= {f"audit.{key}": value for key, value in scores.items()}
        target = self.folder / f"{name}-{step}.safetensors"
        save_file(tensors, target)
        with target.open("rb") as written:
            os.fsync(written.fileno())  # before the marker names it
        previous = [path for path in self.folder.glob(f"{name}-*.safetensors") if path != target]
        write_json(
            self.folder / f"{name}.json",
            {
                "step": step,
                "applied": self.applied,
                "curves": self.curves,
                "evaluations": [asdict(one) for one in self.evaluations],
                "eased": self.eased,
                "scaler": self.scaler.state_dict() if self.scaler else {},
                "audit": measured,
                "charged": self.charged,
                "chain": self._ledger.chain,
            },
            mode=0o600,
        )
        for path in previous:
            path.unlink()
        self._saved_at = time.monotonic()
        self.saves += 1
        self.seconds_saving += self._saved_at - began

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, name: str = "state") -> int:
        """Load the last state of this name, if any, and return the first step to run.

        In a private run that is the first step not charged, which may lie after the saved state.
        """
        marker = self.folder / f"{name}.json"
        saved = 0
        if marker.exists():
            state = read_json(marker)
            saved, self.applied, self.eased = state["step"], state["applied"], state["eased"]
            self.curves = state["curves"]
            if self.scaler and state.get("scaler"):
                self.scaler.load_state_dict(state["scaler"])
            self.evaluations = [Evaluation(**one) for one in state["evaluations"]]
            tensors = self._weights(model, name, saved)
            if self.audit and state.get("audit"):
                scores = {
                    key.partition(".")[2]: tensor
                    for key, tensor in tensors.items()
                    if key.startswith("audit.")
                }
                self.audit.restore(scores, state["audit"])
            moments: dict[int, dict[str, Any]] = {}
            for key, value in tensors.items():
                if key.startswith("optimizer."):
                    _, index, moment = key.split(".")
                    moments.setdefault(int(index), {})[moment] = value
            optimizer.load_state_dict(
                {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
            )
        return max(saved, self.charged) if self.plan is not None else saved

    def forget(self) -> None:
        """Remove saved states, of which a run that is done needs none: three times the size of its model."""
        for name in ("state", "good", "best"):
            for path in (self.folder / f"{name}.json", *self.folder.glob(f"{name}-*.safetensors")):
                path.unlink(missing_ok=True)

    def fall_back(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Load the last good state, ease the learning rate, and return the step to go on from."""
        step = self.restore(model, optimizer, "good")
        self.eased = EASED
        return step

    def restore_weights(self, model: nn.Module, name: str) -> None:
        """Load the weights of the state of this name, and nothing else of it."""
        self._weights(model, name, read_json(self.folder / f"{name}.json")["step"])

    def _weights(self, model: nn.Module, name: str, step: int) -> dict[str, torch.Tensor]:
        tensors = load_file(self.folder / f"{name}-{step}.safetensors")
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                parameter.copy_(tensors[f"model.{key}"])
        return tensors

    def _refuse_shorter_than_state(self) -> None:
        marker = self.folder / "state.json"
        known = read_json(marker) if marker.exists() else {}
        if known.get("charged") and self._ledger.chain_after(known["charged"]) != known["chain"]:
            raise self._ledger.foreign(f"{self.charged} steps, or others than the saved state")
