"""In a notebook: a player of clips and forecasts, and a curve that grows while a model trains.

Shapes: T frames, N future frames, H height, W width; 3 is red, green, blue.
"""

import io
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from framecast import plot
from framecast.clip import Clip, to_tensor
from framecast.errors import InputError
from framecast.models.forecaster import Forecaster
from framecast.train.loop import Progress, Watch
from framecast.video.write import write

EVERY = 1.0  # seconds between two pictures of a training, at least
SHARE = 0.05  # of the time of a training may go into its pictures
INSTALL = "pip install 'framecast[notebook]'"


def show(clip: Clip, truth: Clip | None = None, *, past: Clip | None = None) -> Any:
    """Show a clip or a forecast in a notebook: play, stop, go to a frame.

    Args:
        clip: any clip; a forecast where `truth` is given.
        truth: what really followed. Then truth, forecast and error stand side by side, and below
            them the error by lead time, beside that of repeating the last frame of `past`.
        past: the frames before the forecast, shown first.

    Returns:
        A widget, or an animated picture where ipywidgets is not installed.

    Raises:
        InputError: this is no notebook, or the frames differ in number or size.
    """
    display = _display()
    clip_1TCHW = to_tensor(clip)
    if truth is None:
        canvases_THW3 = plot.enlarged(clip_1TCHW)
        below = []
    else:
        # Measured values that were read apart have ranges of their own.
        truth_1NCHW = to_tensor(truth.scaled_as(clip.scaling))
        past_1MCHW = None if past is None else to_tensor(past.scaled_as(clip.scaling))
        canvases_THW3 = plot.side_by_side(past_1MCHW, truth_1NCHW, clip_1TCHW)
        below = [_lead_curve(clip_1TCHW, truth_1NCHW, past_1MCHW)]
    seconds = min(max(clip.seconds_per_frame, 0.05), 1.0)
    try:
        import ipywidgets
    except ImportError:
        return display.Image(data=_gif(canvases_THW3, seconds))
    return _player(ipywidgets, canvases_THW3, seconds, below)


def live_curve() -> Watch:
    """What `framecast.train(…, watches=[live_curve()])` calls: draws loss and validation error.

    Raises:
        InputError: this is no notebook.
    """
    display = _display()
    handle = display.display(display.HTML("training"), display_id=True)
    rows: list[dict[str, Any]] = []
    due = 0.0

    def watch(_: Forecaster, news: Progress) -> None:
        nonlocal due
        mse = news.validation_mse
        row = {"step": news.step, "loss": news.loss, "validation_mse": mse}
        rows.append({**row, "lr": news.learning_rate})
        began = time.monotonic()
        if news.share >= 1 or began >= due:
            handle.update(display.Image(data=_curves(rows)))
            ended = time.monotonic()
            due = ended + max(EVERY, (ended - began) / SHARE)

    return watch


def _display() -> Any:
    """IPython's module that shows things."""
    try:
        from IPython import display, get_ipython
    except ImportError:
        raise InputError("a notebook", "needs ipywidgets", INSTALL) from None
    if get_ipython() is None:
        raise InputError("this program", "is no notebook", "write(clip, 'clip.gif') instead")
    return display


def _player(
    widgets: Any, canvases_THW3: NDArray[np.uint8], seconds: float, below: list[bytes]
) -> Any:
    """Buttons, a slider, and the picture of the frame that they say."""
    pictures = [_png(canvas_HW3) for canvas_HW3 in canvases_THW3]
    last = len(pictures) - 1
    shown = widgets.Image(value=pictures[0], format="png")
    play = widgets.Play(max=last, interval=round(1000 * seconds), repeat=True)
    slider = widgets.IntSlider(max=last, description="frame")
    widgets.jslink((play, "value"), (slider, "value"))

    def turn(change: dict[str, Any]) -> None:
        shown.value = pictures[change["new"]]

    slider.observe(turn, names="value")
    curves = [widgets.Image(value=curve, format="png") for curve in below]
    return widgets.VBox([shown, widgets.HBox([play, slider]), *curves])


def _lead_curve(forecast_1NCHW: Tensor, truth_1NCHW: Tensor, past_1MCHW: Tensor | None) -> bytes:
    """Mean squared error of each frame, per pixel in [0, 1]."""
    forecasts = {"forecast": forecast_1NCHW}
    if past_1MCHW is not None:
        forecasts = {"last frame repeated": past_1MCHW[:, -1:], **forecasts}
    curves = {
        name: [(frames - truth_1NCHW).square().nanmean(dim=(0, 2, 3, 4)).tolist()]
        for name, frames in forecasts.items()
    }
    with TemporaryDirectory() as folder:
        path = plot.lead_curves(curves, Path(folder, "curve.png"), score="MSE per pixel")
        return path.read_bytes()


def _curves(rows: list[dict[str, Any]]) -> bytes:
    with TemporaryDirectory() as folder:
        return plot.training_curves(rows, Path(folder, "curves.png")).read_bytes()


def _png(picture_HW3: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture_HW3).save(content, "png")
    return content.getvalue()


def _gif(canvases_THW3: NDArray[np.uint8], seconds: float) -> bytes:
    with TemporaryDirectory() as folder:
        return write(Clip(canvases_THW3, seconds), Path(folder, "clip.gif")).read_bytes()
