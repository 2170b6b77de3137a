"""What the child process gives up before it sees a file: memory, time, other files, the network."""

import codecs
import ctypes
import os
import pkgutil
import resource
import struct
import sys
from contextlib import suppress
from importlib import import_module

import av
from PIL import Image

from framecast.video.limits import FILES, MEMORY, SECONDS

# Numbers of the calls that open a file or a socket, start a process or reach into another one.
# x86_64: open openat openat2 creat, socket connect bind, execve execveat fork vfork clone clone3,
# ptrace kill, unlink unlinkat rename renameat2 mount, bpf io_uring_setup.
# aarch64 has no open, creat, fork, vfork, unlink and rename.
MACHINES = {
    "x86_64": (
        0xC000003E,
        [
            2,
            257,
            437,
            85,
            41,
            42,
            49,
            59,
            322,
            57,
            58,
            56,
            435,
            101,
            62,
            87,
            263,
            82,
            316,
            165,
            321,
            425,
        ],
    ),
    "aarch64": (
        0xC00000B7,
        [56, 437, 198, 203, 200, 221, 281, 220, 435, 117, 129, 35, 276, 40, 280, 425],
    ),
}
ENCODINGS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-16-le", "unicode_escape")
X32 = 0x40000000  # the same calls by other numbers
NO_NEW_RIGHTS, FILTER_CALLS, BY_PROGRAM = 38, 22, 2  # of prctl
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1  # the call fails with EPERM


def load_all() -> None:
    """Import what the libraries import at first use: once locked in, there are no more files."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith(("__main__", "datasets")):  # these run, or download
            import_module(module.name)
    Image.init()
    for encoding in ENCODINGS:
        codecs.lookup(encoding)


def lock() -> None:
    """Give up all that decoding does not need; what was open or imported before stays usable.

    Limits hold wherever there is Unix. Linux also takes away the calls for files, sockets and
    processes themselves, for good; elsewhere they are only not made.
    """
    with suppress(OSError, ValueError):  # not every Unix counts address space
        most = _virtual_memory() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for kind, most in [
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES),
    ]:
        resource.setrlimit(kind, (most, most))
    renew_time()
    if sys.platform == "linux" and os.uname().machine in MACHINES:
        _filter_calls(*MACHINES[os.uname().machine])


def renew_time() -> None:
    """Grant `SECONDS` of CPU from now on; the kernel ends the process that takes more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _virtual_memory() -> int:
    """Bytes of address space in use."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no path library here
        return int(file.read().split()[0]) * resource.getpagesize()


def _filter_calls(architecture: int, refused: list[int]) -> None:
    """Let the kernel refuse these calls (seccomp): a program of its packet filter looks at each.

    Each instruction is (code, jump if true, jump if false, value).
    """
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, REFUSE)]
    program += [(load, 0, 0, 0), (at_least, 0, 1, X32), (answer, 0, 0, REFUSE)]
    for number in refused:
        program += [(equal, 0, 1, number), (answer, 0, 0, REFUSE)]
    program.append((answer, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    filtered = ctypes.create_string_buffer(struct.pack("HL", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for request in [(NO_NEW_RIGHTS, 1, 0), (FILTER_CALLS, BY_PROGRAM, ctypes.byref(filtered))]:
        if libc.prctl(*request, 0, 0):  # a kernel without it still has the limits
            return
