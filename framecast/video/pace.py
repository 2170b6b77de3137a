"""From the times of frames to a clip with one step: what is on display at each of its steps.

Shapes: T frames, C channels, H height, W width.
"""

import os
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from framecast.errors import InputError

FEW = 0.01  # the share of unequal steps up to which a film is left alone
MORE = 10  # times as many frames as are stored: a constant step may not make more of them


def steady(
    frames_THWC: NDArray[Any],
    times_T: NDArray[np.float64],
    rate: float | Literal["stored"] | None,
    where: Path,
) -> tuple[NDArray[Any], float]:
    """Take the frame that is on display at each step of a constant length.

    Args:
        frames_THWC: stored frames.
        times_T: when each is shown, in seconds; NaN where nobody says.
        rate: frames per second; None for that of the film, "stored" to leave the frames alone.
        where: what messages call the film.

    Returns:
        The frames, the very same array if the steps are equal but for a few, and the seconds per
        frame.

    Raises:
        InputError: the rate is not above 0, or the frames would become too many.
    """
    if isinstance(rate, float | int) and not rate > 0:
        raise InputError("rate", f"is {rate}", "give frames per second")
    seconds = pace(times_T)
    step = 1 / rate if isinstance(rate, float | int) else seconds
    times_T = np.sort(times_T)  # some decoders hand out the times of B-frames in disorder
    if rate == "stored" or len(times_T) < 2 or not (np.diff(times_T) > 0).all():
        return frames_THWC, step
    count = max(1, round((times_T[-1] - times_T[0] + seconds) / step))
    fix = "give the rate that you want, or rate='stored' to take each frame once"
    if count > MORE * max(len(times_T), 1 / step):
        raise InputError(where, f"would get {count} frames of {step:.3g} s", fix)
    # Half a step later: the times of files are rounded, and cameras are not exact.
    shown_T = times_T[0] + np.arange(count) * step + min(step, seconds) / 2
    index_T = np.searchsorted(times_T, shown_T) - 1
    unequal = np.mean(np.diff(index_T) != 1)  # cameras drop a frame now and then
    if unequal == 0 or (rate is None and unequal < FEW):
        return frames_THWC, step
    check_memory(count * frames_THWC[0].nbytes, where)
    if rate is None:
        shortest, longest = np.diff(times_T).min(), np.diff(times_T).max()
        warnings.warn(
            f"{where} shows frames for {shortest:.3g} to {longest:.3g} s: {len(times_T)} become "
            f"{count} of {step:.3g} s each; {fix}",
            stacklevel=3,
        )
    return frames_THWC[index_T], step


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
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
