"""Persistence: tomorrow is like today. Row one of every table; skill is measured against it."""

from typing import ClassVar

from torch import Tensor

from framecast.models.forecaster import Forecaster, ForecasterConfig, Recurrent


class Persistence(Recurrent):
    """Repeat the last frame."""

    Config = ForecasterConfig
    loss = Forecaster.loss  # nothing learns, so no true frame is read in place of a forecast one
    about: ClassVar[str] = "the last frame, repeated: skill is measured against it"

    def step(self, frame_BCHW: Tensor, state: None) -> tuple[Tensor, None]:
        """The next frame is this one."""
        return frame_BCHW, None
