"""The processes of one run: torch's launcher starts one for each GPU, and they share every step.

``torchrun --nproc-per-node 4 --no-python uninuc train RECIPE``. Every process holds the whole
network, takes its share of the batches of a step, and adds its gradients to those of the others, so
that all make the same step. What is the same everywhere is written by the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed, nn

__all__ = ["ALONE", "Ranks"]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which process this is.

    Attributes
    ----------
    rank : its number, from 0
    count : how many there are
    local : its number on this machine, and that of its GPU
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @classmethod
    def launched(cls) -> Ranks:
        """As torch's launcher says in the environment; one process without it."""
        numbers = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        rank, count, local = (int(text) if text.isdecimal() else None for text in numbers)
        if rank is None or count is None:
            return ALONE
        return cls(rank, count, local or 0)

    @property
    def is_first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The GPU of its own where there are several."""
        if self.count == 1 or device.type != "cuda" or device.index is not None:
            return device
        return torch.device("cuda", self.local)

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Meet the other processes; part from them in the end."""
        if self.count == 1:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every gradient the sum over all processes; none where no process has one."""
        if self.count == 1:
            return
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        device = learning[0].device
        has_one = torch.tensor([float(p.grad is not None) for p in learning], device=device)
        distributed.all_reduce(has_one)
        for parameter, owners in zip(learning, has_one.tolist(), strict=True):
            if owners:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)

    def gathered(self, value: Value) -> list[Value]:
        """The value of every process, by rank."""
        values = [value] * self.count
        if self.count > 1:
            distributed.all_gather_object(values, value)
        return values


ALONE = Ranks()
"""The one process of a run that nobody launched."""
