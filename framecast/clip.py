"""A clip: the frames of one video, radar sequence or grid, with what is needed to write them back.

Shapes: B batch, N future frames, T any frames, C channels, H height, W width.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from framecast.errors import InputError


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames and their meaning.

    Args:
        frames_THWC: uint8 or float32; NaN in float32 marks a missing pixel.
        seconds_per_frame: time from one frame to the next.
        value_range: the physical values that stand for 0 and 1 in a tensor.
        unit: of the values, such as "mm/h"; empty for pictures.
        source: where the clip came from, for messages.

    >>> clip = Clip(np.zeros((12, 64, 64, 1), np.uint8))
    >>> len(clip), clip.channels
    (12, 1)
    """

    frames_THWC: NDArray[np.uint8] | NDArray[np.float32]
    seconds_per_frame: float = 0.1
    value_range: tuple[float, float] = (0.0, 255.0)
    unit: str = ""
    source: str = "array"

    def __post_init__(self) -> None:
        frames = self.frames_THWC
        assert frames.ndim == 4, f"a clip is (T, H, W, C), not {frames.shape}"
        assert frames.dtype in (np.uint8, np.float32), (
            f"a clip is uint8 or float32, not {frames.dtype}"
        )

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

    def cut(self, start: int, stop: int | None = None) -> "Clip":
        """The frames `start` … `stop`, by Python's rules for slices."""
        return replace(self, frames_THWC=self.frames_THWC[start:stop])


def to_tensor(clip: Clip) -> Tensor:
    """Scale the values of a clip to [0, 1].

    Returns:
        frames_1TCHW, float32: the range of the clip mapped to [0, 1].

    Raises:
        InputError: pixels are missing (NaN) or infinite.
    """
    low, high = clip.value_range
    frames_THWC = torch.from_numpy(np.ascontiguousarray(clip.frames_THWC)).float()
    if clip.frames_THWC.dtype != np.uint8 and not torch.isfinite(frames_THWC).all():
        raise InputError(
            clip.source, "holds NaN or infinite values", "fill the missing pixels first"
        )
    return ((frames_THWC - low) / (high - low)).permute(0, 3, 1, 2)[None]


def from_tensor(frames_1TCHW: Tensor) -> Clip:
    """A uint8 picture clip from one sequence in [0, 1]."""
    return to_clip(frames_1TCHW, like=Clip(np.zeros((1, 1, 1, 1), np.uint8)))


def to_clip(frames_1TCHW: Tensor, like: Clip) -> Clip:
    """Undo `to_tensor`: values, unit, frame rate and type as in `like`.

    Args:
        frames_1TCHW: one sequence in [0, 1]; values beyond are clipped for uint8 clips.
        like: the clip that the frames continue.
    """
    low, high = like.value_range
    frames_THWC = (frames_1TCHW[0].detach().float().cpu() * (high - low) + low).permute(0, 2, 3, 1)
    if like.frames_THWC.dtype == np.uint8:
        frames_THWC = frames_THWC.round().clamp(0, 255).to(torch.uint8)
    return replace(like, frames_THWC=frames_THWC.contiguous().numpy())
