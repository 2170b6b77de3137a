"""Child processes: Python that begins with a program of ours, and one open descriptor."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

QUIET = subprocess.DEVNULL


def start_child(
    program: str,
    descriptor: int,
    environment: Mapping[str, str] | None = None,
    output: int | None = None,
) -> "subprocess.Popen[bytes]":
    """Start Python with a program.

    Args:
        program: finds the number of the descriptor in `sys.argv[1]`.
        descriptor: the only one that it inherits, beside the standard ones.
        environment: what differs there from that of this process.
        output: where both its outputs go, such as `QUIET`; without it to those of this process.
    """
    # Ours first, and not the working folder: who knows what lies there beside the videos.
    modules = [str(Path(__file__).parents[1]), *(place for place in sys.path if place)]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(descriptor)],
        stdin=QUIET,
        stdout=output,
        stderr=output,
        pass_fds=[descriptor],
        start_new_session=True,  # Ctrl-C is for the parent, which ends its children itself
        env={**os.environ, "PYTHONPATH": os.pathsep.join(modules), **(environment or {})},
    )
