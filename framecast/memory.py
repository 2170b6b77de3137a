"""Memory: how much there is, how much tensors take, and what to say when it runs out."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from framecast.errors import InputError

CGROUP = Path("/sys/fs/cgroup")
RAN_OUT = re.compile(
    r"can't allocate memory|not enough memory|out of memory|Unable to allocate|ALLOC(ATION)?_FAILED"
)


def available(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int:
    """Bytes that can be taken without swapping, within the limit of the container if it has one."""
    if not meminfo.exists():  # not Linux: half of what is built in
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    free = 1024 * _number(meminfo.read_text(), r"MemAvailable:\s+(\d+)")
    try:
        limit, used = (int((cgroup / f"memory.{name}").read_text()) for name in ("max", "current"))
        cached = _number((cgroup / "memory.stat").read_text(), r"inactive_file (\d+)")
    except (OSError, ValueError):  # there is no container, or it says "max"
        return free
    return max(0, min(free, limit - used + cached))


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def room(device: torch.device) -> int:
    """Bytes that tensors on this device can take."""
    if device.type != "cuda":
        return available()
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def said(size: float) -> str:
    """A number of bytes as people say it.

    >>> said(2_140_000_000), said(3_000_000), said(0)
    ('2.1 GB', '3 MB', '1 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 0.95e9 else f"{max(1, round(size / 1e6))} MB"


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes that tensors made in this block took at one time.

    Unlike the size of the process it is exact for the smallest tensors, the same each time, and
    sees what autograd keeps. Scratch memory inside one operation is not seen.

    >>> with Peak() as peak:
    ...     a = torch.ones(1000)
    ...     b = a + 1
    ...     del a
    ...     c = b.view(10, 100) * 2
    >>> peak.bytes
    8000
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self._total = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and note the storage of its results."""
        results = func(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                self._note(result.untyped_storage())
        return results

    def _note(self, storage: torch.UntypedStorage) -> None:
        ref = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        known = self._alive.get(ref.cdata)
        size = storage.nbytes()
        if known and known[1] == size:
            return
        self._alive[ref.cdata] = ref, size
        self._total += size - (known[1] if known else 0)
        if self._total > self.bytes:  # at most: what has been freed is looked for only now
            self._alive = {
                key: (ref, size)
                for key, (ref, size) in self._alive.items()
                if not ref.expired()  # type: ignore[no-untyped-call]
            }
            self._total = sum(size for _, size in self._alive.values())
            self.bytes = max(self.bytes, self._total)


@contextmanager
def enough_memory(where: str, fix: str) -> Iterator[None]:
    """Turn running out of memory in this block into one line.

    Raises:
        InputError: a tensor or array could not be allocated.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or RAN_OUT.search(str(error)):
            raise InputError(where, "needs more memory than there is", fix) from None
        raise
