"""Errors pixel by pixel: MSE, MAE (in the literature's unit and per pixel) and PSNR.

All are means over the known pixels of a frame; sums are that mean times all pixels.

Shapes: B batch, N lead times, C channels, H height, W width, K parts of a score.
"""

from typing import ClassVar

import torch
from torch import Tensor

from framecast.metrics.metric import Better, Metric, known

FRAME = (2, 3, 4)  # the axes C, H, W
SMALLEST_ERROR = 1e-10  # mean squared error of 100 dB, far below what 8 bits resolve (59 dB)


def frame_sum(error_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
    """Sum over each frame, as if missing pixels had the mean error of the known: sum_BN."""
    sum_BN = error_BNCHW.sum(FRAME)
    if not sum_BN.isnan().any():
        return sum_BN  # nothing is missing, in one pass
    share_BN = 1 - truth_BNCHW.isnan().float().mean(FRAME)
    return known(error_BNCHW, truth_BNCHW).sum(FRAME) / share_BN


def _sums(error_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
    """Sum over each frame and how many pixels it has, for sums and means alike: parts_BNK."""
    sum_BN = frame_sum(error_BNCHW, truth_BNCHW)
    return torch.stack([sum_BN, torch.full_like(sum_BN, truth_BNCHW[0, 0].numel())], dim=-1)


class MSE(Metric):
    """Squared error, **summed** over C, H, W: the unit of the video prediction literature."""

    label: ClassVar[str] = "MSE"
    unit: ClassVar[str] = "per frame"
    better: ClassVar[Better] = "lower"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Squared error of each frame, before any clipping, and its pixels: parts_BNK, K = 2."""
        return _sums((forecast_BNCHW - truth_BNCHW).square(), truth_BNCHW)


class MAE(Metric):
    """Absolute error, **summed** over C, H, W: the unit of the video prediction literature."""

    label: ClassVar[str] = "MAE"
    unit: ClassVar[str] = "per frame"
    better: ClassVar[Better] = "lower"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Absolute error of each frame, before any clipping, and its pixels: parts_BNK, K = 2."""
        return _sums((forecast_BNCHW - truth_BNCHW).abs(), truth_BNCHW)


class MSEPixel(MSE):
    """Squared error, averaged over C, H, W."""

    unit: ClassVar[str] = "per pixel"

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Share the sum out over the pixels: score_SN."""
        return parts_SNK[..., 0] / parts_SNK[..., 1]


class MAEPixel(MAE):
    """Absolute error, averaged over C, H, W."""

    unit: ClassVar[str] = "per pixel"

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Share the sum out over the pixels: score_SN."""
        return parts_SNK[..., 0] / parts_SNK[..., 1]


class PSNR(Metric):
    """Peak signal-to-noise ratio of each frame, -10 log10(mean squared error), then averaged.

    The forecast is clipped to [0, 1] first. An exact frame counts as 100 dB, not as infinity: one
    would swallow the mean of all others.
    """

    label: ClassVar[str] = "PSNR"
    unit: ClassVar[str] = "dB"
    better: ClassVar[Better] = "higher"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Decibels of each frame: parts_BNK."""
        error_BNCHW = (forecast_BNCHW.clamp(0, 1) - truth_BNCHW).square()
        error_BN = frame_sum(error_BNCHW, truth_BNCHW) / truth_BNCHW[0, 0].numel()
        return -10 * error_BN.clamp_min(SMALLEST_ERROR).log10()[..., None]
