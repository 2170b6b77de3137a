"""Contestants take turns: whatever slows the machine for a while slows all of them."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch

Contestant: TypeAlias = Callable[[], float]  # does its work, and says how many seconds it took

LEAST = 0.2  # seconds of one measurement; shorter work is done several times
LONG = 5.0  # seconds after which a second warm-up is not worth the wait


class Stopwatch:
    """A contestant that measures itself.

    Args:
        work: what to measure.
        wait: returns when all work given to the device is done.
        clock: seconds.
    """

    def __init__(
        self,
        work: Callable[[], object],
        wait: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.work, self.wait, self.clock = work, wait, clock
        self.calls = 1

    def __call__(self) -> float:
        """Seconds of one call of `work`."""
        self.wait()
        start = self.clock()
        for _ in range(self.calls):
            self.work()
        self.wait()
        seconds = (self.clock() - start) / self.calls
        self.calls = max(1, math.ceil(LEAST / max(seconds, 1e-6)))
        return seconds


def waiting(device: str) -> Callable[[], object]:
    """What returns when the device has done its work; a CPU has done it already."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None


@dataclass(frozen=True)
class Times:
    """Seconds of one contestant, one number for each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The number to quote."""
        return statistics.median(self.seconds)

    def over(self, other: "Times") -> "Times":
        """How many times the other's seconds, round by round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Times(tuple(mine / theirs for mine, theirs in pairs))


def race(
    contestants: Mapping[str, Contestant], rounds: int, *, warm_up: bool = True
) -> dict[str, Times]:
    """Let each contestant run once in each round, and begin each round with another one.

    Args:
        contestants: at least one.
        rounds: at least 1.
        warm_up: run each twice before, since the first calls compile and fill caches; long ones
            once.
    """
    if warm_up:
        for contestant in contestants.values():
            if contestant() < LONG:
                contestant()
    names = [*contestants]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(contestants[name]())
    return {name: Times(tuple(measured)) for name, measured in seconds.items()}


def reference(times: Mapping[str, Times]) -> str:
    """Whom the others are compared with: the fastest of ours."""
    ours = [name for name in times if name.startswith("ours")]
    return min(ours, key=lambda name: times[name].median)
