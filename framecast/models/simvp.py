"""SimVP: no recurrence; an encoder, a translator of all times at once, and a decoder.

Papers: Gao et al., CVPR 2022, arXiv:2206.05099 (translator `incep_u`: a U of grouped convolutions
of four sizes); Tan et al. 2022, arXiv:2211.12509 (`gsta`: gated attention with large kernels).
Differs: as in the second paper's code the skip is added, also with `incep_u`. N need not be M:
the translator emits N encoded frames, and each gets the skip of the past frame in its place, the
last N of them or the last one again.
Shapes: B batch, M past frames, N future frames, C channels, D channels of one encoded frame,
E channels in the translator, H height, W width of frames, h, w of encoded ones.
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from framecast.layers.simvp import FoldedForecast, LargeKernel, mixing_translator
from framecast.models.forecaster import Direct, ForecasterConfig, Task
from framecast.models.paper import Paper

KERNELS = (3, 5, 7, 11)  # of the branches of an inception block
GROUPS = 8  # of their channels


class TranslatorConfig(ForecasterConfig):
    """Settings of models that translate all encoded frames at once."""

    loss: Literal["mse", "mae", "mse_mae"] = Field("mse", description="what training minimises")
    width: int = Field(8, ge=4, le=1024, multiple_of=2, description="channels of one encoded frame")
    depth: int = Field(
        4, ge=1, le=12, description="blocks of encoder and decoder; every second halves the sides"
    )
    hidden: int = Field(128, ge=4, le=8192, multiple_of=4, description="channels in the translator")
    layers: int = Field(4, ge=1, le=64, description="blocks of the translator")


class SimVPConfig(TranslatorConfig):
    """Settings of `SimVP`."""

    translator: Literal["gsta", "incep_u"] = Field(
        "gsta", description="gated attention, or a U of inception blocks (twice as many)"
    )


class SpatialGate(nn.Module):
    """Gated spatiotemporal attention: f ∘ σ(g), both from one large kernel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.far = LargeKernel(width)
        self.point = nn.Conv2d(width, 2 * width, 1)

    def forward(self, x_BEhw: Tensor) -> Tensor:
        """Gate."""
        f_BEhw, g_BEhw = self.point(self.far(x_BEhw)).chunk(2, dim=1)
        gated_BEhw: Tensor = f_BEhw * torch.sigmoid(g_BEhw)
        return gated_BEhw


class Inception(nn.Module):
    """1×1 convolution, then the sum of four branches, each a grouped convolution of its size."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        # Halves: a norm of a single map would undo its bias.
        groups = math.gcd(GROUPS, hidden // 2, outputs // 2)
        self.squeeze = nn.Conv2d(inputs, hidden // 2, 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(hidden // 2, outputs, kernel, padding=kernel // 2, groups=groups),
                nn.GroupNorm(groups, outputs),
                nn.LeakyReLU(0.2),
            )
            for kernel in KERNELS
        )

    def forward(self, x_BEhw: Tensor) -> Tensor:
        """Sum over branches."""
        x_BEhw = self.squeeze(x_BEhw)
        sum_BEhw: Tensor = self.branches[0](x_BEhw)
        for branch in self.branches[1:]:
            sum_BEhw = sum_BEhw + branch(x_BEhw)
        return sum_BEhw


class InceptionU(nn.Module):
    """Blocks down and blocks up; each on the way up also reads its twin on the way down."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        super().__init__()
        down = (inputs, *[hidden] * (layers - 1))
        up = (hidden, *[2 * hidden] * (layers - 1))
        ends = (*[hidden] * (layers - 1), outputs)
        self.down = nn.ModuleList(Inception(size, hidden, hidden) for size in down)
        self.up = nn.ModuleList(
            Inception(size, hidden, end) for size, end in zip(up, ends, strict=True)
        )

    def forward(self, x_BEhw: Tensor) -> Tensor:
        """Translate."""
        seen = []
        for block in self.down:
            x_BEhw = block(x_BEhw)
            seen.append(x_BEhw)
        x_BEhw = self.up[0](seen.pop())
        for block in self.up[1:]:
            x_BEhw = block(torch.cat([x_BEhw, seen.pop()], dim=1))
        return x_BEhw


class SimVP(Direct):
    """Frames to frames by convolutions alone, all N at once."""

    Config: ClassVar[type[ForecasterConfig]] = SimVPConfig
    paper: ClassVar[Paper] = Paper(
        "Tan, Cheng and Gao, Zhangyang and Li, Siyuan and Li, Stan Z.",
        "SimVP: Towards Simple yet Powerful Spatiotemporal Predictive Learning",
        "arXiv",
        2022,
        arxiv="2211.12509",
    )
    about: ClassVar[str] = (
        "all frames at once, by convolutions alone: quick to run, wants long training"
    )

    def __init__(self, config: TranslatorConfig, task: Task) -> None:
        super().__init__(config, task)
        translator = self.translator(task.past * config.width, task.future * config.width)
        self.network = FoldedForecast(task.channels, config.width, config.depth, translator)
        self.multiple = self.network.multiple

    def translator(self, inputs: int, outputs: int) -> nn.Module:
        """From the channels of M encoded frames to those of N."""
        sizes = inputs, self.config.hidden, outputs, self.config.layers
        if self.config.translator == "incep_u":
            return InceptionU(*sizes)
        return mixing_translator(*sizes, SpatialGate)

    def window(self, past_BMCHW: Tensor) -> Tensor:
        """Forecast N frames at once."""
        future_BNCHW: Tensor = self.network(past_BMCHW, self.task.future)
        return future_BNCHW
