"""A picture of what a forecast hangs on.

Shapes: M past frames, N future frames, T all frames read, H height, W width; 3 is red, green, blue.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from framecast.plot.canvas import (
    COLOURS,
    ERRORS,
    FAINT,
    INK,
    LOOKS,
    VERMILION,
    Frames,
    figure,
    pictures,
    save,
    spread,
)
from framecast.plot.curves import tidy

MOST = 8  # frames in a row
STRONG = 0.995  # quantile of the influence that is shown in full


def explained(
    past: Frames,
    future: Frames,
    influence_MHW: NDArray[np.float32],
    traced: tuple[int, tuple[int, int]],
    change_MN: NDArray[np.float32],
    gates: Mapping[str, Mapping[str, Sequence[float]]],
    path: str | Path,
) -> Path:
    """Draw past frames with the pixels that matter, which frame matters when, and the gates.

    Args:
        past: M frames read, see `pictures`.
        future: N frames forecast.
        influence_MHW: of each past pixel on the pixel that is traced.
        traced: lead time from 1, and row and column of that pixel.
        change_MN: of forecast frame n without past frame m.
        gates: by gate and layer, how far it is open, value_T; may be empty.
        path: the .png to write.

    Raises:
        InputError: the frames cannot be shown, or the file cannot be written.
    """
    rows = 2 + bool(gates)
    drawn = figure(11, 2.6 + 2.6 * (rows - 1))
    places = drawn.add_gridspec(rows, 1, height_ratios=[1.1, *[1.4] * (rows - 1)])
    past_MHW3, future_NHW3 = pictures(past, "the past"), pictures(future, "the forecast")
    _pixels(
        places[0].subgridspec(1, min(len(past_MHW3), MOST) + 1),
        past_MHW3,
        future_NHW3,
        influence_MHW,
        traced,
    )
    axis = _changes(drawn.add_subplot(places[1]), change_MN)
    if gates:
        _gates(places[2].subgridspec(1, len(gates)), gates, len(past_MHW3))
    return save(axis, path)


def _pixels(
    places: Any,
    past_MHW3: NDArray[np.float32],
    future_NHW3: NDArray[np.float32],
    influence_MHW: NDArray[np.float32],
    traced: tuple[int, tuple[int, int]],
) -> None:
    """Past frames in grey with their influence in colour, and the pixel that is traced."""
    lead, (row, column) = traced
    drawn = places.figure
    shown = spread(len(past_MHW3), MOST)
    full = max(float(np.quantile(influence_MHW, STRONG)), 1e-12)
    for place, frame in enumerate(shown):
        axis = drawn.add_subplot(places[place])
        strength_HW = (influence_MHW[frame] / full).clip(0, 1)
        axis.imshow(0.5 * past_MHW3[frame].mean(axis=2), cmap="gray", vmin=0, vmax=1)
        axis.imshow(strength_HW, cmap=ERRORS, vmin=0, vmax=1, alpha=0.85 * strength_HW)
        age = len(past_MHW3) - 1 - frame
        _name(axis, f"past −{age}" if age else "past 0")
    axis = drawn.add_subplot(places[len(shown)])
    axis.imshow(future_NHW3[lead - 1])
    axis.plot(column, row, "o", mfc="none", mec=VERMILION, ms=9, mew=1.8)
    _name(axis, f"forecast +{lead}")


def _name(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=9, color=INK)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_color(FAINT)


def _changes(axis: Axes, change_MN: NDArray[np.float32]) -> Axes:
    """Which past frame matters for which lead time."""
    past, future = change_MN.shape
    shown = axis.imshow(
        change_MN, cmap=ERRORS, aspect="auto", extent=(0.5, future + 0.5, 0.5, 0.5 - past)
    )
    axis.set_title(
        "Change of the forecast without one past frame", fontsize=10, color=INK, loc="left"
    )
    axis.set_xlabel("lead time in frames", color=INK)
    axis.set_ylabel("past frame", color=INK)
    for along in (axis.xaxis, axis.yaxis):
        along.set_major_locator(MaxNLocator(10, integer=True))
    axis.tick_params(labelsize=8, colors=INK)
    bar = axis.figure.colorbar(shown, ax=axis, pad=0.01)
    bar.set_label("root mean square", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    return axis


def _gates(places: Any, gates: Mapping[str, Mapping[str, Sequence[float]]], past: int) -> None:
    """How far the gates are open, frame by frame; the forecast begins at the line."""
    for place, (gate, layers) in enumerate(gates.items()):
        axis = places.figure.add_subplot(places[place])
        for number, (layer, value_T) in enumerate(layers.items()):
            time_T = np.arange(len(value_T)) - past + 1
            look = LOOKS[number % len(LOOKS)]
            axis.plot(time_T, value_T, look, color=COLOURS[number % len(COLOURS)], label=layer)
        axis.axvline(0.5, color=FAINT, linewidth=0.8)
        axis.set_ylim(0, 1)
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.set_title(f"{gate} gates", fontsize=10, color=INK, loc="left")
        axis.set_xlabel("frame read, 0 is the last past one", color=INK)
        tidy(axis)
        if place == 0:
            axis.set_ylabel("open, mean", color=INK)
            axis.legend(frameon=False, fontsize=8, labelcolor=INK)
