"""Skill: how much of the error of a reference forecast is gone."""

import torch
from torch import Tensor


def skill(error: Tensor, reference: Tensor) -> Tensor:
    """1 − error / error of the reference; 0 where they are equal, even if both are 0.

    >>> skill(torch.tensor([1.0, 0, 2]), torch.tensor([4.0, 0, 0]))
    tensor([0.7500, 0.0000,   -inf])
    """
    return torch.where(error == reference, 0.0, 1 - error / reference)
