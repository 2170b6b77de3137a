"""A clip: the frames of one video, radar sequence or grid, with what is needed to write them back.

Shapes: B batch, N future frames, T any frames, C channels, H height, W width.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from framecast.errors import InputError

Transform: TypeAlias = Literal["linear", "log"]
DETAIL = 1000  # "log" is nearly linear below this part of the range


@dataclass(frozen=True)
class Scaling:
    """How physical values become those in [0, 1] that a model sees, and back. Saved with a model.

    "log" suits rain, most of which is weak: with x the distance from `low` in thousandths of the
    range, sign(x) log(1 + |x|) over its largest value. It takes values beyond the range as well.

    Args:
        low: the value that becomes 0.
        high: the value that becomes 1, above `low`.
        unit: of the values, such as "mm/h"; empty if nobody said.
        transform: "linear" or "log".

    >>> Scaling(0.0, 100.0, "mm/h", "log").enter(torch.tensor([0.0, 1.0, 100.0]))
    tensor([0.0000, 0.3471, 1.0000])
    """

    low: float
    high: float
    unit: str = ""
    transform: Transform = "linear"

    def __post_init__(self) -> None:
        low, high = float(self.low), float(self.high)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"a range goes from a number up to another, not from {low} to {high}")
        if self.transform not in ("linear", "log") or not isinstance(self.unit, str):
            raise ValueError(f"a transform is linear or log, not {self.transform}")

    def enter(self, values: Tensor) -> Tensor:
        """From physical values to [0, 1]."""
        share = (values - self.low) / (self.high - self.low)
        if self.transform == "linear":
            return share
        return share.sign() * (share.abs() * DETAIL).log1p() / math.log1p(DETAIL)

    def leave(self, values: Tensor) -> Tensor:
        """From [0, 1] to physical values."""
        if self.transform == "log":
            values = values.sign() * (values.abs() * math.log1p(DETAIL)).expm1() / DETAIL
        return values * (self.high - self.low) + self.low


@dataclass(frozen=True, eq=False)
class Axis:
    """The name, coordinates and unit of the rows or columns of a grid."""

    name: str
    values: NDArray[np.float64]
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where and when the frames of a clip lie.

    Args:
        name: of the variable.
        start: time of the first frame, UTC; None if it is not known.
        rows: None if the source has no coordinates, as for columns.
        columns: from left to right as they are stored.
    """

    name: str
    start: np.datetime64 | None = None
    rows: Axis | None = None
    columns: Axis | None = None

    def later(self, seconds: float) -> "Grid":
        """The same place some time after."""
        if self.start is None:
            return self
        return replace(self, start=self.start + np.timedelta64(round(seconds * 1000), "ms"))


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames and their meaning.

    Args:
        frames_THWC: uint8 or float32; NaN in float32 marks a missing pixel.
        seconds_per_frame: time from one frame to the next.
        value_range: the physical values that stand for 0 and 1 in a tensor.
        unit: of the values, such as "mm/h"; empty for pictures.
        source: where the clip came from, for messages.
        transform: of physical values on their way to a tensor, see `Scaling`.
        grid: where and when the frames lie, where the source says so.

    >>> clip = Clip(np.zeros((12, 64, 64, 1), np.uint8))
    >>> len(clip), clip.channels
    (12, 1)
    """

    frames_THWC: NDArray[np.uint8] | NDArray[np.float32]
    seconds_per_frame: float = 0.1
    value_range: tuple[float, float] = (0.0, 255.0)
    unit: str = ""
    source: str = "array"
    transform: Transform = "linear"
    grid: Grid | None = None

    def __post_init__(self) -> None:
        frames = self.frames_THWC
        if not isinstance(frames, np.ndarray) or frames.ndim != 4:
            what = f"are of shape {getattr(frames, 'shape', None)}"
            raise InputError("the frames of a clip", what, "give an array of (T, H, W, C)")
        if frames.dtype not in (np.uint8, np.float32):
            fix = "give pixels as uint8, measured values as float32"
            raise InputError("the frames of a clip", f"are {frames.dtype}", fix)

    def __len__(self) -> int:
        return len(self.frames_THWC)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour, any number for grids."""
        return int(self.frames_THWC.shape[3])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.frames_THWC.shape[1], self.frames_THWC.shape[2]

    @property
    def scaling(self) -> Scaling:
        """From the values of this clip to a tensor."""
        return Scaling(*self.value_range, self.unit, self.transform)

    @property
    def physical(self) -> bool:
        """The values are measurements, not the brightness of pictures."""
        return self.frames_THWC.dtype == np.float32

    def cut(self, start: int, stop: int | None = None) -> "Clip":
        """The frames `start` … `stop`, by Python's rules for slices."""
        first = slice(start, stop).indices(len(self))[0]
        grid = self.grid and self.grid.later(first * self.seconds_per_frame)
        return replace(self, frames_THWC=self.frames_THWC[start:stop], grid=grid)

    def scaled_as(self, scaling: Scaling | None) -> "Clip":
        """Measured values on the scale of a model: equal values become equal numbers.

        Values without a unit are taken for those of the model. Pictures stay as they are.

        Raises:
            InputError: the values have another unit.
        """
        if scaling is None or not (self.physical or scaling.unit):
            return self
        if not same_unit(self.unit, scaling.unit) and (self.unit or not self.physical):
            has = f"is in {self.unit}" if self.unit else "holds pictures"
            what = f"{has}, the model was trained on {scaling.unit or 'values without a unit'}"
            raise InputError(self.source, what, "convert it, or train a model on such data")
        return replace(
            self,
            value_range=(scaling.low, scaling.high),
            transform=scaling.transform,
            unit=scaling.unit,
        )


