"""How fast it could be at best: the convolutions alone, each at the best rate of this machine.

The FLOPs are counted from shapes. The rate of a shape is measured in the same run, and is the best
of fp32 and bf16, contiguous and channels-last, forward and both gradients.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from benchmarks.timing import waiting

SAMPLE = {"cpu": 2e9, "cuda": 2e12}  # FLOPs: a larger batch is measured by a part of it
CALLS = 3  # the fastest counts; one more before sets up the kernels


@dataclass(frozen=True)
class Conv:
    """A convolution with "same" padding, or one of its gradients, which cost as much."""

    batch: int
    inputs: int
    outputs: int
    kernel: int
    height: int
    width: int
    times: int = 1

    @property
    def flops(self) -> float:
        """Additions and multiplications, those with the padding too."""
        pixels = self.batch * self.height * self.width
        return 2.0 * self.times * pixels * self.inputs * self.outputs * self.kernel**2


@dataclass(frozen=True)
class Layer:
    """Shapes of a ConvLSTM layer, and what it has to compute. The state before is zero.

    `known` frames are read in one batch; then the model reads `alone` frames of its own, step by
    step.
    """

    inputs: int
    hidden: int
    kernel: int
    height: int
    width: int

    def forward(self, batch: int, known: int, alone: int = 0) -> Iterator[Conv]:
        """Without gradients."""
        yield self._of_input(batch * known)
        yield replace(self._of_input(batch), times=alone)
        yield replace(self._of_hidden(batch), times=known + alone - 1)

    def training(
        self, batch: int, known: int, alone: int = 0, *, first: bool = False
    ) -> Iterator[Conv]:
        """Forward and backward; no gradient goes to known frames, which the `first` layer reads."""
        yield from self.forward(batch, known, alone)
        if not first:
            yield self._of_input(batch * known)
        yield replace(self._of_input(batch), times=alone)
        yield replace(self._of_hidden(batch), times=known + alone - 1)
        yield self._of_input(batch * (known + alone))
        yield self._of_hidden(batch * (known + alone - 1))

    def _of_input(self, batch: int) -> Conv:
        gates = 4 * self.hidden
        return Conv(batch, self.inputs, gates, self.kernel, self.height, self.width)

    def _of_hidden(self, batch: int) -> Conv:
        return replace(self._of_input(batch), inputs=self.hidden)


def seconds(convs: Iterable[Conv], device: str = "cpu", *, half: bool = True) -> float:
    """The least time that all these convolutions take; `half` says whether to try bf16."""
    needed = [conv for conv in convs if conv.flops]
    return sum(conv.flops / best_rate(_sample(conv, device), device, half) for conv in needed)


def _sample(conv: Conv, device: str) -> Conv:
    single = replace(conv, batch=1, times=1)
    return replace(single, batch=min(conv.batch, max(1, int(SAMPLE[device] / single.flops))))


@cache
def best_rate(conv: Conv, device: str, half: bool) -> float:
    """FLOP/s of the fastest way to compute it."""
    kinds = (torch.float32, torch.bfloat16) if half else (torch.float32,)
    return max(rate(conv, kind, device) for kind in kinds)


def rate(conv: Conv, dtype: torch.dtype, device: str) -> float:
    """FLOP/s in a number format: the best of both layouts and of the three directions."""
    fastest = min(_fastest(work, waiting(device)) for work in _works(conv, dtype, device))
    return conv.flops / fastest


def _works(conv: Conv, dtype: torch.dtype, device: str) -> Iterator[Callable[[], Tensor]]:
    def ones(*shape: int) -> Tensor:
        # Not zeros, and not tiny numbers, which some processors are slow with.
        return torch.ones(shape, dtype=dtype, device=device)

    for layout in (torch.contiguous_format, torch.channels_last):
        x = ones(conv.batch, conv.inputs, conv.height, conv.width).to(memory_format=layout)
        weight = ones(conv.outputs, conv.inputs, conv.kernel, conv.kernel).to(memory_format=layout)
        y = ones(conv.batch, conv.outputs, conv.height, conv.width).to(memory_format=layout)
        padding = conv.kernel // 2
        yield partial(F.conv2d, x, weight, padding=padding)
        yield partial(conv2d_input, x.shape, weight, y, padding=padding)
        yield partial(conv2d_weight, x, weight.shape, y, padding=padding)


def _fastest(work: Callable[[], object], wait: Callable[[], object]) -> float:
    times = []
    with torch.no_grad():
        for _ in range(CALLS + 1):
            wait()
            start = time.perf_counter()
            work()
            wait()
            times.append(time.perf_counter() - start)
    return min(times[1:])


PROBE = Conv(batch=4, inputs=32, outputs=64, kernel=3, height=16, width=16)


def why_no_half(device: str) -> str:
    """Why bf16 is not worth a measurement on this device; empty where it is."""
    full, half = (rate(PROBE, kind, device) / 1e9 for kind in (torch.float32, torch.bfloat16))
    slow = f"a convolution runs at {half:.0f} GFLOP/s in bf16 and at {full:.0f} in fp32"
    return slow if half < full / 3 else ""
