"""The child process that decodes: files come in by their descriptors, frames go out by memory.

Started by `worker`, which it talks to over one socket. A request is JSON and the descriptors of a
memory and a file. Answers are bytes whose first one says what they are:

    S  height, width and channels of all frames that follow
    F  the times of frames, which lie in the next places of the memory
    A  alive: nothing to show yet
    E  the end, or, with more bytes, the end and what went wrong, as JSON

For each frame that was taken out of the memory the parent sends a byte "T"; "Q" asks to end.

Shapes: C channels, H height, W width.
"""

import json
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.video import broadcasts, films, pictures, sandbox
from framecast.video.limits import MEMORY
from framecast.video.memory import BYTES, LONGEST, places
from framecast.video.selection import FIX, CutShort, Pictures, Selection

Decode = Callable[[BinaryIO, Selection, Callable[[], None]], Pictures]
KINDS: dict[str, Decode] = {
    "film": films.film,
    "live": broadcasts.live,
    "animation": pictures.animation,
    "still": pictures.still,
    "moves": pictures.moves,
}
ALIVE = 1.0  # seconds between signs of life
SOON = 0.005  # seconds that a finished frame may wait for others


class _QuitError(Exception):
    """The parent wants no more."""


class Outlet:
    """Puts frames where the parent takes them from.

    Args:
        line: to the parent.
        memory: seen by both.
    """

    def __init__(self, line: Connection, memory: mmap.mmap) -> None:
        self.line, self.memory = line, memory
        self.shape: tuple[int, ...] = ()
        self.count, self.sent, self.taken = 0, 0, 0
        self.times: list[float] = []  # of frames that the parent does not know of yet
        self.spoke, self.renewed = 0.0, 0.0  # never: the first frame is told of at once

    def put(self, picture_HWC: NDArray[np.uint8], seconds: float) -> None:
        """Hand over a frame, once there is a place; fast ones are told of in groups."""
        if not self.shape:
            self.shape, self.count = picture_HWC.shape, places(picture_HWC.nbytes)
            self.line.send_bytes(b"S" + struct.pack("3i", *self.shape))
        if self.sent - self.taken >= self.count:
            self.flush()
            self._listen()
        offset = self.sent % self.count * picture_HWC.nbytes
        np.ndarray(self.shape, np.uint8, self.memory, offset)[:] = picture_HWC
        self.sent += 1
        self.times.append(seconds)
        if len(self.times) * 4 >= self.count or time.monotonic() - self.spoke > SOON:
            self.flush()

    def flush(self) -> None:
        """Tell the parent of all frames so far."""
        if self.times:
            self.line.send_bytes(b"F" + struct.pack(f"{len(self.times)}d", *self.times))
            self.times.clear()
            self.spoke = time.monotonic()

    def pulse(self) -> None:
        """Say that work goes on, and get time for more."""
        now = time.monotonic()
        if now - self.renewed > ALIVE:  # however much there is to show
            self.renewed = now
            sandbox.renew_time()
        if now - self.spoke > ALIVE:
            self.flush()
            self.spoke = now
            self.line.send_bytes(b"A")
            while self.line.poll():
                self._listen()

    def _listen(self) -> None:
        heard = self.line.recv_bytes()
        if heard == b"Q":
            raise _QuitError
        self.taken += len(heard)


def answer(line: Connection, request: dict[str, Any], memory: mmap.mmap, file: BinaryIO) -> None:
    """Decode what is asked for, and say how it ended."""
    outlet, said = Outlet(line, memory), ""
    try:
        asked = request["selection"]
        selection = Selection(**{**asked, "size": asked["size"] and tuple(asked["size"])})
        for picture_HWC, seconds in KINDS[request["kind"]](file, selection, outlet.pulse):
            outlet.put(picture_HWC, seconds)
    except _QuitError:
        outlet.times.clear()
    except InputError as error:
        cut = isinstance(error, CutShort)
        said = json.dumps({"what": error.what, "fix": error.fix, "cut": cut})
    except ConnectionError:
        raise
    except MemoryError:
        what = f"needs more than the {MEMORY >> 30} GB of memory allowed to decode a file"
        said = json.dumps({"what": what, "fix": "make its frames smaller", "cut": False})
    except Exception as error:  # damaged files end in exceptions of any kind
        what = f"cannot be decoded ({type(error).__name__}: {error})"
        said = json.dumps({"what": what, "fix": FIX, "cut": bool(outlet.sent)})
    outlet.flush()
    line.send_bytes(b"E" + said.encode()[:LONGEST])


def main(descriptor: int, online: bool = False) -> None:
    """Serve requests over the socket with this descriptor until the parent is gone.

    Args:
        descriptor: of the socket.
        online: keep the network and devices, which a live stream needs.
    """
    with socket.socket(fileno=descriptor) as end:
        line = Connection(os.dup(descriptor))
        sandbox.load_all()
        sandbox.lock(online)
        line.send_bytes(b"A")
        with suppress(EOFError, ConnectionError):
            while True:
                _serve(line, end)


def _serve(line: Connection, end: socket.socket) -> None:
    heard = b""
    while not heard.startswith(b"{"):  # thanks for the last frames of the request before
        heard = line.recv_bytes()
    _, descriptors, _, _ = socket.recv_fds(end, 1, 2)
    sandbox.renew_time()
    with os.fdopen(descriptors[1], "rb") as file, mmap.mmap(descriptors[0], BYTES) as memory:
        os.close(descriptors[0])
        answer(line, json.loads(heard), memory, file)


if __name__ == "__main__":
    main(int(sys.argv[1]))
