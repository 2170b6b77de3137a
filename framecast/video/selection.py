"""What a reader is asked for: which frames, what size, grey or not; the same for every family.

Shapes: C channels, H height, W width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from framecast.errors import InputError
from framecast.video.limits import PIXELS

Pictures: TypeAlias = Iterator[tuple[NDArray[np.uint8], float]]
"""frame_HWC after frame_HWC, each with its time in seconds since the start."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class CutShort(InputError):
    """A file breaks off in the middle; the frames that came before are good."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Frames start, start + every, … below stop, scaled to `size`, in grey if wished.

    Raises:
        InputError: a number is out of range.
    """

    start: int = 0
    stop: int | None = None
    every: int = 1
    size: tuple[int, int] | None = None
    grey: bool = False

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
    shrinks = height <= frame_HWC.shape[0] and width <= frame_HWC.shape[1]
    kernel = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    if frame_HWC.dtype == np.uint8 and frame_HWC.shape[2] == 3:
        return np.asarray(Image.fromarray(frame_HWC).resize((width, height), kernel))
    channels = [
        Image.fromarray(np.ascontiguousarray(channel_HW))
        for channel_HW in np.moveaxis(frame_HWC, 2, 0)
    ]
    resized = [np.asarray(channel.resize((width, height), kernel)) for channel in channels]
    return np.stack(resized, axis=2)


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
