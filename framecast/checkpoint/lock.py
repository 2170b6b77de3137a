"""One run folder, one process."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from framecast.checkpoint.steps import FOLDER
from framecast.errors import InUse
from framecast.files import cannot_write

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

NAME = "lock"

log = logging.getLogger("framecast")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep other processes from writing into a run folder, on other machines that share it too.

    The system gives a lock back when its owner ends, however it ends. Children of the owner do not
    inherit it.

    Raises:
        InUse: another process has it; the message says which.
        InputError: the folder cannot be written.
    """
    path = run / FOLDER / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise cannot_write(path, error) from None
    with file:
        if not _taken(file):
            file.seek(0)
            who = file.read() or "another process"
            raise InUse(run, f"is in use by {who}", "wait for its end, or stop it")
        file.truncate(0)
        now = datetime.now().strftime("%Y-%m-%d %H:%M")
        file.write(f"process {os.getpid()} on {platform.node()} since {now}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def owner(run: Path) -> str:
    """Who says that it writes into a run folder, as one that was killed still does; else empty."""
    try:
        return (run / FOLDER / NAME).read_text(errors="replace")
    except OSError:
        return ""


def wait_for(file: IO[str]) -> None:
    """Keep other processes that ask waiting until this file is closed, where it can be locked."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX)


def _taken(file: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        # Not flock: a child that outlives a killed owner would go on holding it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        log.warning("%s cannot be locked (%s): start no second run there", file.name, error)
    return True
