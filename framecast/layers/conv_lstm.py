"""The ConvLSTM layer over a sequence.

Paper: Shi et al., NeurIPS 2015, arXiv:1506.04214.
The input's part of the gates of all frames is one convolution; the recurrent part is one a step.
Two paths lead through the steps. `Gates.equations` with stock autograd works anywhere. `_Steps` has
its own backward pass, for compiled gates on a CPU. It keeps six values per hidden unit and frame:
the four sums, which the backward pass turns into their gradients in place, the cell and the hidden
map. Both leave the weight gradients to `gathered`.
Shapes: B batch, T frames, C channels of the input, D hidden channels, H height, W width,
G = 4 × D gates, X = T × B, time first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from framecast.layers import gathered
from framecast.layers.convolution import Shape, Way, computes_in, fastest_way
from framecast.layers.gates import CompiledGates, Gates, Measured, Opened, Order, Parameters
from framecast.layers.gathered import Use, Weights, weights_of

State = tuple[Tensor, Tensor]

PLAIN = Gates()


class ConvLSTMLayer(nn.Module):
    """One ConvLSTM layer.

    Args:
        inputs: C, channels of the input.
        hidden: D, channels of hidden map and cell.
        kernel: odd, so that H and W stay.
        gates: what happens between the convolutions and the hidden map.
    """

    def __init__(self, inputs: int, hidden: int, kernel: int, gates: Gates = PLAIN) -> None:
        super().__init__()
        self.hidden, self.kernel, self.gates = hidden, kernel, gates
        padding, plain = kernel // 2, gates.norm == "none"
        self.from_input = nn.Conv2d(inputs, 4 * hidden, kernel, padding=padding, bias=plain)
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, kernel, padding=padding, bias=False)
        # Of its own class for the names of its parameters: the gates apply it.
        self.norm = nn.Identity() if plain else nn.GroupNorm(4, 4 * hidden)
        self.peephole = nn.Parameter(torch.zeros(3, hidden)) if gates.peephole else None
        bias = self.from_input.bias if plain else self.norm.bias
        assert isinstance(bias, Tensor)
        # An open forget gate lets gradients pass through the whole past from the first update on
        # (Jozefowicz et al., ICML 2015).
        nn.init.zeros_(bias)
        nn.init.ones_(bias.detach()[hidden : 2 * hidden])

    def forward(self, input_BTCHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read T frames.

        Args:
            input_BTCHW: any T ≥ 1.
            state: (hidden_BDHW, cell_BDHW) after the frame before; None is all zeros.

        Returns:
            hidden_BTDHW and the state after the last frame; the cell stays float32 under autocast.
        """
        batch, frames = input_BTCHW.shape[:2]
        device, dtype = input_BTCHW.device, computes_in(input_BTCHW)
        input_XCHW = input_BTCHW.transpose(0, 1).flatten(0, 1)
        library = self.gates.compiled(device, dtype)
        if library is None:
            hidden_XDHW, state = self._plain_steps(input_XCHW, frames, state)
        else:
            height, width = input_BTCHW.shape[3:]
            training = torch.is_grad_enabled()
            shape = Shape(batch, self.hidden, self.kernel, height, width, training)
            way = fastest_way(shape, dtype, torch.get_num_threads())
            gates = CompiledGates(library, self._gate_parameters(torch.float32), way.layout)
            hidden_XDHW, state = self._compiled_steps(gates, way, input_XCHW, frames, state)
        return hidden_XDHW.view(frames, batch, *hidden_XDHW.shape[1:]).transpose(0, 1), state

    @torch.no_grad()
    def opened(self, input_BTCHW: Tensor, state: State | None = None) -> Iterator[Opened]:
        """The gates of each frame, for whoever wants to look into the layer."""
        hidden_BDHW, cell_BDHW = state or self._zeros(input_BTCHW[:, 0])
        for input_BCHW in input_BTCHW.unbind(1):
            sums_BGHW = self.from_input(input_BCHW) + self.from_hidden(hidden_BDHW)
            gates = self.gates.opened(sums_BGHW, cell_BDHW, self._gate_parameters())
            cell_BDHW = gates.cell_BDHW
            hidden_BDHW = gates.show_BDHW * self.gates.squash(cell_BDHW)
            yield gates

    def _zeros(self, input_BCHW: Tensor) -> State:
        """Hidden map and cell before the first frame."""
        batch, _, height, width = input_BCHW.shape
        zero_BDHW = input_BCHW.new_zeros(batch, self.hidden, height, width)
        return zero_BDHW, zero_BDHW

    def _gate_parameters(self, dtype: torch.dtype | None = None) -> Parameters:
        scale, shift = getattr(self.norm, "weight", None), getattr(self.norm, "bias", None)
        return Parameters(*(p if p is None else p.to(dtype) for p in (scale, shift, self.peephole)))

    def _plain_steps(
        self, input_XCHW: Tensor, frames: int, state: State | None
    ) -> tuple[Tensor, State]:
        input_XGHW = gathered.conv2d(input_XCHW, self.from_input)
        # Not chunk, nor len: exported, the batch is a symbol, which those make a number of.
        input_TBGHW = input_XGHW.view(frames, -1, *input_XGHW.shape[1:])
        first_BCHW = input_XCHW.view(frames, -1, *input_XCHW.shape[1:])[0]
        hidden_BDHW, cell_BDHW = state or self._zeros(first_BCHW)
        update, parameters = self.gates.fused(input_XCHW.device), self._gate_parameters()
        outputs = []
        for input_BGHW in input_TBGHW.unbind():
            sums_BGHW = input_BGHW + gathered.conv2d(hidden_BDHW, self.from_hidden)
            hidden_BDHW, cell_BDHW = update(sums_BGHW, cell_BDHW, parameters)
            outputs.append(hidden_BDHW)
        return torch.cat(outputs), (hidden_BDHW, cell_BDHW)

    def _compiled_steps(
        self,
        gates: CompiledGates,
        way: Way,
        input_XCHW: Tensor,
        frames: int,
        state: State | None,
    ) -> tuple[Tensor, State]:
        from_input, from_hidden = weights_of(self.from_input), weights_of(self.from_hidden)
        hidden_XDHW, hidden_BDHW, cell_BDHW = _Steps.apply(  # type: ignore[no-untyped-call]
            _Call(gates, self.gates.order, way, frames, from_input, from_hidden),
            input_XCHW,
            *(state or (None, None)),
            from_input.weight_GCHW,
            from_input.bias_G,
            from_hidden.weight_GCHW,
            *gates.parameters,
        )
        return hidden_XDHW, (hidden_BDHW, cell_BDHW)


