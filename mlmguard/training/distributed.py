"""Several processes that train as one: ``torchrun --nproc-per-node N -m mlmguard train …``.

The first process draws for all, charges for all and adds the noise once. The others only compute their share
of the clipped sum. The usual data-parallel wrapper does neither: it averages local draws, whose sizes differ,
and a rank with an empty one would wait for ever or drift apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

_T = TypeVar("_T")


@dataclass(frozen=True)
class Team:
    """The processes of one run. Alone, every method is the identity."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """This process owns the run folder, the ledger and the noise."""
        return self.rank == 0

    def share(self, items: Sequence[_T], together: int = 1) -> Sequence[_T]:
        """Return the part of ``items`` that is this process' work; the parts are disjoint and cover all.

        ``together`` neighbours are never parted.
        """
        if together == 1:
            return items[self.rank :: self.size]
        begins = range(self.rank * together, len(items), self.size * together)
        return [item for begin in begins for item in items[begin : begin + together]]

    def agree(self, value: _T) -> _T:
        """Return the first process' value, in all of them."""
        if self.size == 1:
            return value
        box: list[_T | None] = [value if self.first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def from_first(self, make: Callable[[], _T]) -> _T:
        """``make()`` of the first process, in all of them; the others wait and make nothing."""
        return self.agree(make() if self.first else None)  # type: ignore[return-value]

    def add_to_first(self, tensor: Tensor) -> None:
        """Sum ``tensor`` over all processes, in place, in the first; elsewhere it holds nothing of use."""
        if self.size > 1:
            dist.reduce(tensor, dst=0)

    def tell(self, tensor: Tensor) -> Tensor:
        """``tensor`` as the first process has it, in place, in all of them."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)
        return tensor

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


ALONE = Team()


def join() -> Team:
    """Join the team that ``torchrun`` has started this process in, or the process alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Team(dist.get_rank(), dist.get_world_size())
