"""The parent's side of the child process that decodes: start, ask, take frames, time out, restart.

A worker serves one film at a time. When it is done it is kept for the next one; while it is busy,
another one is started: two films read in turn, or by two threads, never wait for each other. A
worker that breaks, hangs or is interrupted is ended, and the next request starts a new one.

Shapes: C channels, H height, W width.
"""

import atexit
import json
import math
import mmap
import os
import signal
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import numpy as np

from framecast.child import QUIET, start_child
from framecast.errors import InputError
from framecast.video.limits import PIXELS, SECONDS, STALL, START
from framecast.video.memory import BYTES, LONGEST, new_memory, places
from framecast.video.selection import FIX, CutShort, Pictures, Selection

PROGRAM = "import sys; from framecast.video.decoder import main; main(int(sys.argv[1]))"
ONLINE = PROGRAM.replace("[1])", "[1]), online=True")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ALMOST_AT_ONCE = 5.0  # seconds in which a child has to stop
KEPT = 4  # workers that wait for work
WAITED = (TimeoutError, BlockingIOError)


def decode(kind: str, path: Path, selection: Selection) -> Pictures:
    """Decode a file in a child process.

    Args:
        kind: a key of `decoder.KINDS`.
        path: the file; the child sees it and no other.
        selection: the frames to yield.

    Yields:
        frame_HWC, uint8, a copy of its own, and its time in seconds.

    Raises:
        InputError: the file cannot be decoded or costs too much, or no child can be started.
        CutShort: the same after some frames.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(path, f"cannot be opened ({error.strerror})", "check the path") from None
    with file:
        worker = _take()
        try:
            yield from worker.frames(kind, file, selection, path)
        finally:
            _give_back(worker)


class Worker:
    """One child process.

    Args:
        program: what it runs; without it, `PROGRAM`, which can open nothing.

    Raises:
        InputError: it cannot be started.
    """

    def __init__(self, program: str | None = None) -> None:
        self.owner = os.getpid()
        try:
            self.end, far_end = socket.socketpair()
            with far_end:
                if not hasattr(socket, "send_fds"):
                    raise OSError("it needs Linux or macOS")
                # One thread each: the sandbox allows no more.
                single = dict.fromkeys(THREADS, "1")
                number = far_end.fileno()
                self.process = start_child(program or PROGRAM, number, single, QUIET)
        except OSError as error:
            raise _not_started(str(error)) from None
        # A hostile child must not hold us up in the middle of a message either.
        patience = struct.pack("ll", int(STALL), int(STALL % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.end.setsockopt(socket.SOL_SOCKET, option, patience)
        self.line = Connection(os.dup(self.end.fileno()))
        _WORKERS.add(self)
        try:
            self._hear(START)
        except (EOFError, OSError):
            self.stop(1)
            raise _not_started(f"it ended with {self.process.returncode}") from None

    def frames(
        self,
        kind: str,
        file: BinaryIO,
        selection: Selection,
        where: object,
        stall: float | None = None,
    ) -> Pictures:
        """As `decode`, for an open file that messages call `where`; `stall` replaces `STALL`."""
        count, stall = 0, STALL if stall is None else stall
        try:
            descriptor = new_memory()
        except OSError as error:
            raise _not_started(f"it gets no memory: {error.strerror}") from None
        try:
            with mmap.mmap(descriptor, BYTES) as memory:
                asked = {"kind": kind, "selection": asdict(selection)}
                self.line.send_bytes(json.dumps(asked).encode())
                socket.send_fds(self.end, [b"F"], [descriptor, file.fileno()])
                for picture in self._taken(memory, stall):
                    count += 1
                    yield picture
        except _SaidError as error:
            raise (CutShort if error.cut else InputError)(where, error.what, error.fix) from None
        except (EOFError, OSError, struct.error) as error:
            self.stop(0 if isinstance(error, WAITED) else 1)
            what = self._how_it_ended(error, stall)
            raise (CutShort if count else InputError)(where, what, FIX) from None
        except GeneratorExit:
            self._quiet()
            raise
        except BaseException:  # Ctrl-C, at any point of the talk
            self.stop()
            raise
        finally:
            os.close(descriptor)

    def _taken(self, memory: mmap.mmap, stall: float) -> Pictures:
        """Take frames out of the memory, and say so for several at a time."""
        shape, size, count = (0, 0, 0), 0, 0
        taken, owed = 0, 0
        while (message := self._hear(stall))[:1] != b"E":
            if message[:1] == b"S":
                shape = _believed(message[1:])
                size = math.prod(shape)
                count = places(size)
            elif message[:1] == b"F" and count:
                for (seconds,) in struct.iter_unpack("d", message[1:]):
                    offset = taken % count * size
                    frame_HWC = np.ndarray(shape, np.uint8, memory, offset).copy()
                    taken, owed = taken + 1, owed + 1
                    if owed * 4 >= count:
                        self.line.send_bytes(b"T" * owed)
                        owed = 0
                    yield frame_HWC, seconds
        if len(message) > 1:
            raise _SaidError(message[1:])

    def _hear(self, seconds: float) -> bytes:
        if not self.line.poll(seconds):
            raise TimeoutError
        return self.line.recv_bytes(LONGEST)

    def _quiet(self) -> None:
        """Let the child end what it does; it is ended itself if it does not listen."""
        try:
            self.line.send_bytes(b"Q")
            while self._hear(ALMOST_AT_ONCE)[:1] != b"E":
                pass
        except (EOFError, OSError):
            self.stop()

    def _how_it_ended(self, error: Exception, stall: float) -> str:
        code = self.process.returncode
        if isinstance(error, WAITED):
            return f"made no progress for {stall:g} s"
        if code == -signal.SIGXCPU:
            return f"took more than {SECONDS} s of CPU for one frame"
        return f"broke the process that decodes (it ended with {code})"

    def alive(self) -> bool:
        """Whether it can take a request."""
        return not self.line.closed and self.process.poll() is None

    def stop(self, grace: float = 0) -> None:
        """End the process, after some seconds; in a copy of this one (fork), only let go of it."""
        _WORKERS.discard(self)
        if self.owner == os.getpid():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)  # so that its own reason to end is known
            self.process.kill()
            self.process.wait()
        self.line.close()
        self.end.close()


class _SaidError(Exception):
    """What the child says is wrong with the file."""

    def __init__(self, message: bytes) -> None:
        try:
            said = json.loads(message)
            self.what, self.fix = str(said["what"]), str(said["fix"])
            self.cut = said["cut"] is True
        except (ValueError, KeyError, TypeError):
            raise struct.error("no message of ours") from None


def _believed(message: bytes) -> tuple[int, int, int]:
    """A shape from the child, which may be in the hands of a hostile file."""
    height, width, channels = struct.unpack("3i", message)
    if min(height, width) < 1 or height * width > PIXELS or channels not in (1, 3):
        raise struct.error("no shape of ours")
    return height, width, channels


def _not_started(why: str) -> InputError:
    what = f"could not be started ({why})"
    return InputError("the process that decodes", what, "run `python -m framecast.video.decoder`")


# Workers of this process: those that wait for a request, and all.
_LOCK = threading.Lock()
_IDLE: list[Worker] = []
_WORKERS: set[Worker] = set()


def _take() -> Worker:
    while True:
        with _LOCK:
            worker = _IDLE.pop() if _IDLE else None
        if worker is None:
            return Worker()
        if worker.alive():
            return worker
        worker.stop()


def _give_back(worker: Worker) -> None:
    with _LOCK:
        kept = worker in _WORKERS and len(_IDLE) < KEPT
        if kept:
            _IDLE.append(worker)
    if not kept:
        worker.stop()


def _stop_all() -> None:
    for worker in [*_WORKERS]:
        worker.stop()


def _forget_all() -> None:
    """In a new copy of this process (fork): the children are its parent's."""
    global _LOCK
    _LOCK = threading.Lock()  # the copied one may be held by a thread that was not copied
    _IDLE.clear()
    _stop_all()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
