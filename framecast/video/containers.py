"""Container files (mp4, avi, webm, mkv, …): read in a child process, written with PyAV.

Shapes: T frames, C channels, H height, W width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.video import worker
from framecast.video.films import reason
from framecast.video.selection import Pictures, Selection

BT709 = 1  # the number of these colours in every table of H.273


def decode(path: Path, selection: Selection) -> Pictures:
    """Yield the frames of a film one by one, upright, and when each is shown.

    Args:
        path: a container file.
        selection: frames to yield, their size and colour.

    Yields:
        frame_HWC, uint8, with one channel for films stored as grey or with `grey`, else three;
        and its time in seconds.

    Raises:
        InputError: the file cannot be read as a film.
        CutShort: it breaks off after some frames.
    """
    return worker.decode("film", path, selection)


class Codec(NamedTuple):
    """How the frames of one kind of file are stored."""

    format: str
    name: str
    pixels: str
    options: dict[str, object]
    multiple: int  # of width and height
    bt709: bool  # the colours, which are then named in the file; jpeg has its own


CODECS = {
    # h264 in 4:2:0 is the one kind that every browser and player shows. It has even sides only.
    ".mp4": Codec("mp4", "libx264", "yuv420p", {"crf": "18"}, 2, True),
    ".webm": Codec(
        "webm", "libvpx-vp9", "yuv420p", {"crf": "20", "b": "0", "cpu-used": "4"}, 1, True
    ),
    # Motion jpeg and not ffv1: it plays wherever avi does. For exact pixels there are npy and png.
    ".avi": Codec("avi", "mjpeg", "yuvj420p", {"qmin": "2", "qmax": "2"}, 1, False),
}


def encode(path: Path, frames_THWC: NDArray[np.uint8], seconds: float, codec: Codec) -> None:
    """Write a film.

    Sides that the codec cannot store, odd ones in mp4, grow by a copy of the last line of pixels.

    Args:
        path: the file.
        frames_THWC: one or three channels.
        seconds: time from one frame to the next.
        codec: one of `CODECS`.

    Raises:
        OSError: the disk is full, or the file cannot be written.
        InputError: the codec cannot store frames of this size.
    """
    size = frames_THWC.shape[1], frames_THWC.shape[2]
    with naming_trouble(path, size), av.open(path, "w", format=codec.format) as film:
        rate = Fraction(1 / seconds).limit_denominator(1001)
        add = add_track(film, size, rate, codec)
        for frame_HWC in frames_THWC:
            add(frame_HWC, None)
        add(None, None)


def add_track(
    film: OutputContainer,
    size: tuple[int, int],
    rate: Fraction,
    codec: Codec,
    step: Fraction | None = None,
) -> Callable[[NDArray[np.uint8] | None, int | None], None]:
    """Begin the pictures of a film.

    Args:
        film: open for writing.
        size: height and width of frames.
        rate: frames per second, or about as many.
        codec: one of `CODECS`.
        step: seconds in which times are counted, for frames that come at any time.

    Returns:
        Writes a frame_HWC at a time in steps, or None for the next one; without a frame, the end.
    """
    height, width = (side + -side % codec.multiple for side in size)
    stream = film.add_stream(codec.name, rate=rate)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, codec.pixels
    stream.options = codec.options
    if step is not None:
        stream.codec_context.time_base = step
    if codec.bt709:
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG

    scaler = VideoReformatter()  # kept: to make one takes longer than a small frame

    def add(frame_HWC: NDArray[np.uint8] | None, time: int | None) -> None:
        frame = None if frame_HWC is None else _frame(frame_HWC, height, width, codec, scaler)
        if frame is not None and time is not None:
            frame.pts, frame.time_base = time, step or 1 / rate
        film.mux(stream.encode(frame))

    return add


@contextmanager
def naming_trouble(path: Path, size: tuple[int, int]) -> Iterator[None]:
    """Turn what FFmpeg says of frames of this size into one line; errors of the disk stay."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise
        what = f"cannot hold frames of {size[1]}×{size[0]} pixels ({reason(error)})"
        raise InputError(path.name, what, "write a folder of pictures, or .npy") from None


def _frame(
    frame_HWC: NDArray[np.uint8], height: int, width: int, codec: Codec, scaler: VideoReformatter
) -> av.VideoFrame:
    """A frame in the pixel format of the codec, padded to its size."""
    missing = height - frame_HWC.shape[0], width - frame_HWC.shape[1]
    padded_HWC = np.pad(frame_HWC, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    # Grey goes by way of colour: the direct conversion rounds down and tints.
    colour_HWC = np.ascontiguousarray(np.broadcast_to(padded_HWC, (height, width, 3)))
    frame = av.VideoFrame.from_ndarray(colour_HWC, format="rgb24")
    colours = Colorspace.ITU709 if codec.bt709 else None
    return scaler.reformat(frame, format=codec.pixels, dst_colorspace=colours)
