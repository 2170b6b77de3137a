"""C++ of the package, compiled for this machine at its first use and kept in the user's cache.

A second's work, done once for each choice of options and never again for another size or length.
Without a C++ compiler the callers take their plain path. `FRAMECAST_COMPILE=0` asks for that.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from framecast.machine import instructions

Library: TypeAlias = ctypes.CDLL

LIMIT = 60  # seconds for a compilation that takes one
# Not -ffast-math: it would let a NaN pass for a number.
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC")

log = logging.getLogger("framecast")


_plain: ContextVar[bool] = ContextVar("_plain", default=False)


@contextmanager
def plain_torch() -> Iterator[None]:
    """A block without compiled code: an exported model can hold the operations of torch alone."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def allowed() -> bool:
    """Whether the user, and the block around, let code be compiled."""
    return os.environ.get("FRAMECAST_COMPILE") != "0" and not _plain.get()


def watched() -> bool:
    """Whether a block around sees each operation: one that is fused or recorded would pass it."""
    return torch._C._len_torch_dispatch_stack() > 0


def compiled(source: Path, options: tuple[tuple[str, float], ...] = ()) -> Library | None:
    """The functions of a file; None where it cannot be compiled, said once.

    Args:
        source: the file, beside headers that it may need.
        options: macros and their values.
    """
    return _compiled(source, options) if allowed() else None


@cache
def _compiled(source: Path, options: tuple[tuple[str, float], ...]) -> Library | None:
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        return _load(compiler, source, options)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().split("\n")[0]
        log.warning("%s cannot be compiled, so plain torch does it: %s", source.name, said)
        return None


@cache
def _compiler() -> str | None:
    names = [os.environ.get("CXX"), "c++", "g++", "clang++"]
    found = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if found is None:
        log.warning("no C++ compiler is installed: layers and scores run slower, in plain torch")
    return found


def _load(compiler: str, source: Path, options: tuple[tuple[str, float], ...]) -> Library:
    macros = [f"-D{name}={value}" for name, value in options]
    machine = platform.machine(), instructions()  # the same home may serve several
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=LIMIT).stdout
    texts = [path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))]
    recipe = [*texts, version, *map(str.encode, [*FLAGS, *macros, *machine])]
    name = f"{source.stem}-{hashlib.sha256(b'|'.join(recipe)).hexdigest()[:20]}.so"
    path = cache_folder() / name
    if not path.exists():
        _say_so()
        _compile(compiler, [str(source), *FLAGS, *macros], path)
    return ctypes.CDLL(str(path))


@cache
def _say_so() -> None:
    log.warning("compiling for this machine: takes seconds, and is done once")


def call(function: Any, tensors: Sequence[Tensor | None], sizes: Sequence[int]) -> None:
    """Call a compiled function: where the tensors lie, the sizes, and how many threads to use."""
    pointers = [ctypes.c_void_p(None if x is None else x.data_ptr()) for x in tensors]
    threads = ctypes.c_int(torch.get_num_threads())
    function(*pointers, (ctypes.c_int64 * len(sizes))(*sizes), threads)


def _compile(compiler: str, arguments: list[str], path: Path) -> None:
    """With threads where the compiler has OpenMP, else without."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made, code = Path(folder, "made.so"), Path(folder, "code.o")
        # Linked without OpenMP's library, so that torch's own is found when it is loaded: the idle
        # threads of a second one would take the cores from the convolutions.
        for threads in ("-fopenmp", "-fopenmp-simd"):
            link = ["-shared", str(code), "-o", str(made)]
            if platform.system() == "Darwin":
                link.append("-Wl,-undefined,dynamic_lookup")
            try:
                _run([compiler, "-c", *arguments, threads, "-o", str(code)])
                _run([compiler, *link])
                ctypes.CDLL(str(made))
            except (OSError, subprocess.CalledProcessError):
                if threads == "-fopenmp-simd":
                    raise
            else:
                break
        made.replace(path)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)


@cache
def cache_folder() -> Path:
    """Where only this user can write: what lies there is run.

    Raises:
        OSError: there is no such place.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    except RuntimeError as error:  # a user whom the system does not know
        raise OSError(str(error)) from None
    folder = Path(home, "framecast", "compiled")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(stat.S_IRWXU)
    return folder
