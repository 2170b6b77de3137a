"""Time and memory of the scores: `python -m benchmarks.metrics`. Linux only.

10,000 sequences of 10 frames of 64 × 64, in batches of 100, as an evaluation has them. Each
contestant runs in a fresh process, and counts what it takes on top of what was there before.

Shapes: B batch, N lead times, C channels, H height, W width.
"""

import json
import subprocess
import sys
import time
from functools import partial

import torch

from benchmarks import session
from benchmarks.memory_child import megabytes
from benchmarks.results import ROOT
from framecast.metrics.choice import STANDARD, Choice
from framecast.metrics.metric import update_all

BATCH = 100
CONTESTANTS = {
    "ours, the standard scores": Choice(),
    "ours, all for one forecast": Choice(
        (*STANDARD, "csi", "pod", "far", "bias", "fss", "crps"), thresholds=(0.5,), scales=(5,)
    ),
}


def in_child(name: str, count: int, memory: dict[str, float]) -> float:
    """Seconds of scoring so many sequences; the MB go into `memory`."""
    words = [name, str(count), str(torch.get_num_threads())]
    command = [sys.executable, "-m", "benchmarks.metrics", "--child", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    memory[name] = max(memory.get(name, 0.0), answer["mb"])
    sys.stdout.write(f"  {name}: {answer['cpu']:.1f} s of CPU\n")
    return float(answer["seconds"])


def score(choice: Choice, count: int) -> None:
    """Digits would take longer to draw than to score: one batch of noise, again and again."""
    generator = torch.Generator().manual_seed(0)
    forecast_BNCHW, truth_BNCHW = torch.rand(2, BATCH, 10, 1, 64, 64, generator=generator)
    metrics = choice.build().values()
    for _ in range(0, count, BATCH):
        update_all(metrics, forecast_BNCHW, truth_BNCHW)
    for metric in metrics:
        metric.compute()


def child(name: str, count: int, threads: int) -> None:
    """Warm up on one batch, then measure."""
    torch.set_num_threads(threads)
    score(CONTESTANTS[name], BATCH)
    before, start, cpu = megabytes("VmRSS"), time.perf_counter(), time.process_time()
    score(CONTESTANTS[name], count)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    answer = {"seconds": seconds, "cpu": cpu, "mb": megabytes("VmHWM") - before}
    sys.stdout.write(json.dumps(answer) + "\n")


def main() -> None:
    """Race the scores."""
    run = session.start("metrics", __doc__)
    count = 200 if run.quick else 10_000
    memory: dict[str, float] = {}
    contestants = {name: partial(in_child, name, count, memory) for name in CONTESTANTS}
    work = f"scores of {count:,} sequences of 10 frames, 64 × 64"
    run.measure(work, contestants, per=(count, "sequences"), memory=memory, warm_up=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
