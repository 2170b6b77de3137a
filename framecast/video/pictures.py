"""Decoding pictures with Pillow; runs in the child process alone.

Shapes: C channels, H height, W width.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageOps, UnidentifiedImageError

from framecast.errors import InputError
from framecast.video.limits import PICTURE_FRAMES, PIXELS
from framecast.video.selection import CutShort, Pictures, Pulse, Selection, check_pixels, fit

# No kind that runs a program or reads a script.
KINDS = ("GIF", "PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF")
BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error
)  # fmt: skip
GREY = ("1", "L", "LA")


def animation(file: BinaryIO, selection: Selection, pulse: Pulse) -> Pictures:
    """Yield the whole frames of an animated picture, transparency on black, and their times.

    Raises:
        InputError: the file cannot be read as a picture, or is beyond the limits.
        CutShort: it breaks off after some frames.
    """
    size, count = selection.size, 0
    try:
        with _open(file) as image:
            shots = islice(_shots(image, pulse), selection.start, selection.stop, selection.every)
            for frame, time in shots:
                picture_HWC = fit(_pixels(frame, grey=False), size, selection.grey)
                size = picture_HWC.shape[:2]
                count += 1
                yield picture_HWC, time
    except InputError:
        raise
    except BROKEN as error:
        raise (CutShort if count else InputError)("file", *_broken(error)) from None


def still(file: BinaryIO, selection: Selection, pulse: Pulse) -> Pictures:
    """Yield one picture, put upright; it has no time.

    Raises:
        InputError: it is broken, or beyond the limits.
    """
    try:
        with _open(file) as image:
            pulse()
            grey = image.mode in GREY or image.mode.startswith("I;16")
            picture_HWC = _pixels(ImageOps.exif_transpose(image), grey)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError("file", *_broken(error)) from None
    yield fit(picture_HWC, selection.size, selection.grey), float("nan")


def moves(file: BinaryIO, selection: Selection, pulse: Pulse) -> Pictures:
    """Yield one black picture if the file is an animation, and nothing otherwise."""
    try:
        with _open(file) as image:
            if not getattr(image, "is_animated", False):
                return
    except (*BROKEN, InputError):
        return  # a broken picture in a folder is named when it is its turn
    yield np.zeros((1, 1, 1), np.uint8), float("nan")


def _broken(error: Exception) -> tuple[str, str]:
    # Pillow would name the open file, by a number of this process.
    why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
    return f"is a broken picture{why}", "give another file, or take it out"


def _open(file: BinaryIO) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = PIXELS // 2  # Pillow refuses what is above twice this number
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the sandbox has no more
    image = Image.open(file, formats=KINDS)
    check_pixels(image.width, image.height)
    return image


def _shots(image: Image.Image, pulse: Pulse) -> Iterator[tuple[Image.Image, float]]:
    """The frames and their times, up to the real end: headers overstate the number of frames."""
    time = 0.0
    first = 1 if getattr(image, "default_image", False) else 0  # not part of the animation
    count = _count(image)
    if count > PICTURE_FRAMES:
        what = f"says it has {count} frames, more than the {PICTURE_FRAMES} allowed in a picture"
        raise InputError("file", what, "convert it to mp4 first")
    for index in range(first, count):
        try:
            image.seek(index)
        except EOFError:
            return
        image.load()  # webp knows its duration only now
        pulse()
        if image.format == "GIF" and image.mode == "L":
            _give_palette(image)
        yield image, time
        duration = image.info.get("duration", 0) / 1000
        time += duration if duration > 0.01 else 0.1  # as every browser does


def _count(image: Image.Image) -> int:
    """How many frames there may be; of a file that breaks off, those before the break are good."""
    try:
        return getattr(image, "n_frames", 1)
    except BROKEN:
        image.seek(0)
        return PICTURE_FRAMES


def _give_palette(image: Image.Image) -> None:
    """Make a grey first frame one of 256 colours: Pillow's gif reader garbles what follows grey."""
    shades = Image.fromarray(np.asarray(image)).convert("P")
    image.im, image.palette, image._mode = shades.im, shades.palette, "P"


def _pixels(image: Image.Image, grey: bool) -> NDArray[np.uint8]:
    """The pixels of one picture, transparency on black, 16 bits cut to 8."""
    if image.mode in ("I", "F"):
        raise InputError("file", "holds 32-bit values", "store such measurements as .npy")
    if image.mode.startswith("I;16"):
        shades_HW = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(shades_HW[:, :, None], 1 if grey else 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[:, :, None] if grey else pixels
