"""The pictures of the documentation that the project draws: `python -m docs.pictures [RUN]`."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch

from framecast.checkpoint import load
from framecast.clip import Clip, to_clip
from framecast.data import open_data
from framecast.explain import explain
from framecast.plot.canvas import BLUE, FAINT, GREEN, INK, VERMILION, figure, save
from framecast.report import write_explanation

IMAGES = Path(__file__).parent / "images"
GATES = (("f", "forget", 2.6, GREEN), ("i", "input", 4.2, BLUE), ("g", "candidate", 5.8, INK))
SHIPPED = "conv_lstm/moving_mnist"
KEEP, SHOW = 4.3, 1.05  # heights of the line of the cell, and of what comes in


def draw_cell() -> Path:
    """One step of a ConvLSTM cell, as a diagram."""
    axis = figure(9, 4.6).add_subplot()
    axis.set(xlim=(0, 11), ylim=(0, 5.4))
    axis.axis("off")
    axis.add_patch(
        FancyBboxPatch((1.6, 0.5), 7.9, 4.4, boxstyle="round,pad=0.1", fc="#f7f7f7", ec=FAINT)
    )
    _arrow(axis, (0.2, KEEP), (10.8, KEEP))
    _text(axis, 0.75, KEEP + 0.28, "cell c⁻")
    _text(axis, 10.2, KEEP + 0.28, "cell c")
    _arrow(axis, (0.2, SHOW), (7.4, SHOW), tip=False)
    _text(axis, 0.8, SHOW + 0.28, "x and h⁻")
    _text(axis, 3.4, SHOW - 0.3, "one convolution for all four", FAINT)
    for symbol, name, x, colour in GATES:
        _gate(axis, symbol, name, x, colour)
    _operation(axis, "×", 2.6, KEEP)
    _operation(axis, "×", 5.0, 3.3)
    _operation(axis, "+", 5.0, KEEP)
    _arrow(axis, (2.6, 2.45), (2.6, KEEP - 0.2))
    _arrow(axis, (4.2, 2.45), (4.85, 3.15))
    _arrow(axis, (5.8, 2.45), (5.15, 3.15))
    _arrow(axis, (5.0, 3.5), (5.0, KEEP - 0.2))
    _gate(axis, "o", "output", 7.4, VERMILION)
    _operation(axis, "×", 8.5, 2.9)
    _arrow(axis, (7.55, 2.45), (8.33, 2.8))
    _arrow(axis, (8.5, KEEP), (8.5, 3.1))
    _text(axis, 8.85, 3.65, "tanh")
    _arrow(axis, (8.7, 2.9), (10.8, 2.9))
    _text(axis, 10.2, 3.18, "hidden h")
    return save(axis, IMAGES / "cell.png")


def _gate(axis: Axes, symbol: str, name: str, x: float, colour: str) -> None:
    _arrow(axis, (x, SHOW), (x, 1.75))
    box = FancyBboxPatch(
        (x - 0.42, 1.8), 0.84, 0.6, boxstyle="round,pad=0.04", fc="white", ec=colour
    )
    axis.add_patch(box)
    _text(axis, x, 2.1, f"{'tanh' if symbol == 'g' else 'σ'}", colour)
    _text(axis, x + 0.1, 1.5, f"{symbol}: {name}", colour, align="left")


def _operation(axis: Axes, sign: str, x: float, y: float) -> None:
    axis.add_patch(Circle((x, y), 0.19, fc="white", ec=INK, zorder=3))
    axis.text(x, y - 0.015, sign, ha="center", va="center", fontsize=13, color=INK, zorder=4)


def _arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], *, tip: bool = True
) -> None:
    look = {"arrowstyle": "-|>" if tip else "-", "color": INK, "linewidth": 1.3}
    axis.annotate("", end, start, arrowprops={**look, "shrinkA": 0, "shrinkB": 0})


def _text(
    axis: Axes, x: float, y: float, text: str, colour: str = INK, align: str = "center"
) -> None:
    axis.text(x, y, text, ha=align, va="center", fontsize=11, color=colour)


def draw_explained(run: str) -> Path:
    """What a forecast of two drawn digits hangs on."""
    past_BMCHW = open_data("moving_digits", {}).test.batch(np.arange(1))[:, :10]
    like = Clip(np.zeros((1, *past_BMCHW.shape[-2:], 1), np.uint8))
    found = explain(load(run), to_clip(past_BMCHW, like), horizon=10)
    return write_explanation(found, IMAGES / "explained.png")


if __name__ == "__main__":
    draw_cell()
    draw_explained(sys.argv[1] if len(sys.argv) > 1 else SHIPPED)
