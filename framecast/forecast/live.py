"""Forecasts beside the frames that then come, scored as they do.

Shapes: C channels, H height, W width, N future frames.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from framecast.clip import Clip, from_tensor, to_tensor
from framecast.forecast.clips import check_finite
from framecast.forecast.streaming import stream
from framecast.models.forecaster import Forecaster
from framecast.video.live import Arrival


@dataclass
class Errors:
    """Sums of squared errors of a model and of persistence at one lead time."""

    model: float = 0.0
    persistence: float = 0.0

    def add(self, truth: Tensor, forecast: Tensor, last: Tensor) -> None:
        """Count a frame that was forecast when another one was the last."""
        self.model += float((forecast - truth).square().mean())
        self.persistence += float((last - truth).square().mean())

    @property
    def skill(self) -> float | None:
        """1 − error / error of persistence; None while nothing moves."""
        return 1 - self.model / self.persistence if self.persistence else None


@dataclass
class _Promise:
    """What was said when a frame was the last one: the next frame, and that `horizon` ahead."""

    last_1CHW: Tensor
    first_1CHW: Tensor
    far_1CHW: Tensor


@dataclass
class Follower:
    """Forecasts anew with each frame, and compares what was forecast with what comes.

    Leads count the frames that were used. The state of the model, and what it forecast, end with a
    connection: nobody knows how long the pause was.

    Args:
        model: any forecaster.
        horizon: number of future frames N.
        where: what messages call the source.

    Attributes:
        near: errors at lead 1 so far.
        far: errors at the horizon so far.
    """

    model: Forecaster
    horizon: int
    where: str = "the stream"
    near: Errors = field(default_factory=Errors)
    far: Errors = field(default_factory=Errors)

    def __call__(
        self, arrivals: Iterable[Arrival]
    ) -> Iterator[tuple[Arrival, NDArray[np.uint8] | None]]:
        """Yield each frame that the model answered, with what was forecast for it N frames before.

        Raises:
            InputError: the frames do not suit the model, or a forecast is not finite.
        """
        for _, connection in groupby(arrivals, lambda arrival: arrival.connection):
            yield from self._follow(connection)

    def _follow(
        self, arrivals: Iterator[Arrival]
    ) -> Iterator[tuple[Arrival, NDArray[np.uint8] | None]]:
        now: deque[tuple[Arrival, Tensor]] = deque(maxlen=1)
        promises: deque[_Promise] = deque(maxlen=self.horizon)

        def frames() -> Iterator[Tensor]:
            for arrival in arrivals:
                now.append((arrival, self._tensor(arrival)))
                yield now[0][1]

        for future_1NCHW in stream(self.model, frames(), self.horizon):
            arrival, frame_1CHW = now[0]
            for lead, ahead_1CHW in enumerate(future_1NCHW.unbind(1), start=1):
                check_finite(ahead_1CHW, lead)
            yield arrival, self._score(frame_1CHW, promises)
            # Copies: a view would keep all N frames.
            first_1CHW, far_1CHW = future_1NCHW[:, 0].clone(), future_1NCHW[:, -1].clone()
            promises.append(_Promise(frame_1CHW, first_1CHW, far_1CHW))

    def _tensor(self, arrival: Arrival) -> Tensor:
        clip = Clip(arrival.frame_HWC[None], source=self.where).scaled_as(self.model.task.scaling)
        return to_tensor(clip)[:, 0]

    def _score(self, frame_1CHW: Tensor, promises: deque[_Promise]) -> NDArray[np.uint8] | None:
        """Compare a frame with what was said of it; the picture of what the oldest promise said."""
        if promises:
            latest = promises[-1]
            self.near.add(frame_1CHW, latest.first_1CHW, latest.last_1CHW)
        if len(promises) < self.horizon:
            return None
        due = promises[0]
        self.far.add(frame_1CHW, due.far_1CHW, due.last_1CHW)
        picture_HWC: NDArray[np.uint8] = from_tensor(due.far_1CHW[:, None]).frames_THWC[0]
        return picture_HWC
