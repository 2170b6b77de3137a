"""E3D-LSTM: a recurrent layer over pairs of frames that recalls its earlier cells by attention.

Paper: Wang et al., ICLR 2019, "Eidetic 3D LSTM: A Model for Video Prediction and Beyond".
With input x, hidden map h⁻, cell c⁻ and the memory m⁻ that climbs through the layers (and from the
last one into the first one of the next step), all of two slices in time, and 3D convolutions W:
i, g, r = σ, tanh, σ of W x + W h⁻, RECALL = softmax(r · Kᵀ) K over all positions of the earlier
cells K, c = norm(c⁻ + RECALL) + i g; i', f', g' = σ, σ, tanh of W x + W m⁻,
m = f' tanh(W m⁻) + i' g'; o = σ(W x + W h⁻ + W c + W m), h = o tanh(W₁ [c; m]).
The authors' code is followed in tanh(W m⁻), which the paper has as m⁻, and in a cell of zeros at
the start of what can be recalled; the paper in o, which the code has as σ(tanh(…)).
Differs: the norm has one scale per channel, so that nothing fixes H or W; recall goes back `recall`
cells and not to the start, so that state and work stay the same in endless streams; no encoder of
3D convolutions before, as in all published code. The published count of operations is that of a
port whose convolutions give one slice, twice: half of its recurrent weights then add nothing.
Attention among all positions takes time by the square of the frame's area, memory by the area.
Shapes: B batch, C channels of the input, S = 2 slices, D hidden channels, G channels of gates,
R recalled cells, H height, W width, L = S × H × W positions.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from framecast.layers import gathered
from framecast.models.forecaster import Recurrent, RecurrentConfig, State, Task
from framecast.models.paper import Paper

SLICES = 2  # frames that a layer sees at once


class E3DLSTMConfig(RecurrentConfig):
    """Settings of `E3DLSTM`."""

    loss: Literal["mse", "mae", "mse_mae"] = Field("mse_mae", description="what training minimises")
    width: int = Field(16, ge=1, le=1024, description="channels of a layer")
    layers: int = Field(2, ge=1, le=64, description="how many")
    kernel: Literal[1, 3, 5, 7] = Field(3, description="side of the convolutions")
    patch: Literal[1, 2, 4, 8] = Field(
        4, description="side of the square of pixels in one position"
    )
    recall: int = Field(
        3, ge=1, le=1000, description="earlier cells of a layer that it can attend to"
    )


class PairConv(nn.Module):
    """A 3D convolution, two slices deep, of two slices: 0 takes from both, 1 from itself.

    As in the authors' code, the time after the last slice is padded. It is made of convolutions of
    single slices, whose weight gradients are gathered, and none of them reads what was padded.

    Args:
        inputs: C.
        outputs: G.
        kernel: odd, so that H and W stay.
        bias: whether there is one.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = False) -> None:
        super().__init__()
        padding = kernel // 2
        self.from_self = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=bias)
        self.from_next = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)

    def forward(self, input_BSCHW: Tensor) -> Tensor:
        """Convolve: output_BSGHW."""
        both_XGHW = gathered.conv2d(input_BSCHW.flatten(0, 1), self.from_self)
        next_BGHW = gathered.conv2d(input_BSCHW[:, 1], self.from_next)
        both_BSGHW = both_XGHW.view(-1, SLICES, *both_XGHW.shape[1:])
        return torch.stack([both_BSGHW[:, 0] + next_BGHW, both_BSGHW[:, 1]], dim=1)


def recall(query_BSDHW: Tensor, cells_BRSDHW: Tensor) -> Tensor:
    """softmax(q · Kᵀ) K of each position, over all positions of the recalled cells K.

    Returns:
        recalled_BSDHW.
    """
    query_BSHWD = query_BSDHW.permute(0, 1, 3, 4, 2)
    query_B1LD = query_BSHWD.flatten(1, 3)[:, None]
    cells_B1LD = cells_BRSDHW.permute(0, 1, 2, 4, 5, 3).flatten(1, 4)[:, None]
    # Fused: the matrix of all scores would be the largest tensor by far.
    taken_B1LD = F.scaled_dot_product_attention(query_B1LD, cells_B1LD, cells_B1LD, scale=1.0)
    return taken_B1LD.view(query_BSHWD.shape).permute(0, 1, 4, 2, 3)


