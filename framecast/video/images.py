"""Animated pictures (gif, webp, apng) and folders of pictures, read and written with Pillow.

Shapes: T frames, C channels, H height, W width.
"""

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from framecast.errors import InputError
from framecast.video.selection import Pictures, Selection
from framecast.video.worker import decode

MAGIC = re.compile(
    rb"GIF8|\x89PNG|\xff\xd8\xff|RIFF.{4}WEBP|.{4}ftypavi[fs]|BM.{4}\0\0\0\0|II\*\0|MM\0\*",
    re.DOTALL,
)
# What needs no second look: the animated kinds of these are told by their first bytes.
STILL = re.compile(
    rb"\xff\xd8\xff|BM|RIFF.{4}WEBPVP8[ L]|.{4}ftypavif|\x89PNG(?!.*acTL)", re.DOTALL
)
SAMPLE = 500_000  # pixels that the colours of a gif are chosen from


def in_order(folder: Path) -> list[Path]:
    """What is in a folder, hidden files apart, with frame 9 before frame 10.

    Raises:
        InputError: the folder cannot be opened.
    """

    def numbers(path: Path) -> list[tuple[bool, int, str]]:
        parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
        return [(False, int(p), "") if p.isdecimal() else (True, 0, p) for p in parts]

    try:
        return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=numbers)
    except OSError as error:
        what = f"cannot be opened ({error.strerror})"
        raise InputError(folder, what, "check its permissions") from None


def stills(folder: Path) -> list[Path]:
    """The pictures of a folder that do not move, in natural order of their names."""
    return [path for path in in_order(folder) if path.is_file() and _is_still(path)]


def decode_animation(path: Path, selection: Selection) -> Pictures:
    """Yield the whole frames of an animated picture, transparency on black, and their times.

    Raises:
        InputError: the file cannot be read as a picture.
        CutShort: it breaks off after some frames.
    """
    return decode("animation", path, selection)


def decode_stills(paths: list[Path], selection: Selection) -> Pictures:
    """Yield pictures of one size as frames; the folder does not say their times.

    Raises:
        InputError: a picture is broken, or differs from the first in size or colour.
    """
    shape, each = None, Selection(size=selection.size, grey=selection.grey)
    for path in paths[selection.start : selection.stop : selection.every]:
        for picture_HWC, time in decode("still", path, each):
            shape = shape or picture_HWC.shape
            if picture_HWC.shape != shape:
                what = f"is {_say(picture_HWC.shape)}, the first picture is {_say(shape)}"
                raise InputError(path, what, "take it out, or give a size and grey for all")
            yield picture_HWC, time


def _is_still(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(2**16)
    except OSError:
        return True  # what cannot be read is named when it is its turn
    if not MAGIC.match(head):
        return False
    return bool(STILL.match(head)) or not [*decode("moves", path, Selection())]


def _say(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]} in {'grey' if shape[2] == 1 else 'colour'}"


def encode_gif(path: Path, frames_THWC: NDArray[np.uint8], seconds: float) -> None:
    """Write an animation that repeats for ever; grey keeps its 256 shades.

    Colour gets one palette for the whole clip and no dither, so that what stands still does not
    flicker. Frames equal to the one before are stored as a longer time of that one.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    frames = _grey_or_palette(frames_THWC)
    times = {"duration": _durations(len(frames), seconds, tick=10), "loop": 0}
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], **times)


def encode_webp(path: Path, frames_THWC: NDArray[np.uint8], seconds: float) -> None:
    """Write an animation that repeats for ever, in exact colours, smaller than a gif.

    Frames equal to the one before are stored as a longer time of that one.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    frames = [
        Image.fromarray(frame_HWC)
        for frame_HWC in np.repeat(frames_THWC, 3 // frames_THWC.shape[3], 3)
    ]
    times = {"duration": _durations(len(frames), seconds, tick=1), "loop": 0}
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:], lossless=True, **times)


def _durations(count: int, seconds: float, tick: int) -> list[int]:
    """How many milliseconds to show each frame, in whole ticks that add up; 20 at the least."""
    shown_T = np.diff(np.round(np.arange(count + 1) * seconds * 1000 / tick)) * tick
    return [int(each) for each in np.maximum(shown_T, 20)]


def encode_strip(path: Path, frames_THWC: NDArray[np.uint8], gap: int = 2) -> None:
    """Write all frames side by side into one png, with a gap of grey pixels between them.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    gapped_THWC = np.pad(frames_THWC, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=128)
    strip_HWC = np.concatenate(gapped_THWC, axis=1)[:, :-gap]
    _image(strip_HWC).save(path, "PNG")


def encode_folder(path: Path, frames_THWC: NDArray[np.uint8]) -> None:
    """Write frame_0000.png, frame_0001.png, … into a new folder.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    path.mkdir()
    for number, frame_HWC in enumerate(frames_THWC):
        _image(frame_HWC).save(path / f"frame_{number:04}.png", "PNG")


def _image(frame_HWC: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frame_HWC[:, :, 0] if frame_HWC.shape[2] == 1 else frame_HWC)


def _grey_or_palette(frames_THWC: NDArray[np.uint8]) -> list[Image.Image]:
    images = [_image(frame_HWC) for frame_HWC in frames_THWC]
    if frames_THWC.shape[3] == 1:
        return images
    exact = _exact_palette(frames_THWC)
    if exact:
        return exact
    step = math.ceil(math.sqrt(frames_THWC[..., 0].size / SAMPLE))
    sample_HWC = np.concatenate(frames_THWC[:, ::step, ::step])
    # Of Pillow's methods this one keeps small vivid things, and is a hundred times faster too.
    palette = Image.fromarray(sample_HWC).quantize(256, Image.Quantize.FASTOCTREE)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


def _exact_palette(frames_THWC: NDArray[np.uint8]) -> list[Image.Image]:
    """The frames with a palette of their own colours, or nothing when there are more than 256."""
    codes = [frame_HWC @ np.array([2**16, 2**8, 1], np.int32) for frame_HWC in frames_THWC]
    seen = np.zeros(2**24, bool)
    for code_HW in codes:
        seen[code_HW] = True
    colours = np.flatnonzero(seen)
    if len(colours) > 256:
        return []
    place = np.zeros(2**24, np.uint8)
    place[colours] = np.arange(len(colours))
    images = [Image.fromarray(place[code_HW]) for code_HW in codes]
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    for image in images:
        image.putpalette(palette.astype(np.uint8).tobytes())
    return images
