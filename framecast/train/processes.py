"""Data-parallel training under torchrun: who am I, and what do all of us agree on."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from framecast.errors import InputError


@dataclass(frozen=True)
class Processes:
    """The processes that share one training run; a single one without torchrun."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def start(cls) -> "Processes":
        """Join the group that torchrun's environment describes."""
        gpu = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local) if gpu else torch.device("cpu")
        if gpu:
            torch.cuda.set_device(device)  # whose random state is kept, and which NCCL uses
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if gpu else "gloo")
        return cls(int(os.environ.get("RANK", "0")), size, device)

    @property
    def leads(self) -> bool:
        """True in the one process that writes files and shows progress."""
        return self.rank == 0

    def share(self, index_B: Tensor) -> Tensor:
        """This process's part of the windows of a global batch.

        Raises:
            InputError: the batch does not divide by the number of processes.
        """
        if len(index_B) % self.size:
            raise InputError(
                "train.batch",
                f"is {len(index_B)}, which {self.size} processes cannot share equally",
                f"give a multiple of {self.size}",
            )
        return index_B.chunk(self.size)[self.rank]

    def agree(self, value: float) -> float:
        """The value of the leading process, in all: clocks differ, decisions must not."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return shared.item()

    def mean(self, value: Tensor) -> float:
        """The mean of all processes, in all."""
        return self._reduced(value.double(), dist.ReduceOp.SUM) / self.size

    def highest(self, value: int) -> int:
        """The highest of all processes, in all."""
        return int(self._reduced(torch.tensor(value), dist.ReduceOp.MAX))

    def _reduced(self, value: Tensor, how: dist.ReduceOp.RedOpType) -> float:
        if self.size > 1:
            value = value.to(self.device)
            dist.all_reduce(value, how)
        return value.item()

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, by rank; they have one shape."""
        if self.size == 1:
            return [tensor]
        parts = [torch.empty_like(tensor, device=self.device) for _ in range(self.size)]
        dist.all_gather(parts, tensor.to(self.device))
        return [part.cpu() for part in parts]

    def stop(self) -> None:
        """Leave the group."""
        if dist.is_initialized():
            dist.destroy_process_group()
