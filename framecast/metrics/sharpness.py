"""Sharpness: whether a forecast is as rich in edges as the truth, or blurred.

Shapes: B batch, N lead times, C channels, H height, W width, K parts of a score.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from framecast.metrics.metric import Metric


def gradient_energy(frames_BNCHW: Tensor) -> Tensor:
    """Sum of squared differences between neighbouring pixels, down and across: energy_BN."""
    down_BN = frames_BNCHW.diff(dim=3).square().sum((2, 3, 4))
    across_BN = frames_BNCHW.diff(dim=4).square().sum((2, 3, 4))
    return down_BN + across_BN


class Sharpness(Metric):
    """Gradient energy of the forecast, clipped to [0, 1], over that of the truth.

    1 is as sharp as the truth, less is blurred, more is noisy. Energies are averaged over sequences
    before they are divided, so that a blank frame of truth does no harm; NaN if all are blank.
    """

    label: ClassVar[str] = "Sharpness"
    unit: ClassVar[str] = "of the truth"
    better: ClassVar[Literal["lower", "higher"]] = "higher"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Energies of forecast and truth: parts_BNK with K = 2."""
        forecast_BN = gradient_energy(forecast_BNCHW.clamp(0, 1))
        return torch.stack([forecast_BN, gradient_energy(truth_BNCHW)], dim=-1)

    def finish(self, parts_SNK: Tensor) -> Tensor:
        """Divide the energies: score_SN."""
        return parts_SNK[..., 0] / parts_SNK[..., 1]
