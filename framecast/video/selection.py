"""What a reader is asked for: which frames, what size, grey or not; the same for every family.

Shapes: C channels, H height, W width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from framecast.errors import InputError
from framecast.video.limits import PIXELS

Pictures: TypeAlias = Iterator[tuple[NDArray[np.uint8], float]]
"""frame_HWC after frame_HWC, each with its time in seconds since the start."""

Pulse: TypeAlias = Callable[[], None]
"""Called by what decodes, again and again, as a sign of life."""

FIX = "give another file, or convert it to mp4 first"
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class CutShort(InputError):
    """A file breaks off in the middle; the frames that came before are good."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Frames start, start + every, … below stop, scaled to `size`, in grey if wished.

    `variable` is the name of one in a grid file, or "index": the index into a palette of colours.

    Raises:
        InputError: a number is out of range.
    """

    start: int = 0
    stop: int | None = None
    every: int = 1
    size: tuple[int, int] | None = None
    grey: bool = False
    variable: str | None = None

    def __post_init__(self) -> None:
        if self.start < 0:
            raise InputError("start", f"is {self.start}", "count frames from 0")
        if self.stop is not None and self.stop <= self.start:
            raise InputError("stop", f"is {self.stop}", f"give a number above start, {self.start}")
        if self.every < 1:
            raise InputError("every", f"is {self.every}", "give 1 or more")
        if self.size is not None and min(self.size) < 1:
            raise InputError("size", f"is {self.size}", "give a height and a width in pixels")
        if self.size is not None and self.size[0] * self.size[1] > PIXELS:
            raise InputError("size", f"is {self.size}", f"give one of at most {PIXELS} pixels")


def check_pixels(width: int, height: int) -> None:
    """Refuse a frame before it is made.

    Raises:
        InputError: it has no pixels, or too many.
    """
    if not 0 < width * height <= PIXELS:
        what = f"has frames of {width}×{height} pixels, the limit is {PIXELS} pixels"
        raise InputError("file", what, "make them smaller with another program")


def fit(
    frame_HWC: NDArray[Any], size: tuple[int, int] | None = None, grey: bool = False
) -> NDArray[Any]:
    """Scale a frame to `size` (height, width) and to one channel of luma, where asked for.

    The type stays, uint8 or float32. Every smaller pixel is the mean of the known pixels that it
    covers, and missing (NaN) when less than half of it is known.

    Raises:
        InputError: grey is asked of a frame with neither 1, 3 nor 4 channels.
    """
    if size is not None and size != frame_HWC.shape[:2]:
        missing = frame_HWC.dtype == np.float32 and np.isnan(frame_HWC).any()
        frame_HWC = (_scale_known if missing else _scale)(frame_HWC, size)
    return _luma(frame_HWC) if grey and frame_HWC.shape[2] != 1 else frame_HWC


def _scale(frame_HWC: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    height, width = size
    if height <= frame_HWC.shape[0] and width <= frame_HWC.shape[1]:
        narrow_WHC = _means(_means(frame_HWC, height).swapaxes(0, 1), width)
        means_HWC = narrow_WHC.swapaxes(0, 1)
        return np.rint(means_HWC).astype(np.uint8) if frame_HWC.dtype == np.uint8 else means_HWC
    channels = [
        Image.fromarray(np.ascontiguousarray(channel_HW))
        for channel_HW in np.moveaxis(frame_HWC, 2, 0)
    ]
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(each.resize((width, height), bilinear)) for each in channels], 2)


def _means(frame_HWC: NDArray[Any], height: int) -> NDArray[np.float32]:
    """Make each line the mean of those that it covers, in parts at its edges."""
    edges = np.arange(height + 1) * (len(frame_HWC) / height)
    first, last = edges[:-1].astype(int), np.ceil(edges[1:] - 1e-9).astype(int) - 1
    means_HWC = np.zeros((height, *frame_HWC.shape[1:]), np.float32)
    for step in range((last - first).max() + 1):
        line = np.minimum(first + step, last)  # a missing value must not reach other lines
        covered = np.minimum(line + 1, edges[1:]) - np.maximum(line, edges[:-1])
        share = (covered * (first + step <= last) / np.diff(edges)).astype(np.float32)
        means_HWC += share[:, None, None] * frame_HWC[line]
    return means_HWC


def _scale_known(frame_HWC: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    missing_HWC = np.isnan(frame_HWC)
    share_HWC = _scale((~missing_HWC).astype(np.float32), size)
    sum_HWC = _scale(np.where(missing_HWC, np.float32(0), frame_HWC), size)
    scaled_HWC = np.full_like(sum_HWC, np.nan)
    np.divide(sum_HWC, share_HWC, out=scaled_HWC, where=share_HWC >= 0.5)
    return scaled_HWC


def _luma(frame_HWC: NDArray[Any]) -> NDArray[Any]:
    if frame_HWC.shape[2] not in (3, 4):
        what = f"is asked of frames with {frame_HWC.shape[2]} channels"
        raise InputError("grey", what, "leave it out: only colour can be made grey")
    luma_HW1 = (frame_HWC[:, :, :3] @ LUMA)[:, :, None]
    return (luma_HW1 + 0.5).astype(np.uint8) if frame_HWC.dtype == np.uint8 else luma_HW1
