"""Forecasting with any model: device, type, padding and channels are settled here and nowhere else.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

import shlex
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.clip import Clip, to_clip, to_tensor
from framecast.errors import InputError
from framecast.layers.gathered import Prepared, constant_weights
from framecast.models.forecaster import Direct, Forecaster, Recurrent

MOST_WINDOWS, FEWEST_WINDOWS = 16, 4  # of a back-test, where the clip has as many
PIXELS_IN_BACKTEST = 2**22  # large frames get fewer windows: nobody waits an hour for one line
PIXELS_IN_BATCH = 2**20  # of the windows that go through the model together


def rollout(model: Forecaster, past_BMCHW: Tensor, horizon: int, *, clip: bool = True) -> Tensor:
    """Forecast `horizon` frames.

    The model keeps its device and its training flags, and autograd records nothing. Frames whose
    size does not suit the model are padded by repeating their border, and cropped again. Colour
    goes through a one-channel model channel by channel.

    Args:
        model: any forecaster.
        past_BMCHW: frames in [0, 1], oldest first. A recurrent model reads all of them, a direct
            one the last `model.task.past`.
        horizon: number of future frames N, at least 1.
        clip: cut the forecast off at 0 and 1. Errors are measured without.

    Returns:
        future_BNCHW, with the channels, size, type and device of the past.

    Raises:
        InputError: the channels do not suit the model, the past is too short, or N < 1.

    >>> from framecast.models import build_model
    >>> rollout(build_model("persistence"), torch.rand(2, 10, 3, 48, 48), horizon=5).shape
    torch.Size([2, 5, 3, 48, 48])
    """
    _check_horizon(horizon)
    _check(model, past_BMCHW, where="the past")
    with _inference(model):
        future_BNCHW = torch.stack([*islice(_futures(model, past_BMCHW), horizon)], dim=1)
    return future_BNCHW.clamp(0, 1) if clip else future_BNCHW


def forecast(model: Forecaster, clip: Clip, horizon: int, past: int | None = None) -> Clip:
    """Continue a clip. Time grows with past + horizon, not with their product.

    Args:
        model: any forecaster.
        clip: the video so far.
        horizon: number of frames to forecast, at least 1.
        past: how many of the last frames to read. Without it as many as the model was trained on,
            which is what it knows best; `past=len(clip)` gives a recurrent model all of them.

    Returns:
        The `horizon` frames that follow, with the values, unit and frame rate of the clip.

    Raises:
        InputError: the clip is too short, has missing pixels or channels that do not suit the
            model, the horizon is below 1, or what the model forecasts is not finite.

    >>> from framecast.models import build_model
    >>> clip = Clip(np.zeros((12, 64, 64, 1), np.uint8))
    >>> len(forecast(build_model("persistence"), clip, horizon=5))
    5
    """
    _check_horizon(horizon)
    past_1MCHW = to_tensor(clip.cut(len(clip) - _frames_to_read(model, clip, past)))
    frames_THWC: list[Any] = []
    with _inference(model):
        for lead, frame_1CHW in enumerate(islice(_futures(model, past_1MCHW), horizon), start=1):
            _check_finite(frame_1CHW, lead)
            frames_THWC += [*to_clip(frame_1CHW.clamp(0, 1)[:, None], like=clip).frames_THWC]
    return replace(clip, frames_THWC=np.stack(frames_THWC))


def stream(model: Forecaster, frames: Iterable[Tensor], horizon: int) -> Iterator[Tensor]:
    """Forecast anew after each frame that comes in. The work per frame does not grow with time.

    The weights of the model must not change while its stream goes on.

    Args:
        model: any forecaster. A recurrent one carries its state along. A direct one keeps its last
            `model.task.past` frames, and answers from the moment it has that many.
        frames: frame_BCHW in [0, 1], one after the other, all of one shape.
        horizon: number of future frames N in each answer, at least 1.

    Returns:
        An iterator over future_BNCHW in [0, 1]: what `rollout` says of all frames so far.

    Raises:
        InputError: the channels do not suit the model, or N < 1.

    >>> from framecast.models import build_model
    >>> [*stream(build_model("persistence"), torch.rand(3, 1, 1, 8, 8), horizon=2)][-1].shape
    torch.Size([1, 2, 1, 8, 8])
    """
    _check_horizon(horizon)
    answer = _stream_direct if isinstance(model, Direct) else _stream_recurrent
    return answer(model, frames, horizon)


@dataclass(frozen=True, eq=False)
class Backtest:
    """How a model did on earlier windows of a clip. Errors are in the unit of [0, 1] squared.

    Args:
        source: where the clip came from.
        frames: in the clip.
        needed: frames of one window, past + horizon.
        windows: that were forecast; 0 when the clip is shorter than one.
        mse_N: mean squared error per pixel of the model, for each lead time.
        persistence_N: the same of repeating the last frame.
    """

    source: str
    frames: int
    needed: int
    windows: int
    mse_N: Tensor
    persistence_N: Tensor

    @property
    def skill_N(self) -> Tensor:
        """1 − error / error of persistence; 0 where both are perfect, −inf where only it is."""
        skill_N = 1 - self.mse_N / self.persistence_N
        return torch.where(self.mse_N == self.persistence_N, 0.0, skill_N)

    def verdict(self) -> str:
        """One honest line for the user: where the forecast is worth more than the last frame."""
        if not self.windows:
            has = f"it has {_count(self.frames, 'frame')}, that takes {self.needed}"
            return f"this video is too short to test the forecast on: {has}"
        skills = dict(enumerate(self.skill_N.tolist(), start=1))
        # A gain that would be printed as 0 % is none.
        gains = {lead: skill for lead, skill in skills.items() if skill > 0.005}
        losses = [lead for lead in skills if lead not in gains]
        said = f"on this video the forecast {_compare(gains, losses)}"
        said += f" (over {_count(self.windows, 'earlier window')})"
        return f"{said}; train on it: {_train_command(self.source)}" if losses else said


def backtest(model: Forecaster, clip: Clip, horizon: int, past: int | None = None) -> Backtest:
    """Forecast what is already known: windows spread evenly over the clip.

    There are 16 of them, or fewer where the clip has fewer or the frames are large. The back-test
    takes as much longer than one forecast as it has windows.

    A model that was trained on this very clip has seen these frames, and looks better here than
    it will be.

    Args:
        model: any forecaster.
        clip: the video so far.
        horizon: number of frames to forecast in each window, at least 1.
        past: frames read in each window, as in `forecast`.

    Raises:
        InputError: as `forecast`, but a clip that is only too short for a window is fine.

    >>> from framecast.models import build_model
    >>> clip = Clip(np.zeros((12, 64, 64, 1), np.uint8))
    >>> backtest(build_model("persistence"), clip, horizon=5).verdict()
    'this video is too short to test the forecast on: it has 12 frames, that takes 15'
    """
    _check_horizon(horizon)
    reads = _frames_to_read(model, clip, past)
    starts, batch = _plan(clip, reads + horizon)
    errors_2N = torch.zeros(2, horizon, dtype=torch.float64)
    for first in range(0, len(starts), batch):
        cuts = [clip.cut(at, at + reads + horizon) for at in starts[first : first + batch]]
        window_BTCHW = torch.cat([to_tensor(cut) for cut in cuts])
        past_BMCHW, future_BNCHW = torch.split(window_BTCHW, [reads, horizon], dim=1)
        forecast_BNCHW = rollout(model, past_BMCHW, horizon, clip=False)
        errors_2N[0] += _sum_of_errors(forecast_BNCHW, future_BNCHW)
        errors_2N[1] += _sum_of_errors(past_BMCHW[:, -1:], future_BNCHW)
    mse_N, persistence_N = errors_2N / max(len(starts), 1)
    return Backtest(clip.source, len(clip), reads + horizon, len(starts), mse_N, persistence_N)


def _plan(clip: Clip, length: int) -> tuple[list[int], int]:
    """Where the windows of a back-test start, and how many go through the model together."""
    last = len(clip) - length
    if last < 0:
        return [], 1
    pixels = length * clip.frames_THWC[0].size
    count = min(max(PIXELS_IN_BACKTEST // pixels, FEWEST_WINDOWS), MOST_WINDOWS, last + 1)
    starts = [last * i // max(count - 1, 1) for i in range(count)]
    return starts, max(PIXELS_IN_BATCH // pixels, 1)


def _sum_of_errors(forecast_BNCHW: Tensor, truth_BNCHW: Tensor) -> Tensor:
    """Per lead time: mean over the pixels, sum over the windows."""
    return (forecast_BNCHW - truth_BNCHW).double().square().mean(dim=(2, 3, 4)).sum(dim=0)


def _compare(gains: dict[int, float], losses: list[int]) -> str:
    """Name the first and the last lead time of each kind."""
    if not gains:
        return "does not beat repeating the last frame"
    first, *rest = sorted({min(gains), max(gains)})
    said = f"beats repeating the last frame by {100 * gains[first]:.0f} %"
    said += f" at {_count(first, 'frame')}"
    said += "".join(f", {100 * gains[lead]:.0f} % at {lead}" for lead in rest)
    if losses:
        said += f", but not at {' or '.join(map(str, sorted({losses[0], losses[-1]})))}"
    return said


def _train_command(source: str) -> str:
    """What to type, with the path of the clip when it has one."""
    clip = shlex.quote(source) if Path(source).exists() else "CLIP"
    return f"framecast train {clip} --out runs/mine"


def _stream_recurrent(
    model: Forecaster, frames: Iterable[Tensor], horizon: int
) -> Iterator[Tensor]:
    assert isinstance(model, Recurrent)
    state, weights = None, Prepared()
    for frame_BCHW in frames:
        known_B1CHW = frame_BCHW[:, None]
        _check(model, known_B1CHW, where="the frame")
        with _inference(model, weights):
            next_BCHW, state = model.step(_enter(model, known_B1CHW)[:, 0], state)
            ahead = islice(model.run_on(next_BCHW, state), horizon)
            future_BNCHW = torch.stack([_leave(frame, like=known_B1CHW) for frame in ahead], dim=1)
        yield future_BNCHW.clamp(0, 1)


def _stream_direct(model: Forecaster, frames: Iterable[Tensor], horizon: int) -> Iterator[Tensor]:
    known: deque[Tensor] = deque(maxlen=model.task.past)
    for frame_BCHW in frames:
        known.append(frame_BCHW)
        if len(known) == model.task.past:
            yield rollout(model, torch.stack([*known], dim=1), horizon)


def _futures(model: Forecaster, past_BMCHW: Tensor) -> Iterator[Tensor]:
    """Yield frame_BCHW after frame_BCHW, for ever, in the form of the past."""
    reads = model.task.past if isinstance(model, Direct) else past_BMCHW.shape[1]
    for frame_BCHW in model.frames(_enter(model, past_BMCHW[:, -reads:])):
        yield _leave(frame_BCHW, like=past_BMCHW)


def _enter(model: Forecaster, past_BMCHW: Tensor) -> Tensor:
    """Give frames the channels, the multiple of H and W, the device and the type of the model."""
    wants, has = model.task.channels, past_BMCHW.shape[2]
    if wants == 1 and has > 1:  # each channel is a sequence of its own in the batch
        past_BMCHW = past_BMCHW.transpose(1, 2).flatten(0, 1).unsqueeze(2)
    elif wants > has:  # grey
        past_BMCHW = past_BMCHW.expand(-1, -1, wants, -1, -1)
    height, width = past_BMCHW.shape[3:]
    below_and_right = (0, -width % model.multiple, 0, -height % model.multiple)
    padded_XCHW = F.pad(past_BMCHW.flatten(0, 1), below_and_right, mode="replicate")
    padded_BMCHW = padded_XCHW.reshape(*past_BMCHW.shape[:3], *padded_XCHW.shape[2:])
    return padded_BMCHW.to(_home(model, default=past_BMCHW))


def _leave(frame_BCHW: Tensor, like: Tensor) -> Tensor:
    """Undo `_enter` for a frame that the model gave; `like` is what entered, BMCHW."""
    batch, _, channels, height, width = like.shape
    frame_BCHW = frame_BCHW[..., :height, :width].to(like)
    if frame_BCHW.shape[0] > batch:
        return frame_BCHW.reshape(batch, channels, height, width)
    if frame_BCHW.shape[1] > channels:
        return frame_BCHW.mean(dim=1, keepdim=True)
    return frame_BCHW


def _home(model: Forecaster, default: Tensor) -> Tensor:
    """A tensor on the device and of the type of the model's weights, if it has any."""
    tensors = chain(model.parameters(), model.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), default)


