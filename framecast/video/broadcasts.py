"""Decoding live streams and cameras with FFmpeg, through PyAV; runs in a child process alone.

This child is not locked in as that of `films` is: it needs the network, or a device.

Shapes: C channels, H height, W width.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import av
from av.container import InputContainer

from framecast.errors import InputError
from framecast.video.films import CODECS, Painter, main_track, reason, whole_frames
from framecast.video.selection import CutShort, Pictures, Pulse, Selection

# No protocol that reads files, and no play list, which names other addresses.
PROTOCOLS = "rtsp,rtp,udp,tcp,http,https,tls"
FORMATS = "rtsp,mpegts,flv,live_flv,mpjpeg,matroska,mov"
OPTIONS = {
    "codec_whitelist": CODECS,
    "protocol_whitelist": PROTOCOLS,
    "format_whitelist": FORMATS,
    "rtsp_transport": "tcp",  # over udp, lost packets would look like broken pictures
    "analyzeduration": "1000000",  # microseconds: a first frame within the time of a stall
}
CAMERA, CAMERA_OPTIONS = "video4linux2", {"codec_whitelist": CODECS}
KEY_FRAME = 20.0  # seconds that the first key frame is waited for
ORPHAN = 20.0  # seconds of silence after which it ends when nobody ends it: its parent is gone
FIX = "check that the address plays, and what it sends"


def live(file: BinaryIO, selection: Selection, pulse: Pulse) -> Pictures:
    """Yield the frames of a stream as they come, upright, until it ends.

    Damaged packets are passed over. A stream that was entered between two key frames is shown from
    the next one, which may be more than a stall away: until then, packets count as progress.
    The camera (v4l2) was never tried for want of one.

    Args:
        file: holds the address, or the name of a camera.
        selection: the size and colour of frames, and which of them to yield.
        pulse: called when something came.

    Yields:
        frame_HWC, uint8, as `films.film` does; and its time in the stream.

    Raises:
        InputError: there is no connection, or what comes is no video.
        CutShort: it breaks off after some frames.
    """
    size, count, draw = selection.size, 0, Painter()
    try:
        with _connect(file.read().decode()) as container:
            decoded = whole_frames(_decoded(container, pulse), pulse)
            for frame in islice(decoded, 0, None, selection.every):
                picture_HWC = draw(frame, size, selection.grey)
                size = picture_HWC.shape[:2]
                count += 1
                yield picture_HWC, frame.time or 0.0
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        kind = CutShort if count else InputError
        raise kind("stream", f"cannot be read ({reason(error)})", FIX) from None


def _connect(address: str) -> InputContainer:
    if address.startswith("/dev/"):
        return av.open(address, "r", format=CAMERA, options=CAMERA_OPTIONS, timeout=ORPHAN)
    return av.open(address, "r", options=OPTIONS, metadata_errors="replace", timeout=ORPHAN)


def _decoded(container: InputContainer, pulse: Pulse) -> Iterator[av.VideoFrame]:
    track = main_track(container)
    entered, shown, patience = False, False, time.monotonic() + KEY_FRAME
    for packet in container.demux(track):
        waits = time.monotonic() < patience
        if waits and not shown:
            pulse()
        # Some decoders show black, or noise, for frames that build upon one that never came.
        entered = entered or packet.is_keyframe or not waits
        if not entered:
            continue
        try:
            frames = track.decode(packet)
        except av.InvalidDataError:
            continue
        for frame in frames:
            shown = True
            yield frame
