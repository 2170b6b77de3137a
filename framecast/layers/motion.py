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


def move(frames_XCHW: Tensor, kernel_XKhw: Tensor, step: int) -> Tensor:
    """A sum of displaced copies of each frame, weighted patch by patch.

    Args:
        frames_XCHW: H and W are multiples of h and w, the positions of patches.
        kernel_XKhw: weights of the K displacements, row by row; K is the square of an odd number.
        step: pixels between displacements.

    Returns:
        moved_XCHW; what comes in over the border is 0.
    """
    plain = frames_XCHW.device.type != "cpu" or frames_XCHW.dtype != torch.float32
    library = None if plain else compiled(Path(__file__).with_name("motion.cpp"))
    if library is None:
        return _move(frames_XCHW, kernel_XKhw, step)
    moved_XCHW: Tensor = _Move.apply(  # type: ignore[no-untyped-call]
        frames_XCHW.contiguous(), kernel_XKhw.float().contiguous(), step, library
    )
    return moved_XCHW


def _move(frames_XCHW: Tensor, kernel_XKhw: Tensor, step: int) -> Tensor:
    """In plain torch."""
    count, channels, height, width = frames_XCHW.shape
    _, taps, rows, columns = kernel_XKhw.shape
    side = math.isqrt(taps)
    displaced = F.unfold(frames_XCHW, side, dilation=step, padding=step * (side // 2))
    patch = height // rows, width // columns
    displaced = displaced.view(count, channels, taps, rows, patch[0], columns, patch[1])
    weight = kernel_XKhw[:, None, :, :, None, :, None]
    return (displaced * weight).sum(dim=2).view(count, channels, height, width)


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, frames_XCHW: Tensor, kernel_XKhw: Tensor, step: int, library: Library
    ) -> Tensor:
        ctx.step, ctx.library = step, library
        ctx.save_for_backward(frames_XCHW, kernel_XKhw)
        moved_XCHW = torch.empty_like(frames_XCHW)
        _call(library.move_frames, (frames_XCHW, kernel_XKhw), (moved_XCHW,), step)
        return moved_XCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_XCHW: Tensor) -> tuple[Tensor | None, ...]:
        frames_XCHW, kernel_XKhw = ctx.saved_tensors
        grads = torch.empty_like(frames_XCHW), torch.empty_like(kernel_XKhw)
        given = frames_XCHW, kernel_XKhw, grad_XCHW.contiguous()
        _call(ctx.library.move_frames_backward, given, grads, ctx.step)
        return *grads, None, None


def _call(function: Any, given: tuple[Tensor, ...], wanted: tuple[Tensor, ...], step: int) -> None:
    frames_XCHW, kernel_XKhw = given[:2]
    width = frames_XCHW.shape[3]
    _, taps, rows, columns = kernel_XKhw.shape
    side = math.isqrt(taps)
    scratch = frames_XCHW.new_empty(torch.get_num_threads() * (3 * width + 2 * (side // 2) * step))
    sizes = *frames_XCHW.shape, rows, columns, side, step
    call(function, (*given, *wanted, scratch), sizes)
