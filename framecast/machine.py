"""Which processor this is, by what the machine tells of it, and what computes."""

import platform
from functools import cache
from pathlib import Path

from framecast.errors import counted


@cache
def _told() -> dict[str, str]:
    """What Linux tells of the first processor; elsewhere nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, value in pairs}


def processor() -> str:
    """Its name and family, since machines for hire call all generations of a maker the same."""
    name = _told().get("model name") or platform.processor() or platform.machine()
    family = _told().get("cpu family")
    return f"{name} family {family}" if family else name


def computer(device: str, threads: int, processor: str) -> str:
    """What computes, in words: the GPU, or threads of the processor."""
    return device if device != "cpu" else f"{counted(threads, 'thread')} of {processor}"


def instructions() -> str:
    """What it can do, which tells machines apart that share a folder."""
    return _told().get("flags") or _told().get("Features") or platform.processor()
