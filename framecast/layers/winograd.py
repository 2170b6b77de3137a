"""Convolutions of 3×3 and 5×5 with 2.8 to 4 times fewer multiplications, in fp32 on a CPU.

Winograd 1980; Lavin and Gray, CVPR 2016, arXiv:1509.09308; see winograd.cpp. The transforms of
weights, here, are matrix products.
Shapes: B batch, C channels in, G channels out, H height, W width, K side of the kernel, P = 36
points. Images are channels last.
"""

from ctypes import c_int64
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.compiled import Library, call, compiled

POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))  # and infinity
COUNT = (len(POINTS) + 1) ** 2
PANEL = 16  # channels out that are computed together


def suits(weight_GCHW: Tensor) -> bool:
    """Whether such weights can be transformed."""
    out, inputs, *sides = weight_GCHW.shape
    return sides in ([3, 3], [5, 5]) and out % PANEL == 0 and inputs % PANEL == 0


def library() -> Library | None:
    """The compiled functions; None where they cannot be compiled."""
    return compiled(Path(__file__).with_name("winograd.cpp"), (("PANEL", PANEL),))


def transform(weight_GCHW: Tensor) -> Tensor:
    """Weights at the points, in panels of channels out: (P, G / PANEL, C, PANEL)."""
    out, inputs, side, _ = weight_GCHW.shape
    kernel_KKCG = weight_GCHW.permute(2, 3, 1, 0).reshape(side * side, -1)
    at_points = _matrices(side)[0] @ kernel_KKCG
    panels = at_points.view(len(at_points), inputs, out // PANEL, PANEL)
    return panels.transpose(1, 2).contiguous()


def transform_for_input(weight_GCHW: Tensor) -> Tensor:
    """The same for the gradient of the input, a convolution with the kernel turned around."""
    return transform(weight_GCHW.flip(2, 3).transpose(0, 1))


def convolve(input_BCHW: Tensor, points: Tensor, side: int, bias_G: Tensor | None) -> Tensor:
    """A convolution, channels last. `points` are from `transform`, `side` is K."""
    batch, inputs, height, width = input_BCHW.shape
    out = points.shape[1] * PANEL
    output_BGHW = torch.empty((batch, out, height, width), memory_format=torch.channels_last)
    functions, threads = _loaded(), torch.get_num_threads()
    scratch = torch.empty(threads * functions.conv_scratch(c_int64(inputs)))
    call(
        functions.conv,
        (input_BCHW, points, bias_G, output_BGHW, scratch, input_BCHW.new_zeros(inputs)),
        (batch, height, width, inputs, out, side),
    )
    return output_BGHW


def weight_gradient(input_BCHW: Tensor, grad_BGHW: Tensor, side: int) -> Tensor:
    """Of a convolution with a kernel of that side."""
    batch, inputs, height, width = input_BCHW.shape
    out = grad_BGHW.shape[1]
    functions, threads = _loaded(), torch.get_num_threads()
    sums = torch.zeros(threads, COUNT, inputs * out)
    scratch = torch.empty(threads * functions.weight_scratch(c_int64(inputs)))
    zeros = input_BCHW.new_zeros(max(inputs, out))
    call(
        functions.conv_weight_gradient,
        (input_BCHW, grad_BGHW, sums, scratch, zeros),
        (batch, height, width, inputs, out, side),
    )
    panels = _matrices(side)[1] @ sums.sum(dim=0)
    kernel = panels.view(side, side, out // PANEL, inputs, PANEL)
    return kernel.permute(2, 4, 3, 0, 1).reshape(out, inputs, side, side)


@cache
def _matrices(side: int) -> tuple[Tensor, Tensor]:
    """From a kernel to the points, and from products at the points to a gradient of the kernel."""
    points = torch.tensor(POINTS, dtype=torch.float64)
    values = points[:, None] ** torch.arange(side)
    apart = (points[:, None] - points).fill_diagonal_(1).prod(dim=1, keepdim=True)
    infinity = F.one_hot(torch.tensor([side - 1])).double()
    there = torch.cat([values / apart, infinity])
    back = torch.cat([values, infinity]).T.contiguous()
    return torch.kron(there, there).float(), torch.kron(back, back).float()


@cache
def _loaded() -> Library:
    functions = library()
    assert functions is not None, "asked for without a compiler"
    for name in ("conv_scratch", "weight_scratch"):
        getattr(functions, name).restype = c_int64
    return functions
