"""Write files whole or not at all; read regular ones alone."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from framecast.errors import InputError


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, flush it to the disk, and rename it.

    Args:
        path: the file; folders that are missing are made.
        content: all of it.

    Raises:
        InputError: the folder cannot be written, or the disk is full; a file that was there stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # the folder itself may be a file
            temporary.unlink()
        reason = error.strerror or str(error)
        fix = "choose another folder, or make room"
        raise InputError(path, f"cannot be written ({reason})", fix) from None


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading: a pipe or a device may have no end, or wait for ever.

    Raises:
        OSError: there is none, or it is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("no regular file")
    return os.fdopen(descriptor, "rb")
