"""Moving what is in each patch of a frame.

Finn, Goodfellow and Levine, NeurIPS 2016, arXiv:1605.07157 (dynamic neural advection), here with
one kernel per patch.
Shapes: X frames, C channels, H height, W width, h × w patches, K displacements.
"""

import math
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
    plain = frames_XCHW.device.type != "cpu" or frames_XCHW.dtype != torch.float32
    library = None if plain else compiled(Path(__file__).with_name("motion.cpp"))
    if library is None:
        return _move(frames_XCHW, kernel_XKhw)
    moved_XCHW: Tensor = _Move.apply(  # type: ignore[no-untyped-call]
        frames_XCHW.contiguous(), kernel_XKhw.float().contiguous(), library
    )
    return moved_XCHW


def _move(frames_XCHW: Tensor, kernel_XKhw: Tensor) -> Tensor:
    """In plain torch: copies by columns, views by rows, so that memory grows with the side."""
    count, channels, height, width = frames_XCHW.shape
    _, taps, rows, columns = kernel_XKhw.shape
    side, wide = math.isqrt(taps), width // columns
    bordered = F.pad(frames_XCHW, [side // 2] * 4)
    aside = F.unfold(bordered, (1, side)).view(count, channels, side, -1, width)
    moved_XCHW = torch.zeros_like(frames_XCHW)
    for row in range(side):
        patches = aside[:, :, :, row : row + height].view(*aside.shape[:3], rows, -1, columns, wide)
        weight = kernel_XKhw[:, None, row * side : (row + 1) * side, :, None, :, None]
        moved_XCHW = moved_XCHW + (patches * weight).sum(dim=2).view_as(frames_XCHW)
    return moved_XCHW


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, frames_XCHW: Tensor, kernel_XKhw: Tensor, library: Library) -> Tensor:
        ctx.library = library
        ctx.save_for_backward(frames_XCHW, kernel_XKhw)
        moved_XCHW = torch.empty_like(frames_XCHW)
        _call(library.move_frames, (frames_XCHW, kernel_XKhw), (moved_XCHW,))
        return moved_XCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_XCHW: Tensor) -> tuple[Tensor | None, ...]:
        frames_XCHW, kernel_XKhw = ctx.saved_tensors
        grads = torch.empty_like(frames_XCHW), torch.empty_like(kernel_XKhw)
        given = frames_XCHW, kernel_XKhw, grad_XCHW.contiguous()
        _call(ctx.library.move_frames_backward, given, grads)
        return *grads, None


def _call(function: Any, given: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    frames_XCHW, kernel_XKhw = given[:2]
    _, channels, height, width = frames_XCHW.shape
    _, taps, rows, columns = kernel_XKhw.shape
    side = math.isqrt(taps)
    # Weights and sums of each pixel of a row of patches; all pixels and gradients, with a border.
    need = 2 * (taps * width + channels * (height + side - 1) * (width + side - 1))
    scratch = frames_XCHW.new_empty(torch.get_num_threads() * need)
    call(function, (*given, *wanted, scratch), (*frames_XCHW.shape, rows, columns, side))
