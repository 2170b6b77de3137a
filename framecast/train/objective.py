"""The loss as a module, and an update that leaves no trace, for whoever measures one.

Shapes: B batch, M past frames, N future frames, T = M + N, C channels, H height, W width.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from framecast.forecast.inference import padded
from framecast.models.forecaster import Forecaster
from framecast.train.memory import freed_memory_kept

SMALL = 64  # pixels of a side: time and memory grow with the frame, so that a piece tells all
PATIENCE = 3.0  # seconds that a CPU may take for a first update before others, warm ones


class Objective(nn.Module):
    """The loss as a module, so that data-parallel training sees a forward pass.

    Frames whose size does not suit the model are padded, as in `forecast.rollout`.
    """

    def __init__(self, model: Forecaster, mixed: bool) -> None:
        super().__init__()
        self.model, self.mixed = model, mixed

    def forward(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor) -> Tensor:
        """Loss of one batch."""
        past_BMCHW = padded(past_BMCHW, self.model.multiple)
        future_BNCHW = padded(future_BNCHW, self.model.multiple)
        with torch.autocast(past_BMCHW.device.type, torch.bfloat16, enabled=self.mixed):
            return self.model.loss(past_BMCHW, future_BNCHW, progress)

    def try_update(self, window_BTCHW: Tensor) -> None:
        """Forward and backward, as at the start of a training; no weight changes."""
        past = self.model.task.past
        loss = self(window_BTCHW[:, :past], window_BTCHW[:, past:], 0.0)
        loss.backward()
        loss.item()  # waits for a GPU
        self.zero_grad()

    def seconds(self, window: Callable[[], Tensor], more: int) -> float:
        """Time of an update, the making of its window included.

        The fastest of some `more` after the first, which also prepares; the first itself where a
        CPU takes too long to try others. On a GPU a long one compiles.
        """
        taken = []
        with freed_memory_kept():
            for _ in range(1 + more):
                before = time.monotonic()
                window_BTCHW = window()
                self.try_update(window_BTCHW)
                taken.append(time.monotonic() - before)
                if taken[0] > PATIENCE and window_BTCHW.device.type == "cpu":
                    break
        return min(taken[1:] or taken)


def piece(model: Forecaster) -> tuple[int, int]:
    """Height and width of a small piece of the model's frames."""
    least = -(-SMALL // model.multiple) * model.multiple
    return min(model.task.height, least), min(model.task.width, least)