def same_unit(one: str, other: str) -> bool:
    """Whether two units are one, spelled in the ways that data and people do.

    >>> same_unit("mm/h", "mm h-1"), same_unit("kg m^-2 s**-1", "kg/m2/s"), same_unit("mm", "m")
    (True, True, False)
    """
    return _factors(one) == _factors(other)


def _factors(unit: str) -> list[str]:
    """Its parts, each with its power."""
    told = re.sub(r"\*\*|\^", "", unit)
    told = re.sub(r"/\s*([A-Za-z]+)(\d*)", lambda part: f" {part[1]}-{part[2] or 1}", told)
    return sorted(re.sub(r"\bhr\b", "h", told).split())


def to_tensor(clip: Clip) -> Tensor:
    """Scale the values of a clip to [0, 1].

    Returns:
        frames_1TCHW, float32: the range of the clip mapped to [0, 1]; missing pixels stay NaN.

    Raises:
        InputError: a value is infinite.
    """
    frames_THWC = torch.from_numpy(np.ascontiguousarray(clip.frames_THWC)).float()
    if clip.physical and torch.isinf(frames_THWC).any():
        raise InputError(clip.source, "holds infinite values", "write NaN for missing pixels")
    return clip.scaling.enter(frames_THWC).permute(0, 3, 1, 2)[None]


def from_tensor(frames_1TCHW: Tensor) -> Clip:
    """A uint8 picture clip from one sequence in [0, 1]."""
    return to_clip(frames_1TCHW, like=Clip(np.zeros((1, 1, 1, 1), np.uint8)))


def to_clip(frames_1TCHW: Tensor, like: Clip) -> Clip:
    """Undo `to_tensor`: values, unit, frame rate and type as in `like`.

    Args:
        frames_1TCHW: one sequence in [0, 1]; values beyond are clipped for uint8 clips.
        like: the clip that the frames continue.
    """
    frames_THWC = like.scaling.leave(frames_1TCHW[0].detach().float().cpu()).permute(0, 2, 3, 1)
    if like.frames_THWC.dtype == np.uint8:
        frames_THWC = frames_THWC.round().clamp(0, 255).to(torch.uint8)
    return replace(like, frames_THWC=frames_THWC.contiguous().numpy())
