"""The ConvLSTM cell over a sequence: gates of all known frames in one convolution, one step each.

Paper: Shi et al., NeurIPS 2015, arXiv:1506.04214, without peepholes (they tie a model to one size).
Shapes: B batch, T frames, C channels of the input, D hidden channels, H height, W width,
G = 4 × D gates, X = B × T or B × H × W.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

Norm = Literal["none", "layer", "group"]


class LSTMUpdate(torch.autograd.Function):
    """(gates, cell) -> (hidden, cell), with a gradient that keeps four tensors instead of nine."""

    @staticmethod
    def forward(ctx: FunctionCtx, gates_B4DHW: Tensor, cell_BDHW: Tensor) -> tuple[Tensor, Tensor]:
        """Gates are pre-activations in the order input, forget, output, candidate."""
        width = cell_BDHW.shape[1]
        open_B3DHW = torch.sigmoid(gates_B4DHW[:, : 3 * width])
        candidate_BDHW = torch.tanh(gates_B4DHW[:, 3 * width :])
        enter, keep, show = open_B3DHW.chunk(3, dim=1)
        new_cell_BDHW = keep * cell_BDHW + enter * candidate_BDHW
        ctx.save_for_backward(open_B3DHW, candidate_BDHW, cell_BDHW, new_cell_BDHW)
        return show * torch.tanh(new_cell_BDHW), new_cell_BDHW

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """Exact gradient in one pass."""
        grad_hidden, grad_cell = grads
        open_B3DHW, candidate, cell, new_cell = ctx.saved_tensors  # type: ignore[attr-defined]
        enter, keep, show = open_B3DHW.chunk(3, dim=1)
        squashed = torch.tanh(new_cell)
        grad_cell = grad_cell + grad_hidden * show * (1 - squashed * squashed)
        grad_open = torch.cat(
            [grad_cell * candidate, grad_cell * cell, grad_hidden * squashed], dim=1
        )
        grad_open = grad_open * open_B3DHW * (1 - open_B3DHW)
        grad_candidate = grad_cell * enter * (1 - candidate * candidate)
        return torch.cat([grad_open, grad_candidate], dim=1), grad_cell * keep


def update(gates_B4DHW: Tensor, cell_BDHW: Tensor) -> tuple[Tensor, Tensor]:
    """New hidden map and cell of an LSTM from the pre-activations of its gates."""
    hidden_BDHW, new_BDHW = LSTMUpdate.apply(gates_B4DHW, cell_BDHW)  # type: ignore[no-untyped-call]
    return hidden_BDHW, new_BDHW


class PositionNorm(nn.GroupNorm):
    """Group norm with mean and variance over the channels of a group at each position alone."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise; the shape stays."""
        batch, _, height, width = x_BCHW.shape
        normal_XC = super().forward(x_BCHW.permute(0, 2, 3, 1).flatten(0, 2))
        return normal_XC.view(batch, height, width, -1).permute(0, 3, 1, 2)


class ConvLSTMLayer(nn.Module):
    """One ConvLSTM layer.

    Args:
        inputs: C, channels of the input.
        hidden: D, channels of hidden map and cell.
        kernel: odd, so that H and W stay.
        norm: of the four gates before their bias. "layer" takes mean and variance over the channels
            of a gate at each position, "group" over channels and positions. Neither fixes H or W.
    """

    def __init__(self, inputs: int, hidden: int, kernel: int, norm: Norm = "none") -> None:
        super().__init__()
        self.hidden = hidden
        padding, plain = kernel // 2, norm == "none"
        self.from_input = nn.Conv2d(inputs, 4 * hidden, kernel, padding=padding, bias=plain)
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, kernel, padding=padding, bias=False)
        kinds = {"none": nn.Identity, "layer": PositionNorm, "group": nn.GroupNorm}
        self.norm = kinds[norm](4, 4 * hidden)
        bias = self.from_input.bias if plain else self.norm.bias
        assert isinstance(bias, Tensor)
        # An open forget gate lets gradients pass through the whole past from the first update on
        # (Jozefowicz et al., ICML 2015).
        nn.init.zeros_(bias)
        nn.init.ones_(bias.detach()[hidden : 2 * hidden])

    def forward(
        self, input_BTCHW: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read T frames.

        Args:
            input_BTCHW: any T ≥ 1.
            state: (hidden_BDHW, cell_BDHW) after the frame before; None is all zeros.

        Returns:
            hidden_BTDHW and the state after the last frame; the cell stays float32 under autocast.
        """
        batch, frames, _, height, width = input_BTCHW.shape
        gates_XGHW = self.from_input(input_BTCHW.flatten(0, 1))
        gates_BTGHW = gates_XGHW.view(batch, frames, -1, height, width)
        if state is None:
            zero_BDHW = self.from_hidden.weight.new_zeros(batch, self.hidden, height, width)
            state = (zero_BDHW, zero_BDHW)
        hidden_BDHW, cell_BDHW = state
        outputs = []
        for input_gates_BGHW in gates_BTGHW.unbind(1):
            gates_BGHW = self.norm(input_gates_BGHW + self.from_hidden(hidden_BDHW))
            hidden_BDHW, cell_BDHW = update(gates_BGHW, cell_BDHW)
            outputs.append(hidden_BDHW)
        return torch.stack(outputs, dim=1), (hidden_BDHW, cell_BDHW)
