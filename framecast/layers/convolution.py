"""Ways to compute a convolution, and which is the fastest: measured for a shape, then remembered.

No way is the fastest everywhere. Channels last wins by far in bf16, and loses on large maps on
processors without AVX-512. Winograd's way (winograd.py) needs a compiler, fp32, and kernels of 3×3
or 5×5 with channels in sixteens; there it may be two to three times as fast as the others.
Shapes: B batch, C channels in, G channels out, D hidden channels, H height, W width.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.compiled import cache_folder
from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.layers import winograd
from framecast.machine import instructions

SMALLEST = 1e7  # floating-point operations of a step below which a measurement is not worth it
FRAMES = 4  # of a sequence, for its weight gradient
RUNS = 3


@dataclass(frozen=True)
class Way:
    """How to compute: stride 1, and padding that keeps height and width.

    Args:
        dtype: of input and output.
        layout: memory format of input and output.
        winograd: where channels and kernel suit it.
    """

    dtype: torch.dtype = torch.float32
    layout: torch.memory_format = torch.contiguous_format
    winograd: bool = False

    def laid_out(self, x_BCHW: Tensor) -> Tensor:
        """The tensor in this type and memory format: itself, if it is so already.

        `Tensor.to` leaves the strides of a tensor with one channel as they are, and a convolution
        that cannot tell the format by them answers in another one.
        """
        _, channels, height, width = x_BCHW.shape
        strides = channels * height * width, height * width, width, 1
        if self.layout == torch.channels_last:
            strides = strides[0], 1, width * channels, channels
        if x_BCHW.dtype == self.dtype and x_BCHW.stride() == strides:
            return x_BCHW
        empty = torch.empty_strided(x_BCHW.shape, strides, dtype=self.dtype, device=x_BCHW.device)
        return empty.copy_(x_BCHW)


FIRST, LAST = torch.contiguous_format, torch.channels_last
DIRECT = Way()
WAYS = {"first": DIRECT, "last": Way(layout=LAST), "winograd": Way(layout=LAST, winograd=True)}


class Kernel:
    """Weights of a convolution in the form that a way computes with; no autograd.

    Args:
        weight_GCHW: of an odd side.
        way: that of all tensors it meets.
    """

    def __init__(self, weight_GCHW: Tensor, way: Way) -> None:
        self.way, self.side = way, weight_GCHW.shape[2]
        self.weight_GCHW = way.laid_out(weight_GCHW)
        self.fast = way.winograd and winograd.suits(weight_GCHW)

    @cached_property
    def _points(self) -> Tensor:
        return winograd.transform(self.weight_GCHW)

    @cached_property
    def _points_for_input(self) -> Tensor:
        return winograd.transform_for_input(self.weight_GCHW)

    def forward(self, input_BCHW: Tensor, bias_G: Tensor | None) -> Tensor:
        """The convolution."""
        if self.fast:
            return winograd.convolve(input_BCHW, self._points, self.side, bias_G)
        bias_G = None if bias_G is None else bias_G.to(self.way.dtype)
        padding = self.side // 2
        return self.way.laid_out(F.conv2d(input_BCHW, self.weight_GCHW, bias_G, padding=padding))

    def input_gradient(self, grad_BGHW: Tensor, input_BCHW: Tensor) -> Tensor:
        """Gradient of the input."""
        if self.fast:
            return winograd.convolve(grad_BGHW, self._points_for_input, self.side, None)
        return self.way.laid_out(self._gradient(grad_BGHW, input_BCHW, [True, False, False]))

    def weight_gradient(self, grad_BGHW: Tensor, input_BCHW: Tensor) -> Tensor:
        """Gradient of the weights."""
        if self.fast:
            return winograd.weight_gradient(input_BCHW, grad_BGHW, self.side)
        return self._gradient(grad_BGHW, input_BCHW, [False, True, False])

    def _gradient(self, grad_BGHW: Tensor, input_BCHW: Tensor, needs: list[bool]) -> Tensor:
        ones, padding = [1, 1], [self.side // 2] * 2
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            grad_BGHW,
            input_BCHW,
            self.weight_GCHW,
            None,
            ones,
            padding,
            ones,
            False,
            [0, 0],
            1,
            needs,
        )
        return found[needs.index(True)]


@dataclass(frozen=True)
class Shape:
    """One recurrent convolution, from D to 4 × D channels.

    Args:
        batch: sequences.
        hidden: D.
        kernel: its side.
        height: of the maps.
        width: of the maps.
        training: gradients are computed too.
    """

    batch: int
    hidden: int
    kernel: int
    height: int
    width: int
    training: bool

    @property
    def work(self) -> float:
        """Floating-point operations forward."""
        return 8.0 * self.batch * self.height * self.width * (self.hidden * self.kernel) ** 2


def computes_in(x: Tensor) -> torch.dtype:
    """The type of what convolutions make of a tensor, which autocast may change."""
    kind = x.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if mixed else x.dtype


@cache
def fastest_way(shape: Shape, dtype: torch.dtype, threads: int) -> Way:
    """One of `WAYS`, on this machine's processor; channels last in bf16."""
    if dtype == torch.bfloat16:
        return Way(dtype, LAST)
    if shape.work < SMALLEST:
        return DIRECT
    machine = hashlib.sha256(instructions().encode()).hexdigest()[:12]
    key = f"{shape}, {threads} threads, torch {torch.__version__}, processor {machine}"
    key += "" if winograd.library() is not None else ", nothing compiled"
    if key in _settled:
        return WAYS[_settled[key]]
    path: Path | None = None
    known: dict[str, str] = {}
    with suppress(OSError, ValueError):  # no such file yet, or no place for one
        path = cache_folder() / "fastest.json"
        known = json.loads(path.read_text())
    if known.get(key) not in WAYS:
        known[key] = _measure(shape)
        if path is not None:
            with suppress(InputError):
                write_atomic(path, json.dumps(known, indent=1).encode())
    _settled[key] = known[key]
    return WAYS[known[key]]


