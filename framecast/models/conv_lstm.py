"""ConvLSTM: an LSTM whose matrix products are convolutions.

Paper: Shi et al., NeurIPS 2015, arXiv:1506.04214.
Differs: one stack reads and forecasts (a forecast frame is fed back as the next input) instead of
an encoder and a forecaster; no peepholes; the forget gate starts open. As in the paper, frames are
cut into patches, and a 1×1 convolution reads the hidden maps of all layers. Higher layers may see
coarser maps (`scales`), so that what is far away has a say: a digit turns back at the border as a
whole. With `motion` that convolution also says how each patch of the last frame moves on (Finn,
Goodfellow and Levine, NeurIPS 2016, arXiv:1605.07157: dynamic neural advection, here with one
kernel per patch), and what it draws is added: shapes need not be learnt before their motion. With
`match` the first layer also reads how each patch compares with what was around it the frame before
(Sun et al., CVPR 2018, arXiv:1709.02371: cost volume, here of pixels): how things move need not be
learnt either, it is seen. Where most stands still, as before a fixed camera, a fresh model repeats
the last frame (`calibrate`).
Shapes: B batch, T frames, C channels, P = C × patch² pixels of a patch, D hidden channels,
H height, W width, X = T × B, K displacements.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.gates import Gates, Norm
from framecast.layers.motion import cost_volume, move
from framecast.missing import filled
from framecast.models.forecaster import Kernel, OutputConfig, Recurrent, State, Task, Width
from framecast.models.paper import Paper

# Logits of a model that starts from the last frame; LOG.md has the experiment.
THERE = 5.0  # that what is there is drawn again
STAY = 1.8  # that it stays, against all displacements together


class ConvLSTMConfig(OutputConfig):
    """Settings of `ConvLSTM`."""

    hidden: tuple[Width, ...] = Field(
        (48, 48), min_length=1, max_length=64, description="channels, one per layer"
    )
    kernel: tuple[Kernel, ...] = Field(
        (3,), min_length=1, max_length=64, description="odd; one for all, or one each"
    )
    patch: Literal[1, 2, 4, 8] = Field(
        4, description="side of the square of pixels in one position"
    )
    scales: tuple[int, ...] = Field(
        (1,),
        min_length=1,
        max_length=64,
        description="side of a layer's positions in patches; one for all, or one each",
    )
    mix: int = Field(
        0, ge=0, le=4096, description="channels between the layers and what is drawn; 0: none"
    )
    motion: int = Field(4, ge=0, le=16, description="pixels a patch may move; 0: draw all")
    match: int = Field(
        0, ge=0, le=4096, description="channels for what moved since the last frame; 0: none"
    )
    norm: Norm = Field("group", description="of the gates: none, layer or group")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.kernel) not in (1, len(self.hidden)):
            raise ValueError("give one kernel for all layers, or one for each")
        if any(scale not in (1, 2, 4, 8) for scale in self.scales):
            raise ValueError("scales are 1, 2, 4 or 8")
        if len(self.scales) not in (1, len(self.hidden)) or [*self.scales] != sorted(self.scales):
            raise ValueError("give one scale for all layers, or one for each that never falls")
        if self.match and not self.motion:
            raise ValueError("match needs motion: how many pixels to look around")
        return self

    @property
    def kernel_of_each(self) -> tuple[int, ...]:
        """One kernel size per layer."""
        return self.kernel if len(self.kernel) > 1 else self.kernel * len(self.hidden)

    @property
    def scale_of_each(self) -> tuple[int, ...]:
        """One scale per layer."""
        return self.scales if len(self.scales) > 1 else self.scales * len(self.hidden)


def _stand_still(windows_BTCHW: Iterable[Tensor]) -> bool:
    """Whether frames lie nearer to the one before than to the mean of all frames."""
    change, square, steps, frames = 0.0, 0.0, 0, 0
    total_CHW = torch.zeros((), dtype=torch.float64)
    for batch_BTCHW in windows_BTCHW:
        window_BTCHW = filled(batch_BTCHW).double()
        change_BTCHW = window_BTCHW[:, 1:] - window_BTCHW[:, :-1]
        change += change_BTCHW.square().mean(dim=(2, 3, 4)).sum().item()
        square += window_BTCHW.square().mean(dim=(2, 3, 4)).sum().item()
        total_CHW = total_CHW + window_BTCHW.sum(dim=(0, 1))
        steps += change_BTCHW.shape[:2].numel()
        frames += window_BTCHW.shape[:2].numel()
    spread = square / frames - (total_CHW / frames).square().mean().item()
    return change / steps < spread


class ConvLSTM(Recurrent):
    """A stack of ConvLSTM layers on patches. Any past, any horizon, any multiple of the patch."""

    Config = ConvLSTMConfig
    paper: ClassVar[Paper] = Paper(
        "Shi, Xingjian and Chen, Zhourong and Wang, Hao and Yeung, Dit-Yan and "
        "Wong, Wai-kin and Woo, Wang-chun",
        "Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting",
        "NeurIPS",
        2015,
        arxiv="1506.04214",
    )
    about: ClassVar[str] = "the default: learns most in minutes, streams, any past and horizon"
    calibration: ClassVar[int] = 64  # enough to tell whether most stands still

    def __init__(self, config: ConvLSTMConfig, task: Task) -> None:
        super().__init__(config, task)
        self.multiple = config.patch * config.scale_of_each[-1]
        self.pixels = task.channels * config.patch**2
        coarser = [above // below for below, above in pairwise((1, *config.scale_of_each))]
        self.layers = nn.ModuleList(
            ConvLSTMLayer(inputs * step**2, hidden, kernel, Gates(norm=config.norm))
            for inputs, step, hidden, kernel in zip(
                (self.pixels + config.match, *config.hidden),
                coarser,
                config.hidden,
                config.kernel_of_each,
                strict=False,
            )
        )
        self.coarser = coarser
        # Pixels, how much of what is there moves, and shares of each displacement.
        self.said = [self.pixels, *([1, (2 * config.motion + 1) ** 2] if config.motion else [])]
        drawn = sum(self.said)
        # What a coarser layer has to say of the positions below it lies in channels of its own.
        self.heads = nn.ModuleList(
            nn.Conv2d(hidden, (config.mix or drawn) * scale**2, 1, bias=number == 0)
            for number, (hidden, scale) in enumerate(
                zip(config.hidden, config.scale_of_each, strict=True)
            )
        )
        self.mixed = nn.Conv2d(config.mix, drawn, 1) if config.mix else None
        self.matched = nn.Conv2d(self.said[-1], config.match, 1) if config.match else None

    def calibrate(self, windows_BTCHW: Iterable[Tensor]) -> None:
        """Start from the last frame where that is nearer to the next one than the mean frame is."""
        if not self.config.motion or self.config.output == "sigmoid":
            return
        if not _stand_still(windows_BTCHW):
            return
        displacements = self.said[-1]
        with torch.no_grad():
            last = self.mixed or self.heads
            for parameter in last.parameters():
                parameter.mul_(0.1)
            bias: Tensor = (self.mixed or self.heads[0]).bias  # type: ignore[assignment]
            bias_QS = bias.view(sum(self.said), -1)  # S: positions below a coarse one
            bias_QS[self.pixels] = THERE
            bias_QS[self.pixels + 1 + displacements // 2] = STAY + math.log(displacements)

    def next_frames(self, frames_BTCHW: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read all frames layer by layer, so that each layer sees them in one convolution."""
        before = state[-len(self.layers) :] if state else [None] * len(self.layers)
        below_BTDHW = self._read(frames_BTCHW, state and state[0])
        maps, states = [], []
        for number, layer in enumerate(self.layers):
            below_BTDHW = F.pixel_unshuffle(below_BTDHW, self.coarser[number])
            below_BTDHW, after = layer(below_BTDHW, before[number])
            # Time first, as it lies in memory: else what follows copies all of it.
            hidden_XDHW = below_BTDHW.transpose(0, 1).flatten(0, 1)
            said = self.heads[number](hidden_XDHW)
            maps.append(F.pixel_shuffle(said, self.config.scale_of_each[number]))
            states.append(after)
        frames_TBCHW = frames_BTCHW.transpose(0, 1)
        maps_XQHW = sum(maps[1:], maps[0])
        if self.mixed:
            maps_XQHW = self.mixed(F.silu(maps_XQHW))
        next_XCHW = self._draw(maps_XQHW, frames_TBCHW.flatten(0, 1))
        last = [frames_BTCHW[:, -1]] if self.matched else []
        return next_XCHW.view(frames_TBCHW.shape).transpose(0, 1), [*last, *states]

    def _read(self, frames_BTCHW: Tensor, last_BCHW: Tensor | None) -> Tensor:
        """Patches as channels and, with `match`, how each compares with the frame before."""
        patches_BTPHW = F.pixel_unshuffle(frames_BTCHW, self.config.patch)
        if not self.matched:
            return patches_BTPHW
        if last_BCHW is None:
            last_BCHW = torch.zeros_like(frames_BTCHW[:, 0])
        before_BTCHW = torch.cat([last_BCHW[:, None], frames_BTCHW[:, :-1]], dim=1)
        cost_XKHW = cost_volume(
            frames_BTCHW.flatten(0, 1),
            before_BTCHW.flatten(0, 1),
            self.config.patch,
            self.config.motion,
        )
        matched_XDHW = F.silu(self.matched(cost_XKHW / self.config.patch))
        matched_BTDHW = matched_XDHW.view(*frames_BTCHW.shape[:2], *matched_XDHW.shape[1:])
        return torch.cat([patches_BTPHW, matched_BTDHW], dim=2)

    def _draw(self, maps_XQHW: Tensor, frames_XCHW: Tensor) -> Tensor:
        """The next frames, from what all layers say and, with `motion`, the frames before them."""
        drawn_XPHW, *moving = torch.split(maps_XQHW, self.said, dim=1)
        next_XCHW = F.pixel_shuffle(drawn_XPHW, self.config.patch)
        if moving:
            strength_X1HW, share_XKHW = torch.sigmoid(moving[0]), torch.softmax(moving[1], dim=1)
            next_XCHW = next_XCHW + move(frames_XCHW, strength_X1HW * share_XKHW)
        finished_XCHW: Tensor = self.config.finish(next_XCHW)
        return finished_XCHW
