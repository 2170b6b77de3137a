"""An uploaded file as a clip: its last frames, decoded in the child process, then forgotten.

The file has no name on the disk, so that it is gone with the request, even if the server is killed.

Shapes: T frames, C channels, H height, W width.
"""

import time
from collections import deque
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video import arrays
from framecast.video.pace import steps
from framecast.video.read import family, frames, read
from framecast.video.selection import CutShort
from framecast.web.asking import Ask
from framecast.web.limits import LARGEST_SIDE

KINDS = ("container", "picture", "array")
DESCRIPTORS = Path("/dev/fd")


def read_last(file: BinaryIO, name: str, count: int, ask: Ask, until: float) -> Clip:
    """Read the last frames of an upload.

    Args:
        file: open, with no name on the disk.
        name: that its sender gave it, for messages.
        count: frames, at most.
        ask: which of the frames, and how large.
        until: a moment of `time.monotonic`.

    Raises:
        InputError: it is no video, or no array.
        TimeoutError: it was not read in time.
    """
    path = DESCRIPTORS / str(file.fileno())
    try:
        kind = family(path)
        if kind not in KINDS or (kind == "array" and not _is_npy(path)):
            fix = "give a film (mp4, avi, webm, …), a gif or an .npy array"
            raise InputError(path, "is of a kind that the server does not read", fix)
        if kind == "array":
            clip = _array(path, count, ask.every, ask.size)
        else:
            clip = _film(path, count, ask.every, ask.size, until)
    except InputError as error:
        where = name if error.where == str(path) else error.where
        raise InputError(where, error.what, error.fix) from None
    return replace(clip, source=name)


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(arrays.NUMPY)) == arrays.NUMPY


def _array(path: Path, count: int, every: int, side: int | None) -> Clip:
    shape = arrays.load(path).shape
    size = _fitted((shape[1], shape[2]), side) if len(shape) in (3, 4) else None
    length = shape[0] if shape else 0
    start = max(0, -(-length // every) - count) * every  # no more frames than needed are scaled
    last = read(path, start=start, every=every, size=size)
    # A copy: the file, or the whole of its values, is let go of.
    return replace(last, frames_THWC=last.frames_THWC.copy())


def _film(path: Path, count: int, every: int, side: int | None, until: float) -> Clip:
    first = [picture_HWC.shape for picture_HWC, _ in islice(frames(path, stop=1), 1)]
    if not first:
        raise InputError(path, "has no frame", "give another file")
    size = _fitted(first[0][:2], side)
    last: deque[NDArray[np.uint8]] = deque(maxlen=count)
    times: list[float] = []
    try:
        for picture_HWC, seconds in frames(path, every=every, size=size):
            last.append(picture_HWC)
            times.append(seconds)
            if time.monotonic() > until:
                raise TimeoutError
    except CutShort:  # what came before the break can be forecast
        pass
    if not last:
        raise InputError(path, "has no frame", "give another file")
    # Of the whole film, as when it is read from a file: a part may look less even than it is.
    index_T, step, _ = steps(np.array(times), None, path)
    frames_THWC = np.stack(last)
    if index_T is not None:
        shown_T = index_T[-count:] - (len(times) - len(last))
        frames_THWC = frames_THWC[shown_T[shown_T >= 0]]
    return Clip(frames_THWC, step, source=str(path))


def _fitted(size: tuple[int, ...], side: int | None) -> tuple[int, int] | None:
    """Height and width with this longer side; None for frames that stay as they are."""
    longer = max(size)
    wanted = min(longer, LARGEST_SIDE) if side is None else side
    if longer in (0, wanted):
        return None
    height, width = (max(1, round(part * wanted / longer)) for part in size)
    return height, width
