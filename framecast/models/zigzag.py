"""What PredRNN and its heirs share: patches, a stack of layers, and a memory that zigzags.

The memory goes up through all layers, and from the top to the lowest layer of the next frame
(Wang et al., NeurIPS 2017). So frames are read one after the other: of the known ones, only the
lowest layer's convolution of the input is done for all at once.
Shapes: B batch, T frames, C channels, P = C × patch² pixels of a patch, D hidden channels,
S sums of gates, H height, W width, X = T × B.
"""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from framecast.layers import gathered
from framecast.layers.st_lstm import Norm, ReadingLayer
from framecast.models.forecaster import Kernel, OutputConfig, Recurrent, State, Task, Width


class ZigzagConfig(OutputConfig):
    """Settings of the models that share this."""

    hidden: tuple[Width, ...] = Field(
        (32, 32), min_length=1, max_length=64, description="channels, one per layer"
    )
    kernel: Kernel = Field(3, description="odd; of all layers")
    patch: Literal[1, 2, 4, 8] = Field(
        4, description="side of the square of pixels in one position"
    )
    norm: Norm = Field("group", description="of the gates: none or group")


class OneWidthConfig(ZigzagConfig):
    """Settings of those whose memory has one width throughout."""

    @model_validator(mode="after")
    def _one_width(self) -> Self:
        if len(set(self.hidden)) > 1:
            raise ValueError("hidden channels are the same in all layers, as one memory is in all")
        return self


class Zigzag(Recurrent):
    """A model that gives `start` and `through`, and has its layers in `layers`."""

    Config = ZigzagConfig
    layers: nn.ModuleList

    def __init__(self, config: ZigzagConfig, task: Task) -> None:
        super().__init__(config, task)
        self.multiple = config.patch
        self.pixels = task.channels * config.patch**2
        self.head = nn.Conv2d(config.hidden[-1], self.pixels, 1)

    def start(self, like_BPHW: Tensor) -> State:
        """The state before the first frame, for such patches."""
        raise NotImplementedError

    def through(self, sums_BSHW: Tensor, state: State) -> tuple[Tensor, State]:
        """The top layer's hidden map, from what the lowest one reads, and the state after it."""
        raise NotImplementedError

    def next_frames(self, frames_BTCHW: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read all frames, one after the other."""
        patches_TBPHW = F.pixel_unshuffle(frames_BTCHW, self.config.patch).transpose(0, 1)
        if state is None:
            state = self.start(patches_TBPHW[0])
        lowest: ReadingLayer = self.layers[0]  # type: ignore[assignment]
        frames = patches_TBPHW.shape[0]
        sums_XSHW = lowest.read(patches_TBPHW.flatten(0, 1), frames)
        tops = []
        # Not chunk: exported, the batch is a symbol, which that makes a number of.
        for sums_BSHW in sums_XSHW.view(frames, -1, *sums_XSHW.shape[1:]).unbind():
            top_BDHW, state = self.through(sums_BSHW, state)
            tops.append(top_BDHW)
        next_XPHW = gathered.conv2d(torch.cat(tops), self.head)
        next_XCHW = self.config.finish(F.pixel_shuffle(next_XPHW, self.config.patch))
        return next_XCHW.view(frames_BTCHW.transpose(0, 1).shape).transpose(0, 1), state


def zeros(like_BPHW: Tensor, width: int) -> Tensor:
    """Where a hidden map, a cell or a memory starts."""
    batch, _, height, width_of_map = like_BPHW.shape
    return like_BPHW.new_zeros(batch, width, height, width_of_map)
