"""Windows: M + N consecutive frames, the unit of training and evaluation.

Shapes: B batch, T = past + future frames, C channels, H height, W width.
"""

from collections.abc import Sized
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from framecast.errors import InputError
from framecast.settings import Settings


class Windows(Protocol):
    """One split of a data set. Every index gives the same window each time it is asked for."""

    def __len__(self) -> int:
        """Windows in one epoch. An endless split gives fresh windows beyond this number too."""
        ...

    @property
    def endless(self) -> bool:
        """True when any index ≥ 0 gives a window, so that no training window is seen twice."""
        ...

    @property
    def shape_TCHW(self) -> tuple[int, int, int, int]:
        """Shape of one window."""
        ...

    def batch(self, index_B: NDArray[np.int64]) -> Tensor:
        """The windows of these indices: window_BTCHW, float32 in [0, 1]."""
        ...

    def fingerprint(self) -> str:
        """A hash that changes when the data change, kept with the weights."""
        ...


class NoWindows:
    """A split that the user asked to leave out.

    Args:
        shape_TCHW: of the windows of the other splits.
    """

    endless = False
    clips: tuple[()] = ()

    def __init__(self, shape_TCHW: tuple[int, int, int, int]) -> None:
        self._shape_TCHW = shape_TCHW

    def __len__(self) -> int:
        return 0

    @property
    def shape_TCHW(self) -> tuple[int, int, int, int]:
        """Shape that a window would have."""
        return self._shape_TCHW

    def batch(self, index_B: NDArray[np.int64]) -> Tensor:
        """No windows: window_BTCHW with B = 0."""
        assert len(index_B) == 0, "no such window"
        return torch.empty(0, *self.shape_TCHW)

    def fingerprint(self) -> str:
        """The same for all that is left out."""
        return ""


@runtime_checkable
class DrawnWindows(Protocol):
    """Windows that can be drawn on any device, which is more than to be copied there."""

    def batch_on(self, index_B: NDArray[np.int64], device: torch.device) -> Tensor:
        """What `batch` gives, to the last bit, on that device."""
        ...


def batch_on(windows: Windows, index_B: NDArray[np.int64], device: torch.device) -> Tensor:
    """The windows of these indices on a device: window_BTCHW, float32 in [0, 1]."""
    if isinstance(windows, DrawnWindows):
        return windows.batch_on(index_B, device)
    return windows.batch(index_B).to(device)


@runtime_checkable
class OrderedWindows(Protocol):
    """Windows of which some are cheaper to load together."""

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Every index once, in a random order that suits them."""
        ...


def shuffled(windows: Windows, rng: np.random.Generator) -> NDArray[np.int64]:
    """Every index of a split once, in random order."""
    if isinstance(windows, OrderedWindows):
        return windows.order(rng)
    return rng.permutation(len(windows))


@runtime_checkable
class OverlappingWindows(Protocol):
    """Windows that share frames with their neighbours."""

    def apart(self) -> NDArray[np.int64]:
        """Indices of as few windows as hold every frame."""
        ...


def apart(windows: Windows) -> NDArray[np.int64]:
    """Indices of windows that hold every frame, and few of them twice."""
    return windows.apart() if isinstance(windows, OverlappingWindows) else np.arange(len(windows))


class DataConfig(Settings):
    """Settings that every data set has."""

    past: int = Field(10, ge=1, le=1000, description="frames given, M")
    future: int = Field(10, ge=1, le=1000, description="frames to forecast, N")


class Dataset(Protocol):
    """Three splits that share no frame; some may be empty. Build one with `data.open_data`."""

    Config: ClassVar[type[DataConfig]]
    citation: ClassVar[str]
    name: str
    config: Any
    train: Windows
    validation: Windows
    test: Windows

    def __init__(self, config: Any) -> None: ...


def spread(windows: Sized, most: int) -> NDArray[np.int64]:
    """Indices of at most so many windows, evenly spread over all of them."""
    return np.linspace(0, len(windows) - 1, min(most, len(windows))).astype(np.int64)


def pick(data: Dataset, split: str) -> Windows:
    """The split of this name.

    Raises:
        InputError: it is not train, validation or test, or it was left out.
    """
    if split not in ("train", "validation", "test"):
        raise InputError(
            f"--split {split}", "is not a split", "give train, validation, test, or all to evaluate"
        )
    windows: Windows = getattr(data, split)
    if not len(windows):
        what = f"is empty, since data.parts is {data.config.parts}"
        fix = "--split validation, or --split all on clips kept from training"
        raise InputError(f"the {split} part", what, fix)
    return windows
