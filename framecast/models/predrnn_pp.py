"""PredRNN++: two cascaded memories in each layer, and a gradient highway above the lowest.

Paper: Wang et al., ICML 2018, arXiv:1804.06300. A causal LSTM, with sums s of convolutions:
    i, f, g = σ, σ, tanh of s over input, h⁻ and c⁻             c = f c⁻ + i g
    i', f' = σ of s over input, m⁻ and c; g' = tanh over input and c
    m = f' tanh(s over m⁻) + i' g'
    o = tanh(s over input, h⁻, c and m)                         h = o tanh(V [c, m]), V of 1×1
The highway, of the lowest layer's h: p, u = tanh, σ of s over h and z⁻; z = u p + (1 - u) z⁻.
Differs: gates have biases, and a group norm in place of the authors' layer norm, which ties a model
to one frame size; weights do not start within ± 0.001. The published tables hold 38.6 M parameters,
of which 3.3 M, a convolution in each layer, are never used: here there are none of them.
Shapes: B batch, P pixels of a patch, C channels of the input, D hidden channels, Z of the highway,
S = 7 × D sums, H height, W width.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from framecast.layers import gathered
from framecast.layers.st_lstm import GateNorm, Norm, ReadingLayer, convolution, remember
from framecast.layers.st_lstm import State as OwnState
from framecast.models.forecaster import State, Task, Width
from framecast.models.paper import Paper
from framecast.models.zigzag import Zigzag, ZigzagConfig, zeros


class PredRNNPPConfig(ZigzagConfig):
    """Settings of `PredRNNPP`. Layers may be of different widths."""

    hidden: tuple[Width, ...] = Field(
        (32, 32), min_length=2, max_length=64, description="channels, one per layer"
    )


class CausalLSTM(ReadingLayer):
    """One layer.

    Args:
        inputs: C, channels of the input.
        hidden: D, channels of hidden map, cell and the memory it gives.
        memory: channels of the memory that it gets.
        kernel: odd, of all convolutions but V.
        norm: of the gates.
    """

    def __init__(self, inputs: int, hidden: int, memory: int, kernel: int, norm: Norm) -> None:
        super().__init__(inputs, 7, hidden, kernel)
        self.from_hidden = convolution(hidden, 4 * hidden, kernel)
        self.from_cell = convolution(hidden, 3 * hidden, kernel)
        self.from_memory = convolution(memory, 3 * hidden, kernel)
        self.from_new_cell = convolution(hidden, 4 * hidden, kernel)
        self.from_new_memory = convolution(hidden, hidden, kernel)
        self.join = convolution(2 * hidden, hidden, 1)
        self.cell_gates = GateNorm("fig", hidden, norm)
        self.memory_gates = GateNorm("fig", hidden, norm)
        self.show_gate = GateNorm("o", hidden, norm)

    def forward(
        self, sums_BSHW: Tensor, before: OwnState, memory_BMHW: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One frame: hidden map, cell and memory after it. Arguments as those of `STLSTM`."""
        width, way = self.hidden, self.way(sums_BSHW)
        parts, doors = [3 * width, width], [2 * width, width]
        hidden_BDHW, cell_BDHW = before
        first_BGHW, second_BGHW = torch.split(sums_BSHW, [4 * width, 3 * width], dim=1)
        first_BGHW = first_BGHW + gathered.conv2d(hidden_BDHW, self.from_hidden, way)
        first_BGHW, show_BDHW = torch.split(first_BGHW, parts, dim=1)
        first_BGHW = first_BGHW + gathered.conv2d(cell_BDHW, self.from_cell, way)
        cell_BDHW, _ = remember(self.cell_gates(first_BGHW), cell_BDHW)
        seen_BGHW = gathered.conv2d(cell_BDHW, self.from_new_cell, way)
        seen_BGHW, seen_show_BDHW = torch.split(seen_BGHW, parts, dim=1)
        old_BGHW = gathered.conv2d(memory_BMHW, self.from_memory, way)
        doors_BGHW, old_BDHW = torch.split(old_BGHW, doors, dim=1)
        keep_enter_BGHW, candidate_BDHW = torch.split(second_BGHW + seen_BGHW, doors, dim=1)
        second_BGHW = torch.cat([keep_enter_BGHW + doors_BGHW, candidate_BDHW], dim=1)
        memory_BDHW, _ = remember(self.memory_gates(second_BGHW), torch.tanh(old_BDHW))
        show_BDHW = show_BDHW + seen_show_BDHW
        show_BDHW = show_BDHW + gathered.conv2d(memory_BDHW, self.from_new_memory, way)
        both_BEHW = torch.cat([cell_BDHW, memory_BDHW], dim=1)
        shown_BDHW = torch.tanh(gathered.conv2d(both_BEHW, self.join, way))
        hidden_BDHW = torch.tanh(self.show_gate(show_BDHW)) * shown_BDHW
        return hidden_BDHW, cell_BDHW, memory_BDHW


