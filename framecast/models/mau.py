"""MAU: a motion-aware unit, which attends to how things moved over the last τ frames.

Paper: Chang et al., NeurIPS 2021 (MAU: A Motion-Aware Unit for Video Prediction and Beyond).
Differs: norms are group norms with one scale per channel; the authors' layer norms have one per
channel and position, which ties a model to one frame size. Before the first frame lie τ frames of
zeros, as in the authors' code. Scheduled sampling is that of all recurrent models here.
Shapes: B batch, T frames, X = T × B, C channels, D channels of the maps, H height, W width,
K = τ frames before.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from framecast.layers.gates import lerp
from framecast.layers.gathered import conv2d
from framecast.models.forecaster import Kernel, OutputConfig, Recurrent, State, Task
from framecast.models.paper import Paper

SLOPE = 0.2  # of the leaky rectifiers


class MAUConfig(OutputConfig):
    """Settings of `MAU`."""

    layers: int = Field(2, ge=1, le=64, description="units above each other")
    width: int = Field(32, ge=2, le=1024, description="channels of the maps, D")
    kernel: Kernel = Field(3, description="odd")
    tau: int = Field(5, ge=1, le=64, description="frames before that are attended to")
    halvings: int = Field(2, ge=0, le=5, description="of the frame, before the units")
    recall: bool = Field(True, description="the decoder adds the maps of the encoder")
    residual: bool = Field(False, description="each unit adds to the map that it reads")


class MAU(Recurrent):
    """An encoder of frames, a stack of units, a decoder."""

    Config = MAUConfig
    paper: ClassVar[Paper] = Paper(
        "Chang, Zheng and Zhang, Xinfeng and Wang, Shanshe and Ma, Siwei and Ye, Yan and "
        "Xiang, Xinguang and Gao, Wen",
        "MAU: A Motion-Aware Unit for Video Prediction and Beyond",
        "NeurIPS",
        2021,
        url="https://proceedings.neurips.cc/paper/2021/hash/"
        "e25cfa90f04351958216f97e3efdabe9-Abstract.html",
    )
    about: ClassVar[str] = "motion over several frames by attention, with few parameters"

    def __init__(self, config: MAUConfig, task: Task) -> None:
        super().__init__(config, task)
        width = config.width
        self.multiple = 2**config.halvings
        self.enter = nn.Conv2d(task.channels, width, 1)
        self.down = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(config.halvings)
        )
        self.cells = nn.ModuleList(
            MAUCell(width, config.kernel, config.tau, residual=config.residual)
            for _ in range(config.layers)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1)
            for _ in range(config.halvings)
        )
        self.leave = nn.Conv2d(width, task.channels, 1)

    def next_frames(self, frames_BTCHW: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read all frames unit by unit, so that each convolves the maps below it at once."""
        batch, frames = frames_BTCHW.shape[:2]
        below_XDHW, *larger = self._encode(frames_BTCHW.transpose(0, 1).flatten(0, 1))
        states = []
        for cell, before in zip(self.cells, state or [None] * len(self.cells), strict=True):
            below_XDHW, after = cell(below_XDHW, frames, before)
            states.append(after)
        next_XCHW = self._decode(below_XDHW, larger)
        return next_XCHW.view(frames, batch, *next_XCHW.shape[1:]).transpose(0, 1), states

    def _encode(self, frames_XCHW: Tensor) -> list[Tensor]:
        """Maps of all sizes, the smallest first."""
        maps = [F.leaky_relu(self.enter(frames_XCHW), SLOPE)]
        for down in self.down:
            maps.insert(0, F.leaky_relu(down(maps[0]), SLOPE))
        return maps

    def _decode(self, maps_XDHW: Tensor, larger: list[Tensor]) -> Tensor:
        for up, recalled_XDHW in zip(self.up, larger, strict=True):
            maps_XDHW = F.leaky_relu(up(maps_XDHW), SLOPE)
            if self.config.recall:
                maps_XDHW = maps_XDHW + recalled_XDHW
        next_XCHW: Tensor = self.leave(maps_XDHW)
        finished_XCHW: Tensor = self.config.finish(next_XCHW)
        return finished_XCHW


