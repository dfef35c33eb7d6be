"""What a run needs to go on after it was stopped, and the ledger of what it has spent.

The ledger is a file that only grows: one line a step, on disk before the step's noise is drawn. A step that
was charged and then lost (a kill, a power cut) is not run again, so ε never exceeds the plan: charged = T,
applied = T − lost. State is safetensors and JSON, never a pickle.

Every line carries a digest of itself, of all lines before it and of the plan (``ledger``).
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mlmguard.artifacts import read_json, write_json
from mlmguard.training.ledger import ChainedFile
from mlmguard.types import DpPlan, LedgerEntry

SAVE_EVERY_SECONDS = 60.0


class Journal:
    """The private record of one training run, in its run folder.

    Raises :class:`InputError` when the ledger is not the one that this run has written.
    """

    def __init__(self, folder: Path, plan: DpPlan | None = None, writes: bool = True) -> None:
        """``writes`` is false in all but the first process of a team: they read what it wrote."""
        self.folder = folder
        self._writes = writes
        self.plan = plan
        self.charged = 0
        self.drawn: list[int] = []  # sizes of the draws, where the ledger still knows them
        self.losses: list[float | None] = []
        self.applied = 0
        self._saved_at = time.monotonic()
        plan_text = json.dumps(asdict(plan), sort_keys=True) if plan else "plain"
        self._ledger = ChainedFile(folder / "ledger.jsonl", plan_text)
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

    def completed(self, step: int, loss: float) -> None:
        """A step reached the weights; ``loss`` is nan for an empty draw."""
        self.applied += 1
        self.losses.append(loss if math.isfinite(loss) else None)

    def entries(self) -> tuple[LedgerEntry, ...]:
        """The steps charged so far as one ledger entry; empty for a plain run."""
        if self.plan is None or not self.charged:
            return ()
        plan = self.plan
        return (
            LedgerEntry(
                "poisson-gaussian", plan.noise_multiplier, plan.sample_rate, self.charged, what="training"
            ),
        )

    def save_due(self) -> bool:
        """Time for another checkpoint of the state?"""
        return self._writes and time.monotonic() - self._saved_at > SAVE_EVERY_SECONDS

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Store weights and optimiser moments after ``step`` steps; ``state.json`` is written last."""
        if not self._writes:
            return
        tensors = {f"model.{name}": value.detach().contiguous() for name, value in model.named_parameters()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value.contiguous() for key, value in state.items()}
        target = self.folder / f"state-{step}.safetensors"
        save_file(tensors, target)
        with target.open("rb") as written:
            os.fsync(written.fileno())  # before the marker names it
        previous = [path for path in self.folder.glob("state-*.safetensors") if path != target]
        write_json(
            self.folder / "state.json",
            {
                "step": step,
                "applied": self.applied,
                "losses": self.losses,
                "charged": self.charged,
                "chain": self._ledger.chain,
            },
            mode=0o600,
        )
        for path in previous:
            path.unlink()
        self._saved_at = time.monotonic()

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Load the last state, if any, and return the first step to run.

        In a private run that is the first step not charged, which may lie after the saved state.
        """
        marker = self.folder / "state.json"
        saved = 0
        if marker.exists():
            state = read_json(marker)
            saved, self.applied, self.losses = state["step"], state["applied"], state["losses"]
            tensors = load_file(self.folder / f"state-{saved}.safetensors")
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(tensors[f"model.{name}"])
            moments: dict[int, dict[str, Any]] = {}
            for name, value in tensors.items():
                if name.startswith("optimizer."):
                    _, index, key = name.split(".")
                    moments.setdefault(int(index), {})[key] = value
            optimizer.load_state_dict(
                {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
            )
        return max(saved, self.charged) if self.plan is not None else saved

    def _refuse_shorter_than_state(self) -> None:
        marker = self.folder / "state.json"
        known = read_json(marker) if marker.exists() else {}
        if known.get("charged") and self._ledger.chain_after(known["charged"]) != known["chain"]:
            raise self._ledger.foreign(f"{self.charged} steps, or others than the saved state")
