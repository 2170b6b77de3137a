"""Curves: error against lead time, and the course of training.

Shapes: N lead times.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.plot.canvas import BLUE, FAINT, GREEN, GREY, INK, VERMILION, figure, save

BASELINES = ((VERMILION, "--", "s"), (GREY, "-.", "^"), (GREEN, ":", "D"))  # line and marker differ
PANELS = (("loss", "training loss"), ("validation_mse", "validation MSE"), ("lr", "learning rate"))


def lead_curves(
    curves: Mapping[str, Sequence[Sequence[float]]],
    path: str | Path,
    *,
    score: str = "MSE per frame",
    better: str = "lower",
) -> Path:
    """Draw a score against lead time, with its intervals, for the baselines and the model.

    Args:
        curves: by name, baselines first and the model last: value_N, or value_N, low_N and high_N.
            What is not finite is left out.
        path: the .png to write.
        score: what is shown, with its unit.
        better: which values are better, "lower" or "higher".

    Raises:
        InputError: there is no curve, or the file cannot be written.
    """
    if not curves:
        raise InputError("the curves", "are none", "give at least one forecaster")
    drawn = figure(6.4, 4.0)
    axis = drawn.subplots()
    *baselines, model = curves
    for index, name in enumerate(baselines):
        _curve(axis, name, curves[name], *BASELINES[index % len(BASELINES)])
    _curve(axis, model, curves[model], BLUE, "-", "o", width=2.2)
    tidy(axis)
    if better == "lower":
        axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axis.set_xlabel("lead time in frames", color=INK)
    axis.set_ylabel(f"{score} ({better} is better)", color=INK)
    axis.legend(frameon=False, labelcolor=INK)
    return save(axis, path)


def _curve(
    axis: Axes, name: str, curve: Sequence[Sequence[float]], *look: str, width: float = 1.4
) -> None:
    colour, line, marker = look
    value_N, *interval = (np.asarray(values, dtype=float) for values in curve)
    lead_N = np.arange(1, len(value_N) + 1)
    finite_N = np.where(np.isfinite(value_N), value_N, np.nan)
    axis.plot(
        lead_N, finite_N, line, color=colour, marker=marker, ms=4, linewidth=width, label=name
    )
    if interval:
        low_N, high_N = interval
        known_N = np.isfinite(low_N) & np.isfinite(high_N)
        axis.fill_between(
            lead_N, low_N, high_N, where=known_N, color=colour, alpha=0.18, linewidth=0
        )


def training_curves(rows: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw loss, validation error and learning rate over the steps of training.

    Args:
        rows: of log.csv: step, loss, validation_mse, lr; numbers or their text, empty or None where
            nothing was measured.
        path: the .png to write.

    Raises:
        InputError: there are no rows, or the file cannot be written.
    """
    if not rows:
        raise InputError("the log", "has no rows", "train for a step at least")
    drawn = figure(11, 3.2)
    for axis, (column, title) in zip(drawn.subplots(1, len(PANELS)), PANELS, strict=True):
        step_S, value_S = _series(rows, column)
        dots = "o" if len(step_S) <= 30 else ""
        axis.plot(step_S, value_S, color=BLUE, marker=dots, ms=3, linewidth=1.4)
        tidy(axis)
        if column != "lr":
            _scale(axis, value_S)
        axis.set_title(title, fontsize=10, color=INK, loc="left")
        axis.set_xlabel("step", color=INK)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if column == "validation_mse":
            _mark_best(axis, step_S, value_S)
    return save(axis, path)


def _series(rows: Sequence[Mapping[str, Any]], column: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The steps at which a column holds a finite number, and these numbers."""
    pairs = [(float(row["step"]), row[column]) for row in rows if row[column] not in (None, "")]
    known = [(step, float(value)) for step, value in pairs if isfinite(float(value))]
    step_S, value_S = np.array(known).reshape(-1, 2).T
    return step_S, value_S


def _scale(axis: Axes, value_S: NDArray[Any]) -> None:
    """Logarithmic where the values span more than a factor of ten, with plain numbers."""
    if len(value_S) and value_S.min() > 0 and value_S.max() > 10 * value_S.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _mark_best(axis: Axes, step_S: NDArray[Any], value_S: NDArray[Any]) -> None:
    if not len(value_S):
        return
    best = int(value_S.argmin())
    axis.plot(step_S[best], value_S[best], "o", color=VERMILION, ms=6)
    says = f"best {value_S[best]:.4g} at step {step_S[best]:g}"
    axis.set_title(says, fontsize=9, color=VERMILION, loc="right")


def tidy(axis: Axes) -> None:
    """Faint lines and small numbers, as in all charts."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FAINT)
    axis.tick_params(labelsize=8, colors=INK)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
