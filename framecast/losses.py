"""Losses: (forecast, truth) -> scalar, the mean over all elements."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def mse(forecast: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(forecast, truth)


def mae(forecast: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error; its minimiser is the median."""
    return F.l1_loss(forecast, truth)


def mse_mae(forecast: Tensor, truth: Tensor) -> Tensor:
    """Sum of both, as in E3D-LSTM (Wang et al., ICLR 2019)."""
    return F.mse_loss(forecast, truth) + F.l1_loss(forecast, truth)


def bce(forecast: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of a forecast in [0, 1], as in the Keras tutorial."""
    # Autocast refuses this function in bf16, and 1 - p loses its digits there.
    return F.binary_cross_entropy(forecast.float(), truth.float())


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse,
    "mae": mae,
    "mse_mae": mse_mae,
    "bce": bce,
}
