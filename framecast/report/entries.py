"""Rows of results by what was forecast and by recipe: means and spread over seeds."""

import csv
import json
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from framecast.benchmark.rows import TASK, TRAINING, Row
from framecast.machine import computer

# A training, whatever its seed.
RECIPE = tuple(key for key in TRAINING if key != "seed")
PUBLISHED = Path(__file__).with_name("published.csv")
PUBLISHED_ABOUT = (
    "Published by OpenSTL (Tan et al., NeurIPS 2023, arXiv:2306.11249): 200 epochs and, in the last"
    " column, 2,000; SSIM with a range of 2; sequences a second on a V100 at batch 100. Trained for"
    " hours to days on a GPU and scored on all 10,000 sequences: to be read beside the table above,"
    " not as part of it. PredFormer is as its authors published it (arXiv:2410.04733)."
)


@dataclass(frozen=True)
class Entry:
    """One recipe on one device.

    Args:
        rows: one for each seed.
        name: unlike that of any other entry of its table.
        on: the number of the machine that it was trained on, where its table has several.
    """

    rows: tuple[Row, ...]
    name: str
    on: int | None = None

    def text(self, key: str) -> str:
        """A column that is the same for all seeds."""
        return self.rows[0][key]

    def values(self, key: str) -> list[float]:
        """A column of numbers; cells that are empty are left out."""
        return [float(row[key]) for row in self.rows if row[key]]

    def mean(self, key: str) -> float:
        """Over the seeds; NaN where there is no number."""
        values = self.values(key)
        return statistics.fmean(values) if values else math.nan

    def spread(self, key: str) -> float | None:
        """Standard deviation over the seeds; None for less than two."""
        values = self.values(key)
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def trained(self) -> bool:
        """Whether it has learnt anything: baselines have not."""
        return bool(self.text("length"))

    @property
    def length(self) -> str:
        """`10 cpu minutes` for `cpu_minutes=10`."""
        unit, _, count = self.text("length").partition("=")
        return f"{count} {unit.replace('_', ' ')}".strip()

    @property
    def trained_for(self) -> str:
        """Its length, and the machine if there are several; `–` for what was not trained."""
        on = "" if self.on is None else f", machine {self.on}"
        return f"{self.length}{on}" if self.trained else "–"

    @property
    def machine(self) -> str:
        """What it was trained on."""
        return computer(self.text("device"), int(self.text("threads")), self.text("processor"))

    @property
    def per_lead(self) -> list[float]:
        """MSE of each lead time, the mean over the seeds."""
        curves = [json.loads(row["mse_per_lead"]) for row in self.rows]
        return [statistics.fmean(values) for values in zip(*curves, strict=True)]

    @property
    def course(self) -> tuple[list[float], list[float]]:
        """Minutes of processor time and validation MSE, as the first seed was trained."""
        curve = json.loads(self.text("validation_curve") or "[]")
        known = [(cpu / 60, mse) for _, cpu, mse in curve if math.isfinite(cpu + mse)]
        return [minutes for minutes, _ in known], [mse for _, mse in known]


class Table(NamedTuple):
    """Entries that forecast the same sequences: baselines first, then the best first."""

    about: Row
    entries: list[Entry]

    @property
    def title(self) -> str:
        """What was forecast."""
        row = self.about
        of = f"{row['past']} → {row['future']} frames, {int(row['sequences']):,} sequences"
        return f"{row['data']}: {of} ({row['split']})"

    @property
    def machines(self) -> str:
        """What the entries were trained on."""
        machines = _machines(self.entries)
        several = len(machines) > 1
        said = (f"machine {n}, {name}" if several else name for n, name in enumerate(machines, 1))
        return "; ".join(said)

    @property
    def published(self) -> list[Row]:
        """What others have published on this task."""
        is_it = (self.about["data"], self.about["past"], self.about["future"])
        if is_it != ("moving_mnist", "10", "10"):
            return []
        with PUBLISHED.open(encoding="utf-8") as file:
            return [*csv.DictReader(file)]


def tables(rows: Iterable[Row]) -> list[Table]:
    """The newest row of every training, by what was forecast."""
    keys = (*TASK, *TRAINING)
    newest = {tuple(row[key] for key in keys): row for row in rows}.values()
    return [
        Table({key: group[0][key] for key in TASK}, _entries(group))
        for group in _grouped(newest, TASK)
    ]


def _grouped(rows: Iterable[Row], keys: Iterable[str]) -> list[list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    keys = tuple(keys)
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [*groups.values()]


def _entries(rows: Iterable[Row]) -> list[Entry]:
    entries = [Entry(tuple(group), group[0]["model"]) for group in _grouped(rows, RECIPE)]
    # Each further fact is named only where the ones before do not tell two entries apart.
    facts: tuple[Callable[[Entry], str], ...] = (
        lambda entry: entry.text("recipe"),
        lambda entry: entry.length,
        lambda entry: entry.text("device"),
        lambda entry: f"{entry.text('threads')} threads",
        lambda entry: entry.text("processor"),
        lambda entry: entry.text("recipe_hash"),
    )
    for fact in facts:
        entries = _told_apart(entries, fact)
    entries.sort(key=lambda entry: (entry.trained, entry.trained * entry.mean("mse")))
    machines = _machines(entries)
    if len(machines) < 2:
        return entries
    numbers = {machine: number for number, machine in enumerate(machines, 1)}
    return [replace(entry, on=numbers.get(entry.machine)) for entry in entries]


def _machines(entries: Iterable[Entry]) -> list[str]:
    return [*dict.fromkeys(entry.machine for entry in entries if entry.trained)]


def _told_apart(entries: list[Entry], fact: Callable[[Entry], str]) -> list[Entry]:
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    named = []
    for entry in entries:
        tells = len({fact(other) for other in by_name[entry.name]}) > 1 and fact(entry)
        named.append(replace(entry, name=f"{entry.name}, {fact(entry)}") if tells else entry)
    return named
