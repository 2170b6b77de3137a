"""Read grids in a child process: mutated HDF5 files make its C code loop for ever, or crash.

The child is a fork, so that it starts at once with all libraries. It has limits of memory and time,
and hands back JSON and one array in shared memory; what it says is checked before it is used. Where
there is no safe fork, that is off Linux, the work is done in the process itself.

Shapes: T frames, C channels, H height, W width.
"""

import json
import mmap
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.video.selection import Pulse

STALL = 30.0  # seconds without a sign of life
MOST_MEMORY = 2**33  # bytes beyond what the parent has
MOST_WORDS = 2**28  # bytes of JSON: coordinates
FIX = "write the file anew, or give another"

Work: TypeAlias = Callable[[Pulse], tuple[Any, NDArray[Any] | None]]


def run_apart(path: Path, work: Work) -> tuple[Any, NDArray[Any] | None]:
    """Do some work on a file in a child process.

    Args:
        path: for messages.
        work: calls the function that it is given after each piece; returns what can be JSON, and
            float32 or uint8 numbers, or None.

    Raises:
        InputError: by the work; or the child crashed, or gave no sign of life for half a minute.
    """
    if sys.platform != "linux":
        return work(lambda: None)
    memory = os.memfd_create("grid")
    near, far = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        _work_in_child(work, memory, far)
    far.close()
    try:
        message = _listen(near)
        if message is None:
            raise InputError(path, "crashes its library, or takes it too long to read", FIX)
        said, form = json.loads(message)
        if "error" in said:
            raise InputError(*said["error"])
        return said["result"], _mapped(memory, form)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        near.close()
        os.close(memory)


def _listen(line: Connection) -> bytes | None:
    """The answer of the child; None if it ends or stalls."""
    try:
        while line.poll(STALL):
            if message := line.recv_bytes(MOST_WORDS):
                return message
    except (EOFError, OSError):
        pass
    return None


def _mapped(memory: int, form: list[Any] | None) -> NDArray[Any] | None:
    """The array that the child wrote, no copy; the memory stays as long as it."""
    if form is None:
        return None
    shape, dtype = tuple(form[0]), np.dtype({"f": np.float32, "u": np.uint8}[form[1]])
    size = dtype.itemsize * int(np.prod(shape, dtype=np.float64))
    assert 0 < size <= os.fstat(memory).st_size, "the child says how much it wrote"
    return np.ndarray(shape, dtype, mmap.mmap(memory, size))


def _work_in_child(work: Work, memory: int, line: Connection) -> None:
    """Work within limits, answer, and end without tidying up what belongs to the parent."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = in_use + MOST_MEMORY
        if most == resource.RLIM_INFINITY or wanted < most:  # else it is bounded already
            resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        form = None
        try:
            result, array = work(lambda: line.send_bytes(b""))
            said = {"result": result}
            if array is not None:
                form = [array.shape, array.dtype.kind]
                with os.fdopen(memory, "wb") as file:
                    file.write(np.ascontiguousarray(array).data)
        except InputError as error:
            said = {"error": [error.where, error.what, error.fix]}
        line.send_bytes(json.dumps([said, form]).encode())
    except BaseException:  # a bug of ours: the parent hears only that there is no answer
        traceback.print_exc()
    finally:
        os._exit(1)
