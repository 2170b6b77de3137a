"""ConvLSTM layers, ours against plain PyTorch cells: `python -m benchmarks.layer`.

Shapes: B batch, T frames, C channels, H height, W width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import bound, session
from benchmarks.bound import Conv
from benchmarks.plain import Chain, PlainCell, PlainConvLSTM, check_same, copy_weights
from benchmarks.session import Precision, Session, inside
from framecast.forecast import rollout
from framecast.layers.conv_lstm import ConvLSTMLayer
from framecast.models import build_model
from framecast.models.forecaster import Forecaster, Task

Loss: TypeAlias = Callable[[Any], Tensor]  # of a network
Call: TypeAlias = Callable[[nn.Module, Precision], object]


@dataclass(frozen=True)
class Stack:
    """Layers one above the other on grey frames.

    Args:
        name: as in the results.
        hidden: channels, one per layer.
        kernel: of all layers.
        patch: side of the square of pixels in one position.
        train_batch: sequences in a training step.
        batches: sequences in a forecast.
        frame: height and width of a frame.
        known: past frames.
        future: frames to forecast; each but the last is read too.
    """

    name: str
    hidden: tuple[int, ...]
    kernel: int
    patch: int
    train_batch: int
    batches: tuple[int, ...]
    frame: int = 64
    known: int = 10
    future: int = 10

    @property
    def read(self) -> int:
        """Frames that go through the layers."""
        return self.known + self.future - 1

    @property
    def inputs(self) -> tuple[int, ...]:
        """Channels that each layer reads."""
        return (self.patch**2, *self.hidden[:-1])

    @property
    def small(self) -> "Stack":
        """The same kind, in milliseconds."""
        hidden = tuple(6 for _ in self.hidden)
        size = replace(self, hidden=hidden, frame=4 * self.patch, known=3, future=2)
        return replace(size, train_batch=2, batches=self.batches[:1])

    def shapes(self) -> Iterator[bound.Layer]:
        """What the bound needs to know."""
        side = self.frame // self.patch
        for inputs, hidden in zip(self.inputs, self.hidden, strict=True):
            yield bound.Layer(inputs, hidden, self.kernel, side, side)

    def layers(self, kind: Callable[[int, int, int], nn.Module]) -> Chain:
        """A network of the layers alone."""
        channels = zip(self.inputs, self.hidden, strict=True)
        return Chain(*(kind(inputs, hidden, self.kernel) for inputs, hidden in channels))

    def our_model(self) -> Forecaster:
        """The network with its head."""
        settings = {"hidden": self.hidden, "kernel": (self.kernel,), "patch": self.patch}
        task = Task(1, self.frame, self.frame, self.known, self.future)
        return build_model("conv_lstm", {**settings, "motion": 0, "norm": "none"}, task)

    def plain_model(self) -> PlainConvLSTM:
        """The same in plain cells."""
        return PlainConvLSTM(self.hidden, self.kernel, self.patch)

    def head(self, batch: int, frames: int) -> Conv:
        """The convolution that draws the frames."""
        side = self.frame // self.patch
        return Conv(batch * frames, sum(self.hidden), self.patch**2, 1, side, side)

    def convs(self, batch: int, *, training: bool) -> Iterator[Conv]:
        """Of the model that feeds its own frames back: a training step, or a forecast."""
        shapes, alone = [*self.shapes()], self.future - 1
        for shape in shapes:
            if training:
                yield from shape.training(batch, self.known, alone, first=shape is shapes[0])
            else:
                yield from shape.forward(batch, self.known, alone)
        yield from [self.head(batch, self.read if training else self.future)] * (1 + 2 * training)


S = Stack("ConvLSTM-S (4 × 128, 5×5, patch 4)", (128,) * 4, 5, 4, 16, (1, 16))
STACKS = (
    S,
    Stack("2 × 48, 5×5, patch 4", (48, 48), 5, 4, 8, (1, 8)),
    Stack("2 × 48, 3×3, patch 4", (48, 48), 3, 4, 8, (1, 8)),
    Stack("2 × 48, 1×1, patch 4", (48, 48), 1, 4, 8, (1, 8)),
    Stack("64 wide, 5×5, no patches", (64,), 5, 1, 2, (1, 2)),
    Stack("64 wide, 3×3, no patches", (64,), 3, 1, 2, (1, 2)),
    Stack("64 wide, 1×1, no patches", (64,), 1, 1, 2, (1, 2)),
)


@dataclass(frozen=True)
class Work:
    """What ours and the plain network both do, and the convolutions that it needs."""

    name: str
    ours: nn.Module
    plain: nn.Module
    call: Call
    convs: list[Conv]
    sequences: int


def check(stack: Stack, device: str = "cpu") -> None:
    """Both compute the same, forward and backward, on a small stack."""
    small = stack.small
    ours, plain = _twins(small.layers(ConvLSTMLayer), small.layers(PlainCell), device)
    loss = _known_loss(small, 2, device)
    check_same(ours, plain, loss(ours), loss(plain))
    ours, plain = _twins(small.our_model(), small.plain_model(), device)
    loss = _free_loss(small, 2, device)
    check_same(ours, plain, loss(ours), loss(plain))
    past_BMCHW = _frames(small, 2, small.known, device)
    futures = [forecast(network, past_BMCHW, 3) for network in (ours, plain)]
    torch.testing.assert_close(*futures, rtol=1e-4, atol=1e-4)


def works(stack: Stack, device: str = "cpu") -> Iterator[Work]:
    """Training step and forward: layers over known frames, models that feed their own back."""
    yield from _known(stack, device)
    yield from _free(stack, device)


def _known(stack: Stack, device: str) -> Iterator[Work]:
    ours, plain = _twins(stack.layers(ConvLSTMLayer), stack.layers(PlainCell), device)
    read, shapes = stack.read, [*stack.shapes()]
    batch = stack.train_batch
    name = f"{stack.name}: layers, train step, batch {batch} × {read}"
    convs = [shape.training(batch, read, first=shape is shapes[0]) for shape in shapes]
    call: Call = partial(_train, loss=_known_loss(stack, batch, device))
    yield Work(name, ours, plain, call, [*chain(*convs)], batch)
    for batch in stack.batches:
        name = f"{stack.name}: layers, no gradients, batch {batch} × {read}"
        convs = [shape.forward(batch, read) for shape in shapes]
        call = partial(_forward, input_BTCHW=_patches(stack, batch, device))
        yield Work(name, ours, plain, call, [*chain(*convs)], batch)


def _free(stack: Stack, device: str) -> Iterator[Work]:
    ours, plain = _twins(stack.our_model(), stack.plain_model(), device)
    span = f"{stack.known} → {stack.future}"
    batch = stack.train_batch
    name = f"{stack.name}: model, train step {span}, batch {batch}"
    call: Call = partial(_train, loss=_free_loss(stack, batch, device))
    yield Work(name, ours, plain, call, [*stack.convs(batch, training=True)], batch)
    for batch in stack.batches:
        name = f"{stack.name}: model, forecast {span}, batch {batch}"
        past_BMCHW = _frames(stack, batch, stack.known, device)
        call = inside(partial(forecast, past_BMCHW=past_BMCHW, horizon=stack.future))
        yield Work(name, ours, plain, call, [*stack.convs(batch, training=False)], batch)


def _twins(ours: nn.Module, plain: nn.Module, device: str) -> tuple[nn.Module, nn.Module]:
    copy_weights(ours, plain)
    return ours.to(device), plain.to(device)


def _frames(stack: Stack, batch: int, count: int, device: str) -> Tensor:
    return torch.rand(batch, count, 1, stack.frame, stack.frame, device=device)


def _patches(stack: Stack, batch: int, device: str) -> Tensor:
    return F.pixel_unshuffle(_frames(stack, batch, stack.read, device), stack.patch)


def _known_loss(stack: Stack, batch: int, device: str) -> Loss:
    """Some scalar that gives each hidden map of the last layer a gradient of its own."""
    input_BTCHW, side = _patches(stack, batch, device), stack.frame // stack.patch
    weight = torch.randn(batch, stack.read, stack.hidden[-1], side, side, device=device)
    return lambda network: (network(input_BTCHW) * weight).mean()


def _free_loss(stack: Stack, batch: int, device: str) -> Loss:
    """The loss at the end of training, when the model reads its own frames."""
    past_BMCHW = _frames(stack, batch, stack.known, device)
    future_BNCHW = _frames(stack, batch, stack.future, device)
    return lambda network: network.loss(past_BMCHW, future_BNCHW, 1.0)


def _train(network: nn.Module, precision: Precision, loss: Loss) -> None:
    network.zero_grad()
    with precision():
        value = loss(network)
    value.backward()  # type: ignore[no-untyped-call]


def _forward(network: nn.Module, precision: Precision, input_BTCHW: Tensor) -> None:
    with torch.no_grad(), precision():
        network(input_BTCHW)


def forecast(network: nn.Module, past_BMCHW: Tensor, horizon: int) -> Tensor:
    """future_BNCHW of our model or of the plain one."""
    if isinstance(network, Forecaster):
        return rollout(network, past_BMCHW, horizon, clip=False)
    with torch.no_grad():
        future_BNCHW: Tensor = network(past_BMCHW, horizon)[1]
    return future_BNCHW


def main() -> None:
    """Check, then race."""
    run = session.start("layer", __doc__)
    for stack in STACKS:
        check(stack)
        for work in works(stack.small if run.quick else stack):
            measure(run, work)


def measure(run: Session, work: Work) -> None:
    """Ours against plain in each number format, unless the user wants other work."""
    if run.wants(work.name):
        contestants = run.contestants({"ours": work.ours, "plain": work.plain}, work.call)
        least = bound.seconds(work.convs, run.device, half=not run.no_half)
        run.measure(work.name, contestants, bound=least, per=(work.sequences, "sequences"))


if __name__ == "__main__":
    main()
