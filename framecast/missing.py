"""Missing pixels, NaN: windows and truths may carry them, the steps of a model never see one.

Shapes: B batch, T any frames, C channels, H height, W width.
"""

import torch
from torch import Tensor


def may_miss(frames: Tensor) -> bool:
    """Whether pixels may be missing: surely known on a CPU, where to ask is cheap.

    A GPU would have to finish all its work before it could answer.
    """
    return frames.device.type != "cpu" or bool(frames.sum().isnan())


def filled(frames_BTCHW: Tensor, before_BCHW: Tensor | None = None) -> Tensor:
    """Put the last known value of each pixel where it is missing, and 0 where none is known yet.

    Args:
        frames_BTCHW: frames with NaN in them, oldest first.
        before_BCHW: the filled frame that came before them; without it, zeros.

    >>> filled(torch.tensor([torch.nan, 1, torch.nan]).view(1, 3, 1, 1, 1)).flatten().tolist()
    [0.0, 1.0, 1.0]
    """
    if not may_miss(frames_BTCHW):
        return frames_BTCHW
    last_BCHW = torch.zeros_like(frames_BTCHW[:, 0]) if before_BCHW is None else before_BCHW
    frames = []
    for frame_BCHW in frames_BTCHW.unbind(1):
        last_BCHW = torch.where(frame_BCHW.isnan(), last_BCHW, frame_BCHW)
        frames.append(last_BCHW)
    return torch.stack(frames, dim=1) if frames else frames_BTCHW
