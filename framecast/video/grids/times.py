"""Times of frames: from CF coordinates, from stamps, from file names; and where they have gaps.

Shapes: T frames.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framecast.errors import InputError

EPOCH = np.datetime64("1970-01-01T00:00:00.000", "ms")
REGULAR = 0.1  # how far a step may be off: months of 28 to 31 days follow each other
SLOTS = 48  # half-hours of a day, counted from 1 in the stamps of TaxiBJ
FORMATS = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 9: "%y%j%H%M", 10: "%Y%m%d%H", 8: "%Y%m%d"}


@dataclass(frozen=True, eq=False)
class Times:
    """When each frame was.

    Args:
        seconds_T: since 1970, or since any moment in a calendar that is not ours.
        dated: whether it is since 1970, UTC.
    """

    seconds_T: NDArray[np.float64]
    dated: bool = True

    def at(self, index: int) -> np.datetime64 | None:
        """The time of a frame as a date, if it is known."""
        seconds = self.seconds_T[index]
        if not self.dated or not abs(seconds) < 1e11:
            return None
        return EPOCH + np.timedelta64(round(seconds * 1000), "ms")


def from_cf(values_T: NDArray[Any], units: str, calendar: str) -> Times:
    """Decode "hours since 2010-08-26" and the like.

    Raises:
        ValueError, OverflowError: units or calendar are none, or a date is out of bounds.
    """
    import cftime

    dates = cftime.num2date(values_T, units, calendar or "standard")
    first = dates[0]
    since_T = np.array([(date - first).total_seconds() for date in dates])
    if first.calendar not in ("standard", "gregorian", "proleptic_gregorian") or first.year < 1600:
        return Times(since_T, dated=False)
    return Times(
        since_T + (np.datetime64(first.isoformat(), "ms") - EPOCH) / np.timedelta64(1, "s")
    )


def from_stamps(stamps: Sequence[str]) -> Times | None:
    """Decode yyyymmdd, yyyymmddHH, yyyymmddHHMM or yyyymmddHHMMSS; None if they are something else.

    Ten digits that end in 01 … 48 count half-hours, as in TaxiBJ.
    """
    lengths = {len(stamp) for stamp in stamps}
    if len(lengths) != 1 or not all(stamp.isdecimal() for stamp in stamps):
        return None
    length = lengths.pop()
    if length == 10 and any(stamp[8:] > "23" for stamp in stamps):
        slots = [int(stamp[8:]) - 1 for stamp in stamps]
        days = [_date(stamp[:8], FORMATS[8]) for stamp in stamps]
        if not all(0 <= slot < SLOTS for slot in slots):
            return None
        step = timedelta(days=1) / SLOTS
        dates = [day and day + slot * step for day, slot in zip(days, slots, strict=True)]
    else:
        dates = [_date(stamp, FORMATS.get(length, "")) for stamp in stamps]
    seconds = [date.timestamp() for date in dates if date]
    return Times(np.array(seconds)) if len(seconds) == len(stamps) else None


def from_names(paths: Sequence[Path]) -> Times:
    """Find the time in names such as `RAD_201008260005.h5`, `2010-08-26_0005.gif`, `AQC170310945F`.

    The last is the year in two digits, the day of the year, hour and minute.

    Raises:
        InputError: some name has none.
    """
    joined = [re.sub(r"(?<=\d)[-_:.T ](?=\d)", "", path.stem) for path in paths]
    for names in ([path.stem for path in paths], joined):
        for length, form in FORMATS.items():
            dates = [_find(name, length, form) for name in names]
            seconds = [date.timestamp() for date in dates if date]
            if len(seconds) == len(paths) and (len(paths) == 1 or len({*seconds}) > 1):
                return Times(np.array(seconds))
    apart = f" that tells it from the {len(paths) - 1} beside it" if len(paths) > 1 else ""
    timeless = [
        path
        for path, name in zip(paths, joined, strict=True)
        if not any(_find(name, length, form) for length, form in FORMATS.items())
    ]
    what = f"has no time in its name{apart}"
    raise InputError(
        (timeless or paths)[0], what, "name them such as 202401311205.h5 (year to minute)"
    )


def _find(name: str, length: int, form: str) -> datetime | None:
    runs = re.findall(rf"(?<!\d)\d{{{length}}}(?!\d)", name)
    return next((date for run in runs if (date := _date(run, form))), None)


def _date(stamp: str, form: str) -> datetime | None:
    try:
        date = datetime.strptime(stamp, form).replace(tzinfo=UTC)
    except ValueError:
        return None
    return date if 1900 <= date.year < 2200 else None


def runs(times: Times) -> tuple[list[range], float]:
    """Where frames follow each other without a gap, and the seconds from one to the next.

    The regular step is the middle one of all that go forward. Any other step parts two runs: a
    gap, a repeated frame, one that goes backward.
    """
    steps = np.diff(times.seconds_T)
    forward = np.sort(steps[steps > 0])
    if not len(forward):
        return [range(n, n + 1) for n in range(len(times.seconds_T))], 1.0
    step = float(forward[(len(forward) - 1) // 2])
    breaks = np.flatnonzero(~(np.abs(steps - step) <= REGULAR * step)) + 1
    ends = [0, *breaks.tolist(), len(times.seconds_T)]
    return [range(a, b) for a, b in pairwise(ends)], step
