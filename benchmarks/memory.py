"""Memory of training on 200 frames of 128 × 128: `python -m benchmarks.memory`. Linux only.

A ConvLSTM layer 16 wide, 3×3, with its head, in fp32: 100 frames known, 100 of its own. Each
training step runs in a fresh process, and counts what it takes on top of what was there before.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch

from benchmarks import session
from benchmarks.memory_child import KINDS, network
from benchmarks.plain import check_same, copy_weights
from benchmarks.results import ROOT


def check() -> None:
    """All compute the same."""
    plain = network("plain", frames=6, size=8)
    past_BMCHW, future_BNCHW = torch.rand(2, 2, 3, 1, 8, 8)
    for kind in KINDS:
        if kind != "plain":
            plain.zero_grad()
            ours = network(kind, frames=6, size=8)
            copy_weights(ours, plain)
            losses = [one.loss(past_BMCHW, future_BNCHW, 1.0) for one in (ours, plain)]  # type: ignore[operator]
            check_same(ours, plain, *losses)


def in_child(kind: str, frames: int, size: int, memory: dict[str, float]) -> float:
    """Seconds of a training step; its MB go into `memory`."""
    words = [kind, str(frames), str(size), str(torch.get_num_threads())]
    command = [sys.executable, "-m", "benchmarks.memory_child", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    memory[kind] = max(memory.get(kind, 0.0), answer["mb"])
    return float(answer["seconds"])


def main() -> None:
    """Check, then race."""
    run = session.start("memory", __doc__)
    if not Path("/proc/self/status").exists():
        raise SystemExit("benchmarks.memory: needs Linux, which says how much memory a process has")
    check()
    frames, size = (20, 32) if run.quick else (200, 128)
    memory: dict[str, float] = {}
    contestants = {kind: partial(in_child, kind, frames, size, memory) for kind in KINDS}
    work = f"16 wide, 3×3: train step, {frames} frames of {size} × {size}"
    run.measure(work, contestants, memory=memory, warm_up=False)


if __name__ == "__main__":
    main()
