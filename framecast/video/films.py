"""Decoding films with FFmpeg, through PyAV; runs in the child process alone.

Shapes: C channels, H height, W width.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.video.limits import FRAMES, PIXELS
from framecast.video.selection import FIX, CutShort, Pictures, Pulse, Selection, check_pixels

# Play lists and scripts, which name other files and addresses, are not among them.
FORMATS = "mov,matroska,avi,flv,asf,ogg,ivf,rm,pmp,mpeg,mpegts,mxf,yuv4mpegpipe"
CODECS = (
    "h264,hevc,libdav1d,av1,vp8,vp9,mpeg1video,mpeg2video,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,"
    "wmv1,wmv2,wmv3,vc1,h261,h263,h263p,flv,mjpeg,mjpegb,ffv1,huffyuv,ffvhuff,utvideo,prores,dnxhd,"
    "cfhd,rv10,rv20,rv30,rv40,theora,svq1,svq3,cinepak,indeo3,rawvideo,v210,png,qtrle,rpza,smc,"
    "vmnc,msvideo1,msrle,dvvideo,vp6,vp6a,vp6f,flashsv,magicyuv"
)
# "-" is the name of no protocol: there is the one file that is open, and no way to a second.
OPTIONS = {"format_whitelist": FORMATS, "codec_whitelist": CODECS, "protocol_whitelist": "-"}
# Each packet of these is one frame, so that packets can be counted instead of frames.
COUNTED = ("h264", "hevc", "libdav1d", "av1", "vp9", "mpeg4", "mjpeg", "ffv1", "prores", "dnxhd")
EARLIEST = -(2**63)
FAR = 32  # first frames from here on are looked for by their key frame
UNSPECIFIED = 2  # the number of a colour space that nobody wrote down, in H.273
HD = 576  # lines; untagged films with more of them have the colours of BT.709, as players assume
EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
UNKNOWN = 8 + 0xFFFFFFFF  # bytes of an AVI whose writer never came back to its header
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # beginnings in a Matroska file


def film(file: BinaryIO, selection: Selection, pulse: Pulse) -> Pictures:
    """Yield the frames of a film one by one, upright, and when each is shown.

    A film whose frames change their size is scaled to the size of the first. Counts of frames in
    headers are often wrong and are not read. Interlaced frames are made whole (bwdif), and
    transparency is put on black. Grey is the luma of the film itself.

    Args:
        file: open for reading bytes.
        selection: frames to yield, their size and colour.
        pulse: called after each decoded frame.

    Yields:
        frame_HWC, uint8, with one channel for films stored as grey or with `grey`, else three;
        and its time in seconds.

    Raises:
        InputError: the file cannot be read as a film, or is beyond the limits.
        CutShort: it breaks off after some frames.
    """
    size, count, draw = selection.size, 0, Painter()
    try:
        numbered = _numbered(file, selection, pulse)
        for index, rate, frame in numbered:
            picture_HWC = draw(frame, size, selection.grey)
            size = picture_HWC.shape[:2]
            count += 1
            yield picture_HWC, float(index / rate) if frame.time is None else frame.time
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        kind = CutShort if count else InputError
        raise kind("file", f"cannot be decoded ({reason(error)})", FIX) from None
    stop, every = selection.stop, selection.every
    all_of_them = stop is not None and count == len(range(selection.start, stop, every))
    if count and not all_of_them and _is_cut(file):
        raise CutShort("file", "is cut off", FIX)


def _is_cut(file: BinaryIO) -> bool:
    """Whether it is an AVI or Matroska file that is shorter than it says; FFmpeg lets them end."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(100)
    if head.startswith(b"RIFF"):
        return length < 8 + int.from_bytes(head[4:8], "little") < UNKNOWN
    at = head.find(SEGMENT) + len(SEGMENT)
    if not head.startswith(EBML) or at < len(SEGMENT):
        return False
    # Of the number itself, as its leading zeros say.
    size = 9 - int.from_bytes(head[at : at + 1]).bit_length()
    rest = int.from_bytes(head[at : at + size], "big") - (1 << 7 * size)
    return rest < (1 << 7 * size) - 1 and length < at + size + rest  # all ones: not known


def reason(error: Exception) -> str:
    """What FFmpeg says, without the name of what was opened."""
    return str(getattr(error, "strerror", None) or error)


def _open(file: BinaryIO) -> InputContainer:
    file.seek(0)
    return av.open(file, "r", options=OPTIONS, metadata_errors="replace")


