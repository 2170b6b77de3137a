"""Forecasts that keep up with frames as they come in.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from framecast.forecast.inference import (
    check_frames,
    check_horizon,
    enter,
    inference,
    leave,
    recorded,
    rollout,
)
from framecast.layers.gathered import Prepared
from framecast.missing import filled
from framecast.models.forecaster import Direct, Forecaster, Recurrent


def stream(model: Forecaster, frames: Iterable[Tensor], horizon: int) -> Iterator[Tensor]:
    """Forecast anew after each frame that comes in. The work per frame does not grow with time.

    The weights of the model must not change while its stream goes on.

    Args:
        model: any forecaster. A recurrent one carries its state along. A direct one keeps its last
            `model.task.past` frames, and answers from the moment it has that many.
        frames: frame_BCHW in [0, 1], one after the other, all of one shape; NaN where pixels are
            missing, which get their last known value, or 0 where no frame that is kept knows one.
        horizon: number of future frames N in each answer, at least 1.

    Returns:
        An iterator over future_BNCHW in [0, 1]: what `rollout` says of all frames so far.

    Raises:
        InputError: the channels do not suit the model, or N < 1.

    >>> from framecast.models import build_model
    >>> [*stream(build_model("persistence"), torch.rand(3, 1, 1, 8, 8), horizon=2)][-1].shape
    torch.Size([1, 2, 1, 8, 8])
    """
    check_horizon(horizon)
    answer = _stream_direct if isinstance(model, Direct) else _stream_recurrent
    return answer(model, frames, horizon)


def _stream_recurrent(
    model: Forecaster, frames: Iterable[Tensor], horizon: int
) -> Iterator[Tensor]:
    assert isinstance(model, Recurrent)
    state, weights, last_BCHW = None, Prepared(), None
    for frame_BCHW in frames:
        known_B1CHW = frame_BCHW[:, None]
        check_frames(model, known_B1CHW, where="the frame")
        known_B1CHW = filled(known_B1CHW, last_BCHW)
        last_BCHW = known_B1CHW[:, 0]
        with inference(model, weights):
            reader = recorded(model, known_B1CHW)
            assert isinstance(reader, Recurrent)
            next_BCHW, state = reader.step(enter(model, known_B1CHW)[:, 0], state)
            ahead = islice(reader.run_on(next_BCHW, state), horizon)
            future_BNCHW = torch.stack([leave(frame, like=known_B1CHW) for frame in ahead], dim=1)
        yield future_BNCHW.clamp(0, 1)


def _stream_direct(model: Forecaster, frames: Iterable[Tensor], horizon: int) -> Iterator[Tensor]:
    known: deque[Tensor] = deque(maxlen=model.task.past)
    for frame_BCHW in frames:
        known.append(frame_BCHW)
        if len(known) == model.task.past:
            yield rollout(model, torch.stack([*known], dim=1), horizon)
