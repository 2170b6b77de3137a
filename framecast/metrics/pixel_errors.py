"""Errors pixel by pixel: MSE, MAE (in the literature's unit and per pixel) and PSNR.

All are means over the known pixels of a frame; sums are that mean times all pixels.

Shapes: B batch, N lead times, C channels, H height, W width, K parts of a score.
"""

from typing import ClassVar

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


class MSE(Metric):
    """Squared error, **summed** over C, H, W: the unit of the video prediction literature."""

    label: ClassVar[str] = "MSE"
    unit: ClassVar[str] = "per frame"
    better: ClassVar[Better] = "lower"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Squared error of each frame, before any clipping: parts_BNK."""
        return frame_sum((forecast_BNCHW - truth_BNCHW).square(), truth_BNCHW)[..., None]


class MAE(Metric):
    """Absolute error, **summed** over C, H, W: the unit of the video prediction literature."""

    label: ClassVar[str] = "MAE"
    unit: ClassVar[str] = "per frame"
    better: ClassVar[Better] = "lower"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Absolute error of each frame, before any clipping: parts_BNK."""
        return frame_sum((forecast_BNCHW - truth_BNCHW).abs(), truth_BNCHW)[..., None]


class MSEPixel(MSE):
    """Squared error, averaged over C, H, W."""

    unit: ClassVar[str] = "per pixel"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Mean squared error of each frame, before any clipping: parts_BNK."""
        return super().measure(forecast_BNCHW, truth_BNCHW) / truth_BNCHW[0, 0].numel()


class MAEPixel(MAE):
    """Absolute error, averaged over C, H, W."""

    unit: ClassVar[str] = "per pixel"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Mean absolute error of each frame, before any clipping: parts_BNK."""
        return super().measure(forecast_BNCHW, truth_BNCHW) / truth_BNCHW[0, 0].numel()


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
