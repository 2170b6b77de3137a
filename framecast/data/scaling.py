"""What measured values mean to a model: one range and one transform for all clips of a data set."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from framecast.clip import Clip, Scaling, same_unit
from framecast.data.cutting import ClipsConfig, ClipWindows
from framecast.data.film import Footage
from framecast.data.windows import Dataset, Windows
from framecast.errors import InputError

Kind = TypeVar("Kind", bound=Footage)


def share_scaling(clips: Sequence[Kind], config: ClipsConfig) -> list[Kind]:
    """Give all clips of measured values one range: a value means the same in each of them.

    Args:
        clips: of one data set; pictures among them stay as they are.
        config: `range` and `transform`; without a range, it is that of all clips together.

    Raises:
        InputError: clips differ in their unit, or a range or transform is set for pictures.
    """
    measured = [clip for clip in clips if isinstance(clip, Clip) and clip.physical]
    if not measured and (config.range or config.transform != "linear"):
        what = "is set, but the data are pictures, which have no unit"
        raise InputError("data.range" if config.range else "data.transform", what, "leave it out")
    for clip in measured:
        if not same_unit(clip.unit, measured[0].unit):
            what = f"is in {clip.unit or 'no unit'}, {measured[0].source} in {measured[0].unit}"
            raise InputError(clip.source, what, "give data of one unit")
    shared = config.range or (
        min((clip.value_range[0] for clip in measured), default=0.0),
        max((clip.value_range[1] for clip in measured), default=0.0),
    )
    return [
        replace(clip, value_range=shared, transform=config.transform)
        if isinstance(clip, Clip) and clip.physical
        else clip
        for clip in clips
    ]


def adopt(data: Dataset, scaling: Scaling | None) -> None:
    """Scale the measured values of a data set as a model has learnt them.

    Raises:
        InputError: they have another unit.
    """
    for windows in (data.train, data.validation, data.test):
        if isinstance(windows, ClipWindows):
            windows.clips = [clip.scaled_as(scaling) for clip in windows.clips]


def scaling_of(windows: Windows) -> Scaling | None:
    """How the values of a split became those in [0, 1]; None for pictures and drawn digits."""
    clip = windows.clips[0] if isinstance(windows, ClipWindows) else None
    return clip.scaling if isinstance(clip, Clip) and clip.physical else None
