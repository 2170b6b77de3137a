"""Forecasts of clips: from the values of a clip to values that continue it.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from framecast.clip import Clip, to_clip, to_tensor
from framecast.data.film import Footage, in_memory
from framecast.errors import InputError, counted
from framecast.forecast.inference import (
    check_channels,
    check_horizon,
    check_model,
    futures,
    inference,
)
from framecast.forecast.progress import told
from framecast.forecast.tiles import Tiles, in_tiles, plan_tiles
from framecast.memory import available, said
from framecast.models.forecaster import Direct, Forecaster, Recurrent

log = logging.getLogger(__name__)

BEYOND = 0.001  # of the values that are read: fewer beyond the range are no news


def forecast(
    model: Forecaster,
    clip: Footage,
    horizon: int,
    past: int | None = None,
    tile: int | None = None,
) -> Clip:
    """Continue a clip. Time grows with past + horizon, not with their product.

    Args:
        model: any forecaster.
        clip: the video so far.
        horizon: number of frames to forecast, at least 1.
        past: how many of the last frames to read. Without it as many as the model was trained on,
            which is what it knows best; `past=len(clip)` gives a recurrent model all of them.
        tile: cut frames into overlapping tiles of this side. Without it, frames are cut only where
            the whole would take more than 0.5 GB, or half of the free memory.

    Returns:
        The `horizon` frames that follow, with the values, unit and frame rate of the clip. Pixels
        that are missing in every frame read are missing in the forecast.

    Raises:
        InputError: the clip is too short, has channels or a unit that do not suit the model, the
            horizon is below 1, or what the model forecasts is not finite.

    >>> from framecast.models import build_model
    >>> clip = Clip(np.zeros((12, 64, 64, 1), np.uint8))
    >>> len(forecast(build_model("persistence"), clip, horizon=5))
    5
    """
    check_horizon(horizon)
    clip = on_scale_of(model, clip)
    known = known_past(model, clip, past)
    _warn_of_range(known)
    size, free = horizon * known.frames_THWC[0].nbytes, available()
    if size > free:  # NumPy would promise it, and the system end the process once it is filled
        what = f"of {counted(horizon, 'frame')} takes {said(size)}, and {said(free)} are free"
        raise InputError("the horizon", what, "give a smaller one, or smaller frames")
    frames_THWC = np.empty((horizon, *known.frames_THWC.shape[1:]), known.frames_THWC.dtype)
    with inference(model):
        tiles = plan_tiles(model, known, horizon, tile)
        if tiles is None:
            ahead = told(frames_ahead(model, to_tensor(known), horizon), horizon, "frames forecast")
            for lead, frame_1CHW in enumerate(ahead):
                frames_THWC[lead] = to_clip(frame_1CHW[:, None], like=known).frames_THWC[0]
        else:
            log.info(tiles.say())
            _fill_in_tiles(frames_THWC, model, known, tiles)
    return replace(known.cut(len(known)), frames_THWC=frames_THWC)


def _warn_of_range(known: Clip) -> None:
    """Say where values are read that are never forecast. Pictures have their whole range."""
    if not known.physical:
        return
    low, high = known.value_range
    values = known.frames_THWC[~np.isnan(known.frames_THWC)]
    share = ((values < low) | (values > high)).mean()
    if share >= BEYOND:
        log.warning(
            "%s holds values from %.4g to %.4g: forecasts are kept within %.4g to %.4g, the range"
            " of the training",
            known.source,
            values.min(),
            values.max(),
            low,
            high,
        )


def frames_ahead(model: Forecaster, past_BMCHW: Tensor, horizon: int) -> Iterator[Tensor]:
    """Yield frame_BCHW after frame_BCHW in [0, 1]; NaN where no frame that is read knows one."""
    never_BCHW = past_BMCHW.isnan().all(dim=1)
    for lead, frame_BCHW in enumerate(islice(futures(model, past_BMCHW), horizon), start=1):
        check_finite(frame_BCHW, lead)
        yield frame_BCHW.clamp(0, 1).masked_fill(never_BCHW, torch.nan)


def _fill_in_tiles(frames_THWC: NDArray[Any], model: Forecaster, known: Clip, tiles: Tiles) -> None:
    def ahead(part: Clip) -> Tensor:
        return torch.cat([*frames_ahead(model, to_tensor(part), len(frames_THWC))])

    for rows, band_NCHW in in_tiles(known, tiles, model.multiple, ahead):
        frames_THWC[:, rows] = to_clip(band_NCHW[None], like=known).frames_THWC


def on_scale_of(model: Forecaster, clip: Footage) -> Footage:
    """As `Clip.scaled_as`. Refuse what is no clip, such as a bare array, and what is no model."""
    check_model(model)
    if not isinstance(clip, Footage):
        fix = "give framecast.read(path), or Clip(frames_THWC)"
        raise InputError("the clip", f"is a {type(clip).__name__}", fix)
    return clip.scaled_as(model.task.scaling)


def known_past(model: Forecaster, clip: Footage, past: int | None, back: int = 0) -> Clip:
    """The last frames of a clip, which the model is given. Refuse those that say nothing.

    So many frames are kept `back`: what the model is given ends before them.
    """
    end = len(clip) - back
    known = in_memory(clip.cut(end - frames_to_read(model, clip, past, back), end))
    if known.physical and np.isnan(known.frames_THWC).all():
        what = f"has no known pixel in the {counted(len(known), 'frame')} that are read"
        raise InputError(clip.source, what, "give a clip that ends with known frames")
    return known


def frames_to_read(model: Forecaster, clip: Footage, past: int | None, back: int = 0) -> int:
    """How many of the last frames of a clip the model is given. Refuse what it cannot read."""
    check_channels(model, clip.channels, where=clip.source)
    reads = model.task.past if past is None else past
    if isinstance(model, Direct) and reads != model.task.past:
        what = f"is {past}, the model reads exactly {counted(model.task.past, 'frame')}"
        raise InputError("past", what, "leave it out")
    if reads < 1:
        raise InputError("past", f"is {past}", "give at least 1 frame")
    left = len(clip) - back
    if left < reads:
        shorter = f" or --past {left}" if isinstance(model, Recurrent) and left > 0 else ""
        shorter += " or a smaller horizon" if back else ""
        what = f"has {counted(len(clip), 'frame')}, the model reads {reads}"
        what += f" and {back} are kept back" if back else ""
        raise InputError(clip.source, what, f"give a longer video{shorter}")
    return reads


def check_finite(frame_BCHW: Tensor, lead: int) -> None:
    """Turned into uint8, a NaN would look like a black pixel."""
    if not torch.isfinite(frame_BCHW).all():
        what = f"forecasts values that are not finite at {counted(lead, 'frame')}"
        raise InputError("the model", what, "shorten the horizon, or train it again")