@contextmanager
def _inference(model: Forecaster, weights: Prepared | None = None) -> Iterator[None]:
    """No autograd, eval mode and unchanging weights for a while; training flags come back."""
    # Not torch.inference_mode: its tensors could not be used in a loss later.
    flags = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), constant_weights(weights):
            yield
    finally:
        for part, training in flags:
            part.training = training


def _frames_to_read(model: Forecaster, clip: Clip, past: int | None) -> int:
    """How many of the last frames of a clip the model is given. Refuse what it cannot read."""
    _check_channels(model, clip.channels, where=clip.source)
    reads = model.task.past if past is None else past
    if isinstance(model, Direct) and reads != model.task.past:
        what = f"is {past}, the model reads exactly {_count(model.task.past, 'frame')}"
        raise InputError("past", what, "leave it out")
    if reads < 1:
        raise InputError("past", f"is {past}", "give at least 1 frame")
    if len(clip) < reads:
        shorter = f" or --past {len(clip)}" if isinstance(model, Recurrent) and len(clip) else ""
        what = f"has {_count(len(clip), 'frame')}, the model reads {reads}"
        raise InputError(clip.source, what, f"give a longer video{shorter}")
    return reads


def _check(model: Forecaster, past_BMCHW: Tensor, where: str) -> None:
    """Refuse frames that the model cannot read."""
    if past_BMCHW.ndim != 5 or not past_BMCHW.is_floating_point():
        what = f"is a tensor {tuple(past_BMCHW.shape)} of {past_BMCHW.dtype}"
        raise InputError(where, what, "give (B, M, C, H, W) floats in [0, 1]")
    _check_channels(model, past_BMCHW.shape[2], where)
    has, needs = past_BMCHW.shape[1], model.task.past if isinstance(model, Direct) else 1
    if has < needs:
        what = f"has {_count(has, 'frame')}, the model reads {needs}"
        raise InputError(where, what, "give more frames")


def _check_channels(model: Forecaster, has: int, where: str) -> None:
    wants = model.task.channels
    if has != wants and (has, wants) not in ((3, 1), (4, 1), (1, 3)):
        what = f"has {_count(has, 'channel')}, the model reads {wants}"
        raise InputError(where, what, "give other frames, or train a model on such frames")


def _check_horizon(horizon: int) -> None:
    if horizon < 1:
        raise InputError("horizon", f"is {horizon}", "forecast at least 1 frame")


def _check_finite(frame_1CHW: Tensor, lead: int) -> None:
    """Turned into uint8, a NaN would look like a black pixel."""
    if not torch.isfinite(frame_1CHW).all():
        what = f"forecasts values that are not finite at {_count(lead, 'frame')}"
        raise InputError("the model", what, "shorten the horizon, or train it again")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
