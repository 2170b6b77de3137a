"""Still pictures of frames: the tutorial's grid, truth over forecast, and error maps.

Shapes: T frames, P past frames, N future frames, H height, W width; 3 is red, green, blue.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
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

MOST = 10  # lead times in a row
# Inches: between frames, a line of text, the name of a row, all that belongs to a colour bar.
GAP, LINE, NAME, BAR = 0.05, 0.2, 0.75, 0.8


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
    width, height = _side_lengths(frames_THW3, longer=1.7)
    wide, high = max(width + GAP, 0.65), height + LINE + GAP
    page = _page(columns * wide + GAP, rows * high)
    for place, index in enumerate(shown):
        row, column = divmod(place, columns)
        middle, top = GAP / 2 + (column + 0.5) * wide, row * high + LINE
        _frame(page, frames_THW3[index], (middle, top, width, height))
        _write(page, f"frame {index + 1}", middle, top - LINE / 2)
    return save(page, path)


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
    before, leads = len(past_PHW3), spread(len(truth_NHW3), MOST)
    rows = Rows(truth_NHW3, left=NAME)
    ages = [f"−{age}" if age else "0" for age in range(before - 1, -1, -1)]
    future = Rows(truth_NHW3, left=NAME + (rows.right(before) if before else 0))
    page = _page(future.end(len(leads)), rows.bottom(2))
    if before:
        rows.draw(page, 0, "past", past_PHW3, colour=FAINT)
        rows.number(page, ages, colour=FAINT)
    future.draw(page, 0, "truth", truth_NHW3[leads])
    future.draw(page, 1, "forecast", forecast_NHW3[leads])
    future.number(page, [f"+{lead + 1}" for lead in leads])
    _lead_times_below(page, future, len(leads))
    return save(page, path)


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
    leads = spread(len(truth_NHW3), MOST)
    rows = Rows(truth_NHW3, left=NAME)
    page = _page(rows.end(len(leads)) + BAR, rows.bottom(3))
    rows.draw(page, 0, "truth", truth_NHW3[leads])
    rows.draw(page, 1, "forecast", forecast_NHW3[leads])
    maps = rows.draw(page, 2, "error", errors_NHW[leads], brightest=brightest)
    rows.number(page, [f"+{lead + 1}" for lead in leads])
    _lead_times_below(page, rows, len(leads))
    _colour_bar(page, maps, left=rows.end(len(leads)))
    return save(page, path)


class Rows:
    """Where rows of frames lie on a page, in inches from its top left corner.

    Args:
        frames: of the size of all that will be drawn.
        left: where the first column begins; the names of the rows stand before it.
    """

    def __init__(self, frames: NDArray[np.float32], left: float) -> None:
        self.width, self.height = _side_lengths(frames, longer=1.15)
        # Flat or narrow frames stand further apart than others: text has to fit.
        self.wide, self.high = max(self.width + GAP, 0.38), max(self.height + GAP, LINE)
        self.left = left

    def right(self, columns: int) -> float:
        """Where so many columns end."""
        return self.left + columns * self.wide

    def end(self, columns: int) -> float:
        """Where a page of so many columns ends: one or two may be shorter than the text below."""
        return max(self.right(columns), self.left + 1.3) + GAP

    def bottom(self, rows: int) -> float:
        """Where so many rows end, with a line of text below."""
        return LINE + rows * self.high + 1.5 * LINE

    def draw(
        self,
        page: Axes,
        row: int,
        name: str,
        frames: NDArray[np.float32],
        *,
        colour: str = INK,
        brightest: float = 1.0,
    ) -> AxesImage:
        """Draw a row of frames, or of error maps, with its name; give the last of them."""
        top = LINE + row * self.high
        _write(page, name, self.left - 0.08, top + self.height / 2, colour, align="right")
        for column, frame in enumerate(frames):
            middle = self.right(column) + self.wide / 2
            image = _frame(page, frame, (middle, top, self.width, self.height), brightest)
        return image

    def number(self, page: Axes, numbers: Sequence[str], *, colour: str = INK) -> None:
        """Write over the columns."""
        for column, number in enumerate(numbers):
            _write(page, number, self.right(column) + self.wide / 2, LINE / 2, colour)


def _side_lengths(frames: NDArray[np.float32], longer: float) -> tuple[float, float]:
    """Width and height in inches."""
    height, width = frames.shape[1:3]
    return longer * width / max(height, width), longer * height / max(height, width)


def _page(width: float, height: float) -> Axes:
    """Axes over a whole figure, measured in inches from the top left corner."""
    drawn = figure(width, height)
    drawn.set_layout_engine("none")  # all places are known; 36 axes would take seconds to arrange
    page = drawn.add_axes((0, 0, 1, 1))
    page.axis("off")
    page.set(xlim=(0, width), ylim=(height, 0))
    page.set_autoscale_on(False)
    return page


def _frame(
    page: Axes,
    frame: NDArray[np.float32],
    place: tuple[float, float, float, float],
    brightest: float = 1.0,
) -> AxesImage:
    """Draw one frame, HW3, or one error map, HW, at (middle, top, width, height)."""
    middle, top, width, height = place
    left, right, bottom = middle - width / 2, middle + width / 2, top + height
    page.plot(
        [left, right, right, left, left],
        [top, top, bottom, bottom, top],
        color=FAINT,
        linewidth=0.7,
    )
    sharp = "nearest" if max(frame.shape[:2]) <= 256 else "auto"
    return page.imshow(
        frame,
        cmap=ERRORS,
        vmin=0,
        vmax=brightest,
        extent=(left, right, bottom, top),
        aspect="auto",
        interpolation=sharp,
    )


def _write(
    page: Axes, text: str, x: float, y: float, colour: str = INK, *, align: str = "center"
) -> None:
    page.text(x, y, text, fontsize=9, color=colour, ha=align, va="center")


def _lead_times_below(page: Axes, rows: Rows, columns: int) -> None:
    middle = (rows.left + rows.end(columns)) / 2
    _write(page, "lead time in frames", middle, page.get_ylim()[0] - 0.7 * LINE)


def _colour_bar(page: Axes, shown: AxesImage, left: float) -> None:
    """Say beside the rows what the colours of the error maps mean."""
    width, height = page.get_xlim()[1], page.get_ylim()[0]
    below, long = 1.5 * LINE + GAP, height - 2.5 * LINE - GAP
    place = ((left + 0.05) / width, below / height, 0.12 / width, long / height)
    axes = page.figure.add_axes(place)
    bar = page.figure.colorbar(shown, cax=axes, extend="max")
    bar.set_label("absolute error", fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
