"""One run of a benchmark: its flags, what it prints, and the rows it leaves behind."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import torch

from benchmarks import results
from benchmarks.bound import why_no_half
from benchmarks.results import Row, number
from benchmarks.timing import Contestant, Stopwatch, Times, race, reference, waiting
from framecast.train.memory import freed_memory_kept

REPEATS = 5

T = TypeVar("T")

Precision: TypeAlias = Callable[[], AbstractContextManager[object]]  # where to compute in it


@dataclass(frozen=True)
class Session:
    """What the user typed, and how to report.

    Args:
        benchmark: its name.
        quick: one repeat at a reduced size, to see that all works; no row is kept.
        repeats: rounds of each race.
        only: leave out work whose name does not contain this.
        command: as typed.
        device: "cpu" or "cuda".
        no_half: why bf16 is left out; empty where it is not.
    """

    benchmark: str
    quick: bool
    repeats: int
    only: str
    command: str
    device: str = "cpu"
    no_half: str = ""

    def say(self, text: str) -> None:
        """A line for the user."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def wants(self, work: str) -> bool:
        """Whether this work is to be measured."""
        return self.only in work

    def precisions(self) -> dict[str, Precision]:
        """fp32, and bf16 autocast where it is worth a measurement."""
        kinds: dict[str, Precision] = {"fp32": nullcontext}
        if not self.no_half:
            kinds["bf16"] = lambda: torch.autocast(self.device, torch.bfloat16)
        return kinds

    def contestants(
        self, networks: Mapping[str, T], call: Callable[[T, Precision], object]
    ) -> dict[str, Contestant]:
        """Each network with each number format: "ours fp32", "ours bf16" and so on."""
        wait = waiting(self.device)
        return {
            f"{name} {kind}": Stopwatch(partial(call, network, precision), wait)
            for name, network in networks.items()
            for kind, precision in self.precisions().items()
        }

    def measure(
        self,
        work: str,
        contestants: Mapping[str, Contestant],
        *,
        bound: float | None = None,
        per: tuple[float, str] = (0, ""),
        memory: Mapping[str, float] | None = None,
        warm_up: bool = True,
    ) -> dict[str, Times]:
        """Race, print, keep the rows.

        Args:
            work: what is done, a name that is the same in each run.
            contestants: one of them at least is called "ours…".
            bound: seconds that it takes at least.
            per: how many units a call makes and what they are, for units per second.
            memory: peak MB of each contestant; may be filled while the race is run. A GPU's is
                measured here.
            warm_up: as in `race`.
        """
        self.say(f"\n{work}")
        if self.device == "cuda":
            contestants, memory = _with_gpu_memory(contestants)
        with freed_memory_kept():  # as in our training, for all in this process alike
            times = race(contestants, self.repeats, warm_up=warm_up)
        rows = [*_rows(times, bound, per, memory or {})]
        for row in rows:
            self.say(f"  {_line(row)}")
        if not self.quick:
            named = {"benchmark": self.benchmark, "work": work}
            constant = results.environment(self.command, self.device)
            results.append({**constant, **named, **row} for row in rows)
        return times


def inside(call: Callable[[T], object]) -> Callable[[T, Precision], None]:
    """A call all of which runs in the number format; gradients are better taken outside."""

    def run(network: T, precision: Precision) -> None:
        with precision():
            call(network)

    return run


def start(
    benchmark: str, what: str | None, typed: list[str] | None = None, *, device: str = "cpu"
) -> Session:
    """Read the flags, set the threads, look whether bf16 is worth it."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{benchmark}", description=what)
    parser.add_argument("--quick", action="store_true", help="once, at a reduced size; no rows")
    parser.add_argument("--repeats", type=_positive, default=REPEATS, help="rounds of each race")
    parser.add_argument("--threads", type=_positive, help="of torch; by default as many as cores")
    parser.add_argument("--only", default="", metavar="TEXT", help="work whose name contains this")
    typed = sys.argv[1:] if typed is None else typed
    flags = parser.parse_args(typed)
    if device == "cuda" and not torch.cuda.is_available():
        parser.exit(2, f"{parser.prog}: torch finds no GPU here; run it on a machine with one\n")
    if flags.threads:
        torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    command = shlex.join(["python", "-m", f"benchmarks.{benchmark}", *typed])
    repeats = 1 if flags.quick else flags.repeats
    no_half = why_no_half(device)
    session = Session(benchmark, flags.quick, repeats, flags.only, command, device, no_half)
    if no_half:
        session.say(f"bf16 is left out: {no_half}")
    return session


def _with_gpu_memory(
    contestants: Mapping[str, Contestant],
) -> tuple[dict[str, Contestant], dict[str, float]]:
    """The same contestants, and the most MB that each took on top of what was there before."""
    memory = dict.fromkeys(contestants, 0.0)

    def watched(name: str) -> float:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        seconds = contestants[name]()
        memory[name] = max(memory[name], (torch.cuda.max_memory_allocated() - before) / 1e6)
        return seconds

    return {name: partial(watched, name) for name in contestants}, memory


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("give a number from 1")
    return int(text)


def _rows(
    times: Mapping[str, Times],
    bound: float | None,
    per: tuple[float, str],
    memory: Mapping[str, float],
) -> Iterator[Row]:
    best = times[reference(times)]
    count, unit = per
    for name, mine in times.items():
        ratio = mine.over(best)
        yield {
            "contestant": name,
            "seconds": number(mine.median),
            "seconds_min": number(min(mine.seconds)),
            "seconds_max": number(max(mine.seconds)),
            "ratio": number(ratio.median),
            "ratio_min": number(min(ratio.seconds)),
            "ratio_max": number(max(ratio.seconds)),
            "bound_seconds": number(bound),
            "rate": number(count / mine.median) if unit else "",
            "unit": unit,
            "memory_mb": number(memory.get(name)),
        }


def _line(row: Row) -> str:
    parts = [
        f"{row['contestant']:28} {row['seconds']:>8} s ({row['seconds_min']}–{row['seconds_max']})",
        f"{row['ratio']} × ours ({row['ratio_min']}–{row['ratio_max']})",
    ]
    if row["bound_seconds"]:
        share = float(row["seconds"]) / float(row["bound_seconds"])
        parts.append(f"{share:.2f} × the bound of {row['bound_seconds']} s")
    if row["unit"]:
        parts.append(f"{row['rate']} {row['unit']}/s")
    if row["memory_mb"]:
        parts.append(f"{row['memory_mb']} MB")
    return ", ".join(parts)
