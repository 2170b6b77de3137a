"""Sharpness: whether a forecast is as rich in edges as the truth, or blurred.

Shapes: B batch, N lead times, C channels, H height, W width, K parts of a score.
"""

from typing import ClassVar

import torch
from torch import Tensor

from framecast.metrics.metric import Better, Metric, known
from framecast.missing import may_miss


def gradient_energy(frames_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
    """Sum of squared differences between neighbours that the truth knows both: energy_BN."""
    return _along(3, frames_BNCHW, truth_BNCHW) + _along(4, frames_BNCHW, truth_BNCHW)


def _along(axis: int, frames_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
    square_BNCHW = frames_BNCHW.diff(dim=axis).square()
    if may_miss(truth_BNCHW):
        square_BNCHW = known(square_BNCHW, truth_BNCHW.diff(dim=axis))
    return square_BNCHW.sum((2, 3, 4))


class Sharpness(Metric):
    """Gradient energy of the forecast, clipped to [0, 1], over that of the truth.

    1 is as sharp as the truth, less is blurred, more is noisy. Energies are averaged over sequences
    before they are divided, so that a blank frame of truth does no harm; NaN if all are blank.
    Only pairs of neighbours that are both known have a share, in the forecast as in the truth.
    """

    label: ClassVar[str] = "Sharpness"
    unit: ClassVar[str] = "of the truth"
    better: ClassVar[Better] = "near"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Energies of forecast and truth: parts_BNK with K = 2."""
        forecast_BN = gradient_energy(forecast_BNCHW.clamp(0, 1), truth_BNCHW)
        return torch.stack([forecast_BN, gradient_energy(truth_BNCHW, truth_BNCHW)], dim=-1)

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Divide the energies: score_SN."""
        return parts_SNK[..., 0] / parts_SNK[..., 1]
