"""Write a clip; the suffix of the path says as what.

Shapes: T frames, C channels, H height, W width.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from framecast.clip import Clip
from framecast.errors import InputError
from framecast.files import cannot_write
from framecast.video.containers import CODECS, encode
from framecast.video.grids import write as grids
from framecast.video.images import encode_folder, encode_gif, encode_strip, encode_webp

SUFFIXES = (*CODECS, ".gif", ".webp", ".png", ".npy", *grids.SUFFIXES, "")
SHOWN = (1, 3, 4)  # channels of a picture: grey, colour, colour with transparency
SLOWEST = 2.0  # seconds: what is slower, such as radar, is shown at ten frames per second


def check_kind(path: Path, channels: int) -> None:
    """Refuse a suffix that is of no kind of file, or of one that does not hold so many channels.

    Raises:
        InputError: it is such a suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        fix = f"choose from {', '.join(SUFFIXES[:-1])}, or no suffix for a folder of pictures"
        raise InputError(path, "has a suffix that cannot be written", fix)
    if channels not in SHOWN and path.suffix.lower() not in (".npy", *grids.SUFFIXES):
        fix = "write .npy, which keeps any number of them"
        raise InputError(path.name, f"cannot show {channels} channels", fix)


def write(clip: Clip, path: str | Path) -> Path:
    """Write a clip as a film, an animation, pictures or an array.

    .mp4 is h264, which plays everywhere but has even sides: odd ones grow by a pixel. .webm is VP9,
    .avi motion jpeg. .gif has 256 colours, chosen for the clip, and .webp all of them; both store
    frames that are the same as one that is shown for longer, which `read` undoes except
    for the last. .png is one strip with the frames side by side; a path without suffix is a new
    folder of png files. For all these, values are scaled from the range of the clip to
    0 … 255, missing ones are black, and four channels are colour with transparency, put on black.
    .npy keeps the values as they are, (T, H, W, C). So do .nc (NetCDF 4) and .zarr (a new folder),
    with times, places and the unit where the clip knows them.

    An existing file is replaced; if anything goes wrong, all is left as it was.

    Returns:
        The path.

    Raises:
        InputError: the suffix is unknown, the channels are no picture, the folder is missing or not
            writable, or the disk is full.

    >>> from framecast.video.read import read
    >>> with TemporaryDirectory() as folder:
    ...     path = write(Clip(np.zeros((5, 16, 32, 1), np.uint8)), f"{folder}/night.avi")
    ...     read(path, start=2, grey=True).frames_THWC.shape
    (3, 16, 32, 1)
    """
    path = Path(path)
    check_kind(path, clip.channels)
    if len(clip) == 0:
        raise InputError(path, "would hold no frame", "give a clip with frames")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(path, "is a folder with files in it", "choose another name")
    try:
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            made = Path(folder) / path.name
            _save(clip, made)
            made.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    return path


def _save(clip: Clip, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        with path.open("wb") as file:
            np.save(file, clip.frames_THWC, allow_pickle=False)
        return
    if suffix in grids.SUFFIXES:
        grids.encode(clip, path)
        return
    frames_THWC = _pixels(clip)
    seconds = clip.seconds_per_frame if 0 < clip.seconds_per_frame <= SLOWEST else 0.1
    if suffix in CODECS:
        encode(path, frames_THWC, seconds, CODECS[suffix])
    elif suffix == ".gif":
        encode_gif(path, frames_THWC, seconds)
    elif suffix == ".webp":
        encode_webp(path, frames_THWC, seconds)
    elif suffix == ".png":
        encode_strip(path, frames_THWC)
    else:
        encode_folder(path, frames_THWC)


def _pixels(clip: Clip) -> NDArray[np.uint8]:
    """The frames as pictures: frames_THWC, uint8, with one or three channels."""
    frames_THWC = _bytes(clip)
    if clip.channels == 4:
        opaque_THWC = frames_THWC[..., :3] * (frames_THWC[..., 3:] / np.float32(255))
        return np.rint(opaque_THWC).astype(np.uint8)
    return frames_THWC


def _bytes(clip: Clip) -> NDArray[np.uint8]:
    """The values scaled from their range to 0 … 255; missing ones are 0."""
    low, high = clip.value_range
    if clip.frames_THWC.dtype == np.uint8 and (low, high) == (0, 255):
        return clip.frames_THWC.astype(np.uint8, copy=False)
    scaled_THWC = (clip.frames_THWC - np.float32(low)) * np.float32(255 / (high - low))
    filled_THWC = np.nan_to_num(scaled_THWC, copy=False, nan=0, posinf=255, neginf=0)
    bytes_THWC: NDArray[np.uint8] = np.rint(filled_THWC.clip(0, 255)).astype(np.uint8)
    return bytes_THWC
