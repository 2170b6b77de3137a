"""Frames that any model can be tried on: drawn digits, brought to its size and channels.

Shapes: B batch, T frames, C channels, H height, W width.
"""

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from framecast.data.moving_digits import MovingDigits, MovingDigitsConfig


def drawn_frames(batch: int, frames: int, channels: int, size: tuple[int, int]) -> Tensor:
    """Sequences of drawn digits, the same each time: frames_BTCHW in [0, 1].

    Args:
        batch: number of sequences.
        frames: of each.
        channels: all alike.
        size: H, W.
    """
    config = MovingDigitsConfig.parse("data", {"past": frames, "future": 1})
    drawn_BTCHW = MovingDigits(config).test.batch(np.arange(batch))[:, :frames]
    scaled_XCHW = F.interpolate(drawn_BTCHW.flatten(0, 1), size, mode="bilinear", antialias=True)
    return scaled_XCHW.view(batch, frames, 1, *size).repeat(1, 1, channels, 1, 1)
