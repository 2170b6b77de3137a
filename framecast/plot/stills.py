"""Still pictures of frames: the tutorial's grid, truth over forecast, and error maps.

Shapes: T frames, P past frames, N future frames, H height, W width; 3 is red, green, blue.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from framecast.plot.canvas import (
    ERRORS,
    FAINT,
    INK,
    Frames,
    alike,
    errors,
    figure,
    pictures,
    save,
    spread,
)

CELL = 1.15  # inches, the longer side of a frame
MOST = 10  # frames in a row
GAP = 0.12  # between past and future, of a column


def grid(frames: Frames, path: str | Path, *, columns: int = 5, most: int = 20) -> Path:
    """Draw one sequence as a grid of numbered frames, 4 x 5 for the 20 of Moving MNIST.

    Args:
        frames: T frames, see `pictures`.
        path: the .png to write.
        columns: frames in a row.
        most: of a longer sequence so many frames are shown, evenly spread.

    Raises:
        InputError: the frames cannot be shown, or the file cannot be written.
    """
    frames_THW3 = pictures(frames)
    shown = spread(len(frames_THW3), most)
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    size = frames_THW3.shape[1:3]
    drawn, axes = _cells(rows, [1.0] * columns, size, cell=1.5 * CELL, text=rows, beside=0.1)
    for axis, index in zip(chain(*axes), shown, strict=False):
        _show(axis, frames_THW3[index], f"frame {index + 1}")
    return save(drawn, path)


def strip(
    past: Frames | None, truth: Frames, forecast: Frames, path: str | Path, *, past_shown: int = 3
) -> Path:
    """Draw the truth over the forecast, one column per lead time, after the last past frames.

    Args:
        past: frames given to the model, or None to leave them out.
        truth: N true frames, see `pictures`; at most 10 are shown.
        forecast: N forecast frames.
        path: the .png to write.
        past_shown: so many of the last past frames.

    Raises:
        InputError: the frames cannot be shown or differ, or the file cannot be written.
    """
    truth_NHW3, forecast_NHW3 = alike(truth, forecast)
    past_PHW3 = truth_NHW3[:0] if past is None else pictures(past, "the past")[-past_shown:]
    before = len(past_PHW3)
    shown = spread(len(truth_NHW3), MOST)
    widths = [1.0] * before + [GAP] * (before > 0) + [1.0] * len(shown)
    drawn, axes = _cells(2, widths, truth_NHW3.shape[1:3])
    for column, frame_HW3 in enumerate(past_PHW3):
        age = before - 1 - column
        _show(axes[0][column], frame_HW3, f"−{age}" if age else "0", FAINT)
    if before:
        _name_row(axes[0][0], "past", FAINT)
    _fill_row(axes[0], truth_NHW3, shown, "truth", numbered=True)
    _fill_row(axes[1], forecast_NHW3, shown, "forecast")
    drawn.supxlabel("lead time in frames", fontsize=10, color=INK)
    return save(drawn, path)


def error_maps(truth: Frames, forecast: Frames, path: str | Path) -> Path:
    """Draw truth, forecast and the absolute error of each pixel, one column per lead time.

    Args:
        truth: N true frames, see `pictures`; at most 10 are shown.
        forecast: N forecast frames.
        path: the .png to write.

    Raises:
        InputError: the frames cannot be shown or differ, or the file cannot be written.
    """
    truth_NHW3, forecast_NHW3 = alike(truth, forecast)
    errors_NHW, brightest = errors(truth_NHW3, forecast_NHW3)
    shown = spread(len(truth_NHW3), MOST)
    drawn, axes = _cells(3, [1.0] * len(shown), truth_NHW3.shape[1:3], beside=1.5)
    _fill_row(axes[0], truth_NHW3, shown, "truth", numbered=True)
    _fill_row(axes[1], forecast_NHW3, shown, "forecast")
    _fill_row(axes[2], errors_NHW, shown, "error")
    for axis in axes[2]:
        axis.images[0].set_clim(0, brightest)
    _colour_bar(drawn, [*chain(*axes)], axes[2][0].images[0])
    drawn.supxlabel("lead time in frames", fontsize=10, color=INK)
    return save(drawn, path)


def _cells(
    rows: int,
    widths: Sequence[float],
    size: tuple[int, ...],
    *,
    cell: float = CELL,
    text: int = 2,
    beside: float = 0.9,
) -> tuple[Figure, list[list[Axes]]]:
    """Empty axes for frames of this height and width, the longer side `cell` inches long.

    `text` is the number of lines above and below the frames, `beside` the inches for what stands
    left and right of them.
    """
    height, width = (cell * side / max(size) for side in size)
    drawn = figure(sum(widths) * (width + 0.05) + beside, rows * (height + 0.05) + text * 0.2 + 0.1)
    drawn.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    ratios = {"width_ratios": widths}
    axes = drawn.subplots(rows, len(widths), squeeze=False, gridspec_kw=ratios).tolist()
    for axis in chain(*axes):
        axis.axis("off")
    return drawn, axes


def _show(axis: Axes, frame: NDArray[np.float32], title: str = "", colour: str = INK) -> None:
    """Draw one frame, HW3, or one error map, HW."""
    axis.axis("on")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color=FAINT, linewidth=0.5)
    axis.set_title(title, fontsize=9, color=colour, pad=3)
    sharp = "nearest" if max(frame.shape[:2]) <= 256 else "auto"
    axis.imshow(frame, cmap=ERRORS, interpolation=sharp)


def _fill_row(
    axes: Sequence[Axes],
    frames: NDArray[np.float32],
    shown: Sequence[int],
    name: str,
    *,
    numbered: bool = False,
) -> None:
    """Draw the frames of these lead times into the last axes of a row, and name it."""
    cells = axes[-len(shown) :]
    for axis, lead in zip(cells, shown, strict=True):
        _show(axis, frames[lead], f"+{lead + 1}" if numbered else "")
    _name_row(cells[0], name, INK)


def _name_row(axis: Axes, name: str, colour: str) -> None:
    # Upright, the name would be longer than a flat frame is high.
    axis.set_ylabel(name, fontsize=10, color=colour, rotation=0, ha="right", va="center")


def _colour_bar(drawn: Figure, axes: Sequence[Axes], shown: AxesImage) -> None:
    """A bar of fixed width, as high as the figure, however few frames there are."""
    inches = 0.12
    width, height = drawn.get_size_inches()
    share, aspect = inches / width, height / inches
    bar = drawn.colorbar(shown, ax=axes, fraction=share, aspect=aspect, pad=0.02, extend="max")
    bar.set_label("absolute error", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
