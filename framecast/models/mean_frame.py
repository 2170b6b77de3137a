"""Mean frame of the training set: the best forecast that does not look at the past."""

from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.models.forecaster import Forecaster, ForecasterConfig, Recurrent, Task


class MeanFrame(Recurrent):
    """Forecast the mean of all training frames, whatever was seen."""

    Config = ForecasterConfig
    loss = Forecaster.loss  # nothing learns, so no true frame is read in place of a forecast one
    about: ClassVar[str] = "the mean of all training frames: what a forecast without a past can do"

    def __init__(self, config: ForecasterConfig, task: Task) -> None:
        super().__init__(config, task)
        self.mean_CHW: Tensor
        self.register_buffer("mean_CHW", torch.zeros(task.channels, task.height, task.width))

    def calibrate(self, windows_BTCHW: Iterable[Tensor]) -> None:
        """Average every frame of the batches given, pixel by pixel over those where it is known."""
        total_CHW = torch.zeros_like(self.mean_CHW, dtype=torch.float64)
        count_CHW = torch.zeros_like(total_CHW)
        for batch_BTCHW in windows_BTCHW:
            total_CHW += batch_BTCHW.to(total_CHW.device, torch.float64).nansum(dim=(0, 1))
            count_CHW += (~batch_BTCHW.isnan()).sum(dim=(0, 1)).to(total_CHW.device)
        self.mean_CHW.copy_(total_CHW / count_CHW.clamp_min(1))

    def step(self, frame_BCHW: Tensor, state: None) -> tuple[Tensor, None]:
        """The mean frame, stretched to the size of the input where that differs."""
        mean_1CHW = self.mean_CHW[None].to(frame_BCHW.dtype)
        if mean_1CHW.shape[2:] != frame_BCHW.shape[2:]:
            mean_1CHW = F.interpolate(mean_1CHW, size=frame_BCHW.shape[2:], mode="bilinear")
        return mean_1CHW.expand_as(frame_BCHW), None
