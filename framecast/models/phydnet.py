"""PhyDNet: a partial differential equation for what it can say, a ConvLSTM for the rest.

Paper: Le Guen and Thome, CVPR 2020, arXiv:2003.01460.
Differs: scheduled sampling draws for each frame of each sequence and fades out over a share of the
training (`Recurrent.loss`); the authors draw once per batch. The ConvLSTM's forget gates start
open. The moment loss is that of the paper and of the authors' code: mean squared difference of the
moments of each input channel's filters from those of all derivatives, summed over channels.
Shapes: B batch, T frames, X = T × B, C channels, D channels of the maps, H height, W width,
k × k kernel of the equation.
"""

import math
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.gates import Gates, Norm, lerp
from framecast.layers.gathered import conv2d
from framecast.models.forecaster import OutputConfig, Recurrent, State, Task, Width
from framecast.models.paper import Paper


class PhyDNetConfig(OutputConfig):
    """Settings of `PhyDNet`."""

    width: int = Field(32, ge=4, le=1024, multiple_of=4, description="channels of the maps, D")
    kernel: Literal[3, 5, 7] = Field(
        5, description="k of the equation: derivatives up to order k - 1 along each axis"
    )
    residual: tuple[Width, ...] = Field(
        (32,), max_length=16, description="channels of the ConvLSTM, whose last layer has D more"
    )
    moment: float = Field(0.1, ge=0, le=1000, description="weight of the moment loss")
    norm: Norm = Field("group", description="of the ConvLSTM's gates: none, layer or group")
    output: Literal["linear", "sigmoid"] = Field("sigmoid", description="sigmoid keeps [0, 1]")


