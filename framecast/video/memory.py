"""The memory through which frames come from the child process: one for each film, then gone.

Shapes: C channels, H height, W width.
"""

import os
import tempfile

from framecast.video.limits import PIXELS

BYTES = 2 * 3 * PIXELS  # two frames of the largest size; what is not written to takes no room
ROOM = 2**21  # bytes of frames on their way: what a processor's cache holds
LONGEST = 10_000  # bytes of a message beside it


def places(frame_bytes: int) -> int:
    """How many frames of this size are on their way at most: both sides count alike."""
    return max(2, min(64, ROOM // frame_bytes))


def new_memory() -> int:
    """Make a memory without a name.

    Returns:
        Its descriptor, to be closed. Its size is fixed: the child cannot take it away again.
    """
    if not hasattr(os, "memfd_create"):  # not Linux
        with tempfile.TemporaryFile() as file:
            file.truncate(BYTES)
            return os.dup(file.fileno())
    import fcntl  # Unix alone has it

    descriptor = os.memfd_create("framecast", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, BYTES)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
