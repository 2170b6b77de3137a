"""The ST-LSTM: beside its own cell, a memory that goes through all layers.

Paper: Wang et al., NeurIPS 2017 and TPAMI 2022, arXiv:2103.09504. With sums s of convolutions of
input, hidden map h⁻ and memory m⁻, cell c⁻:
    i, f, g = σ, σ, tanh of s over input and h⁻      c = f c⁻ + i g
    i', f', g' = σ, σ, tanh of s over input and m⁻   m = f' m⁻ + i' g'
    o = σ(s over input and h⁻, + W [c, m])           h = o tanh(V [c, m]), V of 1×1
Differs: the layer norm of the authors' code ties a model to one frame size; a group norm of the
gates (Wu and He 2018, arXiv:1803.08494) does not.
Shapes: B batch, C channels of the input, D hidden channels, H height, W width, S = 7 × D sums,
X = T × B.
"""

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from framecast.compiled import allowed
from framecast.layers import gathered
from framecast.layers.convolution import Shape, Way, computes_in, fastest_way

Norm: TypeAlias = Literal["none", "group"]
State: TypeAlias = tuple[Tensor, Tensor]  # hidden_BDHW and cell_BDHW


def convolution(inputs: int, outputs: int, kernel: int, *, bias: bool = False) -> nn.Conv2d:
    """One that keeps height and width."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


class GateNorm(nn.GroupNorm):
    """Bias of some gates, after a norm of each over channels and positions if that is wanted.

    An open forget gate lets gradients pass through the whole past from the first update on
    (Jozefowicz et al., ICML 2015).

    Args:
        gates: their letters in the order of the channels; biases of "f" start at 1.
        hidden: channels of each gate.
        norm: none is the bias alone.
    """

    def __init__(self, gates: str, hidden: int, norm: Norm) -> None:
        super().__init__(len(gates), len(gates) * hidden, affine=norm == "group")
        self.normed = norm == "group"
        starts = [1.0 if gate == "f" else 0.0 for gate in gates]
        self.bias = nn.Parameter(torch.tensor(starts).repeat_interleave(hidden))

    def forward(self, sums_BGHW: Tensor) -> Tensor:
        """The sums that the gates see."""
        if self.normed:
            return super().forward(sums_BGHW)
        return sums_BGHW + self.bias[:, None, None]


class Step(NamedTuple):
    """What a layer makes of one frame."""

    hidden_BDHW: Tensor
    cell_BDHW: Tensor
    memory_BDHW: Tensor
    gains: tuple[Tensor, Tensor]  # what was new in cell and memory: i g and i' g'


class ReadingLayer(nn.Module):
    """What layers share whose input may be read before its turn comes.

    Args:
        inputs: channels of the input.
        sums: how many sums the input has a share in.
        hidden: channels of each sum.
        kernel: odd.
    """

    def __init__(self, inputs: int, sums: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden, self.kernel = hidden, kernel
        self.from_input = convolution(inputs, sums * hidden, kernel)

    def read(self, input_XCHW: Tensor, frames: int = 1) -> Tensor:
        """The input's share of all sums, sums_XSHW, of as many frames as are known."""
        return gathered.conv2d(input_XCHW, self.from_input, self.way(input_XCHW, frames))

    def way(self, x_XCHW: Tensor, frames: int = 1) -> Way | None:
        """How to compute all convolutions of the layer: as is best for that of its hidden map.

        None leaves it to torch.
        """
        dtype = computes_in(x_XCHW)
        if x_XCHW.device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
            return None
        if not allowed():  # exported, the batch is a symbol, which cannot be measured
            return None
        sequences, (_, _, height, width) = len(x_XCHW) // frames, x_XCHW.shape
        training = torch.is_grad_enabled()
        shape = Shape(sequences, self.hidden, self.kernel, height, width, training)
        return fastest_way(shape, dtype, torch.get_num_threads())


class STLSTM(ReadingLayer):
    """One layer.

    Args:
        inputs: C, channels of the input.
        hidden: D, channels of hidden map, cell and memory.
        kernel: odd, of all convolutions but V.
        norm: of the gates.
    """

    def __init__(self, inputs: int, hidden: int, kernel: int, norm: Norm = "none") -> None:
        super().__init__(inputs, 7, hidden, kernel)
        self.from_hidden = convolution(hidden, 4 * hidden, kernel)
        self.from_memory = convolution(hidden, 3 * hidden, kernel)
        self.show = convolution(2 * hidden, hidden, kernel)
        self.join = convolution(2 * hidden, hidden, 1)
        self.cell_gates = GateNorm("fig", hidden, norm)
        self.memory_gates = GateNorm("fig", hidden, norm)
        self.show_gate = GateNorm("o", hidden, norm)

    def forward(self, sums_BSHW: Tensor, before: State, memory_BDHW: Tensor) -> Step:
        """One frame.

        Args:
            sums_BSHW: what `read` gives.
            before: hidden map and cell after the frame before.
            memory_BDHW: from the layer below, or in the lowest one from the top of the last frame.
        """
        width, way = self.hidden, self.way(sums_BSHW)
        hidden_BDHW, cell_BDHW = before
        own_BGHW, more_BGHW = torch.split(sums_BSHW, [4 * width, 3 * width], dim=1)
        own_BGHW = own_BGHW + gathered.conv2d(hidden_BDHW, self.from_hidden, way)
        more_BGHW = more_BGHW + gathered.conv2d(memory_BDHW, self.from_memory, way)
        own_BGHW, show_BDHW = torch.split(own_BGHW, [3 * width, width], dim=1)
        cell_BDHW, new_BDHW = remember(self.cell_gates(own_BGHW), cell_BDHW)
        memory_BDHW, gain_BDHW = remember(self.memory_gates(more_BGHW), memory_BDHW)
        both_BEHW = torch.cat([cell_BDHW, memory_BDHW], dim=1)
        show_BDHW = self.show_gate(show_BDHW + gathered.conv2d(both_BEHW, self.show, way))
        shown_BDHW = torch.tanh(gathered.conv2d(both_BEHW, self.join, way))
        hidden_BDHW = torch.sigmoid(show_BDHW) * shown_BDHW
        return Step(hidden_BDHW, cell_BDHW, memory_BDHW, (new_BDHW, gain_BDHW))


def remember(gates_BGHW: Tensor, cell_BDHW: Tensor) -> tuple[Tensor, Tensor]:
    """New cell, and what is new in it, from forget gate, input gate and candidate."""
    keep_BDHW, enter_BDHW, candidate_BDHW = gates_BGHW.chunk(3, dim=1)
    gain_BDHW = torch.sigmoid(enter_BDHW) * torch.tanh(candidate_BDHW)
    return torch.sigmoid(keep_BDHW) * cell_BDHW + gain_BDHW, gain_BDHW
