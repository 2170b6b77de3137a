"""Tables of results: CSV files that grow by a row for each thing that was measured."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from framecast.checkpoint.lock import wait_for
from framecast.errors import InputError
from framecast.files import cannot_write

Row: TypeAlias = dict[str, str]

SCORES = ("mse", "mae", "psnr", "ssim", "ssim_openstl", "skill", "sharpness")
# What makes two rows comparable: forecasts of the same sequences.
TASK = ("data", "split", "sequences", "past", "future", "fingerprint")
# What makes them the same training: if there is such a row, it is not done again.
TRAINING = ("recipe_hash", "seed", "device", "processor", "threads")
COLUMNS = (
    "date",
    "model",
    "recipe",
    "length",  # of training
    *TRAINING,
    *TASK,
    *(f"{score}{end}" for score in SCORES for end in ("", "_low", "_high")),  # 95 % intervals
    "mse_per_lead",  # JSON, as is the next one
    "validation_curve",  # wall seconds, processor seconds, MSE
    "parameters",
    "macs",
    "flops",
    "steps",
    "sequences_seen",
    "seconds",
    "cpu_seconds",
    "forecasts_per_second",  # sequences
    "forecasts_on",
    "precision",
    "torch",
    "framecast",
    "commit",  # with a plus where the sources differ from it
)


def append(path: Path, rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> None:
    """Add rows at the end, at once; who makes the file also writes the names of the columns.

    Raises:
        InputError: the file has other columns, or cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writerows(rows)
    names = ",".join(columns) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", newline="", encoding="utf-8") as file:
            wait_for(file)
            file.seek(0)
            there = file.readline()
            if there not in ("", names):
                raise InputError(path, "has other columns", "move it away, or write elsewhere")
            file.write(text.getvalue() if there else names + text.getvalue())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from None


def read(path: Path, columns: Sequence[str] = COLUMNS) -> list[Row]:
    """All rows, oldest first; none where nothing was measured yet.

    Raises:
        InputError: it is no such table.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [*reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"cannot be read ({error})", "restore the file") from None
    if tuple(reader.fieldnames or ()) != tuple(columns) or any(
        None in row.values() for row in rows
    ):
        raise InputError(path, "is no table of these results", "restore the file")
    return rows
