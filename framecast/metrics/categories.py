"""Scores of yes and no: whether a value reaches a threshold, pooled over all pixels.

Hits h, misses m and false alarms f are added up over pixels and sequences before they are divided,
so that a frame in which nothing happens does no harm; where nothing ever happens a score is NaN.

Paper: Wilks, Statistical Methods in the Atmospheric Sciences, chapter on forecast verification.
Shapes: B batch, N lead times, C channels, H height, W width, K parts of a score.
"""

from typing import ClassVar

import torch
from torch import Tensor

from framecast.metrics.metric import Better, Metric
from framecast.metrics.pixel_errors import FRAME
from framecast.missing import may_miss


class CSI(Metric):
    """Critical success index, h / (h + m + f): the share of what was or was forecast that is right.

    Args:
        threshold: in the units of the frames; a value that is equal reaches it.
    """

    label: ClassVar[str] = "CSI"
    unit: ClassVar[str] = "at a threshold"
    better: ClassVar[Better] = "higher"
    at: ClassVar[tuple[str, ...]] = ("threshold",)

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Hits, misses and false alarms of each frame: parts_BNK with K = 3."""
        is_BNCHW, said_BNCHW = reached(forecast_BNCHW, truth_BNCHW, self.threshold)
        hits_BN, is_BN, said_BN = (
            flags.sum(FRAME) for flags in (is_BNCHW * said_BNCHW, is_BNCHW, said_BNCHW)
        )
        return torch.stack([hits_BN, is_BN - hits_BN, said_BN - hits_BN], dim=-1)

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Hits over hits, misses and false alarms: score_SN."""
        return parts_SNK[..., 0] / parts_SNK.sum(-1)


class POD(CSI):
    """Probability of detection, h / (h + m): the share of what was that was forecast."""

    label: ClassVar[str] = "POD"

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Hits over hits and misses: score_SN."""
        hits_SN, misses_SN, _ = parts_SNK.unbind(-1)
        return hits_SN / (hits_SN + misses_SN)


class FAR(CSI):
    """False alarm ratio, f / (h + f): the share of what was forecast that was not."""

    label: ClassVar[str] = "FAR"
    better: ClassVar[Better] = "lower"

    def score(self, parts_SNK: Tensor) -> Tensor:
        """False alarms over hits and false alarms: score_SN."""
        hits_SN, _, alarms_SN = parts_SNK.unbind(-1)
        return alarms_SN / (hits_SN + alarms_SN)


class Bias(CSI):
    """Frequency bias, (h + f) / (h + m): how often it was forecast, over how often it was."""

    label: ClassVar[str] = "Bias"
    better: ClassVar[Better] = "near"

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Forecast over true events: score_SN."""
        hits_SN, misses_SN, alarms_SN = parts_SNK.unbind(-1)
        return (hits_SN + alarms_SN) / (hits_SN + misses_SN)


def reached(forecast_BNCHW: Tensor, truth_BNCHW: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Where truth and forecast reach a threshold, as 0 and 1: is_BNCHW, said_BNCHW.

    Both are 0 where the truth is missing; where only the forecast is NaN, `said` is NaN too.
    """
    is_BNCHW = (truth_BNCHW >= threshold).float()
    said_BNCHW = (forecast_BNCHW >= threshold).float()
    if may_miss(forecast_BNCHW):
        said_BNCHW = torch.where(forecast_BNCHW.isnan(), torch.nan, said_BNCHW)
    if may_miss(truth_BNCHW):
        said_BNCHW = torch.where(truth_BNCHW.isnan(), 0, said_BNCHW)
    return is_BNCHW, said_BNCHW
