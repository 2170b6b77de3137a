"""SwinLSTM-D: an LSTM whose matrix products are attention within shifted windows.

Paper: Tang et al., ICCV 2023, arXiv:2308.09891. Its blocks: Liu et al., ICCV 2021,
arXiv:2103.14030.
Frames are cut into tokens, a cell reads them, neighbours are merged, and so on down; then up again.
Differs: the published code has weights that it never uses, the layer that joins two inputs in every
second block (1.34 of 20.2 M), and they are left out here; no drop path. Grids that windows do not
divide are padded, and what was padded is seen by nothing. Nothing fixes H or W.
Shapes: B batch, C channels, H height, W width, in frames or in tokens, D features of a token,
V windows, L tokens of a window, K heads.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from framecast.models.forecaster import OutputConfig, Recurrent, State, Task
from framecast.models.paper import Paper

Depth = Annotated[int, Field(ge=1, le=64)]
Heads = Annotated[int, Field(ge=1, le=256)]

EXPANSION = 4  # of the features between the two linear layers of a block


class SwinLSTMConfig(OutputConfig):
    """Settings of `SwinLSTM`."""

    patch: Literal[2, 4, 8] = Field(4, description="side of the square of pixels in one token")
    width: int = Field(32, ge=2, le=1024, description="features of a token; twice that each merge")
    depths: tuple[Depth, ...] = Field(
        (2, 2),
        min_length=1,
        max_length=5,
        description="blocks of a cell, on the way down; again up",
    )
    heads: tuple[Heads, ...] = Field(
        (2, 4), min_length=1, max_length=5, description="of attention, on the way down"
    )
    window: int = Field(4, ge=2, le=32, description="side of the square in which tokens meet")
    output: Literal["linear", "sigmoid"] = Field("sigmoid", description="sigmoid keeps [0, 1]")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.heads) != len(self.depths):
            raise ValueError("give one entry of depths and one of heads for each cell")
        if any(self.width * 2**level % heads for level, heads in enumerate(self.heads)):
            raise ValueError("heads divide the features of their cell: width, 2 × width, …")
        return self


class WindowAttention(nn.Module):
    """Attention of each token to those of its window, with a bias by relative position.

    Args:
        features: D.
        heads: K, a divisor of D.
        window: side of a window.
        shift: how far windows lie from the corner, so that others meet than in the block before.
    """

    relative_LL: Tensor

    def __init__(self, features: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.query_key_value = nn.Linear(features, 3 * features)
        self.out = nn.Linear(features, features)
        span = 2 * window - 1
        self.bias = nn.Parameter(nn.init.trunc_normal_(torch.empty(heads, span**2), std=0.02))
        place_L = torch.arange(window).repeat(window)  # columns
        apart_LL = place_L[:, None] - place_L + window - 1
        down_L = torch.arange(window).repeat_interleave(window)
        down_LL = down_L[:, None] - down_L + window - 1
        self.register_buffer("relative_LL", span * down_LL + apart_LL, persistent=False)

    def forward(self, tokens_BHWD: Tensor) -> Tensor:
        """What each token takes from its window; the shape stays."""
        batch, height, width, _ = tokens_BHWD.shape
        right_and_below = (0, 0, 0, -width % self.window, 0, -height % self.window)
        whole_BHWD = F.pad(tokens_BHWD, right_and_below)
        # Where one window holds all, a shift would only part what can meet.
        down, right = (self.shift if size > self.window else 0 for size in (height, width))
        together_VLL = _together(height, width, self.window, (down, right), tokens_BHWD.device)
        shifted_BHWD = whole_BHWD.roll((-down, -right), dims=(1, 2))
        met_BVLD = self._meet(_windows(shifted_BHWD, self.window), together_VLL)
        rows, columns = (size // self.window for size in whole_BHWD.shape[1:3])
        grid = met_BVLD.view(batch, rows, columns, self.window, self.window, -1).transpose(2, 3)
        back_BHWD = grid.reshape(whole_BHWD.shape).roll((down, right), dims=(1, 2))
        return back_BHWD[:, :height, :width]

    def _meet(self, windows_BVLD: Tensor, together_VLL: Tensor | None) -> Tensor:
        parts_BVLD = self.query_key_value(windows_BVLD).chunk(3, dim=3)
        query, key, value = (x.unflatten(3, (self.heads, -1)).transpose(2, 3) for x in parts_BVLD)
        scores_BVKLL = query @ key.mT * query.shape[-1] ** -0.5 + self.bias[:, self.relative_LL]
        if together_VLL is not None:
            scores_BVKLL = scores_BVKLL.masked_fill(~together_VLL[:, None], -torch.inf)
        taken_BVKLE = scores_BVKLL.softmax(dim=4) @ value
        out_BVLD: Tensor = self.out(taken_BVKLE.transpose(2, 3).flatten(3))
        return out_BVLD


def _windows(tokens_BHWD: Tensor, window: int) -> Tensor:
    """Tokens by window, row after row: tokens_BVLD."""
    batch, height, width, features = tokens_BHWD.shape
    grid = tokens_BHWD.view(batch, height // window, window, width // window, window, features)
    return grid.transpose(2, 3).reshape(batch, -1, window**2, features)


def _together(
    height: int, width: int, window: int, shifts: tuple[int, int], device: torch.device
) -> Tensor | None:
    """Which tokens of a window may meet, as VLL: not across the border, nor what was padded.

    None: all may. It is made anew each time: kept, it would be a tensor of the tracer that asked
    first, or one that goes while a CUDA graph still reads it.
    """
    if not any(shifts) and height % window == width % window == 0:
        return None
    regions = []
    for size, shift in zip((height, width), shifts, strict=True):
        whole = size + -size % window
        place = torch.arange(whole, device=device) + shift
        wrapped, padded = place >= whole, place % whole >= size
        regions.append(wrapped + 2 * padded)
    region_1HW1 = (4 * regions[0][:, None] + regions[1])[None, :, :, None]
    region_VL = _windows(region_1HW1, window)[0, ..., 0]
    return region_VL[:, :, None] == region_VL[:, None]


class Block(nn.Module):
    """A Swin block, which may join a second input to its first.

    Args:
        features: D.
        heads: K.
        window: side of a window.
        shift: of the windows.
        joins: whether there is a second input.
    """

    def __init__(self, features: int, heads: int, window: int, shift: int, joins: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.join = nn.Linear(2 * features, features) if joins else None
        self.attention = WindowAttention(features, heads, window, shift)
        self.mix = nn.Sequential(
            nn.LayerNorm(features),
            nn.Linear(features, EXPANSION * features),
            nn.GELU(),
            nn.Linear(EXPANSION * features, features),
        )

    def forward(self, tokens_BHWD: Tensor, other_BHWD: Tensor) -> Tensor:
        """Tokens of the same shape."""
        seen_BHWD = self.norm(tokens_BHWD)
        if self.join is not None:
            seen_BHWD = self.join(torch.cat([seen_BHWD, self.norm(other_BHWD)], dim=3))
        tokens_BHWD = tokens_BHWD + self.attention(seen_BHWD)
        mixed_BHWD: Tensor = tokens_BHWD + self.mix(tokens_BHWD)
        return mixed_BHWD


class SwinLSTMCell(nn.Module):
    """One gate for all: o = blocks(x, h⁻), f = σ(o), c = f (c⁻ + tanh o), h = f tanh c.

    The first block joins the hidden map to the input, every second one after it the input again;
    those between have their windows shifted.

    Args:
        features: D.
        heads: K.
        depth: blocks.
        window: side of a window.
    """

    def __init__(self, features: int, heads: int, depth: int, window: int) -> None:
        super().__init__()
        shifts = [window // 2 * (number % 2) for number in range(depth)]
        self.blocks = nn.ModuleList(
            Block(features, heads, window, shift, joins=not shift) for shift in shifts
        )

    def forward(self, input_BHWD: Tensor, state: State) -> tuple[Tensor, State]:
        """The hidden map, and the state: hidden map and cell."""
        zero_BHWD = torch.zeros_like(input_BHWD)
        other_BHWD, cell_BHWD = state or (zero_BHWD, zero_BHWD)
        output_BHWD = input_BHWD
        for block in self.blocks:
            output_BHWD = block(output_BHWD, other_BHWD)
            other_BHWD = input_BHWD
        gate_BHWD = torch.sigmoid(output_BHWD)
        cell_BHWD = gate_BHWD * (cell_BHWD + torch.tanh(output_BHWD))
        hidden_BHWD = gate_BHWD * torch.tanh(cell_BHWD)
        return hidden_BHWD, (hidden_BHWD, cell_BHWD)


class Merge(nn.Module):
    """Four neighbours become one token of twice the features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * features)
        self.reduce = nn.Linear(4 * features, 2 * features, bias=False)

    def forward(self, tokens_BHWD: Tensor) -> Tensor:
        """Half the height and width."""
        batch, height, width, features = tokens_BHWD.shape
        four = tokens_BHWD.view(batch, height // 2, 2, width // 2, 2, features).transpose(2, 3)
        merged_BHWD: Tensor = self.reduce(self.norm(four.flatten(3)))
        return merged_BHWD


class Expand(nn.Module):
    """A token becomes four neighbours of half the features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.expand = nn.Linear(features, 2 * features, bias=False)
        self.norm = nn.LayerNorm(features // 2)

    def forward(self, tokens_BHWD: Tensor) -> Tensor:
        """Twice the height and width."""
        four = self.expand(tokens_BHWD).unflatten(3, (2, 2, -1)).transpose(2, 3)
        expanded_BHWD: Tensor = self.norm(four.flatten(3, 4).flatten(1, 2))
        return expanded_BHWD


class SwinLSTM(Recurrent):
    """Cells on the way down and up. Any past, any horizon, any size."""

    Config = SwinLSTMConfig
    paper: ClassVar[Paper] = Paper(
        "Tang, Song and Li, Chuang and Zhang, Pu and Tang, RongNian",
        "SwinLSTM: Improving Spatiotemporal Prediction Accuracy using Swin Transformer and LSTM",
        "ICCV",
        2023,
        arxiv="2308.09891",
    )
    about: ClassVar[str] = "attention in place of convolutions, streams; for long training"
    # At 4e-3 its gates saturate within minutes, and no gradient passes them.
    train_defaults: ClassVar[dict[str, Any]] = {"learning_rate": 1e-3}

    def __init__(self, config: SwinLSTMConfig, task: Task) -> None:
        super().__init__(config, task)
        levels, patch = len(config.depths), config.patch
        self.multiple = patch * 2**levels
        self.embed = nn.Conv2d(task.channels, config.width, patch, stride=patch)
        self.norm = nn.LayerNorm(config.width)
        down = [config.width * 2**level for level in range(levels)]
        widths = [*down, *(2 * width for width in reversed(down))]
        heads = [*config.heads, *reversed(config.heads)]
        self.cells = nn.ModuleList(
            SwinLSTMCell(width, count, depth, config.window)
            for width, count, depth in zip(widths, heads, 2 * config.depths, strict=True)
        )
        self.resamplers = nn.ModuleList(
            [*(Merge(width) for width in down), *(Expand(width) for width in widths[levels:])]
        )
        # One pixel of overlap, as in the published 3×3 for patches of 2.
        self.draw = nn.ConvTranspose2d(
            config.width, task.channels, patch + 1, stride=patch, padding=1, output_padding=1
        )

    def step(self, frame_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, forecast the next."""
        # Numbers: symbols, as exported sizes are, with so many quotients take a tracer all memory.
        height, width = (int(side) // self.config.patch for side in frame_BCHW.shape[2:])
        embedded_BHWD = self.embed(frame_BCHW).permute(0, 2, 3, 1)
        tokens_BHWD = self.norm(embedded_BHWD.reshape(-1, height, width, self.config.width))
        befores, after = state or [None] * len(self.cells), []
        for cell, resample, before in zip(self.cells, self.resamplers, befores, strict=True):
            tokens_BHWD, state = cell(tokens_BHWD, before)
            tokens_BHWD = resample(tokens_BHWD)
            after.append(state)
        next_BCHW = self.draw(tokens_BHWD.permute(0, 3, 1, 2))
        return self.config.finish(next_BCHW), after
