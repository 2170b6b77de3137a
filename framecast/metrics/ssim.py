"""Structural similarity, as scikit-image computes it, in both conventions of the literature.

Shapes: B batch, N lead times, C channels, H height, W width, F pictures of one channel, K parts of
a score.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from framecast.compiled import call, compiled
from framecast.metrics.metric import Better, Metric
from framecast.metrics.windows import window_sums

DATA_RANGES = (1.0, 2.0)  # of SSIM and SSIMOpenSTL: both come from the same sums
WINDOW = 7  # pixels; scikit-image's default
SAMPLE = WINDOW**2 / (WINDOW**2 - 1)  # from mean square deviation to sample variance
CHUNK = 2**16  # pixels at a time: the temporary maps, 512 KiB each, stay near the cache
# What keeps quotients steady where both parts vanish, as large as a sum: of luminance, of structure
STEADY = torch.tensor(
    [
        (2 * (0.01 * data_range * WINDOW**2) ** 2, 2 * (0.03 * data_range * WINDOW) ** 2 / SAMPLE)
        for data_range in DATA_RANGES
    ],
    dtype=torch.float64,
)


def _window_sums(maps: Tensor) -> Tensor:
    """Sums over all 7 x 7 windows of (..., H, W), which gets 6 shorter and 6 narrower."""
    return window_sums(window_sums(maps, WINDOW, -2), WINDOW, -1)


def ssim(forecast_FHW: Tensor, truth_FHW: Tensor) -> Tensor:
    """Structural similarity of pictures (Wang et al., IEEE TIP 2004), uniform 7 x 7 window.

    With s = x + y and d = x - y, sums of only four maps are needed: 4 E[x] E[y] = E[s]² - E[d]²,
    2 (E[x]² + E[y]²) = E[s]² + E[d]², and the same for variances and covariance.

    Args:
        forecast_FHW: pictures, at least 7 x 7.
        truth_FHW: their truth.

    Returns:
        similarity_FK in [-1, 1], float32: the mean over all windows that lie inside the picture,
        for each of DATA_RANGES. Windows with a missing pixel (NaN) in the truth have no share; a
        picture without any other has none either, NaN.
    """
    similarity_FK = _compiled_ssim(forecast_FHW, truth_FHW)
    if similarity_FK is None or similarity_FK.isnan().any():
        return _plain_ssim(forecast_FHW, truth_FHW)
    return similarity_FK


def _compiled_ssim(forecast_FHW: Tensor, truth_FHW: Tensor) -> Tensor | None:
    """The same in C++, NaN for pictures with a missing pixel; None where that is not possible."""
    pair = forecast_FHW, truth_FHW
    fits = all(x.device.type == "cpu" and x.dtype == torch.float32 for x in pair)
    library = compiled(Path(__file__).with_name("ssim.cpp")) if fits else None
    if library is None:
        return None
    similarity_FK = truth_FHW.new_empty(len(truth_FHW), len(STEADY))
    tensors = *(x_FHW.contiguous() for x_FHW in pair), STEADY, similarity_FK
    call(library.mean_similarity, tensors, (*truth_FHW.shape, len(STEADY)))
    return similarity_FK


def _plain_ssim(forecast_FHW: Tensor, truth_FHW: Tensor) -> Tensor:
    """In plain torch."""
    x_FHW, y_FHW = forecast_FHW.double(), truth_FHW.double()  # variances need the digits
    maps_4FHW = x_FHW.new_empty(4, *x_FHW.shape)
    torch.add(x_FHW, y_FHW, out=maps_4FHW[0])
    torch.sub(x_FHW, y_FHW, out=maps_4FHW[1])
    torch.mul(maps_4FHW[:2], maps_4FHW[:2], out=maps_4FHW[2:])
    sum_2FHW, sum_of_squares_2FHW = _window_sums(maps_4FHW).chunk(2)
    variance_2FHW = sum_of_squares_2FHW.addcmul_(sum_2FHW, sum_2FHW, value=-1 / WINDOW**2)
    # The digits have done their work: quotients of float32 are right to 1e-7, in half the time.
    luminance_2FHW = _fraction(sum_2FHW.float().square_())
    structure_2FHW = _fraction(variance_2FHW.float())
    similarities = []
    for luminance, structure in STEADY.tolist():
        parts_2FHW = (luminance_2FHW + luminance).mul_(structure_2FHW + structure)
        similarities.append(_mean(parts_2FHW[0].div_(parts_2FHW[1]), truth_FHW))
    return torch.stack(similarities, dim=1)


def _fraction(maps_2FHW: Tensor) -> Tensor:
    """The difference of two maps, to be divided by their sum: fraction_2FHW."""
    fraction_2FHW = torch.empty_like(maps_2FHW)
    torch.sub(maps_2FHW[0], maps_2FHW[1], out=fraction_2FHW[0])
    torch.add(maps_2FHW[0], maps_2FHW[1], out=fraction_2FHW[1])
    return fraction_2FHW


def _mean(similarity_FHW: Tensor, truth_FHW: Tensor) -> Tensor:
    """The mean over the windows that are known in full: similarity_F."""
    mean_F = similarity_FHW.mean(dim=(1, 2))
    if not mean_F.isnan().any():
        return mean_F
    known_FHW = _known_windows(truth_FHW)
    return torch.where(known_FHW, similarity_FHW, 0).sum((1, 2)) / known_FHW.sum((1, 2))


def _known_windows(frames: Tensor) -> Tensor:
    """Which windows of (..., H, W) hold no missing pixel."""
    return ~_window_sums(frames).isnan()


class SSIM(Metric):
    """Structural similarity with data range 1, scikit-image's uniform 7 x 7 window, per frame.

    The forecast is clipped to [0, 1] first; the outer 3 pixels are left out; channels are averaged.
    Frames smaller than 7 pixels hold no window: their similarity is not defined, NaN. Windows with
    a missing pixel have no share.
    """

    label: ClassVar[str] = "SSIM"
    unit: ClassVar[str] = "data range 1"
    better: ClassVar[Better] = "higher"

    def measure(self, forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
        """Similarity of each frame: parts_BNK, one part for each of DATA_RANGES."""
        height, width = truth_BNCHW.shape[3:]
        if min(height, width) < WINDOW:
            return torch.full((*truth_BNCHW.shape[:2], len(DATA_RANGES)), torch.nan)
        pictures = max(1, CHUNK // (height * width))
        forecasts = torch.split(forecast_BNCHW.reshape(-1, height, width), pictures)
        truths = torch.split(truth_BNCHW.reshape(-1, height, width), pictures)
        pairs = zip(forecasts, truths, strict=True)
        similarity_FK = torch.cat([ssim(p_FHW.clamp(0, 1), y_FHW) for p_FHW, y_FHW in pairs])
        similarity_BNCK = similarity_FK.view(*truth_BNCHW.shape[:3], len(DATA_RANGES))
        if not similarity_BNCK.isnan().any():
            return similarity_BNCK.mean(dim=2)
        counts_BNC1 = _known_windows(truth_BNCHW).any(4).any(3)[..., None]
        return torch.where(counts_BNC1, similarity_BNCK, 0).sum(2) / counts_BNC1.sum(2)

    def counts(self, truth_BNCHW: Tensor) -> Tensor:
        """Whether a window of each frame is known in full: counts_BN."""
        if min(truth_BNCHW.shape[3:]) < WINDOW:
            return super().counts(truth_BNCHW)
        return _known_windows(truth_BNCHW).any(4).any(3).any(2)

    def score(self, parts_SNK: Tensor) -> Tensor:
        """The part of this convention: score_SN."""
        return parts_SNK[..., DATA_RANGES.index(1.0)]


class SSIMOpenSTL(SSIM):
    """Structural similarity with data range 2, which published Moving MNIST tables hold.

    scikit-image up to 0.19 took the range of the float type, [-1, 1], when none was given. The
    constants are four times larger, so the values are higher; never compare the two.
    """

    label: ClassVar[str] = "SSIM OpenSTL"
    unit: ClassVar[str] = "data range 2"

    def score(self, parts_SNK: Tensor) -> Tensor:
        """The part of this convention: score_SN."""
        return parts_SNK[..., DATA_RANGES.index(2.0)]
