"""METRICS, the table of all scores of a forecast. Skill is derived from two MSEs in `evaluate`."""

from framecast.metrics.categories import CSI, FAR, POD, Bias
from framecast.metrics.ensembles import CRPS, Coverage, Reliability
from framecast.metrics.fss import FSS
from framecast.metrics.metric import Metric
from framecast.metrics.pixel_errors import MAE, MSE, PSNR, MAEPixel, MSEPixel
from framecast.metrics.sharpness import Sharpness
from framecast.metrics.spectrum import Spectrum
from framecast.metrics.ssim import SSIM, SSIMOpenSTL

WORTH = 0.005  # of an error that is saved: less would be printed as 0 %
METRICS: dict[str, type[Metric]] = {
    "mse": MSE,
    "mae": MAE,
    "mse_pixel": MSEPixel,
    "mae_pixel": MAEPixel,
    "psnr": PSNR,
    "ssim": SSIM,
    "ssim_openstl": SSIMOpenSTL,
    "sharpness": Sharpness,
    "spectrum": Spectrum,
    "csi": CSI,
    "pod": POD,
    "far": FAR,
    "bias": Bias,
    "fss": FSS,
    "crps": CRPS,
    "coverage": Coverage,
    "reliability": Reliability,
}
