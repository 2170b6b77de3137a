"""One training step in a process of its own; see memory.py.

Shapes: B batch, M past, N future, C channels, H height, W width.
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.plain import PlainConvLSTM
from framecast.models import build_model
from framecast.models.forecaster import Task

KINDS = ("ours", "ours, memory=low", "plain")


def network(kind: str, frames: int, size: int) -> nn.Module:
    """A layer and its head."""
    if kind == "plain":
        return PlainConvLSTM((16,), kernel=3, patch=1)
    settings = {"hidden": (16,), "kernel": (3,), "patch": 1, "motion": 0, "norm": "none"}
    low = {"memory": "low"} if kind.endswith("memory=low") else {}
    return build_model("conv_lstm", settings | low, Task(1, size, size, frames // 2, frames // 2))


def train(kind: str, frames: int, size: int) -> None:
    """Loss and gradients."""
    past_BMCHW, future_BNCHW = torch.rand(2, 1, frames // 2, 1, size, size)
    network(kind, frames, size).loss(past_BMCHW, future_BNCHW, 1.0).backward()  # type: ignore[operator]


def megabytes(what: str) -> float:
    """VmRSS, the memory of this process; VmHWM, its peak so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(what))


def main() -> None:
    """Warm up on tiny frames, then measure."""
    kind, frames, size, threads = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    train(kind, frames=6, size=8)
    before, start = megabytes("VmRSS"), time.perf_counter()
    train(kind, frames, size)
    seconds = time.perf_counter() - start
    answer = {"seconds": seconds, "mb": megabytes("VmHWM") - before}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
