"""Many models in one chart: curves beside each other, and points of error against cost."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from framecast.errors import InputError
from framecast.plot.canvas import BLUE, COLOURS, FAINT, GREY, INK, LOOKS, figure, save
from framecast.plot.curves import tidy

MARKERS = "osD^vPX*<>"
APART, WIDE = 11, 5.0  # of a line of text and of a letter, in points

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def compare_curves(
    curves: Series, path: str | Path, *, x: str, y: str, whole: bool = False
) -> Path:
    """Draw a curve for each model, in the order in which they are given.

    Args:
        curves: x and y values by name.
        path: the .png to write.
        x: what is below the axis, with its unit.
        y: what is beside it.
        whole: x are whole numbers.

    Raises:
        InputError: there is no curve, or the file cannot be written.
    """
    if not curves:
        raise InputError("the curves", "are none", "give at least one model")
    drawn = figure(9.0, 4.4)
    axis = drawn.subplots()
    for index, (name, (x_P, y_P)) in enumerate(curves.items()):
        look = LOOKS[index // len(COLOURS) % len(LOOKS)]
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axis.plot(x_P, y_P, look, color=colour, marker=marker, ms=4, linewidth=1.5, label=name)
    tidy(axis)
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(10, integer=whole))
    axis.set_xlabel(x, color=INK)
    axis.set_ylabel(y, color=INK)
    drawn.legend(loc="outside right upper", frameon=False, labelcolor=INK, fontsize=8)
    return save(axis, path)


def frontier(
    points: Mapping[str, tuple[float, float]],
    path: str | Path,
    *,
    x: str,
    y: str,
    beside: Mapping[str, tuple[float, float]] | None = None,
    aside: str = "",
) -> Path:
    """Draw error against cost, both logarithmic; a line joins what nothing cheaper is better than.

    Args:
        points: cost and error by name, both above 0.
        path: the .png to write.
        x: the cost, with its unit.
        y: the error, with its unit.
        beside: what others say of theirs; pale, and not part of the line.
        aside: what these are, for the legend.

    Raises:
        InputError: there is no point, or the file cannot be written.
    """
    if not points:
        raise InputError("the points", "are none", "give at least one model")
    drawn = figure(9.0, 4.8)
    axis = drawn.subplots()
    axis.set_xscale("log")
    axis.set_yscale("log")
    pairs = sorted(points.values())
    axis.step(
        *zip(*unbeaten(pairs), strict=True), where="post", color=FAINT, linewidth=1.2, zorder=1
    )
    axis.plot(*zip(*pairs, strict=True), "o", color=BLUE, ms=6, zorder=3)
    others = beside or {}
    if others:
        costs, errors = zip(*others.values(), strict=True)
        axis.plot(costs, errors, "o", mfc="none", color=GREY, ms=5, zorder=2, label=aside)
        axis.legend(frameon=False, labelcolor=GREY, fontsize=8)
    tidy(axis)
    axis.margins(x=0.18, y=0.12)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for part in (axis.xaxis, axis.yaxis):
        part.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        part.set_minor_formatter(NullFormatter())
    axis.set_xlabel(x, color=INK)
    axis.set_ylabel(y, color=INK)
    drawn.draw_without_rendering()  # places are known from here on
    names = [(*at, name, INK) for name, at in points.items()]
    _label(axis, names + [(*at, name, GREY) for name, at in others.items()])
    return save(axis, path)


def unbeaten(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of which no other costs as little and errs as little, by rising cost."""
    found: list[tuple[float, float]] = []
    for cost, error in sorted(points):
        if not found or error < found[-1][1]:
            found.append((cost, error))
    return found


def _label(axis: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Names right of the points, moved up where they would lie on one another."""
    scale = axis.figure.dpi / 72
    taken: list[tuple[float, float, float]] = []
    for cost, error, name, colour in sorted(points, key=lambda point: point[1]):
        left, at = axis.transData.transform((cost, error)) / scale
        width, up = WIDE * len(name), at
        while any(abs(up - y) < APART and left < x + w and x < left + width for x, y, w in taken):
            up += 1
        taken.append((left, up, width))
        axis.annotate(
            name,
            (cost, error),
            (7, up - at - 3),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.5},
            arrowprops={"arrowstyle": "-", "color": FAINT, "lw": 0.5} if up > at else None,
        )
