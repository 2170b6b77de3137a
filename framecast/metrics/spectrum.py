"""Spectrum: whether a forecast has the power of the truth at every scale, or lost the fine ones.

Shapes: B batch, N lead times, C channels, H height, W width, F frequencies, R wavenumbers, K parts
of a score.
"""

from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from framecast.metrics.metric import Better, Metric
from framecast.missing import may_miss

LOWEST = 1e-6  # power: that of rounding to 8 bits, a twelfth of 255⁻², is 1.3e-6


def power(frames_BNCHW: Tensor) -> Tensor:
    """Radially averaged power |FFT|² / HW, a mean over channels: power_BNR.

    R counts the wavenumbers from 1, a wave over the longer side, to less than half of its pixels.
    """
    height, width = frames_BNCHW.shape[3:]
    wave_BNCF = torch.fft.rfft2(frames_BNCHW).flatten(3)
    power_BNCF = wave_BNCF.real.square().addcmul_(wave_BNCF.imag, wave_BNCF.imag)
    power_BNCR: Tensor = power_BNCF @ _rings(height, width).to(power_BNCF)
    return power_BNCR.mean(dim=2) / (height * width)


@lru_cache(maxsize=8)
def _rings(height: int, width: int) -> Tensor:
    """The share of each frequency of `rfft2` in the mean of each wavenumber: ring_FR."""
    side = max(height, width)
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    radius_F = (torch.hypot(down.double(), across.double()) * side).round().flatten()
    # Half of the plane is not computed: all but its first and last column stand for two.
    twice = (across > 0) & (across < 0.5)
    times_F = (1.0 + twice.double()).expand(height, -1).flatten()
    wavenumbers_R = torch.arange(1, (side + 1) // 2)
    ring_FR = (radius_F[:, None] == wavenumbers_R) * times_F[:, None]
    mean_FR: Tensor = (ring_FR / ring_FR.sum(dim=0)).float()
    return mean_FR


class Spectrum(Metric):
    """Log spectral distance: root mean square, over wavenumbers, of decibels between two spectra.

    The forecast is clipped to [0, 1] first. Spectra are averaged over sequences before they are
    compared; power below that of rounding to 8 bits counts as that. The mean brightness has no
    share. Missing pixels are set, in both frames, to the mean of the known ones of the truth.
    """

    label: ClassVar[str] = "Spectrum"
    unit: ClassVar[str] = "dB apart"
    better: ClassVar[Better] = "lower"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Power of forecast and truth at each wavenumber: parts_BNK with K = 2 R."""
        forecast_BNCHW = forecast_BNCHW.clamp(0, 1)
        if may_miss(truth_BNCHW):
            mean_BN111 = truth_BNCHW.nanmean((2, 3, 4), keepdim=True)
            forecast_BNCHW, truth_BNCHW = (
                torch.where(truth_BNCHW.isnan(), mean_BN111, frames_BNCHW)
                for frames_BNCHW in (forecast_BNCHW, truth_BNCHW)
            )
        power_2BNR = power(torch.cat([forecast_BNCHW, truth_BNCHW])).chunk(2)
        return torch.cat(power_2BNR, dim=-1)

    def score(self, parts_SNK: Tensor) -> Tensor:
        """Decibels between the two spectra: score_SN."""
        forecast_SNR, truth_SNR = parts_SNK.clamp_min(LOWEST).chunk(2, dim=-1)
        return (10 * (forecast_SNR / truth_SNR).log10()).square().mean(-1).sqrt()
