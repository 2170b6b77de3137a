"""METRICS, the table of all scores of a forecast. Skill is derived from two MSEs in `evaluate`."""

from framecast.metrics.metric import Metric
from framecast.metrics.pixel_errors import MAE, MSE, PSNR, MAEPixel, MSEPixel
from framecast.metrics.sharpness import Sharpness
from framecast.metrics.ssim import SSIM, SSIMOpenSTL

METRICS: dict[str, type[Metric]] = {
    "mse": MSE,
    "mae": MAE,
    "mse_pixel": MSEPixel,
    "mae_pixel": MAEPixel,
    "psnr": PSNR,
    "ssim": SSIM,
    "ssim_openstl": SSIMOpenSTL,
    "sharpness": Sharpness,
}
