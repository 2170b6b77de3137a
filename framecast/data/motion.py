"""How far things move from one frame to the next.

Shapes: B batch, T frames, C channels, H height, W width, X pairs of frames, h × w patches.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.data.windows import Windows, spread

SIDE = 128  # pixels of the longer side at which motion is looked for
PATCH, FARTHEST = 12, 16  # pixels there: side of a patch, largest displacement that is tried
CHANGE = 0.02  # root mean square over a patch that is more than noise
EXPLAINED = 0.8  # share of a change that a displacement has to explain to be called motion
PAIRS, VALUES = 24, 2**26  # compared at most; windows of large frames take long to load


@dataclass(frozen=True)
class Motion:
    """What was measured.

    Args:
        pixels: per frame, that 95 % of the moving patches do not exceed; 0 when nothing moves.
        moving: share of the patches that move.
        at_least: things move farther than was looked.
    """

    pixels: float
    moving: float
    at_least: bool


def measure_motion(windows: Windows) -> Motion:
    """Compare frames with the next ones in windows that are spread evenly over a split.

    Each patch is looked for in the next frame, at every displacement of up to 16 pixels at a size
    of 128. One that changes, and whose change a displacement explains for 80 %, moves.
    """
    most = max(2, VALUES // math.prod(windows.shape_TCHW))
    index = spread(windows, min(PAIRS, most))
    ends = [windows.batch(index[i : i + 1])[0, -2:] for i in range(len(index))]
    if not ends or len(ends[0]) < 2:
        return Motion(0.0, 0.0, at_least=False)
    pairs_X2HW = torch.stack(ends).mean(dim=2)
    factor = -(-max(pairs_X2HW.shape[2:]) // SIDE)
    small_X2HW = F.avg_pool2d(pairs_X2HW, factor) if factor > 1 else pairs_X2HW
    distance = displacements(small_X2HW[:, 0], small_X2HW[:, 1])
    moving = distance[distance > 0]
    if not len(moving):
        return Motion(0.0, 0.0, at_least=False)
    pixels = float(torch.quantile(moving, 0.95))
    return Motion(factor * pixels, len(moving) / distance.numel(), pixels >= _farthest(small_X2HW))


def displacements(before_XHW: Tensor, after_XHW: Tensor) -> Tensor:
    """Pixels, along the longer axis, by which each patch moved; 0 where it did not: distance_Xhw.

    Args:
        before_XHW: grey frames in [0, 1].
        after_XHW: the frames that follow.
    """
    far = _farthest(before_XHW)
    padded_XHW = F.pad(after_XHW[:, None], (far, far, far, far), mode="replicate")[:, 0]
    height, width = before_XHW.shape[1:]
    patch = min(PATCH, height, width)
    still_Xhw = least_Xhw = F.avg_pool2d((before_XHW - after_XHW).square()[:, None], patch)[:, 0]
    distance_Xhw = torch.zeros_like(still_Xhw)
    for down, right in _outwards(far):
        moved_XHW = padded_XHW[:, far + down : far + down + height, far + right :][:, :, :width]
        error_Xhw = F.avg_pool2d((before_XHW - moved_XHW).square()[:, None], patch)[:, 0]
        # Of equal matches the nearest counts: it comes first, and must be beaten clearly.
        better = error_Xhw < 0.95 * least_Xhw
        least_Xhw = torch.where(better, error_Xhw, least_Xhw)
        distance_Xhw = torch.where(better, float(max(abs(down), abs(right))), distance_Xhw)
    moves = (still_Xhw > CHANGE**2) & (least_Xhw < (1 - EXPLAINED) * still_Xhw)
    return torch.where(moves, distance_Xhw, 0.0)


def _farthest(frames: Tensor) -> int:
    """In frames smaller than usual, at most half of the shorter side."""
    return min(FARTHEST, min(frames.shape[-2:]) // 2)


def _outwards(far: int) -> list[tuple[int, int]]:
    """All displacements but none, nearest first."""
    steps = range(-far, far + 1)
    all_of_them = [(down, right) for down in steps for right in steps if down or right]
    return sorted(all_of_them, key=lambda step: step[0] ** 2 + step[1] ** 2)
