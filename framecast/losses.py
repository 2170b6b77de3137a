"""Losses: (forecast, truth) -> scalar, the mean over all elements that are known.

Missing elements of the truth are NaN: they have no share in the mean, and their gradient is 0.
Where nothing is missing, values and gradients are those of the plain mean, bit for bit; where
nothing is known, the loss is 0.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.missing import may_miss


def mse(forecast: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error."""
    return _over_known(F.mse_loss, forecast, truth)


def mae(forecast: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error; its minimiser is the median."""
    return _over_known(F.l1_loss, forecast, truth)


def mse_mae(forecast: Tensor, truth: Tensor) -> Tensor:
    """Sum of both, as in E3D-LSTM (Wang et al., ICLR 2019)."""
    return mse(forecast, truth) + mae(forecast, truth)


def bce(forecast: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of a forecast in [0, 1], as in the Keras tutorial."""
    # 1 - p loses its digits in bf16, and autocast refuses this function on a GPU in any type.
    forecast, truth = forecast.float(), truth.float()
    if may_miss(truth):  # no number makes an uncertain forecast exact: set to 0, it is
        forecast = torch.where(truth.isnan(), 0, forecast)
    with torch.autocast(forecast.device.type, enabled=False):
        return _over_known(F.binary_cross_entropy, forecast, truth)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse,
    "mae": mae,
    "mse_mae": mse_mae,
    "bce": bce,
}


def _over_known(
    loss: Callable[[Tensor, Tensor], Tensor], forecast: Tensor, truth: Tensor
) -> Tensor:
    """A mean error with missing elements taken for exact, then divided by the share of known."""
    if not may_miss(truth):
        return loss(forecast, truth)
    exact = torch.where(truth.isnan(), forecast.detach(), truth)
    missing = truth.isnan().sum()
    return loss(forecast, exact) * (1 + missing / (truth.numel() - missing).clamp_min(1))
