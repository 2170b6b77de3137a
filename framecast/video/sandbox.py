"""What the child process gives up before it sees a file: memory, time, other files, the network."""

import codecs
import ctypes
import math
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

# All calls to the kernel that are left, with their numbers on the two kinds of machine: those on
# what is open already, on memory, clocks, signals and the process itself. None opens or changes a
# file, makes a socket or a process, or reaches into another one.
CALLS = {
    "x86_64": {
        "files": "0 1 3 5 7 8 16 17 19 20 23 32 72 262 270 271 332",
        "socket": "44 45 46 47",
        "memory": "9 10 11 12 25 28",
        "time": "24 35 96 201 219 228 229 230",
        "itself": "13 14 15 39 60 63 97 98 99 131 160 186 202 204 231 273 318 334",
    },
    "aarch64": {
        "files": "23 25 29 57 62 63 64 65 66 67 72 73 79 80 291",
        "socket": "206 207 211 212",
        "memory": "214 215 216 222 226 233",
        "time": "101 113 114 115 124 128 169",
        "itself": "93 94 98 99 123 132 134 135 139 160 163 164 165 172 178 179 278 293",
    },
}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
LIMIT = {"x86_64": 302, "aarch64": 261}  # sets limits of any process: allowed for this one, 0
ENCODINGS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-16-le", "unicode_escape")
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


def lock(online: bool = False) -> None:
    """Give up all that decoding does not need; what was open or imported before stays usable.

    Limits hold wherever there is Unix. Linux also takes away the very calls for files, sockets and
    processes, for good, unless `online`; elsewhere they are only not made.
    """
    with suppress(OSError, ValueError):  # not every Unix counts address space
        _lower(resource.RLIMIT_AS, _virtual_memory() + MEMORY)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, FILES)
    renew_time()
    machine = os.uname().machine
    if sys.platform == "linux" and machine in CALLS and not online:
        _filter_calls(machine)


def renew_time() -> None:
    """Grant `SECONDS` of CPU from now on, at least; the kernel ends the process that takes more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + SECONDS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _lower(kind: int, most: int) -> None:
    """Set a limit for good, if the user has not set a lower one already."""
    _, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(kind, (most, most))


def _virtual_memory() -> int:
    """Bytes of address space in use."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no path library here
        return int(file.read().split()[0]) * resource.getpagesize()


def _filter_calls(machine: str) -> None:
    """Let the kernel refuse all other calls (seccomp): its packet filter looks at each of them.

    Each instruction is (code, jump if true, jump if false, value).
    """
    load, equal, answer = 0x20, 0x15, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, ARCHITECTURES[machine]), (answer, 0, 0, REFUSE)]
    program.append((load, 0, 0, 0))
    for number in map(int, " ".join(CALLS[machine].values()).split()):
        program += [(equal, 0, 1, number), (answer, 0, 0, ALLOW)]
    program += [(equal, 1, 0, LIMIT[machine]), (answer, 0, 0, REFUSE), (load, 0, 0, 16)]
    program += [(equal, 1, 0, 0), (answer, 0, 0, REFUSE), (answer, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    filtered = ctypes.create_string_buffer(struct.pack("HL", len(program), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    if prctl(NO_NEW_RIGHTS, 1, 0, 0, 0) == 0:  # a kernel without it still has the limits
        prctl(FILTER_CALLS, BY_PROGRAM, ctypes.addressof(filtered), 0, 0)
