"""Arrays as a data set: .npy or .npz with many sequences, or with a long one.

Shapes: N sequences, T frames, C channels, H height, W width.
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from framecast.clip import Clip
from framecast.data.cutting import ClipsConfig, split_clips, split_first
from framecast.data.scaling import share_scaling
from framecast.data.windows import DataConfig, Windows
from framecast.errors import InputError
from framecast.video.arrays import load, resize, to_values

OFFICIAL = 20  # frames of Moving MNIST, whose official file has the time first


class ArrayConfig(ClipsConfig):
    """Settings of `array`."""

    axes: str | None = Field(
        None,
        description="order of the axes, such as TNHW; default: THW, NTHW or NTHWC, and THWC when"
        " the last of four axes is 4 or shorter",
    )
    first: int | None = Field(
        None,
        ge=2,
        description="train (9/10) and validate (1/10) on so many sequences, test on those after",
    )
    key: str | None = Field(None, description="which array of an .npz that holds several")

    @field_validator("axes")
    @classmethod
    def _known(cls, axes: str | None) -> str | None:
        axes = axes and axes.upper()
        if axes and not (set("THW") <= set(axes) <= set("NTHWC") and len(set(axes)) == len(axes)):
            raise ValueError("give T, H, W and perhaps N, C, each once, such as TNHW")
        return axes


class Array:
    """The sequences of an array; they share one range of values.

    uint8 and float32 of an .npy stay on disk, unless `size` or `grey` change them. Sequences longer
    than a window are cut into several; three or more are parted by sequence, fewer by time.

    Attributes:
        skipped: the sequences that are too short, each with the reason.

    Raises:
        InputError: the file is no array of numbers, the axes do not fit or cannot be told, or no
            sequence is long enough.
    """

    Config: ClassVar[type[DataConfig]] = ArrayConfig
    citation: ClassVar[str] = ""
    name = "array"

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        clips = sequences(config)
        split = split_clips if config.first is None else partial(split_first, config.first)
        splits = split(clips, config)
        self.train: Windows = splits.train
        self.validation: Windows = splits.validation
        self.test: Windows = splits.test
        self.skipped = splits.skipped


def sequences(config: ArrayConfig) -> list[Clip]:
    """Each sequence of an array as a clip.

    Raises:
        InputError: as for `Array`.
    """
    path = Path(config.root).expanduser()
    array = load(path, config.key)
    axes = config.axes or _guess(array.shape, path)
    if len(axes) != array.ndim:
        what = f"has {array.ndim} axes {array.shape}, not the {len(axes)} of {axes}"
        raise InputError(path, what, "set axes, such as NTHW")
    values, value_range = to_values(_arrange(array, axes), path)
    size = config.size if isinstance(config.size, tuple) else None
    clips = [
        Clip(
            resize(frames_THWC[:: config.every], size, config.grey),
            value_range=value_range,
            source=f"{path}[{number}]" if "N" in axes else str(path),
        )
        for number, frames_THWC in enumerate(values)
    ]
    return share_scaling(clips, config)


def _guess(shape: tuple[int, ...], path: Path) -> str:
    """The usual order of the axes; no guess where two are as likely."""
    if len(shape) == 4 and shape[0] == OFFICIAL != shape[1] and shape[3] > 4:
        what = f"has the shape {shape}: {OFFICIAL} sequences, or frames first as in Moving MNIST?"
        raise InputError(path, what, "set axes=TNHW for frames first, else axes=NTHW")
    if len(shape) == 5 and shape[4] > 4 >= shape[2]:
        what = f"has the shape {shape}, which looks like channels before height and width"
        raise InputError(path, what, "set axes=NTCHW, or axes=NTHWC if it is not so")
    if len(shape) == 4 and shape[3] <= 4:
        return "THWC"
    usual = {3: "THW", 4: "NTHW", 5: "NTHWC"}
    if len(shape) not in usual:
        what = f"has {len(shape)} axes {shape}"
        raise InputError(path, what, "give (T, H, W), (N, T, H, W) or (N, T, H, W, C)")
    return usual[len(shape)]


def _arrange(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """View an array as (N, T, H, W, C)."""
    order = [axes.index(axis) for axis in "NTHWC" if axis in axes]
    missing = tuple(place for place, axis in enumerate("NTHWC") if axis not in axes)
    return np.expand_dims(array.transpose(order), missing)
