"""What a table of results shows of an entry: titles, cells and the numbers behind them."""

import math
from collections.abc import Callable
from typing import NamedTuple

from framecast.models.size import amount
from framecast.report.entries import Entry
from framecast.report.scores import number


class Column(NamedTuple):
    """One column.

    Args:
        title: with an arrow where one way is better.
        value: to sort by: a number, or text.
        text: to read.
        interval: the 95 % interval over sequences, or nothing.
    """

    title: str
    value: Callable[[Entry], float | str]
    text: Callable[[Entry], str]
    interval: Callable[[Entry], str] = lambda _: ""


def columns() -> list[Column]:
    """All of them, in order."""
    return [
        Column("model", lambda entry: entry.name, lambda entry: entry.name),
        _score("MSE ↓", "mse", 1),
        _score("MAE ↓", "mae", 1),
        _score("SSIM ↑", "ssim", 3),
        _score("SSIM, range 2 ↑", "ssim_openstl", 3),
        _score("PSNR ↑", "psnr", 2),
        _score("skill ↑", "skill", 3),
        _score("sharpness", "sharpness", 2),
        _count("parameters", "parameters"),
        _count("MACs", "macs"),
        Column("trained for", _spent, lambda entry: entry.trained_for),
        _count("sequences seen", "sequences_seen"),
        _plain("CPU minutes", "cpu_seconds", 60),
        _plain("forecasts a second", "forecasts_per_second", 1),
        Column("seeds", lambda e: float(len(e.rows)), lambda e: str(len(e.rows))),
    ]


def _score(title: str, key: str, digits: int) -> Column:
    """Mean and standard deviation over the seeds; the interval is the mean of theirs."""

    def text(entry: Entry) -> str:
        spread = entry.spread(key)
        said = number(entry.mean(key), digits)
        return said if spread is None else f"{said} ± {number(spread, digits)}"

    def interval(entry: Entry) -> str:
        ends = [entry.mean(f"{key}_low"), entry.mean(f"{key}_high")]
        known = all(map(math.isfinite, ends)) and ends[0] < ends[1]
        return f"[{', '.join(number(end, digits) for end in ends)}]" if known else ""

    return Column(title, lambda entry: entry.mean(key), text, interval)


def _count(title: str, key: str) -> Column:
    return Column(title, lambda entry: entry.mean(key), lambda entry: amount(int(entry.mean(key))))


def _plain(title: str, key: str, unit: float) -> Column:
    def text(entry: Entry) -> str:
        value = entry.mean(key) / unit
        return number(value, 0 if value >= 100 else 1) if value else "–"

    return Column(title, lambda entry: entry.mean(key), text)


def _spent(entry: Entry) -> float:
    return entry.mean("seconds")


PUBLISHED = {
    "model": "model",
    "mse": "MSE ↓",
    "mae": "MAE ↓",
    "ssim_openstl": "SSIM, range 2 ↑",
    "psnr": "PSNR ↑",
    "parameters_m": "parameters, M",
    "macs_g": "MACs, G",
    "forecasts_per_second": "forecasts a second",
    "mse_2000": "MSE after 2,000 epochs ↓",
}
