"""Encoder–forecaster: ConvLSTMs at several sizes read, others at the same sizes forecast.

Papers: Shi et al., NeurIPS 2015, arXiv:1506.04214 (an encoder hands its states to a forecaster);
Shi et al., NeurIPS 2017, arXiv:1706.03458 (at several sizes, with convolutions between).
Differs: ConvLSTMs at all sizes, as in the first paper, where the second has TrajGRUs. The smallest
size of the forecaster reads a map of ones: in the papers it reads nothing, or zeros, whose weights
never learn. No peepholes; forget gates start open.
Unlike other recurrent models it never reads what it forecasts, so training looks at the future
alone, and a forecast after each frame starts from the states of the encoder there.
Shapes: B batch, M past frames, N future frames, T any frames, X = T × B, C channels, D channels,
H height, W width; levels are counted from the largest size to the smallest.
"""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.gates import Gates, Norm
from framecast.layers.gathered import constant_weights
from framecast.models.forecaster import (
    Forecaster,
    ForecasterConfig,
    Kernel,
    Recurrent,
    State,
    Task,
    Width,
)
from framecast.models.paper import Paper

SLOPE = 0.2  # of the leaky rectifiers

Stride = Annotated[int, Field(ge=1, le=16)]


class EncoderForecasterConfig(ForecasterConfig):
    """Settings of `EncoderForecaster`. What is given per level starts at the largest size."""

    hidden: tuple[Width, ...] = Field(
        (16, 32, 64), min_length=1, max_length=8, description="channels, one per level"
    )
    stride: tuple[Stride, ...] = Field(
        (2, 2, 2), description="by which each level is smaller than what it reads"
    )
    down: tuple[Kernel, ...] = Field(
        (3, 3, 3), description="odd, at least the stride; kernels between levels"
    )
    kernel: Kernel = Field(3, description="odd; of all ConvLSTMs")
    thin: int = Field(8, ge=1, le=1024, description="channels of the maps before the first level")
    norm: Norm = Field("group", description="of the gates: none, layer or group")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not len(self.hidden) == len(self.stride) == len(self.down):
            raise ValueError("hidden, stride and down have one number per level each")
        if any(down < stride for down, stride in zip(self.down, self.stride, strict=True)):
            raise ValueError("kernels of down are at least the stride")
        if self.loss == "bce":
            raise ValueError("loss=bce needs forecasts in [0, 1], and nothing keeps these there")
        return self


class EncoderForecaster(Recurrent):
    """Stacks of ConvLSTMs that meet level by level."""

    Config = EncoderForecasterConfig
    loss = Forecaster.loss  # it reads no future frame, true or forecast
    parts: ClassVar[tuple[str, ...]] = ("read", "ahead")
    paper: ClassVar[Paper] = Paper(
        "Shi, Xingjian and Gao, Zhihan and Lausen, Leonard and Wang, Hao and Yeung, Dit-Yan and "
        "Wong, Wai-kin and Woo, Wang-chun",
        "Deep Learning for Precipitation Nowcasting: A Benchmark and A New Model",
        "NeurIPS",
        2017,
        arxiv="1706.03458",
    )
    about: ClassVar[str] = "large frames with large motion, such as radar: most work at small sizes"

    def __init__(self, config: EncoderForecasterConfig, task: Task) -> None:
        super().__init__(config, task)
        self.multiple = math.prod(config.stride)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.reading, self.forecasting = nn.ModuleList(), nn.ModuleList()
        finer = (config.thin, *config.hidden)  # channels at the level before
        for level, hidden in enumerate(config.hidden):
            inputs = finer[level] if level else task.channels
            width = hidden if level else config.thin
            down, stride = config.down[level], config.stride[level]
            # These paddings make a size exactly one stride smaller, and back.
            padding = (down - stride + 1) // 2
            self.down.append(nn.Conv2d(inputs, width, down, stride, padding))
            up = stride + 2 * padding
            self.up.append(nn.ConvTranspose2d(hidden, finer[level], up, stride, padding))
            below = 1 if level == len(config.hidden) - 1 else hidden
            gates = Gates(norm=config.norm)
            self.reading.append(ConvLSTMLayer(width, hidden, config.kernel, gates))
            self.forecasting.append(ConvLSTMLayer(below, hidden, config.kernel, gates))
        self.leave = nn.Sequential(
            nn.Conv2d(config.thin, config.thin, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(config.thin, task.channels, 1),
        )

    def read(self, frames_BTCHW: Tensor, states: State = None) -> State:
        """Read frames, each level after the other: the state of each after the last frame."""
        batch, count = frames_BTCHW.shape[:2]
        below_BTDHW, after = frames_BTCHW, []
        before = states or [None] * len(self.down)
        for down, layer, state in zip(self.down, self.reading, before, strict=True):
            maps_XDHW = F.leaky_relu(down(below_BTDHW.transpose(0, 1).flatten(0, 1)), SLOPE)
            below_BTDHW = maps_XDHW.view(count, batch, *maps_XDHW.shape[1:]).transpose(0, 1)
            below_BTDHW, state = layer(below_BTDHW, state)
            after.append(state)
        return after

    def ahead(self, states: State, count: int = 1) -> tuple[Tensor, State]:
        """Forecast from the states of all levels: future_BNCHW of `count` frames, and the states.

        The smallest size comes first. Each level begins in the state that is handed over to it.
        """
        top_BDHW, _ = states[-1]
        after: list[State] = []
        below_BNDHW = torch.ones_like(top_BDHW[:, None, :1]).expand(-1, count, -1, -1, -1)
        levels = zip(self.up, self.forecasting, states, strict=True)
        for up, layer, state in reversed([*levels]):
            hidden_BNDHW, state = layer(below_BNDHW, state)
            after.insert(0, state)
            maps_XDHW = F.leaky_relu(up(hidden_BNDHW.transpose(0, 1).flatten(0, 1)), SLOPE)
            below_BNDHW = maps_XDHW.view(count, -1, *maps_XDHW.shape[1:]).transpose(0, 1)
        future_XCHW = self.leave(maps_XDHW)
        return future_XCHW.view(count, -1, *future_XCHW.shape[1:]).transpose(0, 1), after

    def step(self, frame_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, forecast the next. The state has those of the encoder and forecaster."""
        states = self.read(frame_BCHW[:, None], state and state[0])
        next_B1CHW, later = self.ahead(states)
        return next_B1CHW[:, 0], (states, later)

    def frames(self, past_BMCHW: Tensor) -> Iterator[Tensor]:
        """Yield frame_BCHW after frame_BCHW, for ever."""
        states = self._read_all(past_BMCHW)
        next_B1CHW, later = self.ahead(states)
        yield from self.run_on(next_B1CHW[:, 0], (states, later))

    def run_on(self, frame_BCHW: Tensor, state: State) -> Iterator[Tensor]:
        """Yield a forecast frame and its successors, for ever, from the state that came with it."""
        _, later = state
        while True:
            yield frame_BCHW
            next_B1CHW, later = self.ahead(later)
            frame_BCHW = next_B1CHW[:, 0]

    def forward(self, past_BMCHW: Tensor, horizon: int) -> Tensor:
        """Forecast `horizon` frames, each level all of them at once: future_BNCHW, not clipped."""
        with constant_weights():
            return self.ahead(self._read_all(past_BMCHW), horizon)[0]

    def _read_all(self, past_BMCHW: Tensor) -> State:
        """Piece by piece, so that a past of any length takes no more memory than in training."""
        states = None
        for piece_BTCHW in torch.split(past_BMCHW, self.task.past, dim=1):
            states = self.read(piece_BTCHW, states)
        return states
