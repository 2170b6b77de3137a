"""Write files whole or not at all; read regular ones alone."""

import errno
import filecmp
import os
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from framecast.errors import InputError


def same_content(one: Path, other: Path) -> bool:
    """Whether both are files and hold the same; read only where they are of one size."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def beside_package(name: str) -> Path:
    """A folder that comes along: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    inside, beside = package / name, package.parent / name
    return beside if beside.is_dir() and not inside.is_dir() else inside


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, flush it to the disk, and rename it.

    Args:
        path: the file; folders that are missing are made.
        content: all of it.

    Raises:
        InputError: the folder cannot be written, or the disk is full; a file that was there stays.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_flushed(temporary, content)
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # the folder itself may be a file
            temporary.unlink()
        raise cannot_write(path, error) from None


def temporary_name(path: Path) -> Path:
    """The name that a file or folder has until it is whole; `strays` finds those left behind."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def strays(folder: Path) -> list[Path]:
    """Temporary files and folders, at any depth, of processes that did not end well."""
    return sorted(folder.rglob(".*.[0-9]*.tmp"))


def write_flushed(path: Path, content: bytes) -> None:
    """Write a file, and return when it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk: a rename may outlive its process only."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> InputError:
    """What to tell the user."""
    # Libraries that write less than they were given say so in words of their own, without a number.
    reason = error.strerror or "the disk may be full"
    full = error.errno in (None, errno.ENOSPC, errno.EDQUOT)
    fix = "make room, or choose another folder" if full else "choose another name or folder"
    return InputError(path, f"cannot be written ({reason})", fix)


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading: a pipe or a device may have no end, or wait for ever.

    Raises:
        OSError: there is none, or it is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("no regular file")
    return os.fdopen(descriptor, "rb")
