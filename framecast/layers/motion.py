"""Moving what is in each patch of a frame, and seeing how it has moved.

Finn, Goodfellow and Levine, NeurIPS 2016, arXiv:1605.07157 (dynamic neural advection), here with
one kernel per patch; Sun, Yang, Liu and Kautz, CVPR 2018, arXiv:1709.02371 (cost volume), here of
pixels and not of learnt features.
Shapes: X frames, C channels, H height, W width, h × w patches, K displacements.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from framecast.compiled import Library, call, compiled


def move(frames_XCHW: Tensor, kernel_XKhw: Tensor) -> Tensor:
    """A sum of displaced copies of each frame, weighted patch by patch.

    Args:
        frames_XCHW: H and W are multiples of h and w, the positions of patches.
        kernel_XKhw: weights of the K displacements by whole pixels, row by row; K is the square of
            an odd number, and the one in the middle stays.

    Returns:
        moved_XCHW; what comes in over the border is 0.
    """
    library = _library(frames_XCHW)
    if library is None:
        return _move(frames_XCHW, kernel_XKhw)
    moved_XCHW: Tensor = _Move.apply(  # type: ignore[no-untyped-call]
        frames_XCHW.contiguous(), kernel_XKhw.float().contiguous(), library
    )
    return moved_XCHW


def cost_volume(frames_XCHW: Tensor, before_XCHW: Tensor, patch: int, reach: int) -> Tensor:
    """What it costs to say that each patch comes from each place nearby in the frame before.

    Args:
        frames_XCHW: H and W are multiples of the patch.
        before_XCHW: the frame before each; 0 beyond its border.
        patch: side of a patch in pixels.
        reach: the farthest displacement in pixels, down and aside.

    Returns:
        cost_XKhw, K = (2 reach + 1)², row by row: squared differences, summed over a patch.
    """
    library = _library(frames_XCHW)
    if library is None:
        return _cost_volume(frames_XCHW, before_XCHW, patch, reach)
    cost_XKhw: Tensor = _Cost.apply(  # type: ignore[no-untyped-call]
        frames_XCHW.contiguous(), before_XCHW.contiguous(), patch, reach, library
    )
    return cost_XKhw


def _library(frames_XCHW: Tensor) -> Library | None:
    """The compiled code, where it can take these."""
    plain = frames_XCHW.device.type != "cpu" or frames_XCHW.dtype != torch.float32
    return None if plain else compiled(Path(__file__).with_name("motion.cpp"))


def _move(frames_XCHW: Tensor, kernel_XKhw: Tensor) -> Tensor:
    """In plain torch."""
    _, taps, rows, columns = kernel_XKhw.shape
    wide = frames_XCHW.shape[3] // columns
    moved_XCHW, done = torch.zeros_like(frames_XCHW), 0
    for there_XCDHW in _displaced(frames_XCHW, math.isqrt(taps)):
        count = there_XCDHW.shape[2]
        patches = there_XCDHW.view(*there_XCDHW.shape[:3], rows, -1, columns, wide)
        weight = kernel_XKhw[:, None, done : done + count, :, None, :, None]
        moved_XCHW = moved_XCHW + (patches * weight).sum(dim=2).view_as(frames_XCHW)
        done += count
    return moved_XCHW


def _cost_volume(frames_XCHW: Tensor, before_XCHW: Tensor, patch: int, reach: int) -> Tensor:
    """In plain torch."""
    cost_XKhw = []
    for there_XCDHW in _displaced(before_XCHW, 2 * reach + 1):
        square_XCDHW = (frames_XCHW[:, :, None] - there_XCDHW).square()
        cost_XKhw.append(F.avg_pool2d(square_XCDHW.sum(dim=1), patch) * patch**2)
    return torch.cat(cost_XKhw, dim=1)


def _displaced(frames_XCHW: Tensor, side: int) -> Iterator[Tensor]:
    """Each frame as it is seen from side² displacements, in pieces of D of them: X, C, D, H, W."""
    count, channels, height, width = frames_XCHW.shape
    if torch.compiler.is_exporting():  # all at once: tracing takes long for each operation
        one_hot = torch.eye(side**2, dtype=frames_XCHW.dtype).view(-1, 1, side, side)
        one_by_one = frames_XCHW.reshape(-1, 1, height, width)
        there = F.conv2d(one_by_one, one_hot, padding=side // 2)
        yield there.view(count, channels, -1, height, width)
        return
    # Copies by columns, views by rows, so that memory grows with the side.
    bordered = F.pad(frames_XCHW, [side // 2] * 4)
    # Not F.unfold, which launches a kernel for each frame on a GPU.
    aside = torch.stack([bordered[..., left : left + width] for left in range(side)], dim=2)
    for row in range(side):
        yield aside[:, :, :, row : row + height]


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, frames_XCHW: Tensor, kernel_XKhw: Tensor, library: Library) -> Tensor:
        ctx.library = library
        ctx.save_for_backward(frames_XCHW, kernel_XKhw)
        moved_XCHW = torch.empty_like(frames_XCHW)
        _call(library.move_frames, kernel_XKhw, frames_XCHW, kernel_XKhw, moved_XCHW)
        return moved_XCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_XCHW: Tensor) -> tuple[Tensor | None, ...]:
        frames_XCHW, kernel_XKhw = given = ctx.saved_tensors
        grads = torch.empty_like(frames_XCHW), torch.empty_like(kernel_XKhw)
        function = ctx.library.move_frames_backward
        _call(function, kernel_XKhw, *given, grad_XCHW.contiguous(), *grads)
        return *grads, None


class _Cost(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        frames_XCHW: Tensor,
        before_XCHW: Tensor,
        patch: int,
        reach: int,
        library: Library,
    ) -> Tensor:
        ctx.library = library
        ctx.save_for_backward(frames_XCHW, before_XCHW)
        count, _, height, width = frames_XCHW.shape
        shape = (count, (2 * reach + 1) ** 2, height // patch, width // patch)
        cost_XKhw = frames_XCHW.new_empty(shape)
        _call(library.frame_costs, cost_XKhw, frames_XCHW, before_XCHW, cost_XKhw)
        return cost_XKhw

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_XKhw: Tensor) -> tuple[Tensor | None, ...]:
        frames_XCHW, before_XCHW = given = ctx.saved_tensors
        grads = torch.empty_like(frames_XCHW), torch.empty_like(before_XCHW)
        grad_XKhw = grad_XKhw.contiguous()
        _call(ctx.library.frame_costs_backward, grad_XKhw, *given, grad_XKhw, *grads)
        return *grads, None, None, None


def _call(function: Any, like_XKhw: Tensor, frames_XCHW: Tensor, *others: Tensor) -> None:
    """Give a compiled function its tensors and their sizes; K, h and w are those of `like_XKhw`."""
    _, channels, height, width = frames_XCHW.shape
    _, taps, rows, columns = like_XKhw.shape
    side = math.isqrt(taps)
    # Weights and sums of each pixel of a row of patches; all pixels and gradients, with a border.
    need = 2 * (taps * width + channels * (height + side - 1) * (width + side - 1))
    scratch = frames_XCHW.new_empty(torch.get_num_threads() * need)
    sizes = (*frames_XCHW.shape, rows, columns, side)
    call(function, (frames_XCHW, *others, scratch), sizes)
