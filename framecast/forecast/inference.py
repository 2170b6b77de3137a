"""One place for all inference: device, type, padding and channels are settled here, nowhere else.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from itertools import chain, islice
from numbers import Integral
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from framecast.errors import InputError, counted
from framecast.layers.gathered import Prepared, constant_weights
from framecast.layers.graphs import Recordings, recordable
from framecast.missing import filled
from framecast.models.forecaster import Direct, Forecaster

_recordings: WeakKeyDictionary[Forecaster, dict[str, Recordings]] = WeakKeyDictionary()


def rollout(model: Forecaster, past_BMCHW: Tensor, horizon: int, *, clip: bool = True) -> Tensor:
    """Forecast `horizon` frames.

    The model keeps its device and its training flags, and autograd records nothing. Frames whose
    size does not suit the model are padded by repeating their border, and cropped again. Colour
    goes through a one-channel model channel by channel.

    Args:
        model: any forecaster.
        past_BMCHW: frames in [0, 1], oldest first, NaN where pixels are missing. A recurrent model
            reads all of them, a direct one the last `model.task.past`.
        horizon: number of future frames N, at least 1.
        clip: cut the forecast off at 0 and 1. Errors are measured without.

    Returns:
        future_BNCHW, with the channels, size, type and device of the past. No pixel is missing.

    Raises:
        InputError: the channels do not suit the model, the past is too short, or N < 1.

    >>> from framecast.models import build_model
    >>> rollout(build_model("persistence"), torch.rand(2, 10, 3, 48, 48), horizon=5).shape
    torch.Size([2, 5, 3, 48, 48])
    """
    check_horizon(horizon)
    check_frames(model, past_BMCHW, where="the past")
    with inference(model):
        future_BNCHW = torch.stack([*islice(futures(model, past_BMCHW), horizon)], dim=1)
    return future_BNCHW.clamp(0, 1) if clip else future_BNCHW


def futures(model: Forecaster, past_BMCHW: Tensor) -> Iterator[Tensor]:
    """Yield frame_BCHW after frame_BCHW, for ever, in the form of the past."""
    reads = model.task.past if isinstance(model, Direct) else past_BMCHW.shape[1]
    for frame_BCHW in recorded(model, past_BMCHW).frames(enter(model, past_BMCHW[:, -reads:])):
        yield leave(frame_BCHW, like=past_BMCHW)


def enter(model: Forecaster, past_BMCHW: Tensor) -> Tensor:
    """Give frames the channels, the multiple of H and W, the device and the type of the model.

    Missing pixels get their last known value, or 0.
    """
    past_BMCHW = filled(past_BMCHW)
    wants, has = model.task.channels, past_BMCHW.shape[2]
    if wants == 1 and has > 1:  # each channel is a sequence of its own in the batch
        past_BMCHW = past_BMCHW.transpose(1, 2).flatten(0, 1).unsqueeze(2)
    elif wants > has == 1:  # grey
        past_BMCHW = past_BMCHW.expand(-1, -1, wants, -1, -1)
    return padded(past_BMCHW, model.multiple).to(_home(model, default=past_BMCHW))


def padded(frames_BTCHW: Tensor, multiple: int) -> Tensor:
    """Repeat the lower and the right border until H and W are multiples."""
    height, width = frames_BTCHW.shape[3:]
    below_and_right = (0, -width % multiple, 0, -height % multiple)
    if not any(below_and_right):
        return frames_BTCHW
    padded_XCHW = F.pad(frames_BTCHW.flatten(0, 1), below_and_right, mode="replicate")
    return padded_XCHW.reshape(*frames_BTCHW.shape[:3], *padded_XCHW.shape[2:])


def leave(frame_BCHW: Tensor, like: Tensor) -> Tensor:
    """Undo `enter` for a frame that the model gave; `like` is what entered, BMCHW."""
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


def recorded(model: Forecaster, past: Tensor) -> Forecaster:
    """The model with the same weights; on a GPU what it does again and again is recorded.

    Args:
        model: within `inference`.
        past: what it is to read; says where a model without weights computes.
    """
    if not recordable(_home(model, default=past).device):
        return model
    recordings = _recordings.setdefault(model, {part: Recordings() for part in model.parts})
    twin = copy(model)  # not deep: it shares all that it holds
    for part, kept in recordings.items():
        kept.renew(model)
        setattr(twin, part, partial(kept, getattr(model, part)))
    return twin


@contextmanager
def inference(model: Forecaster, weights: Prepared | None = None) -> Iterator[None]:
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


def check_frames(model: Forecaster, past_BMCHW: Tensor, where: str) -> None:
    """Refuse frames that the model cannot read."""
    if past_BMCHW.ndim != 5 or not past_BMCHW.is_floating_point():
        what = f"is a tensor {tuple(past_BMCHW.shape)} of {past_BMCHW.dtype}"
        raise InputError(where, what, "give (B, M, C, H, W) floats in [0, 1]")
    check_channels(model, past_BMCHW.shape[2], where)
    has, needs = past_BMCHW.shape[1], model.task.past if isinstance(model, Direct) else 1
    if has < needs:
        what = f"has {counted(has, 'frame')}, the model reads {needs}"
        raise InputError(where, what, "give more frames")


def check_channels(model: Forecaster, has: int, where: str) -> None:
    """Refuse channels that neither match nor can be brought into those of the model.

    What has learnt nothing takes any.
    """
    wants = model.task.channels
    if has == wants or (has, wants) in ((3, 1), (4, 1), (1, 3)):
        return
    if model.state_dict():
        what = f"has {counted(has, 'channel')}, the model reads {wants}"
        raise InputError(where, what, "give other frames, or train a model on such frames")


def check_model(model: object) -> None:
    """Refuse what is no forecaster, such as the name of one."""
    if not isinstance(model, Forecaster):
        fix = "give framecast.load(RUN), or framecast.load('persistence')"
        raise InputError("the model", f"is a {type(model).__name__}", fix)


def check_horizon(horizon: int) -> None:
    """Refuse a horizon without a frame, or of half of one."""
    if not isinstance(horizon, Integral):
        raise InputError("horizon", f"is {horizon!r}", "give a whole number of frames")
    if horizon < 1:
        raise InputError("horizon", f"is {horizon}", "forecast at least 1 frame")
