"""The share of the gates in a layer's training step: `python -m benchmarks.gates`.

The gates of all steps, forward and backward, beside our layer, and beside it with
direct convolutions.
"""

from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
from torch import Tensor

from benchmarks import session
from benchmarks.layer import STACKS, Stack
from benchmarks.session import Session
from benchmarks.timing import Contestant, Stopwatch
from framecast.layers import conv_lstm
from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.layers.convolution import WAYS
from framecast.layers.gates import CompiledGates, Gates, Parameters


def layer_step(layer: ConvLSTMLayer, input_BTCHW: Tensor, way: str | None) -> None:
    """Forward and backward, in the fastest way or a given one."""
    if way is None:
        layer(input_BTCHW)[0].sum().backward()
        return
    with mock.patch.object(conv_lstm, "fastest_way", return_value=WAYS[way]):
        layer(input_BTCHW)[0].sum().backward()


def gates_alone(stack: Stack) -> Callable[[], None]:
    """The gates of all steps, channels last, on tensors that are there already."""
    way, side, hidden = WAYS["last"], stack.frame // stack.patch, stack.hidden[0]
    maps = [way.laid_out(torch.zeros(stack.train_batch, hidden, side, side)) for _ in range(4)]
    sums = way.laid_out(torch.zeros(stack.train_batch, 4 * hidden, side, side))
    library = Gates().compiled(sums.device, sums.dtype)
    assert library is not None, "needs a compiler"
    gates, (before, after, shown, grad) = CompiledGates(library, Parameters(), way.layout), maps

    def steps() -> None:
        for _ in range(stack.read):
            measured = gates.forward(sums, sums, before, after, shown)
            gates.backward(sums, (before, after), (shown, shown), grad, measured)

    return steps


def race(run: Session, stack: Stack) -> None:
    """One layer of a stack, the second if there is one: its input is hidden maps."""
    hidden, side = stack.hidden[0], stack.frame // stack.patch
    layer = ConvLSTMLayer(hidden, hidden, stack.kernel)
    input_BTCHW = torch.rand(stack.train_batch, stack.read, hidden, side, side)
    contestants: dict[str, Contestant] = {
        "ours, a layer": Stopwatch(partial(layer_step, layer, input_BTCHW, None)),
        "direct convolutions": Stopwatch(partial(layer_step, layer, input_BTCHW, "first")),
        "gates alone": Stopwatch(gates_alone(stack)),
    }
    work = f"{stack.name}: gates in a train step, batch {stack.train_batch} × {stack.read}"
    if run.wants(work):
        run.measure(work, contestants)


def main() -> None:
    """All stacks of `benchmarks.layer`."""
    run = session.start("gates", __doc__)
    for stack in STACKS:
        race(run, stack.small if run.quick else stack)


if __name__ == "__main__":
    main()
