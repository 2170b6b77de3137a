"""Convolutions that are applied again and again, with one weight gradient for all their uses.

A recurrent layer uses its weights once a step. Stock autograd computes a weight gradient for each
step and adds them up. Here each use leaves its input and its output gradient behind, and when the
last has done so, one convolution over all of them gives the gradient of the weights.
Shapes: B batch, C channels of the input, G channels of the output, H height, W width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Weights:
    """Weights and bias of a convolution during a training step, and what their uses left behind."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.left: list[tuple[Tensor, Tensor]] = []  # input and output gradient of each use
        self.weight_GCHW, self.bias_G = _Source.apply(  # type: ignore[no-untyped-call]
            self.left, conv.weight, conv.bias
        )
        self._prepared: dict[tuple[torch.dtype, torch.memory_format], Tensor] = {}

    def prepared(self, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
        """The weights in the form that computes, without gradient: cast once, not once a step."""
        key = dtype, layout
        if key not in self._prepared:
            self._prepared[key] = laid_out(self.weight_GCHW.detach(), dtype, layout)
        return self._prepared[key]


_known: ContextVar[dict[nn.Conv2d, Weights] | None] = ContextVar("_known", default=None)


@contextmanager
def constant_weights() -> Iterator[None]:
    """A block, such as a training step, in which no weight changes.

    All uses of a convolution in it are gathered, and casts of its weights are made once.
    """
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def weights_of(conv: nn.Conv2d) -> Weights:
    """Those of the block around, or new ones that gather over one call."""
    known = _known.get()
    if known is None:
        return Weights(conv)
    if conv not in known:
        known[conv] = Weights(conv)
    return known[conv]


def conv2d(input_BCHW: Tensor, conv: nn.Conv2d) -> Tensor:
    """What `conv` gives, which keeps height and width, its weight gradient gathered."""
    if not torch.is_grad_enabled():
        return F.conv2d(input_BCHW, conv.weight, conv.bias, padding="same")
    weights = weights_of(conv)
    use: Tensor = _Use.apply(input_BCHW, weights.weight_GCHW, weights.bias_G, weights)  # type: ignore[no-untyped-call]
    return use


def laid_out(x_BCHW: Tensor, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    """A tensor of that type and memory format: itself, if it is one.

    `Tensor.to` leaves the strides of a tensor with one channel as they are, and a convolution that
    cannot tell the format by them answers in another one.
    """
    _, channels, height, width = x_BCHW.shape
    strides = channels * height * width, height * width, width, 1
    if layout == torch.channels_last:
        strides = strides[0], 1, width * channels, channels
    if x_BCHW.dtype == dtype and x_BCHW.stride() == strides:
        return x_BCHW
    return torch.empty_strided(x_BCHW.shape, strides, dtype=dtype, device=x_BCHW.device).copy_(
        x_BCHW
    )


def backward(
    grad_BGHW: Tensor, input_BCHW: Tensor, weight_GCHW: Tensor, needs: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weights and bias, where needed, of one that keeps height and width."""
    ones, padding = [1, 1], [size // 2 for size in weight_GCHW.shape[2:]]
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad_BGHW,
        input_BCHW,
        weight_GCHW,
        [len(weight_GCHW)],
        ones,
        padding,
        ones,
        False,
        [0, 0],
        1,
        needs,
    )
    return found


class _Source(torch.autograd.Function):
    """Weights as they are; backward comes when all uses are done, and gives their gradient."""

    @staticmethod
    def forward(
        ctx: Any, left: list[tuple[Tensor, Tensor]], weight_GCHW: Tensor, bias_G: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        ctx.left, ctx.has_bias = left, bias_G is not None
        ctx.save_for_backward(weight_GCHW)
        ctx.set_materialize_grads(False)  # uses give None
        return weight_GCHW.view_as(weight_GCHW), None if bias_G is None else bias_G.view_as(bias_G)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: None) -> tuple[Tensor | None, ...]:
        (weight_GCHW,) = ctx.saved_tensors
        if not ctx.left:  # a hidden map that was zero
            return None, torch.zeros_like(weight_GCHW), None
        inputs, grads = zip(*ctx.left, strict=True)
        ctx.left.clear()
        input_BCHW, grad_BGHW = _joined(inputs), _joined(grads)
        needs = [False, ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
        cast_GCHW = weight_GCHW.to(grad_BGHW.dtype)
        found = backward(grad_BGHW, input_BCHW, cast_GCHW, needs)
        return tuple(None if grad is None else grad.to(weight_GCHW.dtype) for grad in found)


class _Use(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input_BCHW: Tensor, weight_GCHW: Tensor, bias_G: Tensor | None, weights: Weights
    ) -> Tensor:
        output_BGHW = F.conv2d(input_BCHW, weight_GCHW, bias_G, padding="same")
        ctx.left = weights.left
        ctx.save_for_backward(input_BCHW, weight_GCHW)
        return output_BGHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BGHW: Tensor) -> tuple[Tensor | None, ...]:
        input_BCHW, weight_GCHW = (saved.to(grad_BGHW.dtype) for saved in ctx.saved_tensors)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            ctx.left.append((input_BCHW, grad_BGHW))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        grad_BCHW, _, _ = backward(grad_BGHW, input_BCHW, weight_GCHW, [True, False, False])
        return grad_BCHW, None, None, None


def _joined(pieces: tuple[Tensor, ...]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
