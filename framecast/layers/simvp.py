"""What SimVP and TAU share: frames are encoded one by one, translated all at once, and decoded.

Gao et al., CVPR 2022, arXiv:2206.05099, with the blocks of Tan et al. 2022, arXiv:2211.12509. The
frames of a sequence lie beside each other in the channels that the translator reads, so that one
stack of convolutions in the plane sees all times.
Shapes: B batch, M past frames, N future frames, X = B × frames, C channels, D channels of one
encoded frame, E channels in the translator, H height, W width of frames, h, w of encoded ones.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATIO = 8  # channels inside of an MLP, to those outside
SCALE = 0.01  # of what a fresh block adds (Touvron et al., ICCV 2021, arXiv:2103.17239)


class ConvBlock(nn.Sequential):
    """3×3 convolution, group norm and SiLU; the sides stay, halve or double."""

    def __init__(
        self, inputs: int, outputs: int, sides: Literal["keep", "halve", "double"]
    ) -> None:
        doubles = sides == "double"
        stride = 2 if sides == "halve" else 1
        conv = nn.Conv2d(inputs, 4 * outputs if doubles else outputs, 3, stride, padding=1)
        nn.init.trunc_normal_(conv.weight, std=0.02)
        shuffle = [nn.PixelShuffle(2)] if doubles else []
        super().__init__(conv, *shuffle, nn.GroupNorm(2, outputs), nn.SiLU())


class FoldedForecast(nn.Module):
    """Encoder, translator, decoder. What the first block of the encoder sees skips to the last.

    Args:
        channels: C.
        width: D, even.
        depth: blocks of the encoder and of the decoder; every second one halves or doubles.
        translator: from M × D channels to N × D.
    """

    def __init__(self, channels: int, width: int, depth: int, translator: nn.Module) -> None:
        super().__init__()
        inputs = (channels, *[width] * (depth - 1))
        halves = [bool(number % 2) for number in range(depth)]
        self.multiple = 2 ** sum(halves)
        self.encoder = nn.Sequential(
            *(
                ConvBlock(size, width, "halve" if half else "keep")
                for size, half in zip(inputs, halves, strict=True)
            )
        )
        self.translator = translator
        self.decoder = nn.Sequential(
            *(ConvBlock(width, width, "double" if half else "keep") for half in reversed(halves))
        )
        self.head = nn.Conv2d(width, channels, 1)

    def forward(self, past_BMCHW: Tensor, future: int) -> Tensor:
        """Forecast future_BNCHW; N must be that of the translator."""
        batch, past = past_BMCHW.shape[:2]
        skip_XDHW = self.encoder[0](past_BMCHW.flatten(0, 1))
        hidden_XDhw = self.encoder[1:](skip_XDHW)
        folded_BEhw = self.translator(hidden_XDhw.reshape(batch, -1, *hidden_XDhw.shape[2:]))
        hidden_XDhw = folded_BEhw.reshape(batch * future, -1, *folded_BEhw.shape[2:])
        skip_BNDHW = as_many(skip_XDHW.reshape(batch, past, *skip_XDHW.shape[1:]), future)
        drawn_XDHW = self.decoder[:-1](hidden_XDhw) + skip_BNDHW.flatten(0, 1)
        frames_XCHW: Tensor = self.head(self.decoder[-1](drawn_XDHW))
        return frames_XCHW.reshape(batch, future, *past_BMCHW.shape[2:])


def as_many(past_BMCHW: Tensor, future: int) -> Tensor:
    """One of the past for each of the future, in order: the last N, or the last one repeated.

    >>> import torch
    >>> past = torch.arange(3).view(1, 3, 1, 1, 1)
    >>> as_many(past, 2).flatten().tolist(), as_many(past, 5).flatten().tolist()
    ([1, 2], [0, 1, 2, 2, 2])
    """
    more = future - past_BMCHW.shape[1]
    if more <= 0:
        return past_BMCHW[:, -future:]
    return torch.cat([past_BMCHW, past_BMCHW[:, -1:].expand(-1, more, -1, -1, -1)], dim=1)


class LargeKernel(nn.Sequential):
    """5×5 and then 7×7 with gaps of 3, channel by channel: 23×23 seen at the price of 74 weights.

    Guo et al. 2022, arXiv:2202.09741 (visual attention network).
    """

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(width, width, 5, padding=2, groups=width),
            nn.Conv2d(width, width, 7, padding=9, dilation=3, groups=width),
        )


class Mixer(nn.Module):
    """x + 1×1 convolution of a gate of GELU of a 1×1 convolution."""

    def __init__(self, width: int, gate: nn.Module) -> None:
        super().__init__()
        self.into = nn.Conv2d(width, width, 1)
        self.gate = gate
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x_BEhw: Tensor) -> Tensor:
        """Mix what lies far apart."""
        mixed_BEhw: Tensor = self.out(self.gate(F.gelu(self.into(x_BEhw))))
        return x_BEhw + mixed_BEhw


class MixingBlock(nn.Module):
    """x + s ∘ Mixer(BN(x)), then y + s' ∘ MLP(BN(y)), whose inner maps see their neighbours."""

    def __init__(self, width: int, gate: nn.Module) -> None:
        super().__init__()
        inner = RATIO * width
        mlp = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner),
            nn.GELU(),
            nn.Conv2d(inner, width, 1),
        )
        self.parts = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), part) for part in (Mixer(width, gate), mlp)
        )
        self.scales = nn.ParameterList(SCALE * torch.ones(width, 1, 1) for _ in self.parts)

    def forward(self, x_BEhw: Tensor) -> Tensor:
        """Add what both parts find."""
        for scale_E11, part in zip(self.scales, self.parts, strict=True):
            x_BEhw = x_BEhw + scale_E11 * part(x_BEhw)
        return x_BEhw


def mixing_translator(
    inputs: int, hidden: int, outputs: int, layers: int, gate: Callable[[int], nn.Module]
) -> nn.Sequential:
    """A stack of `MixingBlock`; each is as wide as its input, and a 1×1 convolution changes that.

    Args:
        inputs: channels, as many as the first block is wide.
        hidden: width of all other blocks.
        outputs: channels.
        layers: number of blocks.
        gate: builds one for a width.
    """
    widths = (inputs, *[hidden] * (layers - 1), outputs)
    parts: list[nn.Module] = []
    for width, after in pairwise(widths):
        parts.append(MixingBlock(width, gate(width)))
        if after != width:
            parts.append(nn.Conv2d(width, after, 1))
    return nn.Sequential(*parts)
