"""PredFormer: a transformer on patches, in which attention over time and over space take turns.

Paper: Tang et al. 2024, arXiv:2410.04733 (Quad-TSST: time, space, space, time).
Differs: the position code is made of three fixed ones, for time, row and column, where the authors
number the patches of all frames in one sequence: so a patch has the same code in frames of any
size. N need not be M: max(M, N) frames go through the blocks, the last one repeated where the past
is too short, and the last N are drawn.
Shapes: B batch, M past frames, N future frames, T = max(M, N), C channels, H height, W width,
h × w patches, S = h × w, Q = C × patch² pixels of a patch, D width of a token, L tokens that
attend to each other, A attention heads, X sequences of L tokens.
"""

from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from framecast.layers.simvp import as_many
from framecast.models.forecaster import Direct, ForecasterConfig, Task
from framecast.models.paper import Paper

RATIO = 4  # inner width of the gated MLP, to that of a token
LONGEST = 10_000.0  # wavelength of the position code, in positions over 2π


class PredFormerConfig(ForecasterConfig):
    """Settings of `PredFormer`."""

    loss: Literal["mse", "mae", "mse_mae"] = Field("mse", description="what training minimises")
    patch: Literal[1, 2, 4, 8, 16] = Field(8, description="side of the square that is one token")
    width: int = Field(64, ge=8, le=4096, multiple_of=8, description="of a token")
    heads: int = Field(4, ge=1, le=64, description="of attention; they share the width")
    layers: int = Field(2, ge=1, le=64, description="how often the order is gone through")
    order: str = Field(
        "tsst", pattern="^[ts]{1,16}$", description="of a layer: t attends over time, s over space"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.width % self.heads:
            raise ValueError("heads must divide the width")
        return self


class GatedBlock(nn.Module):
    """Attention, then a gated MLP (SwiGLU), both residual behind a norm; a norm of the sum ends it.

    Args:
        width: D.
        heads: A.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attended = nn.Linear(width, width)
        self.gate_value = nn.Linear(width, 2 * RATIO * width)
        self.down = nn.Linear(RATIO * width, width)
        self.after = nn.LayerNorm(width)

    def forward(self, tokens_XLD: Tensor) -> Tensor:
        """Let all tokens of a sequence see each other."""
        tokens_XLD = tokens_XLD + self._attend(self.before[0](tokens_XLD))
        gate_XLE, value_XLE = self.gate_value(self.before[1](tokens_XLD)).chunk(2, dim=-1)
        normed_XLD: Tensor = self.after(tokens_XLD + self.down(F.silu(gate_XLE) * value_XLE))
        return normed_XLD

    def _attend(self, tokens_XLD: Tensor) -> Tensor:
        parts = self.query_key_value(tokens_XLD).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        attended_XALd = F.scaled_dot_product_attention(query, key, value)
        attended_XLD: Tensor = self.attended(attended_XALd.transpose(1, 2).flatten(2))
        return attended_XLD


def sines(positions: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines of the positions, each at the half of `width` many frequencies.

    Vaswani et al., NeurIPS 2017, arXiv:1706.03762.
    """
    half = width // 2
    frequency = LONGEST ** (-torch.arange(half, device=like.device) / half)
    angle = torch.arange(positions, device=like.device)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(like.dtype)


def add_positions(tokens_BThwD: Tensor) -> Tensor:
    """Add the code of the time to the first half of D, of row and column to a quarter each."""
    times, rows, columns, width = tokens_BThwD.shape[1:]
    time_T11D = sines(times, width // 2, tokens_BThwD)[:, None, None]
    row_h1D = sines(rows, width // 4, tokens_BThwD)[:, None]
    column_wD = sines(columns, width // 4, tokens_BThwD)
    codes = (code.expand(times, rows, columns, -1) for code in (time_T11D, row_h1D, column_wD))
    return tokens_BThwD + torch.cat([*codes], dim=-1)


class PredFormer(Direct):
    """Patches attend over time and over space in turn, all N frames at once."""

    Config = PredFormerConfig
    paper: ClassVar[Paper] = Paper(
        "Tang, Yujin and Qi, Lu and Xie, Fei and Li, Xiangtai and Ma, Chao and Yang, Ming-Hsuan",
        "PredFormer: Transformers Are Effective Spatial-Temporal Predictive Learners",
        "arXiv",
        2024,
        arxiv="2410.04733",
    )
    about: ClassVar[str] = (
        "a transformer: lowest published error on Moving MNIST, after long training"
    )

    def __init__(self, config: PredFormerConfig, task: Task) -> None:
        super().__init__(config, task)
        self.multiple = config.patch
        pixels = task.channels * config.patch**2
        self.embed = nn.Linear(pixels, config.width)
        self.order = config.order * config.layers
        self.blocks = nn.ModuleList(GatedBlock(config.width, config.heads) for _ in self.order)
        self.head = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, pixels))
        for part in self.blocks.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def window(self, past_BMCHW: Tensor) -> Tensor:
        """Forecast N frames at once."""
        future = self.task.future
        frames_BTCHW = as_many(past_BMCHW, max(self.task.past, future))
        patches_BTQhw = F.pixel_unshuffle(frames_BTCHW, self.config.patch)
        tokens_BThwD = add_positions(self.embed(patches_BTQhw.movedim(2, -1)))
        tokens_BTSD = self.mix(tokens_BThwD.flatten(2, 3))[:, -future:]
        drawn_BNhwQ = self.head(tokens_BTSD).unflatten(2, tokens_BThwD.shape[2:4])
        return F.pixel_shuffle(drawn_BNhwQ.movedim(-1, 2), self.config.patch)

    def mix(self, tokens_BTSD: Tensor) -> Tensor:
        """Let tokens attend over time or space, block after block."""
        batch = tokens_BTSD.shape[0]  # not len: exported, the batch is a symbol
        for over, block in zip(self.order, self.blocks, strict=True):
            if over == "s":
                tokens_BTSD = block(tokens_BTSD.flatten(0, 1)).unflatten(0, (batch, -1))
            else:
                tokens_BSTD = tokens_BTSD.transpose(1, 2)
                mixed_XTD = block(tokens_BSTD.flatten(0, 1))
                tokens_BTSD = mixed_XTD.unflatten(0, (batch, -1)).transpose(1, 2)
        return tokens_BTSD
