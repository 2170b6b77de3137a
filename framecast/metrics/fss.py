"""Fractions skill score: whether an event is forecast nearby, if not at the very pixel.

Paper: Roberts and Lean, Monthly Weather Review 136 (2008), equations 5 to 7.
Shapes: B batch, N lead times, C channels, H height, W width, K parts of a score.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.metrics.categories import reached
from framecast.metrics.metric import Better, Metric, known
from framecast.metrics.pixel_errors import FRAME
from framecast.metrics.windows import window_sums
from framecast.missing import may_miss


class FSS(Metric):
    """1 − Σ (p − y)² / Σ (p² + y²), of the shares p and y of a square in which an event happens.

    Squares lie around every known pixel; beyond the frame and where the truth is missing nothing
    happens. Sums run over pixels and sequences before they are divided: NaN without any event.

    Args:
        threshold: of the event, in the units of the frames; a value that is equal reaches it.
        scale: side of the squares in pixels.
    """

    label: ClassVar[str] = "FSS"
    unit: ClassVar[str] = "at a threshold and a scale"
    better: ClassVar[Better] = "higher"
    at: ClassVar[tuple[str, ...]] = ("threshold", "scale")

    def __init__(self, threshold: float = 0.5, scale: int = 5) -> None:
        super().__init__()
        self.threshold, self.scale = threshold, scale

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Sums of (p − y)² and of p² + y² over each frame: parts_BNK with K = 2."""
        is_BNCHW, said_BNCHW = (
            shares(flags_BNCHW, self.scale)
            for flags_BNCHW in reached(forecast_BNCHW, truth_BNCHW, self.threshold)
        )
        if may_miss(truth_BNCHW):
            is_BNCHW, said_BNCHW = (known(x, truth_BNCHW) for x in (is_BNCHW, said_BNCHW))
        apart_BN = (is_BNCHW - said_BNCHW).square().sum(FRAME)
        both_BN = (is_BNCHW.square() + said_BNCHW.square()).sum(FRAME)
        return torch.stack([apart_BN, both_BN], dim=-1)

    def score(self, parts_SNK: Tensor) -> Tensor:
        """1 − the first sum over the second: score_SN."""
        return 1 - parts_SNK[..., 0] / parts_SNK[..., 1]


def shares(flags_BNCHW: Tensor, scale: int) -> Tensor:
    """The mean of the square around each pixel, with zeros beyond the frame: share_BNCHW.

    A square of even side reaches further up and left, as SciPy's `uniform_filter` has it.
    """
    before, after = scale // 2, scale - 1 - scale // 2
    sums_BNCHW = F.pad(flags_BNCHW, (before, after, before, after))
    for axis in (3, 4):
        sums_BNCHW = window_sums(sums_BNCHW, scale, axis)  # exact: counts below 2²⁴
    return sums_BNCHW / scale**2