def main_track(container: InputContainer) -> av.VideoStream:
    """The first track that is no cover picture.

    Raises:
        InputError: there is none, or its codec or size is not allowed.
    """
    for track in container.streams.video:
        if not track.disposition & Disposition.attached_pic:
            codec = track.codec_context
            if codec is None or codec.name not in CODECS.split(","):
                what = f"is stored as {codec.name if codec else 'something unknown'}"
                raise InputError("file", f"{what}, which is not read here", FIX)
            if codec.width or codec.height:
                check_pixels(codec.width, codec.height)
            codec.options = {"max_pixels": str(PIXELS)}
            codec.thread_count = 1  # the sandbox has no threads
            return track
    raise InputError("file", "holds no moving pictures", "give a file with a video track")


def _numbered(
    file: BinaryIO, selection: Selection, pulse: Pulse
) -> Iterator[tuple[int, float, av.VideoFrame]]:
    """The chosen frames, each with its number and the rate of the film in frames per second."""
    start, stop = selection.start, selection.stop
    count = None if stop is None else stop - start
    if start >= FAR:
        with suppress(_LostError):
            found = enumerate(_from_key(file, start, pulse), start)
            for index, (rate, frame) in islice(found, 0, count, selection.every):
                yield index, rate, frame
            return
    found = enumerate(_from_start(file, pulse))
    for index, (rate, frame) in islice(found, start, stop, selection.every):
        yield index, rate, frame


def _from_start(file: BinaryIO, pulse: Pulse) -> Iterator[tuple[float, av.VideoFrame]]:
    with _open(file) as container:
        track = main_track(container)
        rate = _rate(track)
        for frame in whole_frames(container.decode(track), pulse):
            yield rate, frame


def _rate(track: av.VideoStream) -> float:
    """Only for files without time stamps: what headers say of it is often wrong too."""
    return float(track.average_rate or track.guessed_rate or 10)


class _LostError(Exception):
    """Frame numbers cannot be told without decoding from the start."""


@dataclass(frozen=True)
class _Entry:
    """Where to begin decoding, and the times that frames must have if all goes well."""

    key: int  # time of the key frame to look for
    keys: set[int]  # times of all key frames
    times: list[int]  # of all frames, up to the first that is wanted


def _from_key(file: BinaryIO, start: int, pulse: Pulse) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames from number `start` on, decoded from the key frame before it.

    Raises:
        _LostError: before the first frame is yielded, never later.
    """
    try:
        entry = _find_entry(file, start, pulse)
        with _open(file) as container:
            track = main_track(container)
            rate = _rate(track)
            track.decode(next(container.demux(track)))  # may hold what all others build upon
            container.seek(entry.key, stream=track)
            first, frames = _walk(_after(container, track, entry), entry.times, pulse)
            yield rate, first
            for frame in frames:
                yield rate, frame
    except av.FFmpegError as error:
        raise _LostError from error


def _find_entry(file: BinaryIO, start: int, pulse: Pulse) -> _Entry:
    """Count frames by their packets, undecoded, up to number `start`."""
    times: list[int] = []
    keys: set[int] = set()
    with _open(file) as container:
        track = main_track(container)
        for packet in container.demux(track):
            pulse()
            if packet.size == 0:
                break
            pts, dts = _trusted_times(packet, track)
            times.append(pts)
            if packet.is_keyframe:
                keys.add(pts)
            if len(times) > start + 1 and sorted(times)[start] < dts:
                break  # frames that come later are shown later
    in_order = sorted(times)
    if len(times) <= start or in_order[0] not in keys or len(set(times)) < len(times):
        raise _LostError
    # Two frames earlier than need be: a deinterlacer looks at what came before.
    key = max(key for key in keys if key <= in_order[start - 2])
    return _Entry(key, keys, in_order[: start + 1])


def _trusted_times(packet: "av.Packet[av.VideoStream]", track: av.VideoStream) -> tuple[int, int]:
    """When a packet that is one frame, for sure, is shown and, at the earliest, decoded."""
    pts, dts = packet.pts, packet.dts
    if pts is None or packet.is_discard or packet.is_corrupt:
        raise _LostError
    if track.codec_context.name not in COUNTED or (dts is not None and dts > pts):
        raise _LostError
    return pts, EARLIEST if dts is None else dts


def _after(
    container: InputContainer, track: av.VideoStream, entry: _Entry
) -> Iterator[av.VideoFrame]:
    """Decode from the place that was looked for; frames that need earlier ones are left out."""
    first, whole = None, False
    for packet in container.demux(track):
        if first is None:
            first = packet.pts
            if first not in entry.keys or first > entry.key:
                raise _LostError
        for frame in track.decode(packet):
            whole = whole or (frame.pts == first and frame.key_frame)
            if frame.pts is None or frame.is_corrupt or (not whole and frame.pts >= first):
                raise _LostError
            if whole:
                yield frame


def _walk(
    decoded: Iterator[av.VideoFrame], times: list[int], pulse: Pulse
) -> tuple[av.VideoFrame, Iterator[av.VideoFrame]]:
    """Pass over frames, each of which must have its time: the last of these, and the rest."""
    frames = whole_frames(decoded, pulse)
    frame = next(frames, None)
    if frame is None or frame.pts not in times:
        raise _LostError
    for time in times[times.index(frame.pts) + 1 :]:
        frame = next(frames, None)
        if frame is None or frame.pts != time:
            raise _LostError
    return frame, frames


def whole_frames(frames: Iterator[av.VideoFrame], pulse: Pulse) -> Iterator[av.VideoFrame]:
    """Frames within the limits; those that are interlaced get their missing lines."""
    weaver: Weaver | None = None
    for number, frame in enumerate(frames):
        pulse()
        check_pixels(frame.width, frame.height)
        if number >= FRAMES:
            raise InputError("file", f"has more than {FRAMES} frames", "give a stop, or cut it")
        if weaver is not None and not weaver.fits(frame):
            yield from weaver.push(None)
            weaver = None
        if weaver is None and frame.interlaced_frame:
            weaver = Weaver(frame)
        if weaver is None:
            yield frame
        else:
            yield from weaver.push(frame)
    if weaver is not None:
        yield from weaver.push(None)


class Weaver:
    """A filter that fills the missing lines of interlaced frames, one frame out for each one in.

    Args:
        frame: one of the frames to come.
    """

    def __init__(self, frame: av.VideoFrame) -> None:
        self.shape = frame.width, frame.height, frame.format.name
        self.graph = Graph()
        self.graph.threads = 1
        # The time base is not looked at: times go in and come out as they are.
        source = self.graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        weave = self.graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self.graph.link_nodes(source, weave, self.graph.add("buffersink")).configure()

    def fits(self, frame: av.VideoFrame) -> bool:
        """Whether this frame is of the size and kind of the others."""
        return self.shape == (frame.width, frame.height, frame.format.name)

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Put a frame in, or None at the end, and take out what is ready."""
        self.graph.vpush(frame)
        while True:
            try:
                yield self.graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return


