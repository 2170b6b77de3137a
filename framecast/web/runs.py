"""What training runs have written so far, for the second view of the page. Nothing is written."""

import csv
import math
import time
from pathlib import Path
from typing import Any

from framecast.checkpoint import CONFIG, read_config
from framecast.checkpoint.lock import owner
from framecast.errors import InputError
from framecast.web.catalog import run_folders

POINTS = 400  # of a curve: more cannot be seen
LARGEST = 2**24  # bytes of a log that is read
FRESH = 90.0  # seconds since a run last wrote, after which it was killed
NUMBERS = ("step", "seconds", "loss", "validation_mse", "lr", "frames_per_second")


def overview(runs: Path | None) -> list[dict[str, Any]]:
    """All runs in a folder, the newest first."""
    return [_summary(run) for run in run_folders(runs)]


def curves(runs: Path | None, name: str) -> dict[str, Any]:
    """One run: its summary, its log thinned to some 400 rows, the steps of its sample forecasts.

    The newest 400 validations are among the rows.

    Raises:
        InputError: there is no such run.
    """
    run = _find(runs, name)
    rows = _rows(run)
    told = [at for at, row in enumerate(rows) if row["validation_mse"] is not None]
    thinned = range(0, len(rows), math.ceil(len(rows) / POINTS) or 1)
    shown = [rows[at] for at in sorted({*thinned, *told[-POINTS:]})]
    samples = sorted(map(_step, (run / "samples").glob("step_*.gif")))
    return {**_summary(run), "rows": shown, "samples": samples}


def sample(runs: Path | None, name: str, step: int) -> Path:
    """The animation that a run wrote at a step.

    Raises:
        InputError: there is none.
    """
    path = _find(runs, name) / "samples" / f"step_{step:06d}.gif"
    if not path.is_file():
        raise InputError(f"{name}, step {step}", "has no sample", "take one of its samples")
    return path


def _find(runs: Path | None, name: str) -> Path:
    """A name is looked up among those that are there; it is never made into a path."""
    for run in run_folders(runs):
        if run.name == name:
            return run
    raise InputError(f"the run {name!r:.80}", "is not there", "see /v1/runs")


def _summary(run: Path) -> dict[str, Any]:
    try:
        config = read_config(run) if (run / CONFIG).exists() else {}
    except InputError:
        config = {}
    rows = _rows(run)
    scores = [row["validation_mse"] for row in rows if row["validation_mse"] is not None]
    try:
        age = time.time() - (run / "log.csv").stat().st_mtime
    except OSError:  # removed a moment ago
        age = FRESH
    data = str(config.get("data", {}).get("name", ""))
    return {
        "name": run.name,
        "model": config.get("model", {}).get("name", ""),
        "data": Path(data).name,
        "steps": rows[-1]["step"] if rows else 0,
        "seconds": rows[-1]["seconds"] if rows else 0,
        "best": min(scores, default=None),
        "age": round(age, 1),
        "live": bool(owner(run)) and age < FRESH,
    }


def _rows(run: Path) -> list[dict[str, Any]]:
    """The log; cells that hold no number are None, and a log that cannot be read has no rows."""
    try:
        with (run / "log.csv").open(encoding="utf-8", errors="replace") as file:
            rows = [*csv.DictReader(file.read(LARGEST).splitlines())]
    except (OSError, csv.Error):
        return []
    return [{name: _number(row.get(name)) for name in NUMBERS} for row in rows]


def _number(cell: str | None) -> float | None:
    try:
        value = float(cell or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _step(path: Path) -> int:
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isdecimal() else 0
