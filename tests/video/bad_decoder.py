"""A child that decodes and, on demand, does what a hostile file may make a decoder do."""

import ctypes
import os
import resource
import socket
import struct
import time
from pathlib import Path

import numpy as np

from framecast.video import decoder, sandbox


def crash(file, selection, pulse):
    ctypes.string_at(0)


def abort(file, selection, pulse):
    os.abort()


def hang(file, selection, pulse):
    yield np.zeros((4, 4, 1), np.uint8), 0.0
    time.sleep(1000)


def spin(file, selection, pulse):
    while True:
        pass


def work(file, selection, pulse):
    """Frames all the time, and more CPU for all of them than one may take."""
    start = time.process_time()
    while (used := time.process_time()) < start + 3:
        while time.process_time() < used + 0.02:
            pass
        pulse()
        yield np.zeros((4, 4, 1), np.uint8), used


def eat(file, selection, pulse):
    kept = []
    while True:
        kept.append(bytes(2**26))


def lie(file, selection, pulse):
    """A shape that would read beyond the memory."""
    yield np.zeros((4, 4, 1), np.uint8), 0.0
    LINE.send_bytes(b"S" + struct.pack("3i", 2**15, 2**15, 3))


def babble(file, selection, pulse):
    LINE.send_bytes(b"E" + b"{]")
    yield np.zeros((4, 4, 1), np.uint8), 0.0


def flood(file, selection, pulse):
    LINE.send_bytes(b"F" + bytes(10**6))
    yield np.zeros((4, 4, 1), np.uint8), 0.0


def stammer(file, selection, pulse):
    """The head of a message without the rest."""
    os.write(LINE.fileno(), struct.pack("!i", 100))
    time.sleep(1000)
    yield


def deaf(file, selection, pulse):
    """Frames without end, and no ear for what the parent says."""
    LINE.send_bytes(b"S" + struct.pack("3i", 2000, 2000, 1))
    while True:
        LINE.send_bytes(b"F" + struct.pack("d", 0))
    yield


def escape(file, selection, pulse):
    """As many shades of grey as there are ways out of the sandbox."""
    ways = [
        lambda: Path("/etc/passwd").read_text(),
        lambda: Path(__file__).touch(),
        lambda: Path("/tmp/framecast-was-here").mkdir(),
        lambda: Path("/tmp").chmod(0o1777),
        lambda: socket.socket(),
        lambda: socket.socket(socket.AF_UNIX),
        lambda: os.fork(),
        lambda: os.execv("/bin/true", ["true"]),
        lambda: os.kill(os.getppid(), 0),
        lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0)),
        lambda: Path("/tmp/framecast-was-here").rmdir(),
    ]
    for way in ways:
        try:
            way()
        except OSError:
            continue
        yield np.full((1, 1, 1), 255, np.uint8), 0.0


def main(descriptor, guarded=True):
    global LINE
    kinds = [crash, abort, hang, spin, work, eat, lie, babble, flood, stammer, deaf, escape]
    decoder.KINDS.update({kind.__name__: kind for kind in kinds})
    LINE = decoder.Connection(os.dup(descriptor))
    if not guarded:
        sandbox.lock = lambda online: None
    decoder.main(descriptor)