class Painter:
    """Makes pixels of frames, keeping what FFmpeg prepares for a size between frames."""

    def __init__(self) -> None:
        self.scaler = VideoReformatter()

    def __call__(
        self, frame: av.VideoFrame, size: tuple[int, int] | None, grey: bool
    ) -> NDArray[np.uint8]:
        """One frame, put upright, at `size` (height, width) or its own, grey or in colour."""
        turns = round(frame.rotation / 90)
        height, width = size or (frame.height, frame.width)[:: -1 if turns % 2 else 1]
        if turns % 2:
            height, width = width, height
        grey = grey or frame.format.name.startswith("gray")
        if any(part.is_alpha for part in frame.format.components):
            frame = self._on_black(frame)
        picture_HWC = _view(self._scaled(frame, height, width, "gray" if grey else "rgb24"))
        return np.rot90(picture_HWC, turns)

    def _scaled(self, frame: av.VideoFrame, height: int, width: int, kind: str) -> av.VideoFrame:
        """Every smaller pixel is the mean of the pixels that it covers."""
        shrinks = height <= frame.height and width <= frame.width
        same = (height, width) == (frame.height, frame.width)
        way = Interpolation.AREA if shrinks and not same else Interpolation.BILINEAR
        untagged = frame.colorspace == UNSPECIFIED and frame.height > HD
        return self.scaler.reformat(
            frame,
            width,
            height,
            kind,
            src_colorspace=Colorspace.ITU709 if untagged else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=way | EXACT,
            threads=1,
        )

    def _on_black(self, frame: av.VideoFrame) -> av.VideoFrame:
        pixels_HWC = _view(self._scaled(frame, frame.height, frame.width, "rgba"))
        opacity_HW1 = pixels_HWC[:, :, 3:] / np.float32(255)
        opaque_HWC = np.rint(pixels_HWC[:, :, :3] * opacity_HW1).astype(np.uint8)
        return av.VideoFrame.from_ndarray(opaque_HWC, format="rgb24")


def _view(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The pixels of a frame of one plane, not copied."""
    channels = len(frame.format.components)
    plane = frame.planes[0]
    rows_HL = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    row = frame.width * channels
    return np.reshape(rows_HL[:, :row], (frame.height, frame.width, channels))
