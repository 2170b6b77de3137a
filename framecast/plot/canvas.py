"""What all pictures share: frames ready to be shown, colours, and writing a figure to a file.

Shapes: T frames, C channels, H height, W width; 3 is red, green, blue.
"""

import io
from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from framecast.errors import InputError
from framecast.files import write_atomic

Frames: TypeAlias = Tensor | NDArray[np.uint8] | NDArray[np.float32]

INK, FAINT = "#222222", "#8a8a8a"
BLUE, VERMILION, GREY, GREEN = "#0072b2", "#d55e00", "#6f6f6f", "#009e73"  # Okabe and Ito, 2008
# For many curves: without their yellow, which is too pale on white.
COLOURS = (BLUE, VERMILION, GREEN, "#cc79a7", "#e69f00", "#56b4e9", INK, GREY)
LOOKS = ("-", "--", "-.", ":")  # of lines
ERRORS = "inferno"  # perceptually uniform; no error is black, like the background of a grey frame
DPI = 150


def pictures(frames: Frames, name: str = "the frames") -> NDArray[np.float32]:
    """Bring frames into the form in which they are shown.

    Args:
        frames: in [0, 1], or uint8: a tensor (T, C, H, W) or (1, T, C, H, W), or an array
            (T, H, W) or (T, H, W, C). Of four channels the last, transparency, is left out; two, or
            five and more, are shown by their mean.
        name: of the frames, for the message.

    Returns:
        frames_THW3 in [0, 1]; values beyond are clipped, and NaN is black.

    Raises:
        InputError: the frames have another form, or there are none.
    """
    frames_THWC = _channels_last(frames)
    if frames_THWC.ndim != 4 or 0 in frames_THWC.shape:
        fix = "give a tensor (T, C, H, W) or an array (T, H, W, C)"
        raise InputError(name, f"cannot be shown: the shape is {tuple(frames.shape)}", fix)
    scale = 255 if frames_THWC.dtype == np.uint8 else 1
    shown_THWC = np.nan_to_num(frames_THWC.astype(np.float32) / scale).clip(0, 1)
    if shown_THWC.shape[3] in (3, 4):
        return shown_THWC[..., :3]
    return np.repeat(shown_THWC.mean(axis=3, keepdims=True), 3, axis=3)


def _channels_last(frames: Frames) -> NDArray[np.generic]:
    if not isinstance(frames, Tensor):
        array = np.asarray(frames)
        return array[..., None] if array.ndim == 3 else array
    one = frames[0] if frames.ndim == 5 and len(frames) == 1 else frames
    tensor = one.detach().cpu()
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return tensor.movedim(-3, -1).numpy() if tensor.ndim >= 3 else tensor.numpy()


def alike(truth: Frames, forecast: Frames) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both as frames_THW3; what the truth does not know counts in no score, and is black in both.

    Raises:
        InputError: they cannot be shown, or differ in number or size.
    """
    truth_THW3, forecast_THW3 = pictures(truth, "the truth"), pictures(forecast, "the forecast")
    if truth_THW3.shape != forecast_THW3.shape:
        sizes = f"{forecast_THW3.shape[:3]}, the truth {truth_THW3.shape[:3]}"
        raise InputError("the forecast", f"is (T, H, W) = {sizes}", "give frames of the same times")
    missing_THW1 = np.isnan(_channels_last(truth)).all(axis=3, keepdims=True)
    return truth_THW3, np.where(missing_THW1, truth_THW3, forecast_THW3)


def errors(
    truth_THW3: NDArray[np.float32], forecast_THW3: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Absolute error of each pixel, and the error to be shown in the brightest colour.

    Returns:
        errors_THW in [0, 1], the mean over the colours, and a number of two digits that all but one
        in a thousand do not exceed: natural scenes have errors far below 1.
    """
    errors_THW: NDArray[np.float32] = np.abs(forecast_THW3 - truth_THW3).mean(axis=3)
    return errors_THW, max(float(f"{np.quantile(errors_THW, 0.999):.2g}"), 0.01)


def spread(count: int, most: int) -> list[int]:
    """At most so many indices, evenly from the first to the last."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})


def figure(width: float, height: float) -> Figure:
    """An empty figure in inches, off any global state of matplotlib."""
    new = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(new)
    return new


def save(axes: Axes, path: str | Path) -> Path:
    """Write the figure of these axes as PNG, whole or not at all.

    Raises:
        InputError: the suffix is not .png, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(path, "is no name for a picture", "let it end in .png")
    content = io.BytesIO()
    axes.figure.canvas.print_figure(content, format="png")
    write_atomic(path, content.getvalue())
    return path