class MAUCell(nn.Module):
    """One unit: what moved (t) and what is there (s) are gated into each other.

    Args:
        width: D.
        kernel: odd.
        tau: K, frames before that it attends to.
        residual: add what it reads to what it gives.
    """

    def __init__(self, width: int, kernel: int, tau: int, *, residual: bool) -> None:
        super().__init__()
        self.tau, self.residual = tau, residual
        self.query, self.gate = _normed(width, width, kernel), _normed(width, width, kernel)
        self.space, self.time = _normed(width, 3 * width, kernel), _normed(width, 3 * width, kernel)

    def forward(
        self, spaces_XDHW: Tensor, frames: int, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read T frames.

        Args:
            spaces_XDHW: maps of what is there, time first.
            frames: T.
            state: spaces_BKDHW and times_BKDHW of the last frames; None is all zeros.

        Returns:
            spaces_XDHW for the unit above, and the state after the last frame.
        """
        if state is None:
            batch, *shape = spaces_XDHW.shape[0] // frames, *spaces_XDHW.shape[1:]
            zero_BKDHW = spaces_XDHW.new_zeros(batch, self.tau, *shape)
            state = zero_BKDHW, zero_BKDHW
        seen_BKDHW, moved_BKDHW = state
        given = (spaces_XDHW, _apply(self.query, spaces_XDHW), _apply(self.space, spaces_XDHW))
        # Not chunk, nor len: exported, the batch is a symbol, which those make a number of.
        steps = (x.view(frames, -1, *x.shape[1:]).unbind() for x in given)
        outputs = []
        for space_BDHW, query_BDHW, three in zip(*steps, strict=True):
            trend_BDHW = attend(query_BDHW, seen_BKDHW, moved_BKDHW)
            last_BDHW = moved_BKDHW[:, -1]
            keep_BDHW = torch.sigmoid(_apply(self.gate, last_BDHW))
            fused_BDHW = lerp(trend_BDHW, last_BDHW, keep_BDHW)
            time_gate, time, to_space = _apply(self.time, fused_BDHW).chunk(3, dim=1)
            space_gate, to_time, space = three.chunk(3, dim=1)
            time_BDHW = lerp(to_time, time, torch.sigmoid(time_gate))
            new_BDHW = lerp(to_space, space, torch.sigmoid(space_gate))
            outputs.append(new_BDHW + space_BDHW if self.residual else new_BDHW)
            seen_BKDHW = torch.cat([seen_BKDHW[:, 1:], space_BDHW[:, None]], dim=1)
            moved_BKDHW = torch.cat([moved_BKDHW[:, 1:], time_BDHW[:, None]], dim=1)
        return torch.cat(outputs), (seen_BKDHW, moved_BKDHW)


def attend(query_BDHW: Tensor, keys_BKDHW: Tensor, values_BKDHW: Tensor) -> Tensor:
    """A mean of K values, weighted by how well their keys match the query; whole maps match."""
    scale = query_BDHW[0].numel() ** -0.5
    match_BK1 = keys_BKDHW.flatten(2) @ (scale * query_BDHW.flatten(1)).unsqueeze(2)
    weight_B1K = torch.softmax(match_BK1, dim=1).transpose(1, 2)
    return (weight_B1K @ values_BKDHW.flatten(2)).view_as(query_BDHW)


def _normed(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return nn.Sequential(conv, nn.GroupNorm(1, outputs))


def _apply(normed: nn.Sequential, x_BDHW: Tensor) -> Tensor:
    """A convolution whose weight gradient is gathered over the steps, and its norm."""
    conv, norm = normed
    assert isinstance(conv, nn.Conv2d)
    output_BDHW: Tensor = norm(conv2d(x_BDHW, conv))
    return output_BDHW