class Highway(ReadingLayer):
    """The gradient highway unit: a way from the first frame to the last with one gate only."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__(width, 2, width, kernel)
        self.from_highway = convolution(width, 2 * width, kernel, bias=True)

    def forward(self, hidden_BZHW: Tensor, highway_BZHW: Tensor) -> Tensor:
        """The highway after a frame."""
        way = self.way(hidden_BZHW)
        sums_BSHW = self.read(hidden_BZHW) + gathered.conv2d(highway_BZHW, self.from_highway, way)
        new_BZHW, switch_BZHW = sums_BSHW.chunk(2, dim=1)
        change_BZHW = torch.tanh(new_BZHW) - highway_BZHW
        return highway_BZHW + torch.sigmoid(switch_BZHW) * change_BZHW


class PredRNNPP(Zigzag):
    """A stack of causal LSTMs on patches. Any past, any horizon, any multiple of the patch."""

    Config = PredRNNPPConfig
    paper: ClassVar[Paper | None] = Paper(
        "Wang, Yunbo and Gao, Zhifeng and Long, Mingsheng and Wang, Jianmin and Yu, Philip S.",
        "PredRNN++: Towards A Resolution of the Deep-in-Time Dilemma in Spatiotemporal "
        "Predictive Learning",
        "ICML",
        2018,
        arxiv="1804.06300",
    )
    about: ClassVar[str] = (
        "the best of the published recurrent ones, after long training at its size"
    )

    def __init__(self, config: PredRNNPPConfig, task: Task) -> None:
        super().__init__(config, task)
        widths = config.hidden
        self.layers = nn.ModuleList(
            CausalLSTM(inputs, hidden, memory, config.kernel, config.norm)
            for inputs, hidden, memory in zip(
                (self.pixels, *widths), widths, (widths[-1], *widths), strict=False
            )
        )
        self.highway = Highway(widths[0], config.kernel)

    def start(self, like_BPHW: Tensor) -> State:
        """Hidden map and cell of each layer, the memory, and the highway."""
        widths = self.config.hidden
        own = [(zeros(like_BPHW, width), zeros(like_BPHW, width)) for width in widths]
        return own, zeros(like_BPHW, widths[-1]), zeros(like_BPHW, widths[0])

    def through(self, sums_BSHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Up through the layers, above the lowest one by the highway."""
        own, memory_BDHW, highway_BZHW = state
        lowest, *above = self.layers
        below_BDHW, cell_BDHW, memory_BDHW = lowest(sums_BSHW, own[0], memory_BDHW)
        after = [(below_BDHW, cell_BDHW)]
        below_BDHW = highway_BZHW = self.highway(below_BDHW, highway_BZHW)
        for layer, before in zip(above, own[1:], strict=True):
            result = layer(layer.read(below_BDHW), before, memory_BDHW)  # type: ignore[operator]
            below_BDHW, cell_BDHW, memory_BDHW = result
            after.append((below_BDHW, cell_BDHW))
        return below_BDHW, (after, memory_BDHW, highway_BZHW)