class PhyDNet(Recurrent):
    """Two branches in a space of maps at a quarter of the size, whose sum is drawn."""

    Config = PhyDNetConfig
    multiple = 4
    paper: ClassVar[Paper] = Paper(
        "Le Guen, Vincent and Thome, Nicolas",
        "Disentangling Physical Dynamics from Unknown Factors for Unsupervised Video Prediction",
        "CVPR",
        2020,
        arxiv="2003.01460",
    )
    about: ClassVar[str] = (
        "fewest parameters of the published recurrent ones; motion that obeys an equation"
    )

    def __init__(self, config: PhyDNetConfig, task: Task) -> None:
        super().__init__(config, task)
        width, half = config.width, config.width // 2
        self.encoder = nn.Sequential(
            _block(task.channels, half, stride=2), _block(half, half), _block(half, width, stride=2)
        )
        self.to_physical, self.to_residual = _pair(width), _pair(width)
        self.physical = PhyCell(width, config.kernel)
        widths = (width, *config.residual, width)
        self.residual = nn.ModuleList(
            ConvLSTMLayer(inputs, hidden, 3, Gates(norm=config.norm))
            for inputs, hidden in pairwise(widths)
        )
        self.from_physical, self.from_residual = _pair(width), _pair(width)
        self.decoder = nn.Sequential(
            _block(width, half, stride=2, up=True),
            _block(half, half),
            _doubling(half, task.channels),
        )

    def next_frames(self, frames_BTCHW: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Encode and decode all frames at once; the two branches step between."""
        batch, frames = frames_BTCHW.shape[:2]
        maps_XDHW = self.encoder(frames_BTCHW.transpose(0, 1).flatten(0, 1))
        physical_BDHW, states = state or (None, [None] * len(self.residual))
        physical = []
        # Not chunk: exported, the batch is a symbol, which that makes a number of.
        for input_BDHW in self.to_physical(maps_XDHW).unflatten(0, (frames, -1)).unbind():
            physical_BDHW = self.physical(input_BDHW, physical_BDHW)
            physical.append(physical_BDHW)
        below_XDHW = self.to_residual(maps_XDHW)
        below_BTDHW = below_XDHW.view(frames, batch, *below_XDHW.shape[1:]).transpose(0, 1)
        after = []
        for layer, before in zip(self.residual, states, strict=True):
            below_BTDHW, layer_state = layer(below_BTDHW, before)
            after.append(layer_state)
        rest_XDHW = self.from_residual(below_BTDHW.transpose(0, 1).flatten(0, 1))
        next_XCHW = self.decoder(self.from_physical(torch.cat(physical)) + rest_XDHW)
        next_XCHW = self.config.finish(next_XCHW)
        next_BTCHW = next_XCHW.view(frames_BTCHW.transpose(0, 1).shape).transpose(0, 1)
        return next_BTCHW, (physical_BDHW, after)

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor) -> Tensor:
        """Next-frame error as of any recurrent model, and the moment loss."""
        error = super().loss(past_BMCHW, future_BNCHW, progress)
        weight: float = self.config.moment
        return error + weight * self.physical.moment_loss()


class PhyCell(nn.Module):
    """One step of the equation ∂h/∂t = F(h), then a correction towards what is seen.

    Args:
        width: D.
        kernel: k; F is a sum of k² learnt filters that the moment loss makes derivatives.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(width, kernel**2, kernel, padding=kernel // 2)
        self.norm = nn.GroupNorm(kernel, kernel**2)
        self.combine = nn.Conv2d(kernel**2, width, 1)
        self.gate = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, input_BDHW: Tensor, hidden_BDHW: Tensor | None) -> Tensor:
        """The hidden map after one frame; before the first it is all zeros."""
        if hidden_BDHW is None:
            hidden_BDHW = torch.zeros_like(input_BDHW)
        change_BDHW = conv2d(self.norm(conv2d(hidden_BDHW, self.filters)), self.combine)
        both_BDHW = torch.cat([input_BDHW, hidden_BDHW], dim=1)
        gain_BDHW = torch.sigmoid(conv2d(both_BDHW, self.gate))
        return lerp(hidden_BDHW + change_BDHW, input_BDHW, gain_BDHW)

    def moment_loss(self) -> Tensor:
        """How far filter number i × k + j is from the derivative ∂ⁱ⁺ʲ/∂yⁱ∂xʲ, for all i, j < k."""
        moments_FDkk = kernel_to_moments(self.filters.weight)
        count = len(moments_FDkk)
        derivatives_FFkk = torch.eye(count, device=moments_FDkk.device).view(
            count, 1, *moments_FDkk.shape[2:]
        )
        return (moments_FDkk - derivatives_FFkk).square().mean(dim=(0, 2, 3)).sum()


def kernel_to_moments(kernel_kk: Tensor) -> Tensor:
    """Moments of filters (Long et al., ICML 2018, arXiv:1710.09668).

    Entry i, j is the sum over places y, x of kernel × yⁱ xʲ / i! j!: the factor of ∂ⁱ⁺ʲ/∂yⁱ∂xʲ in
    the Taylor expansion of what the filter does. Any dimensions may come before.

    >>> kernel_to_moments(torch.tensor([[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]]))
    tensor([[0., 1., 0.],
            [0., 0., 0.],
            [0., 0., 0.]])
    """
    size = kernel_kk.shape[-1]
    place = torch.arange(size, device=kernel_kk.device, dtype=kernel_kk.dtype) - size // 2
    rows = [place**order / math.factorial(order) for order in range(size)]
    powers_kk = torch.stack(rows)
    with torch.autocast(kernel_kk.device.type, enabled=False):  # powers need their digits
        moments_kk: Tensor = powers_kk @ kernel_kk @ powers_kk.T
    return moments_kk


def _block(inputs: int, outputs: int, stride: int = 1, up: bool = False) -> nn.Sequential:
    """A convolution, a norm over at least two channels, a leaky rectifier."""
    conv = _doubling(inputs, outputs) if up else nn.Conv2d(inputs, outputs, 3, stride, padding=1)
    norm = nn.GroupNorm(math.gcd(16, outputs // 2), outputs)
    return nn.Sequential(conv, norm, nn.LeakyReLU(0.2))


def _pair(width: int) -> nn.Sequential:
    return nn.Sequential(_block(width, width), _block(width, width))


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
