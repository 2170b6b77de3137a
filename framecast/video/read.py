"""Read a clip from whatever holds frames; the family is told by content, since suffixes lie.

Shapes: T frames, C channels, H height, W width.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from operator import index
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video import arrays
from framecast.video.containers import decode
from framecast.video.grids import is_grid, read_last
from framecast.video.images import MAGIC, decode_animation, decode_stills, stills
from framecast.video.magic import ARRAYS, CONTAINERS, LONGEST
from framecast.video.pace import check_memory, check_rate, steps
from framecast.video.selection import CutShort, Pictures, Selection

Family: TypeAlias = Literal["container", "picture", "array", "folder", "grid"]
FIX = "give a video (mp4, avi, webm, mkv, …), a gif, a folder of pictures, a grid or an .npy array"


def read(
    path: str | Path,
    *,
    start: int = 0,
    stop: int | None = None,
    every: int = 1,
    size: tuple[int, int] | int | None = None,
    grey: bool = False,
    rate: float | Literal["stored"] | None = None,
) -> Clip:
    """Read a video, an animation, a folder of pictures or an array.

    Args:
        path: a container file, a gif, webp, png or avif, a folder of pictures, an .npy or .npz; a
            grid in HDF5, NetCDF or Zarr, or a folder of them, which `video.grids` reads.
        start: first frame, counted from 0.
        stop: frame to stop before; the default is the end.
        every: 2 takes each second frame, and so on.
        size: (height, width), or one number for a square; the default keeps the size.
        grey: make one channel out of colour.
        rate: frames per second of the clip. By default it is that of the file; where more than one
            frame in 100 is shown for longer or shorter, as in a gif or a recorded screen, the clip
            gets what is on display at each step of the usual length, with a warning. "stored" takes
            each frame once. `start`, `stop` and `every` count stored frames. An array has no times
            of its own and takes the rate that is given; a grid has, and takes none.

    Returns:
        The clip: uint8 for pictures, the values themselves for arrays and grids. Films and
        animations have three channels unless they are stored as grey.

    Raises:
        InputError: the path cannot be read, the rate is no number or is given for a grid, there is
            no frame between `start` and `stop`, or more than half of the machine's memory holds.

    >>> from tempfile import TemporaryDirectory
    >>> from framecast.video.write import write
    >>> with TemporaryDirectory() as folder:
    ...     path = write(Clip(np.zeros((5, 16, 32, 3), np.uint8)), f"{folder}/night")
    ...     read(path, every=2, size=8, grey=True).frames_THWC.shape
    (3, 8, 8, 1)
    """
    where = _path_of(path)
    if family(where) == "array":
        clip = arrays.read(where, _select(start, stop, every, size, grey))
        check_rate(rate)
        if isinstance(rate, Real):
            clip = replace(clip, seconds_per_frame=1 / float(rate))
    elif family(where) == "grid":
        if rate not in (None, "stored"):
            raise InputError("rate", "does nothing for a grid, which has its own", "leave it out")
        clip = read_last(where, _select(start, stop, every, size, grey))
    else:
        pictures = frames(path, start=start, stop=stop, every=every, size=size, grey=grey)
        frames_THWC, times_T = _collect(pictures, where)
        index_T, seconds, said = steps(times_T, rate, where)
        if index_T is not None:
            check_memory(len(index_T) * frames_THWC[0].nbytes, where)
            frames_THWC = frames_THWC[index_T]
        if said:
            warnings.warn(said, stacklevel=2)
        clip = Clip(frames_THWC, seconds, source=str(where))
    if len(clip) == 0:
        fix = "give a smaller start" if start else "give another file"
        raise InputError(where, f"has no frame number {start}", fix)
    return clip


def frames(
    path: str | Path,
    *,
    start: int = 0,
    stop: int | None = None,
    every: int = 1,
    size: tuple[int, int] | int | None = None,
    grey: bool = False,
) -> Pictures:
    """Read frame after frame, so that memory does not grow with the length of the film.

    Args:
        path: as in `read`.
        start: first frame, counted from 0.
        stop: frame to stop before; the default is the end.
        every: 2 takes each second frame, and so on.
        size: (height, width), or one number for a square; the default keeps the size.
        grey: make one channel out of colour.

    Yields:
        frame_HWC, and its time in seconds since the start.

    Raises:
        InputError: the path cannot be read.
        CutShort: it breaks off after some frames.
    """
    selection, where = _select(start, stop, every, size, grey), _path_of(path)
    return _decode(where, family(where), selection)


def _path_of(path: str | Path) -> Path:
    try:
        return Path(path)
    except TypeError:
        fix = "give the path of a video, or make a framecast.Clip of frames"
        raise InputError("what is to be read", f"is a {type(path).__name__}", fix) from None


def _select(
    start: int, stop: int | None, every: int, size: tuple[int, int] | int | None, grey: bool
) -> Selection:
    shape = None
    if size is not None:
        try:
            height, width = map(index, size if isinstance(size, Sequence) else (size, size))
        except (TypeError, ValueError):
            raise InputError("size", f"is {size!r}", "give 64, or (height, width)") from None
        shape = height, width
    return Selection(start=start, stop=stop, every=every, size=shape, grey=grey)


def family(path: Path) -> Family:
    """Tell by its first bytes what a path holds.

    Raises:
        InputError: it is missing, empty, text, or nothing that holds frames.
    """
    if is_grid(path):
        return "grid"
    if path.is_dir():
        return "folder"
    if path.exists() and not path.is_file():
        raise InputError(path, "is no file", "give a video: pipes and devices are not read")
    try:
        with path.open("rb") as file:
            head = file.read(LONGEST)
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except OSError as error:
        raise InputError(path, f"cannot be opened ({error.strerror})", "check the path") from None
    if not head:
        raise InputError(path, "is empty", FIX)
    kinds: dict[Family, re.Pattern[bytes]]
    kinds = {"picture": MAGIC, "container": CONTAINERS, "array": ARRAYS}
    for kind, magic in kinds.items():
        if magic.match(head):
            return kind
    what = "is text" if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) else "is no video"
    raise InputError(path, what, FIX)


def _decode(path: Path, kind: Family, selection: Selection) -> Pictures:
    if kind == "container":
        return decode(path, selection)
    if kind in ("array", "grid"):
        clip = (arrays.read if kind == "array" else read_last)(path, selection)
        return ((f, n * clip.seconds_per_frame) for n, f in enumerate(clip.frames_THWC))
    if kind == "picture":
        return decode_animation(path, selection)
    pictures = stills(path)
    if not pictures:
        raise InputError(path, "is a folder without pictures", "give one file of it, or pictures")
    return decode_stills(pictures, selection)


def _collect(pictures: Pictures, where: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Stack all frames, without holding them twice, and their times."""
    frames_THWC = np.empty((0, 0, 0, 1), np.uint8)
    times: list[float] = []
    try:
        for picture_HWC, time in pictures:
            if len(times) == len(frames_THWC):
                rows = max(16, len(times) * 5 // 4)
                check_memory(rows * picture_HWC.nbytes, where)
                frames_THWC.resize((rows, *picture_HWC.shape), refcheck=False)
            frames_THWC[len(times)] = picture_HWC
            times.append(time)
    except CutShort as error:
        warnings.warn(f"{error.where} {error.what} after {len(times)} frames", stacklevel=3)
    frames_THWC.resize((len(times), *frames_THWC.shape[1:]), refcheck=False)
    return frames_THWC, np.array(times)