class E3DLSTMLayer(nn.Module):
    """One layer; the equations are at the head of the file.

    Args:
        inputs: C.
        hidden: D.
        kernel: odd.
        recall: R, cells that are kept.
    """

    def __init__(self, inputs: int, hidden: int, kernel: int, recall: int) -> None:
        super().__init__()
        self.hidden, self.recall = hidden, recall
        self.from_input = PairConv(inputs, 7 * hidden, kernel, bias=True)
        self.from_hidden = PairConv(hidden, 4 * hidden, kernel)
        self.from_memory = PairConv(hidden, 4 * hidden, kernel)
        self.show_cell = PairConv(hidden, hidden, kernel)
        self.show_memory = PairConv(hidden, hidden, kernel)
        self.join = nn.Conv2d(2 * hidden, hidden, 1, bias=False)
        self.norm = nn.GroupNorm(1, hidden)
        bias = self.from_input.from_self.bias
        assert isinstance(bias, Tensor)
        nn.init.zeros_(bias)
        nn.init.ones_(bias.detach()[-hidden:])  # the forget gate of the memory starts open

    def forward(
        self, input_BSCHW: Tensor, memory_BSDHW: Tensor, state: State
    ) -> tuple[Tensor, Tensor, State]:
        """Read one pair.

        Args:
            input_BSCHW: frames, or hidden maps of the layer below.
            memory_BSDHW: of the layer below, or of the last one at the step before.
            state: hidden_BSDHW and cells_BRSDHW, oldest first; None at the start.

        Returns:
            hidden_BSDHW, memory_BSDHW and the state.
        """
        zero_BSDHW = torch.zeros_like(memory_BSDHW)
        hidden_BSDHW, cells_BRSDHW = state or (zero_BSDHW, zero_BSDHW[:, None])
        enter, draw, ask, show, enter_m, draw_m, keep_m = self._maps(self.from_input, input_BSCHW)
        enter_h, draw_h, ask_h, show_h = self._maps(self.from_hidden, hidden_BSDHW)
        recalled_BSDHW = recall(torch.sigmoid(ask + ask_h), cells_BRSDHW)
        known_BSDHW = self._normed(cells_BRSDHW[:, -1] + recalled_BSDHW)
        cell_BSDHW = known_BSDHW + torch.sigmoid(enter + enter_h) * torch.tanh(draw + draw_h)
        into, keep, drawn, kept = self._maps(self.from_memory, memory_BSDHW)
        new_BSDHW = torch.sigmoid(enter_m + into) * torch.tanh(draw_m + drawn)
        memory_BSDHW = torch.sigmoid(keep_m + keep) * torch.tanh(kept) + new_BSDHW
        shown_BSDHW = self.show_cell(cell_BSDHW) + self.show_memory(memory_BSDHW)
        both_BSDHW = torch.cat([cell_BSDHW, memory_BSDHW], dim=2)
        joined_XDHW = gathered.conv2d(both_BSDHW.flatten(0, 1), self.join)
        opened_BSDHW = torch.sigmoid(show + show_h + shown_BSDHW)
        hidden_BSDHW = opened_BSDHW * torch.tanh(joined_XDHW.view(cell_BSDHW.shape))
        cells_BRSDHW = torch.cat([cells_BRSDHW, cell_BSDHW[:, None]], dim=1)[:, -self.recall :]
        return hidden_BSDHW, memory_BSDHW, (hidden_BSDHW, cells_BRSDHW)

    def _maps(self, conv: PairConv, input_BSCHW: Tensor) -> tuple[Tensor, ...]:
        return torch.split(conv(input_BSCHW), self.hidden, dim=2)

    def _normed(self, cell_BSDHW: Tensor) -> Tensor:
        """Over both slices, all channels and all positions of a sequence."""
        normal_BDSHW: Tensor = self.norm(cell_BSDHW.transpose(1, 2))
        return normal_BDSHW.transpose(1, 2)


class E3DLSTM(Recurrent):
    """A stack of E3D-LSTM layers on patches. Any past, any horizon, any multiple of the patch."""

    Config = E3DLSTMConfig
    paper: ClassVar[Paper] = Paper(
        "Wang, Yunbo and Jiang, Lu and Yang, Ming-Hsuan and Li, Li-Jia and Long, Mingsheng and "
        "Fei-Fei, Li",
        "Eidetic 3D LSTM: A Model for Video Prediction and Beyond",
        "ICLR",
        2019,
        url="https://openreview.net/forum?id=B1lKS2AqtX",
    )
    about: ClassVar[str] = "recalls what it saw before, streams; costly, for small frames"

    def __init__(self, config: E3DLSTMConfig, task: Task) -> None:
        super().__init__(config, task)
        self.multiple = config.patch
        pixels, hidden = task.channels * config.patch**2, config.width
        self.layers = nn.ModuleList(
            E3DLSTMLayer(inputs, hidden, config.kernel, config.recall)
            for inputs in (pixels, *[hidden] * (config.layers - 1))
        )
        self.head = nn.Conv2d(SLICES * hidden, pixels, 1)

    def step(self, frame_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, forecast the next."""
        frame_BCHW = F.pixel_unshuffle(frame_BCHW, self.config.patch)
        before_BCHW, memory_BSDHW, states = state or self._start(frame_BCHW)
        below_BSCHW, after = torch.stack([before_BCHW, frame_BCHW], dim=1), []
        for layer, before in zip(self.layers, states, strict=True):
            below_BSCHW, memory_BSDHW, kept = layer(below_BSCHW, memory_BSDHW, before)
            after.append(kept)
        next_BCHW = F.pixel_shuffle(self.head(below_BSCHW.flatten(1, 2)), self.config.patch)
        return next_BCHW, (frame_BCHW, memory_BSDHW, after)

    def _start(self, frame_BCHW: Tensor) -> State:
        """A frame of zeros before the first, and an empty memory."""
        batch, _, height, width = frame_BCHW.shape
        memory_BSDHW = frame_BCHW.new_zeros(batch, SLICES, self.config.width, height, width)
        return torch.zeros_like(frame_BCHW), memory_BSDHW, [None] * len(self.layers)
