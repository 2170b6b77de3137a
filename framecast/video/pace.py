"""From the times of frames to one step: what is on display at each.

Shapes: T frames.
"""

import math
import os
from numbers import Real
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framecast.errors import InputError
from framecast.video.limits import FRAMES

FEW = 0.01  # the share of unequal steps up to which a film is left alone
CGROUP = Path("/sys/fs/cgroup/memory.max")
MORE = 10  # times as many frames as are stored: a constant step may not make more of them


class Steps(NamedTuple):
    """Steps of a constant length.

    Args:
        index_T: of the stored frame on display at each; None where each is shown once.
        seconds: of a step.
        said: what to tell of it, where the film did not ask for it.
    """

    index_T: NDArray[np.int64] | None
    seconds: float
    said: str = ""


def steps(
    times_T: NDArray[np.float64], rate: float | Literal["stored"] | None, where: Path
) -> Steps:
    """What is on display at each step of a constant length.

    Args:
        times_T: when each stored frame is shown, in seconds; NaN where nobody says.
        rate: frames per second; None for that of the film, which leaves frames alone whose steps
            are equal but for a few, "stored" to leave them alone in any case.
        where: what messages call the film.

    Raises:
        InputError: the rate is not above 0, or the frames would become too many.
    """
    check_rate(rate)
    seconds = pace(times_T)
    step = 1 / float(rate) if isinstance(rate, Real) else seconds
    times_T = np.sort(times_T)  # some decoders hand out the times of B-frames in disorder
    if rate == "stored" or len(times_T) < 2 or not (np.diff(times_T) > 0).all():
        return Steps(None, step)
    count = max(1, round((times_T[-1] - times_T[0] + seconds) / step))
    fix = "give the rate that you want, or rate='stored' to take each frame once"
    if count > min(MORE * max(len(times_T), 1 / step), FRAMES):
        raise InputError(where, f"would get {count} frames of {step:.3g} s", fix)
    # Half a step later: the times of files are rounded, and cameras are not exact.
    shown_T = times_T[0] + np.arange(count) * step + min(step, seconds) / 2
    index_T = np.searchsorted(times_T, shown_T) - 1
    unequal = np.mean(np.diff(index_T) != 1)  # cameras drop a frame now and then
    if unequal == 0 or (rate is None and unequal < FEW):
        return Steps(None, step)
    if rate is not None:
        return Steps(index_T, step)
    shortest, longest = np.diff(times_T).min(), np.diff(times_T).max()
    said = (
        f"{where} shows frames for {shortest:.3g} to {longest:.3g} s: {len(times_T)} become "
        f"{count} of {step:.3g} s each; {fix}"
    )
    return Steps(index_T, step, said)


def check_rate(rate: float | Literal["stored"] | None) -> None:
    """Refuse what is no rate.

    Raises:
        InputError: it is not above 0, or not finite.
    """
    if rate not in (None, "stored") and not (isinstance(rate, Real) and 0 < rate < math.inf):
        raise InputError("rate", f"is {rate}", "give frames per second")


def pace(times_T: NDArray[np.float64]) -> float:
    """Seconds per frame: the mean step, pauses and frames without a time left out."""
    steps = np.diff(np.sort(times_T))  # some decoders hand out the times of B-frames in disorder
    steps = np.sort(steps[steps > 0])
    if len(steps) == 0:
        return 0.1
    middle = steps[len(steps) // 2]
    return float(steps[abs(steps - middle) <= middle / 2].mean())


def check_memory(count: int, where: Path) -> None:
    """Refuse frames that leave no room for anything else.

    Args:
        count: bytes.
        where: what the message calls their source.

    Raises:
        InputError: they fill more than half of the memory of this machine.
    """
    if hasattr(os, "sysconf") and count > (most := memory() // 2):
        what = f"holds more than the {most / 1e9:.1f} GB of frames allowed here"
        raise InputError(where, what, "give a size, a stop or every, or read it with frames()")


def memory() -> int:
    """Bytes of memory of this machine, or of the container that this runs in."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(there, int(CGROUP.read_text()))
    except (OSError, ValueError):  # there is no container, or it says "max"
        return there
