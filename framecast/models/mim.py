"""MIM, memory in memory: what of a scene changes steadily is told from what changes otherwise.

Paper: Wang et al., CVPR 2019, arXiv:1811.07490. The lowest layer is an ST-LSTM. In those above, two
LSTMs in a cascade stand in place of the forget gate of the cell, both with peepholes:
    D, N = MIM-N(input: change of the hidden map below; hidden map D⁻, cell N⁻)
    T, Q = MIM-S(input: D; hidden map c⁻, cell Q⁻)
    i, g = σ, tanh of s over input and h⁻                    c = T + i g
    i', f', g' = σ, σ, tanh of s over input and m⁻           m = f' m⁻ + i' g'
    o = σ(s over input, h⁻ and m⁻)                           h = o tanh(V [c, m]), V of 1×1
where s are sums of convolutions, and the input's share in i and g is that in i' and g'.
Differs: peepholes have one weight per channel; those of the authors, one per position, tie a model
to one frame size and are 0.6 M of the 38 M published parameters. All cells begin anew with
each sequence; in a widely used copy, Q leaks from one batch into the next. MIM-N sees the change of
the layer right below, as in the paper; in the authors' code, above the second layer, it sees D of
the layer below. Before a second frame there is no change, and D is 0. Gates have biases, and those
outside of the cascade a group norm where the authors have a layer norm.
Shapes: B batch, P pixels of a patch, C channels of the input, D hidden channels, H height, W width.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from framecast.layers import gathered
from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.gates import Gates
from framecast.layers.st_lstm import STLSTM, GateNorm, Norm, ReadingLayer, convolution, remember
from framecast.models.forecaster import State, Task, Width
from framecast.models.paper import Paper
from framecast.models.zigzag import OneWidthConfig, Zigzag, zeros

WITH_PEEPHOLES = Gates(peephole=True)


class MIMConfig(OneWidthConfig):
    """Settings of `MIM`."""

    hidden: tuple[Width, ...] = Field(
        (32, 32), min_length=2, max_length=64, description="channels, one per layer"
    )


class MIMBlock(ReadingLayer):
    """One layer but the lowest.

    Args:
        hidden: D, channels of the input and all else.
        kernel: odd, of all convolutions but V.
        norm: of the gates outside of the cascade.
    """

    def __init__(self, hidden: int, kernel: int, norm: Norm) -> None:
        super().__init__(hidden, 4, hidden, kernel)
        self.from_hidden = convolution(hidden, 3 * hidden, kernel)
        self.from_memory = convolution(hidden, 4 * hidden, kernel)
        self.join = convolution(2 * hidden, hidden, 1)
        self.changing = ConvLSTMLayer(hidden, hidden, kernel, WITH_PEEPHOLES)  # MIM-N
        self.steady = ConvLSTMLayer(hidden, hidden, kernel, WITH_PEEPHOLES)  # MIM-S
        self.cell_gates = GateNorm("ig", hidden, norm)
        self.memory_gates = GateNorm("fig", hidden, norm)
        self.show_gate = GateNorm("o", hidden, norm)

    def forward(
        self, below: tuple[Tensor, Tensor], before: State, memory_BDHW: Tensor
    ) -> tuple[State, Tensor]:
        """One frame.

        Args:
            below: hidden map of the layer below, now and before; the latter counts for nothing in
                the first frame.
            before: hidden map, cell, (D, N) and Q after the frame before; no (D, N) in the first.
            memory_BDHW: from the layer below.

        Returns:
            What `before` is for the next frame, and the memory.
        """
        width, (below_BDHW, last_BDHW) = self.hidden, below
        hidden_BDHW, cell_BDHW, changing, steady_BDHW = before
        if changing is None:
            changing = torch.zeros_like(cell_BDHW), torch.zeros_like(cell_BDHW)
        else:
            _, changing = self.changing((below_BDHW - last_BDHW)[:, None], changing)
        known = cell_BDHW, steady_BDHW
        _, (kept_BDHW, steady_BDHW) = self.steady(changing[0][:, None], known)

        way = self.way(below_BDHW)
        input_BSHW = self.read(below_BDHW)
        own_BGHW = gathered.conv2d(hidden_BDHW, self.from_hidden, way)
        more_BGHW = gathered.conv2d(memory_BDHW, self.from_memory, way)
        gates_BGHW = self.cell_gates(input_BSHW[:, width : 3 * width] + own_BGHW[:, : 2 * width])
        enter_BDHW, candidate_BDHW = gates_BGHW.chunk(2, dim=1)
        cell_BDHW = kept_BDHW + torch.sigmoid(enter_BDHW) * torch.tanh(candidate_BDHW)
        gates_BGHW = self.memory_gates(input_BSHW[:, : 3 * width] + more_BGHW[:, : 3 * width])
        memory_BDHW, _ = remember(gates_BGHW, memory_BDHW)
        show_BDHW = (
            input_BSHW[:, 3 * width :] + own_BGHW[:, 2 * width :] + more_BGHW[:, 3 * width :]
        )
        both_BEHW = torch.cat([cell_BDHW, memory_BDHW], dim=1)
        shown_BDHW = torch.tanh(gathered.conv2d(both_BEHW, self.join, way))
        hidden_BDHW = torch.sigmoid(self.show_gate(show_BDHW)) * shown_BDHW
        return (hidden_BDHW, cell_BDHW, changing, steady_BDHW), memory_BDHW


class MIM(Zigzag):
    """An ST-LSTM and blocks above it. Any past, any horizon, any multiple of the patch."""

    Config = MIMConfig
    paper: ClassVar[Paper | None] = Paper(
        "Wang, Yunbo and Zhang, Jianjin and Zhu, Hongyu and Long, Mingsheng and Wang, Jianmin and "
        "Yu, Philip S.",
        "Memory In Memory: A Predictive Neural Network for Learning Higher-Order "
        "Non-Stationarity From Spatiotemporal Dynamics",
        "CVPR",
        2019,
        arxiv="1811.07490",
    )
    about: ClassVar[str] = "predrnn that looks at changes: for what grows, decays or speeds up"

    def __init__(self, config: MIMConfig, task: Task) -> None:
        super().__init__(config, task)
        width, kernel, norm = config.hidden[0], config.kernel, config.norm
        lowest = STLSTM(self.pixels, width, kernel, norm)
        above = (MIMBlock(width, kernel, norm) for _ in config.hidden[1:])
        self.layers = nn.ModuleList([lowest, *above])

    def start(self, like_BPHW: Tensor) -> State:
        """What the lowest layer and those above it keep, and the memory."""
        zero_BDHW = zeros(like_BPHW, self.config.hidden[0])
        above = zero_BDHW, zero_BDHW, None, zero_BDHW
        return [(zero_BDHW, zero_BDHW), *[above] * (len(self.layers) - 1)], zero_BDHW

    def through(self, sums_BSHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Up through the layers, and the memory and the changes with it."""
        own, memory_BDHW = state
        lowest, *above = self.layers
        step = lowest(sums_BSHW, own[0], memory_BDHW)
        after: list[State] = [(step.hidden_BDHW, step.cell_BDHW)]
        memory_BDHW = step.memory_BDHW
        for layer, last, before in zip(above, own, own[1:], strict=False):
            result, memory_BDHW = layer((after[-1][0], last[0]), before, memory_BDHW)
            after.append(result)
        return after[-1][0], (after, memory_BDHW)
