"""Windows: M + N consecutive frames, the unit of training and evaluation.

Shapes: B batch, T = past + future frames, C channels, H height, W width.
"""

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


class DataConfig(Settings):
    """Settings that every data set has."""

    past: int = Field(10, ge=1, le=1000, description="frames given, M")
    future: int = Field(10, ge=1, le=1000, description="frames to forecast, N")


class Dataset(Protocol):
    """Three splits that share no frame. Build one with `data.open_data`."""

    Config: ClassVar[type[DataConfig]]
    citation: ClassVar[str]
    name: str
    config: Any
    train: Windows
    validation: Windows
    test: Windows

    def __init__(self, config: Any) -> None: ...


def pick(data: Dataset, split: str) -> Windows:
    """The split of this name.

    Raises:
        InputError: it is not train, validation or test.
    """
    if split not in ("train", "validation", "test"):
        raise InputError(f"--split {split}", "is not a split", "give train, validation or test")
    windows: Windows = getattr(data, split)
    return windows
