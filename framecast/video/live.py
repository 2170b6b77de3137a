"""Live frames from a stream or a camera: stalls are noticed, connections come back, newest wins.

A thread takes frames out of the child process as they come and keeps the last two. Whoever asks
for one more slowly than they come gets the newer ones; every other one is counted as dropped.

Shapes: C channels, H height, W width.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, Self, TypeAlias
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.video.selection import Selection
from framecast.video.worker import ONLINE, Worker

STALL = 5.0  # seconds without a sign of progress
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before trying again; the last one for ever
QUEUE = 2  # frames that wait to be used
TICK = 0.2  # seconds after which who waits for a frame hears that there is none
SCHEMES = ("rtsp", "http", "https")
CAMERA = re.compile(r"/dev/video\d{1,3}")
PLAY_LISTS = (".m3u8", ".m3u", ".mpd", ".pls", ".asx", ".xspf")

Pictures: TypeAlias = Generator[tuple[NDArray[np.uint8], float], None, None]
Connect: TypeAlias = Callable[[float], Pictures]
"""Frames of a new connection, which ends in `InputError` after so many seconds of silence."""


class Arrival(NamedTuple):
    """A frame, the number of its connection, and when it came by the clock."""

    frame_HWC: NDArray[np.uint8]
    connection: int
    seconds: float


@dataclass(frozen=True)
class Counts:
    """What became of the frames so far: came = used + dropped + waiting, at any moment.

    Args:
        last: when the last frame came by the clock, or the start.
        trouble: why there is no connection at the moment; empty when there is one.
    """

    came: int = 0
    used: int = 0
    dropped: int = 0
    waiting: int = 0
    connections: int = 0
    last: float = 0.0
    trouble: str = ""


def check_address(text: str) -> str:
    """Refuse what is no stream or camera, before anything is opened.

    Returns:
        The address as messages may show it: without user, password and query.

    Raises:
        InputError: it is a file, a play list, or of a scheme that is not allowed.
    """
    if CAMERA.fullmatch(text):
        return text
    fix = f"give {'://…, '.join(SCHEMES)}://… or /dev/video0"
    scheme, colon, _ = text.partition(":")
    if scheme not in SCHEMES:
        what = f"takes no {scheme:.20}: addresses" if colon else "takes no files"
        raise InputError("--live", what, fix)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not text.isprintable() or " " in text:
        raise InputError("--live", "is no address", fix)
    shown = f"{scheme}://{'***@' if '@' in parts.netloc else ''}{host}"
    shown += (f":{port}" if port else "") + parts.path + ("?***" if parts.query else "")
    if parts.path.lower().endswith(PLAY_LISTS):
        what = "is a play list, which names other addresses"
        raise InputError(shown, what, "give the address of the stream itself")
    return shown


class Receiver:
    """Connects to one address, each time with a new child process; frames keep their first form.

    Args:
        address: passed by `check_address`.
        selection: `every`, `size` and `grey` of the frames.

    Raises:
        InputError: the address is not allowed, or there is no such camera.
    """

    def __init__(self, address: str, selection: Selection) -> None:
        self.shown = check_address(address)
        if CAMERA.fullmatch(address) and not Path(address).exists():
            raise InputError(address, "is not there", "plug the camera in, or give another address")
        self.address, self.selection = address, selection
        self.channels = 0
        self._worker: Worker | None = None
        self._lock, self._over = threading.Lock(), False

    def __call__(self, stall: float) -> Pictures:
        """Connect and yield frames.

        Raises:
            InputError: there is no connection, it broke off, or was silent for too long.
        """
        worker = Worker(ONLINE)
        with self._lock:
            self._worker = worker
            if self._over:
                worker.process.kill()
        try:
            with TemporaryFile() as file:  # not in the arguments: those can be seen by all users
                file.write(self.address.encode())
                file.seek(0)
                selection = self.selection
                for frame_HWC, seconds in worker.frames("live", file, selection, self.shown, stall):
                    yield self._in_form(frame_HWC), seconds
        finally:
            with self._lock:
                self._worker = None
            worker.stop()

    def hang_up(self) -> None:
        """End the connection there is and all to come; another thread that waits for it goes on."""
        with self._lock:
            self._over = True
            if self._worker is not None:
                self._worker.process.kill()

    def _in_form(self, frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The form of the first frame; the child scales the frames of later connections to it."""
        if not self.channels:
            self.channels = frame_HWC.shape[2]
            height, width = frame_HWC.shape[:2]
            grey = self.channels == 1
            self.selection = replace(self.selection, size=(height, width), grey=grey)
        return frame_HWC.repeat(self.channels // frame_HWC.shape[2], axis=2)


class Newest:
    """A queue that forgets the oldest frame when it is full, and counts all of them.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._frames: deque[Arrival] = deque(maxlen=QUEUE)
        self._changed = threading.Condition()
        self._counts = Counts(last=clock())

    @property
    def counts(self) -> Counts:
        """As of now."""
        with self._changed:
            return replace(self._counts, waiting=len(self._frames))

    def put(self, frame_HWC: NDArray[np.uint8]) -> None:
        """A frame came."""
        with self._changed:
            now, counts = self.clock(), self._counts
            dropped = counts.dropped + (len(self._frames) == QUEUE)
            self._frames.append(Arrival(frame_HWC, counts.connections, now))
            self._counts = replace(counts, came=counts.came + 1, dropped=dropped, last=now)
            self._changed.notify()

    def take(self, seconds: float) -> Arrival | None:
        """The older of the frames that wait; None if there is none for so long."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._frames, seconds):
                return None
            self._counts = replace(self._counts, used=self._counts.used + 1)
            return self._frames.popleft()

    def connected(self) -> None:
        """Frames of a new connection begin."""
        with self._changed:
            connections = self._counts.connections + 1
            self._counts = replace(self._counts, connections=connections, trouble="")

    def lost(self, why: str) -> None:
        """There is no connection."""
        with self._changed:
            self._counts = replace(self._counts, trouble=why)


def receive(connect: Connect, frames: Newest, wait: Callable[[float], Any]) -> None:
    """Fill a queue, connection after connection, with longer pauses while none gives a frame.

    Args:
        connect: makes a connection.
        frames: where they go.
        wait: lets so many seconds pass, unless it is over: then it says so at once, with True.
    """
    failures = 0
    while True:
        why = "ended"
        try:
            with closing(connect(STALL)) as pictures:
                for count, (frame_HWC, _) in enumerate(pictures):
                    if count == 0:
                        failures = 0
                        frames.connected()
                    frames.put(frame_HWC)
        except InputError as error:
            why = error.what
        frames.lost(why)
        if wait(PAUSES[min(failures, len(PAUSES) - 1)]):
            return
        failures += 1


class Live:
    """The frames of one address, received by a thread of its own while this is entered.

    Args:
        address: rtsp://, http:// or https://, or /dev/videoN.
        selection: `every`, `size` and `grey` of the frames.

    Raises:
        InputError: the address is not allowed, or there is no such camera.
    """

    def __init__(self, address: str, selection: Selection) -> None:
        self.receiver, self.frames = Receiver(address, selection), Newest()
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._receive, name="live", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.receiver.hang_up()
        self._thread.join()

    def _receive(self) -> None:
        try:
            receive(self.receiver, self.frames, self._over.wait)
        except BaseException as error:  # raised again where frames are asked for
            self._failure = error

    def __call__(self, over: Callable[[Counts], bool]) -> Iterator[Arrival]:
        """Yield frames in the order in which they came, until `over`, which is asked often."""
        while not over(self.frames.counts):
            if self._failure is not None:
                raise self._failure
            arrival = self.frames.take(TICK)
            if arrival is not None:
                yield arrival