@dataclass(eq=False)
class _Call:
    """What a call of a layer needs besides tensors that have gradients."""

    gates: CompiledGates
    order: Order
    way: Way
    frames: int
    from_input: Weights
    from_hidden: Weights
    spent: bool = False

    def convolve(self, x_BCHW: Tensor, weights: Weights) -> Tensor:
        return weights.kernel(self.way).forward(x_BCHW, weights.bias_G)

    def input_gradient(self, grad_BGHW: Tensor, x_BCHW: Tensor, weights: Weights) -> Tensor:
        return weights.kernel(self.way).input_gradient(grad_BGHW, x_BCHW)

    def leave(self, x_BCHW: Tensor, grad_BGHW: Tensor, weights: Weights) -> None:
        weights.left.append(Use(weights.kernel(self.way), x_BCHW, grad_BGHW))


class _Steps(torch.autograd.Function):
    """(input, hidden, cell) -> (hidden of all frames, last hidden, last cell), compiled gates."""

    @staticmethod
    def forward(
        ctx: Any,
        call: _Call,
        input_XCHW: Tensor,
        hidden_BDHW: Tensor | None,
        cell_BDHW: Tensor | None,
        *_: Tensor | None,  # weights, whose gradients are gathered, and the parameters of the gates
    ) -> tuple[Tensor, Tensor, Tensor]:
        input_XCHW = call.way.laid_out(input_XCHW)
        sums_XGHW = call.convolve(input_XCHW, call.from_input)
        batch, (gates, height, width) = len(input_XCHW) // call.frames, sums_XGHW.shape[1:]
        shape, layout = (len(input_XCHW) + batch, gates // 4, height, width), call.way.layout
        hiddens_XDHW = torch.empty(shape, dtype=call.way.dtype, memory_format=layout)
        cells_XDHW = torch.empty(shape, dtype=torch.float32, memory_format=layout)
        hiddens, cells = torch.split(hiddens_XDHW, batch), torch.split(cells_XDHW, batch)
        if hidden_BDHW is not None and cell_BDHW is not None:
            hiddens[0].copy_(hidden_BDHW)
            cells[0].copy_(cell_BDHW)
        else:
            cells[0].zero_()
        measured: list[Tensor | None] = []
        for frame, sums_BGHW in enumerate(torch.split(sums_XGHW, batch)):
            starts = frame == 0 and hidden_BDHW is None  # from zero: no convolution
            recurrent_BGHW = None if starts else call.convolve(hiddens[frame], call.from_hidden)
            measured += call.gates.forward(
                sums_BGHW, recurrent_BGHW, cells[frame], cells[frame + 1], hiddens[frame + 1]
            )
        ctx.call, ctx.started = call, hidden_BDHW is not None
        ctx.save_for_backward(input_XCHW, sums_XGHW, hiddens_XDHW, cells_XDHW, *measured)
        ctx.set_materialize_grads(False)
        return hiddens_XDHW[batch:], hiddens[-1], cells[-1]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        grad_XDHW: Tensor | None,
        grad_hidden_BDHW: Tensor | None,
        grad_cell_BDHW: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        """The steps, the last one first, then what all of them share in one go."""
        call: _Call = ctx.call
        if call.spent:
            raise RuntimeError(
                "ConvLSTMLayer can go backward only once: retain_graph has no effect"
            )
        call.spent = True
        input_XCHW, sums_XGHW, hiddens_XDHW, cells_XDHW, *measured = ctx.saved_tensors
        batch = len(input_XCHW) // call.frames
        sums, hiddens, cells = (
            torch.split(x, batch) for x in (sums_XGHW, hiddens_XDHW, cells_XDHW)
        )
        outer: Sequence[Tensor | None] = [None] * call.frames
        if grad_XDHW is not None:
            outer = torch.split(call.way.laid_out(grad_XDHW), batch)
        inner = None if grad_hidden_BDHW is None else call.way.laid_out(grad_hidden_BDHW)
        grad_cell = torch.zeros_like(cells[-1])
        if grad_cell_BDHW is not None:
            grad_cell.copy_(grad_cell_BDHW)
        grads_norm: list[Tensor] = []
        for frame in reversed(range(call.frames)):
            grads_norm += call.gates.backward(
                sums[frame],
                (cells[frame], cells[frame + 1]),
                (outer[frame], inner),
                grad_cell,
                Measured(*measured[2 * frame : 2 * frame + 2]),
            )
            if frame or ctx.started:
                inner = call.input_gradient(sums[frame], hiddens[frame], call.from_hidden)
        _, needs_input, _, _, *needs_weights = ctx.needs_input_grad
        if any(needs_weights[:2]):
            call.leave(input_XCHW, sums_XGHW, call.from_input)
        first = 0 if ctx.started else batch
        if needs_weights[2] and len(sums_XGHW) > first:
            call.leave(hiddens_XDHW[first:-batch], sums_XGHW[first:], call.from_hidden)
        grad_input = None
        if needs_input:
            grad_input = call.input_gradient(sums_XGHW, input_XCHW, call.from_input)
        parameters = _parameter_gradients(call, grads_norm, sums_XGHW, cells_XDHW)
        state = (inner, grad_cell) if ctx.started else (None, None)
        return None, grad_input, *state, None, None, None, *parameters


def _parameter_gradients(
    call: _Call, grads_norm: list[Tensor], sums_XGHW: Tensor, cells_XDHW: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of scale, shift and peepholes."""
    scale = shift = peephole = None
    if grads_norm:
        shift, scale = torch.stack(grads_norm).sum(dim=0).transpose(0, 1).flatten(1)
    if call.gates.parameters.peephole_3D is not None:
        batch = len(cells_XDHW) - len(sums_XGHW)
        four, order = sums_XGHW.float().chunk(4, dim=1), call.order
        enter, keep, show = (four[order.index(gate)] for gate in "ifo")
        before, after = cells_XDHW[:-batch], cells_XDHW[batch:]
        pairs = (enter, before), (keep, before), (show, after)
        peephole = torch.stack([(grad * cell).sum(dim=(0, 2, 3)) for grad, cell in pairs])
    return scale, shift, peephole
