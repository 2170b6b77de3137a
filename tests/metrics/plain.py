"""Scores written from their formulas in NumPy and SciPy, in double precision: slow, and plain.

The formulas of categories, spectrum, FSS and CRPS are those that pysteps 1.21 computes.
Shapes: (B, N, C, H, W), with members E after B for ensembles; scores are per lead time N.
"""

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.stats import binned_statistic


def radial_power(frame_HW):
    """|FFT|² over pixels, by whole wavenumbers over the longer side, the mean left out."""
    height, width = frame_HW.shape
    side = max(height, width)
    down, across = np.fft.fftfreq(height) * side, np.fft.fftfreq(width) * side
    radius = np.round(np.hypot(down[:, None], across[None])).ravel()
    power = (np.abs(np.fft.fft2(frame_HW)) ** 2 / frame_HW.size).ravel()
    edges = np.arange((side + 1) // 2 + 1) - 0.5
    return binned_statistic(radius, power, "mean", edges).statistic[1:]


def spectrum(forecast, truth):
    for lead in range(truth.shape[1]):
        spectra = []
        for frames in (forecast[:, lead].clip(0, 1), truth[:, lead]):
            power = [radial_power(frame_HW) for frame_HW in frames.reshape(-1, *frames.shape[2:])]
            spectra.append(np.mean(power, axis=0).clip(1e-6))
        yield np.sqrt(np.mean((10 * np.log10(spectra[0] / spectra[1])) ** 2))


def category(name, forecast, truth, threshold=0.5):
    said, happened = forecast >= threshold, truth >= threshold
    axes = (0, 2, 3, 4)
    hits, misses, alarms = (
        both.sum(axes) for both in (said & happened, ~said & happened, said & ~happened)
    )
    return {
        "csi": hits / (hits + misses + alarms),
        "pod": hits / (hits + misses),
        "far": alarms / (hits + alarms),
        "bias": (hits + alarms) / (hits + misses),
    }[name]


def fss(forecast, truth, scale, threshold=0.5):
    for lead in range(truth.shape[1]):
        shares = [
            np.stack([[uniform_filter(f, scale, mode="constant") for f in fs] for fs in frames])
            for frames in (
                1.0 * (forecast[:, lead] >= threshold),
                1.0 * (truth[:, lead] >= threshold),
            )
        ]
        said, happened = shares
        yield 1 - ((said - happened) ** 2).sum() / (said**2 + happened**2).sum()


def crps(forecast, truth):
    """By its definition: all pairs of members."""
    error = np.abs(forecast - truth[:, None]).mean(1)
    pairs = np.abs(forecast[:, :, None] - forecast[:, None]).mean((1, 2))
    return (error - pairs / 2).mean((0, 2, 3, 4))


def coverage(forecast, truth, level=0.9):
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(forecast, ends, axis=1, method="weibull")
    return ((low <= truth) & (truth <= high)).mean((0, 2, 3, 4))


def reliability(forecast, truth, threshold=0.5):
    """Bin by bin, as the reliability curve is drawn."""
    probability = (forecast >= threshold).mean(1)
    happened = truth >= threshold
    scores = []
    for lead in range(truth.shape[1]):
        said, did = probability[:, lead].ravel(), happened[:, lead].ravel()
        bins = np.minimum((said * 10 + 1e-9).astype(int), 9)
        terms = [
            (bins == number).sum() * (said[bins == number].mean() - did[bins == number].mean()) ** 2
            for number in np.unique(bins)
        ]
        scores.append(sum(terms) / said.size)
    return scores
