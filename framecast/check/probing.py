"""What every probe needs: frames to ask with, a fair way to ask, and a verdict.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from framecast.models.forecaster import Task

Forecast: TypeAlias = Callable[[Tensor, int], Tensor]  # (past_BMCHW, horizon) -> future_BNCHW

NEAR, FAR = 3, 9  # two horizons
TOLERANCE = 1e-5  # between results that rounding alone may tell apart; frames lie in [0, 1]


@dataclass(frozen=True)
class Verdict:
    """What one probe found; `detail` names the frame that decided."""

    name: str
    passed: bool
    detail: str


def verdict(name: str, fault: str, praise: str) -> Verdict:
    """Passed when there is no fault to tell of."""
    return Verdict(name, not fault, fault or praise)


def ask(forecast: Forecast, past_BMCHW: Tensor, horizon: int, seed: int = 0) -> Tensor:
    """Forecast from a copy and with the same random numbers each time; the answer is ours alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return forecast(past_BMCHW.clone(), horizon).clone()


def first_change(one_BTCHW: Tensor, other_BTCHW: Tensor) -> int:
    """Number of the first frame that differs, counted from 1; 0 when none does."""
    same = torch.isclose(one_BTCHW, other_BTCHW, TOLERANCE, TOLERANCE, equal_nan=True)
    differs_T = ~same.transpose(0, 1).flatten(1).all(dim=1)
    return int(differs_T.int().argmax()) + 1 if differs_T.any() else 0


def movie(task: Task, future: int = 0) -> Tensor:
    """Two sequences of a textured square that drifts over a dark ground, always the same.

    They have the frames of the past, two at least (one cannot show that a model looks ahead), and
    so many more.
    """
    first_BCHW = torch.zeros(2, task.channels, task.height, task.width)
    corner = first_BCHW[..., : (task.height + 1) // 2, : (task.width + 1) // 2]
    corner.copy_(noise(corner))
    frames = [first_BCHW.roll((t, t // 2), dims=(2, 3)) for t in range(max(task.past, 2) + future)]
    return torch.stack(frames, dim=1)


def noise(like: Tensor) -> Tensor:
    """Uniform in [0, 1], always the same."""
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(1))
