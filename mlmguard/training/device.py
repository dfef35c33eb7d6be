"""What a run does to its machine: memory and, where NVML is there, how busy a GPU is.

A number that cannot be had is "not available", never 0.
"""

from __future__ import annotations

import time
from contextlib import suppress
from statistics import median

import torch

from mlmguard.engine import peak_memory

NOT_AVAILABLE = "not available"
EVERY_SECONDS = 0.5  # asking costs more than a small step


class DeviceLoad:
    """Return the last sample, at every step."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sampled_at = -EVERY_SECONDS
        self._last: dict[str, float] = {}

    def sample(self) -> dict[str, float]:
        """``gpu_utilisation`` (share of the last moments) and ``gpu_memory_gib`` in use; nothing on a CPU."""
        if self._device.type == "cuda" and time.monotonic() - self._sampled_at >= EVERY_SECONDS:
            self._sampled_at = time.monotonic()
            self._last = {"gpu_memory_gib": torch.cuda.memory_allocated(self._device) / 2**30}
            with suppress(ModuleNotFoundError, RuntimeError):  # no NVML bindings, or no right to read it
                self._last["gpu_utilisation"] = torch.cuda.utilization(self._device) / 100
        return self._last


def summary(device: torch.device, utilisation: list[float | None]) -> dict[str, object]:
    """Peak memory of the process and of the GPU, and the median of the ``utilisation`` seen at its steps."""
    seen = [share for share in utilisation if share is not None]
    gpu = device.type == "cuda"
    return {
        "memory_gib": round(peak_memory() / 2**30, 2),
        "gpu_memory_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 2) if gpu else NOT_AVAILABLE,
        "gpu_utilisation": round(median(seen), 3) if seen else NOT_AVAILABLE,
    }
