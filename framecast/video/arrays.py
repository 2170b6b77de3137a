"""Arrays (.npy, .npz) as clips: one sequence (T, H, W) or (T, H, W, C). Never pickle.

Shapes: T frames, C channels, H height, W width.
"""

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.video.pace import check_memory
from framecast.video.selection import Selection, fit

CHANNELS = 16  # a last axis longer than this is taken for a width: most likely many sequences
NUMPY = np.lib.format.MAGIC_PREFIX
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
FIX = "write it anew with numpy.save(path, array)"


def read(path: Path, selection: Selection) -> Clip:
    """Read one sequence.

    Raises:
        InputError: the file is no such array, or holds infinite values.
    """
    array = load(path)
    if array.ndim == 3:
        array = array[:, :, :, None]
    if array.ndim != 4 or array.shape[3] > CHANNELS:
        what = f"has the shape {array.shape}, not that of one sequence: (T, H, W) or (T, H, W, C)"
        raise InputError(path, what, "save one sequence of it, or train on it as a data set")
    frames_THWC, value_range = to_values(array, path)
    chosen_THWC = frames_THWC[selection.start : selection.stop : selection.every]
    fitted_THWC = resize(chosen_THWC, selection.size, selection.grey)
    return Clip(fitted_THWC, value_range=value_range, source=str(path))


def resize(frames_THWC: NDArray[Any], size: tuple[int, int] | None, grey: bool) -> NDArray[Any]:
    """`fit` each frame; the very same array, perhaps memory-mapped, when nothing is asked."""
    if (size is None or size == frames_THWC.shape[1:3]) and not (grey and frames_THWC.shape[3] > 1):
        return frames_THWC
    return np.stack([fit(frame_HWC, size, grey) for frame_HWC in frames_THWC])


def load(path: Path, key: str | None = None) -> NDArray[Any]:
    """Open an array: memory-mapped from .npy, unpacked from .npz.

    Args:
        path: the file.
        key: which array of an .npz; may be left out when there is only one.

    Raises:
        InputError: the file is damaged or holds no numbers, or the key is missing or wrong.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(NUMPY)) == NUMPY:
                _check_header(file, path.stat().st_size)
        opened = np.load(path, mmap_mode="c", allow_pickle=False)
        array = opened if isinstance(opened, np.ndarray) else _unpack(path, opened, key)
    except InputError:
        raise
    except Exception as error:  # damaged headers end in exceptions of a dozen kinds
        if "pickle" in str(error) or "Python objects" in str(error):
            fix = "turn it into numbers, and write it anew"
            raise InputError(path, "is an array of Python objects", fix) from None
        raise InputError(path, "is a damaged array", FIX) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise InputError(path, "holds no numbers", FIX)
    if array.size == 0:
        raise InputError(path, f"is empty: its shape is {array.shape}", "give an array with frames")
    return array


def to_values(array: NDArray[Any], source: Path) -> tuple[NDArray[Any], tuple[float, float]]:
    """The values as a `Clip` keeps them, and their range.

    uint8 stays, with the range 0 to 255. All else becomes float32 with the range 0 to 1 if the
    values lie in it, else from their minimum to their maximum. NaN marks a missing pixel.

    Raises:
        InputError: a value is infinite or beyond float32, or none is known.
    """
    if array.dtype == np.uint8:
        return array, (0.0, 255.0)
    check_memory(array.size * 4, source)
    low, high = span(array, source)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return array.astype(np.float32, copy=False), (low, high if high > low else low + 1)


def span(array: NDArray[Any], source: Path) -> tuple[float, float]:
    """The lowest and the highest known value.

    Raises:
        InputError: a value is infinite or beyond float32, or none is known.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        low = float(np.float32(np.fmin.reduce(array, axis=None)))
        high = float(np.float32(np.fmax.reduce(array, axis=None)))
    if np.isnan(low):
        raise InputError(source, "holds no number but NaN", "give values with known pixels")
    if not np.isfinite(high - low):
        fix = "write NaN for missing pixels"
        raise InputError(source, "holds infinite values, or some beyond float32", fix)
    return low, high


def _unpack(path: Path, archive: "np.lib.npyio.NpzFile", key: str | None) -> NDArray[Any]:
    with archive:
        keys = ", ".join(archive.files)
        if key is None and len(archive.files) != 1:
            what = f"holds {len(archive.files)} arrays ({keys})"
            raise InputError(path, what, "save one of them as .npy, or name it with key=...")
        if key is not None and key not in archive.files:
            raise InputError(path, f"holds no array {key!r}", f"choose from {keys}")
        name = key or archive.files[0]
        assert archive.zip is not None, "it is open"
        member = archive.zip.getinfo(f"{name}.npy")
        check_memory(member.file_size, path)  # more than it says does not come out of it
        with archive.zip.open(member) as file:
            _check_header(file, member.file_size)
        unpacked: NDArray[Any] = archive[name]
        return unpacked


def _check_header(file: IO[bytes], size: int) -> None:
    """Hold what a header says to the size of the file before NumPy believes it.

    Raises:
        ValueError: there are fewer values than it says.
    """
    file.seek(0)
    version = np.lib.format.read_magic(file)
    shape, _, dtype = HEADERS[version](file)
    if math.prod(shape) * dtype.itemsize > size - file.tell() and not dtype.hasobject:
        raise ValueError(f"the file is too short for {shape}")
