"""Convolutions that are applied again and again, with one weight gradient for all their uses.

A recurrent layer uses its weights once a step. Stock autograd computes a weight gradient for each
step and adds them up. Here each use leaves its input and its output gradient behind, and when the
last has done so, one convolution over all of them gives the gradient of the weights.
Shapes: B batch, C channels of the input, G channels of the output, H height, W width.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from framecast.layers.convolution import Kernel, Way

MOST = 2**23  # elements that are copied to be convolved at once; more would gain no time


class Use(NamedTuple):
    """One use of a convolution, left behind."""

    kernel: Kernel
    input_BCHW: Tensor
    grad_BGHW: Tensor


class Weights:
    """Weights and bias of a convolution during a training step, and what their uses left behind."""

    def __init__(self, conv: nn.Conv2d, kernels: dict[Way, Kernel] | None = None) -> None:
        self.left: list[Use] = []
        self.weight_GCHW, self.bias_G = _Source.apply(  # type: ignore[no-untyped-call]
            self.left, conv.weight, conv.bias
        )
        self.kernels: dict[Way, Kernel] = {} if kernels is None else kernels

    def kernel(self, way: Way) -> Kernel:
        """The weights in the form that computes: made once, not once a step."""
        if way not in self.kernels:
            self.kernels[way] = Kernel(self.weight_GCHW.detach(), way)
        return self.kernels[way]


class Prepared:
    """Weights that do not change for a while. At first empty."""

    def __init__(self) -> None:
        self._weights: dict[nn.Conv2d, Weights] = {}
        self._kernels: dict[nn.Conv2d, dict[Way, Kernel]] = {}

    def of(self, conv: nn.Conv2d) -> Weights:
        """Those of a convolution."""
        if conv not in self._weights:
            self._weights[conv] = Weights(conv, self._kernels.setdefault(conv, {}))
        return self._weights[conv]

    def apart(self) -> "Prepared":
        """The same weights for uses that are gathered apart from those here."""
        other = Prepared()
        other._kernels = self._kernels
        return other


_now: ContextVar[Prepared | None] = ContextVar("_now", default=None)


@contextmanager
def constant_weights(prepared: Prepared | None = None) -> Iterator[Prepared]:
    """A block, such as a training step, in which no weight changes.

    All uses of a convolution in it are gathered, and its weights are prepared once.

    Args:
        prepared: for several such blocks, between which no weight changes either.
    """
    prepared = prepared or Prepared()
    token = _now.set(prepared)
    try:
        yield prepared
    finally:
        _now.reset(token)


def weights_of(conv: nn.Conv2d) -> Weights:
    """Those of the block around, or new ones that gather over one call."""
    prepared = _now.get()
    return Weights(conv) if prepared is None else prepared.of(conv)


def conv2d(input_BCHW: Tensor, conv: nn.Conv2d, way: Way | None = None) -> Tensor:
    """What `conv` gives, which keeps height and width, its weight gradient gathered.

    Args:
        input_BCHW: any layout.
        conv: of an odd side.
        way: how to compute, and the type and layout of the output; None leaves it to torch.
    """
    if way is None and not torch.is_grad_enabled():
        return F.conv2d(input_BCHW, conv.weight, conv.bias, padding="same")
    weights = weights_of(conv)
    output_BGHW: Tensor = _Conv2d.apply(  # type: ignore[no-untyped-call]
        input_BCHW, weights.weight_GCHW, weights.bias_G, weights, way
    )
    return output_BGHW


class _Source(torch.autograd.Function):
    """Weights as they are; backward comes when all uses are done, and gives their gradient."""

    @staticmethod
    def forward(
        ctx: Any, left: list[Use], weight_GCHW: Tensor, bias_G: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        ctx.left = left
        ctx.save_for_backward(weight_GCHW)
        ctx.set_materialize_grads(False)  # uses give None
        return weight_GCHW.view_as(weight_GCHW), None if bias_G is None else bias_G.view_as(bias_G)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: None) -> tuple[Tensor | None, ...]:
        (weight_GCHW,) = ctx.saved_tensors
        alike = defaultdict(list)
        for use in ctx.left:
            alike[use.kernel, use.input_BCHW.shape[2:]].append(use)
        ctx.left.clear()
        _, needs_weight, needs_bias = ctx.needs_input_grad
        # Without any use, all inputs were zero.
        weight = torch.zeros_like(weight_GCHW) if needs_weight else None
        bias = weight_GCHW.new_zeros(len(weight_GCHW)) if needs_bias else None
        for (kernel, _), uses in alike.items():
            for input_BCHW, grad_BGHW in _joined(uses):
                if weight is not None:
                    weight += kernel.weight_gradient(grad_BGHW, input_BCHW)
                if bias is not None:
                    # In its own type: asked for another, torch first makes a copy of all.
                    bias += grad_BGHW.sum(dim=(0, 2, 3))
        return None, weight, bias


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input_BCHW: Tensor,
        weight_GCHW: Tensor,
        bias_G: Tensor | None,
        weights: Weights,
        way: Way | None,
    ) -> Tensor:
        if way is None:
            output_BGHW = F.conv2d(input_BCHW, weight_GCHW, bias_G, padding="same")
        else:
            input_BCHW = way.laid_out(input_BCHW)
            output_BGHW = weights.kernel(way).forward(input_BCHW, bias_G)
        ctx.weights, ctx.way = weights, way
        ctx.save_for_backward(input_BCHW)
        return output_BGHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BGHW: Tensor) -> tuple[Tensor | None, ...]:
        kernel = ctx.weights.kernel(ctx.way or Way(grad_BGHW.dtype))
        (input_BCHW,) = ctx.saved_tensors
        input_BCHW, grad_BGHW = kernel.way.laid_out(input_BCHW), kernel.way.laid_out(grad_BGHW)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            ctx.weights.left.append(Use(kernel, input_BCHW, grad_BGHW))
        if not ctx.needs_input_grad[0]:
            return (None,) * 5
        return kernel.input_gradient(grad_BGHW, input_BCHW), *(None,) * 4


def _joined(uses: list[Use]) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and output gradients of all uses, as long as the copy of them is not a large one."""
    while uses:
        count = max(1, MOST // uses[-1].grad_BGHW.numel())
        some, uses = uses[-count:], uses[:-count]
        _, inputs, grads = zip(*some, strict=True)
        yield (inputs[0], grads[0]) if len(some) == 1 else (torch.cat(inputs), torch.cat(grads))
