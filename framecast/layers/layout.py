"""Which memory format convolutions are faster in: measured once for each shape, then remembered.

Neither is faster everywhere: channels last wins by far in bf16, and on small maps of many channels;
on processors without AVX-512 it loses on large maps.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

from framecast.errors import InputError
from framecast.files import write_atomic
from framecast.layers.compiled import cache_folder, processor
from framecast.layers.gathered import backward, laid_out

SMALLEST = 1e7  # floating-point operations of a step below which a measurement is not worth it
FRAMES = 4  # of a sequence, for its weight gradient
RUNS = 3
LAYOUTS = torch.contiguous_format, torch.channels_last


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


@cache
def faster_layout(shape: Shape, dtype: torch.dtype, threads: int) -> torch.memory_format:
    """`torch.contiguous_format` or `torch.channels_last`, on this machine's processor."""
    if dtype == torch.bfloat16:
        return torch.channels_last
    if shape.work < SMALLEST:
        return torch.contiguous_format
    machine = hashlib.sha256(processor().encode()).hexdigest()[:12]
    key = f"{shape}, {threads} threads, torch {torch.__version__}, processor {machine}"
    path, known = Path(), {}
    with suppress(OSError, ValueError):  # no such file yet, or no place for one
        path = cache_folder() / "layouts.json"
        known = json.loads(path.read_text())
    if key not in known:
        first, last = (_seconds(shape, layout) for layout in LAYOUTS)
        known[key] = last < 0.95 * first  # a twentieth is within the noise
        with suppress(InputError):
            write_atomic(path, json.dumps(known, indent=1).encode())
    return LAYOUTS[known[key] is True]


def _seconds(shape: Shape, layout: torch.memory_format) -> float:
    """The fastest of some steps, after one that sets up the kernels."""
    channels, sides = shape.hidden, (shape.height, shape.width)
    weight = torch.rand(4 * channels, channels, shape.kernel, shape.kernel)
    hidden = torch.rand(shape.batch * FRAMES, channels, *sides)
    grad = torch.rand(shape.batch * FRAMES, 4 * channels, *sides)
    weight, hidden, grad = (laid_out(x, torch.float32, layout) for x in (weight, hidden, grad))
    one_hidden, one_grad = hidden[: shape.batch], grad[: shape.batch]
    seconds = []
    for _ in range(1 + RUNS):
        start = time.perf_counter()
        F.conv2d(one_hidden, weight, padding="same")
        forward = time.perf_counter() - start
        if shape.training:
            backward(one_grad, one_hidden, weight, [True, False, False])
            middle = time.perf_counter()
            backward(grad, hidden, weight, [False, True, False])
            forward = middle - start + (time.perf_counter() - middle) / FRAMES
        seconds.append(forward)
    return min(seconds[1:])
