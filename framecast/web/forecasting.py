"""From clips to forecasts: several of one shape together, and never beyond a deadline.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from framecast.clip import Clip, to_clip, to_tensor
from framecast.forecast import forecast
from framecast.forecast.clips import frames_ahead, known_past
from framecast.forecast.inference import inference
from framecast.forecast.tiles import plan_tiles
from framecast.models.forecaster import Forecaster

TOGETHER = 2**18  # pixels of one frame of all clips that are forecast together


def cut(model: Forecaster, clip: Clip, past: int | None, truth: int) -> tuple[Clip, Clip | None]:
    """What the model is to read, and the `truth` last frames, if any, to compare with.

    Raises:
        InputError: the clip is too short, or does not suit the model.
    """
    clip = clip.scaled_as(model.task.scaling)
    known = known_past(model, clip, past, back=truth)
    return known, clip.cut(len(clip) - truth) if truth else None


def forecast_together(
    model: Forecaster, known: Sequence[Clip], horizon: int, until: float
) -> list[Clip]:
    """Continue clips of one shape, frame by frame.

    Args:
        model: any forecaster.
        known: the frames to read, of each clip.
        horizon: number of frames to forecast.
        until: a moment of `time.monotonic`. Frames so large that they have to be cut into tiles are
            forecast clip by clip, and the deadline is looked at between clips.

    Raises:
        InputError: what the model forecasts is not finite.
        TimeoutError: it is not done in time.
    """
    with inference(model):
        tiled = plan_tiles(model, known[0], horizon) is not None
        together = 1 if tiled else max(1, TOGETHER // known[0].frames_THWC[0].size)
        done: list[Clip] = []
        for first in range(0, len(known), together):
            part = known[first : first + together]
            _check_time(until)
            if tiled:
                done += [forecast(model, clip, horizon, len(clip)) for clip in part]
            else:
                done += _at_once(model, part, horizon, until)
        return done


def _at_once(model: Forecaster, known: Sequence[Clip], horizon: int, until: float) -> list[Clip]:
    past_BMCHW = torch.cat([*map(to_tensor, known)])
    frames: list[Tensor] = []
    for frame_BCHW in frames_ahead(model, past_BMCHW, horizon):
        _check_time(until)
        frames.append(frame_BCHW)
    future_BNCHW = torch.stack(frames, dim=1)
    return [
        replace(clip.cut(len(clip)), frames_THWC=to_clip(future_1NCHW[None], like=clip).frames_THWC)
        for clip, future_1NCHW in zip(known, future_BNCHW, strict=True)
    ]


def _check_time(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError
