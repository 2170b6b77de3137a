"""results/speed.csv: a row for each contestant, with machine, versions and command."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import torch

from framecast.benchmark.rows import Row
from framecast.benchmark.rows import append as append_rows
from framecast.benchmark.rows import read as read_rows
from framecast.machine import processor
from framecast.train.environment import commit

ROOT = Path(__file__).parents[1]
SPEED = ROOT / "results" / "speed.csv"
COLUMNS = (
    "date",
    "benchmark",
    "work",
    "contestant",
    "seconds",  # median
    "seconds_min",
    "seconds_max",
    "ratio",  # to the fastest of ours, median of the rounds
    "ratio_min",
    "ratio_max",
    "bound_seconds",
    "rate",  # units per second
    "unit",
    "memory_mb",  # peak
    "gpu",
    "cpu",
    "capability",
    "cores",
    "threads",
    "torch",
    "commit",  # with a plus where the sources differ from it
    "command",
)
KEY = ("benchmark", "work", "contestant", "cpu", "capability", "cores", "threads", "gpu")


def number(value: float | None) -> str:
    """Four digits are more than a measurement is good for."""
    return "" if value is None else f"{value:.4g}"


def append(rows: Iterable[Row], path: Path = SPEED) -> None:
    """Add rows at the end; the first ones also write the names of the columns."""
    append_rows(path, rows, COLUMNS)


def read(path: Path = SPEED) -> list[Row]:
    """All rows, oldest first; none where nothing was measured yet."""
    return read_rows(path, COLUMNS)


def newest(rows: Iterable[Row]) -> list[Row]:
    """The last row of each contestant at each work on each machine, in the order of the works."""
    return [*{tuple(row[column] for column in KEY): row for row in rows}.values()]


def environment(command: str, device: str) -> Row:
    """The columns that are the same for all rows of a run."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else "",
        "cpu": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ""),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "commit": commit("framecast", "benchmarks"),
        "command": command,
    }
