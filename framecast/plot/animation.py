"""Animations: truth, forecast and error beside each other; truth and the forecasts of many models.

Shapes: P past frames, N future frames, T all frames, H height, W width; 3 is red, green, blue.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.plot.canvas import ERRORS, Frames, alike, errors, pictures
from framecast.video.write import write

PANELS = 3
PANEL = 240  # pixels: small frames are enlarged to about this
MANY, SMALL = 5, 128  # panels in a row, and their pixels, where many models are compared
LARGEST = 320  # pixels: larger frames are reduced to this
NARROWEST = 110  # pixels, for the captions
BAR, GAP = 26, 6  # pixels: caption above, space between panels
FONT = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"  # Pillow's own has no dash
BACKGROUND, PALE, ACCENT = (24, 24, 27), (235, 235, 235), (240, 173, 78)


def side_by_side_gif(
    past: Frames | None,
    truth: Frames,
    forecast: Frames,
    path: str | Path,
    *,
    milliseconds: int = 200,
) -> Path:
    """Animate truth, forecast and absolute error beside each other, after the past frames.

    Args:
        past: frames given to the model, shown first, or None to leave them out.
        truth: N true frames, see `pictures`.
        forecast: N forecast frames.
        path: the .gif to write; .mp4, .webm and .avi work too. Its folder is made.
        milliseconds: time of a frame.

    Raises:
        InputError: the frames cannot be shown or differ, or the file cannot be written.
    """
    path = Path(path)
    canvases = side_by_side(past, truth, forecast)
    _make_folder(path.parent)
    return write(Clip(canvases, seconds_per_frame=milliseconds / 1000), path)


def side_by_side(past: Frames | None, truth: Frames, forecast: Frames) -> NDArray[np.uint8]:
    """The pictures of that animation: canvas_THW3, those of the past first.

    Raises:
        InputError: the frames cannot be shown or differ.
    """
    truth_NHW3, forecast_NHW3 = alike(truth, forecast)
    past_PHW3 = truth_NHW3[:0] if past is None else pictures(past, "the past")
    if past_PHW3.shape[1:] != truth_NHW3.shape[1:]:
        sizes = f"{past_PHW3.shape[1:3]}, the truth {truth_NHW3.shape[1:3]}"
        raise InputError("the past", f"is (H, W) = {sizes}", "give frames of one size")
    count = len(past_PHW3)
    canvases = [
        _canvas([frame_HW3] * 2, [f"past {index} of {count}"] * 2)
        for index, frame_HW3 in enumerate(_few_greys(past_PHW3), start=1)
    ]
    errors_NHW, brightest = errors(truth_NHW3, forecast_NHW3)
    colours_NHW3 = matplotlib.colormaps[ERRORS](_steps(errors_NHW / brightest, 48))[..., :3]
    panels = zip(_few_greys(truth_NHW3), _few_greys(forecast_NHW3), colours_NHW3, strict=True)
    canvases += [
        _canvas(frames, [f"truth +{lead}", f"forecast +{lead}", f"error 0–{brightest:g}"])
        for lead, frames in enumerate(panels, start=1)
    ]
    return np.stack(canvases)


def enlarged(frames: Frames) -> NDArray[np.uint8]:
    """Frames in the size in which they are looked at: frames_THW3."""
    return np.stack([np.asarray(_panel(frame_HW3, PANEL)) for frame_HW3 in pictures(frames)])


def models_gif(
    past: Frames,
    truth: Frames,
    forecasts: Mapping[str, Frames],
    path: str | Path,
    *,
    milliseconds: int = 200,
) -> Path:
    """Animate the truth and the forecasts of many models beside each other, after the past frames.

    Args:
        past: frames given to the models.
        truth: N true frames, see `pictures`.
        forecasts: N frames of each model, by its name.
        path: the .gif to write. Its folder is made.
        milliseconds: time of a frame.

    Raises:
        InputError: the frames cannot be shown or differ, or the file cannot be written.
    """
    shown = {name: alike(truth, forecast) for name, forecast in forecasts.items()}
    films = [pictures(truth, "the truth"), *(forecast for _, forecast in shown.values())]
    columns = min(MANY, len(films))
    canvases = [
        _canvas([frame_HW3] * len(films), ["past", *shown], columns, SMALL)
        for frame_HW3 in pictures(past, "the past")
    ]
    canvases += [
        _canvas(frames, [f"truth +{lead}", *shown], columns, SMALL)
        for lead, frames in enumerate(zip(*films, strict=True), start=1)
    ]
    path = Path(path)
    _make_folder(path.parent)
    return write(Clip(np.stack(canvases), seconds_per_frame=milliseconds / 1000), path)


def _few_greys(frames_THW3: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half of the 256 shades of grey: a GIF has 256 colours, and the error needs some of them."""
    grey = not np.ptp(frames_THW3, axis=3).any()
    return _steps(frames_THW3, 128) if grey else frames_THW3


def _steps(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.rint(values * (count - 1)).astype(np.float32) / np.float32(count - 1)


def _canvas(
    frames: Sequence[NDArray[np.float32]],
    captions: Sequence[str],
    columns: int = PANELS,
    side: int = PANEL,
) -> NDArray[np.uint8]:
    """Lay out frames in rows, with their captions: canvas_HW3."""
    panels = [_panel(frame_HW3, side) for frame_HW3 in frames]
    width, height = panels[0].size
    step, rows = max(width, NARROWEST) + GAP, -(-len(panels) // columns)
    size = columns * step + GAP, rows * (BAR + height + GAP)
    canvas = Image.new("RGB", size, BACKGROUND)
    for index, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        left = GAP + index % columns * step
        top = index // columns * (BAR + height + GAP)
        canvas.paste(panel, (left + (step - GAP - width) // 2, top + BAR))
        colour = ACCENT if caption.startswith("forecast") else PALE
        canvas.paste(colour, (left, top), _lettering(caption, step - GAP))
    return np.asarray(canvas)


def _lettering(caption: str, width: int) -> Image.Image:
    """A mask of the text, with four levels only: its soft edges are not to use up the palette."""
    mask = Image.new("L", (width, BAR))
    middle, sizes = (width / 2, BAR / 2), (13, 11, 9, 7)
    fonts = [ImageFont.truetype(FONT, size) for size in sizes]
    font = next((font for font in fonts if font.getlength(caption) <= width), fonts[-1])
    ImageDraw.Draw(mask).text(middle, caption, 255, font, anchor="mm")
    return mask.point([level // 64 * 85 for level in range(256)])


def _panel(frame_HW3: NDArray[np.float32], side: int) -> Image.Image:
    """One frame: pixels of a small one become squares, a large one is reduced."""
    image = Image.fromarray(np.rint(255 * frame_HW3).astype(np.uint8))
    longer = max(image.size)
    if longer > LARGEST:
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        return image
    times = max(1, round(side / longer))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(folder, f"cannot be made ({reason})", "choose another folder") from None
