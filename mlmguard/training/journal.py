"""What a run needs to go on after it was stopped, and the ledger of what it has spent.

The ledger is a file that only grows: one line a step, on disk before the step's noise is drawn. A step that
was charged and then lost (a kill, a power cut) is not run again, so ε never exceeds the plan: charged = T,
applied = T − lost. State is safetensors and JSON, never a pickle.

Every line carries a digest of itself, of all lines before it and of the plan. That catches accidents, such as
a file edited, cut or copied from another run; who wants to deceive can compute digests too.
"""

from __future__ import annotations

import hashlib
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
from mlmguard.errors import InputError
from mlmguard.types import DpPlan, LedgerEntry

SAVE_EVERY_SECONDS = 60.0


class Journal:
    """The private record of one training run, in its run folder.

    Raises :class:`InputError` when the ledger is not the one that this run has written.
    """

    def __init__(self, folder: Path, plan: DpPlan | None = None) -> None:
        self.folder = folder
        self.plan = plan
        self.charged = 0
        self.drawn: list[int] = []  # sizes of the draws, where the ledger still knows them
        self.losses: list[float | None] = []
        self.applied = 0
        self._saved_at = time.monotonic()
        self._chain = _digest("", json.dumps(asdict(plan), sort_keys=True) if plan else "plain")
        self._read_ledger()

    def charge(self, step: int, drawn: int) -> None:
        """Write that ``step`` is paid for, and wait until the disk has it."""
        line = json.dumps({"step": step, "drawn": drawn})
        chain = _digest(self._chain, line)
        with self._ledger.open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\t{chain}\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._chain = chain
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

    def save_due(self, step: int) -> bool:
        """Time for another checkpoint of the state?"""
        return time.monotonic() - self._saved_at > SAVE_EVERY_SECONDS

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Store weights and optimiser moments after ``step`` steps; ``state.json`` is written last."""
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
                "chain": self._chain,
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

    @property
    def _ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    def _read_ledger(self) -> None:
        """Count what was charged, and hold every digest against its line."""
        marker = self.folder / "state.json"
        known = read_json(marker) if marker.exists() else {"charged": 0}
        at = {0: self._chain}
        text = self._ledger.read_text("utf-8") if self._ledger.exists() else ""
        for line in text.splitlines():
            payload, _, chain = line.partition("\t")
            whole = len(chain) == _DIGITS
            # A line cut short by a power cut was charged too: its step may have run.
            self._chain = _digest(self._chain, payload if whole else line)
            if whole and chain != self._chain:
                raise self._foreign(f"line {self.charged + 1} does not match its digest")
            if whole:
                self.drawn.append(int(json.loads(payload)["drawn"]))
            self.charged += 1
            at[self.charged] = self._chain
        if known.get("charged") and at.get(known["charged"]) != known["chain"]:
            raise self._foreign(f"it has {self.charged} steps, or others than the saved state")
        if text and not text.endswith("\n"):
            with self._ledger.open("a", encoding="utf-8") as stream:
                stream.write("\n")

    def _foreign(self, found: str) -> InputError:
        return InputError(
            f"{self.folder.name}: ledger.jsonl",
            found,
            "the ledger as this run wrote it, under this plan",
            "restore the run folder, or remove it and start a new run",
        )


_DIGITS = 32


def _digest(before: str, line: str) -> str:
    return hashlib.sha256(f"{before}\n{line}".encode()).hexdigest()[:_DIGITS]