_settled: dict[str, str] = {}  # what this process goes by


def settled_ways() -> dict[str, str]:
    """The choices of this process so far: they are part of what a run computes, to the bit."""
    return dict(_settled)


def settle_ways(names: Mapping[str, str]) -> None:
    """Choose as another process did, whose file of choices may be gone."""
    could = {name for name in WAYS if name != "winograd" or winograd.library() is not None}
    _settled.update({key: name for key, name in names.items() if name in could})
    fastest_way.cache_clear()


def _measure(shape: Shape) -> str:
    """The name of the fastest way, unless it gains less than the noise of a twentieth."""
    size = 4 * shape.hidden, shape.hidden, shape.kernel, shape.kernel
    could = winograd.suits(torch.empty(size)) and winograd.library() is not None
    seconds = {
        name: step_seconds(shape, WAYS[name]) for name in WAYS if name != "winograd" or could
    }
    best = min(seconds, key=lambda name: seconds[name])
    return best if seconds[best] < 0.95 * seconds["first"] else "first"


def step_seconds(shape: Shape, way: Way) -> float:
    """Measured now: the fastest of some steps, after one that sets up the kernels."""
    channels, sides = shape.hidden, (shape.height, shape.width)
    kernel = Kernel(torch.ones(4 * channels, channels, shape.kernel, shape.kernel), way)
    hidden = way.laid_out(torch.ones(shape.batch * FRAMES, channels, *sides))
    grad = way.laid_out(torch.ones(shape.batch * FRAMES, 4 * channels, *sides))
    seconds = []
    for _ in range(1 + RUNS):
        start = time.perf_counter()
        kernel.forward(hidden[: shape.batch], None)
        if shape.training:
            kernel.input_gradient(grad[: shape.batch], hidden[: shape.batch])
        middle = time.perf_counter()
        if shape.training:
            kernel.weight_gradient(grad, hidden)
        seconds.append(middle - start + (time.perf_counter() - middle) / FRAMES)
    return min(seconds[1:])
