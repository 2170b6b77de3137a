"""What a forecast hangs on: which past frames, which pixels, and what the gates remember.

Shapes: M past frames, N future frames, T all frames read, C channels, H height, W width, D hidden
channels.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from framecast.clip import to_tensor
from framecast.compiled import plain_torch
from framecast.data.film import Footage
from framecast.errors import InputError
from framecast.forecast.clips import known_past, on_scale_of
from framecast.forecast.inference import check_horizon, enter, leave, rollout
from framecast.layers.conv_lstm import ConvLSTMLayer, State
from framecast.layers.gates import Opened
from framecast.models.forecaster import Forecaster
from framecast.models.reach import reach

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Memory:
    """The gates of one ConvLSTM layer while it reads and forecasts.

    Args:
        name: of the layer within the model.
        enter_T: how far its input gates are open, in [0, 1], mean over channels and positions.
        keep_T: the same of its forget gates.
        show_T: the same of its output gates.
        half_life: frames after which half of what a cell held is gone, for the median channel;
            infinite where nothing fades.
    """

    name: str
    enter_T: Numbers
    keep_T: Numbers
    show_T: Numbers
    half_life: float


@dataclass(frozen=True)
class Explanation:
    """What one forecast hangs on.

    Args:
        past_MHWC: the frames read, in [0, 1].
        future_NHWC: the frames forecast, in [0, 1].
        change_MN: how much frame n changes where past frame m is not seen and the one before it
            stands in for it (for the first, the one after): root mean square over pixels.
        influence_MHW: how strongly each past pixel moves the pixel `at` of frame `lead`: size of
            the gradient, summed over channels.
        at: row and column of that pixel.
        lead: its lead time, from 1.
        memories: one for each ConvLSTM layer; empty for models without any.
        reach: pixels from which the next frame takes what it shows.
    """

    past_MHWC: Numbers
    future_NHWC: Numbers
    change_MN: Numbers
    influence_MHW: Numbers
    at: tuple[int, int]
    lead: int
    memories: tuple[Memory, ...]
    reach: int

    @property
    def says(self) -> str:
        """The findings in one line."""
        weight_M = self.change_MN.mean(axis=1)
        age = len(weight_M) - 1 - int(weight_M.argmax())
        most = f"the last frame but {age} matters most" if age else "the last frame matters most"
        if len(weight_M) == 1:
            most = "one past frame is read, and none beside it to compare"
        elif not weight_M.any():
            most = "no past frame matters"
        parts = [most, f"reach {self.reach} pixels"]
        parts += [
            f"{memory.name} half-life {as_frames(memory.half_life)}" for memory in self.memories
        ]
        return f"{'; '.join(parts)}."


def explain(
    model: Forecaster,
    clip: Footage,
    horizon: int = 10,
    *,
    past: int | None = None,
    at: tuple[int, int] | None = None,
    lead: int = 1,
    watch: Callable[[float], None] = lambda share: None,
) -> Explanation:
    """Look into a forecast of what follows a clip.

    Occlusion in time and gradients are those of Zeiler and Fergus (ECCV 2014, arXiv:1311.2901) and
    Simonyan et al. (2014, arXiv:1312.6034). They say what this model reacts to near this clip, and
    not why things move.

    Args:
        model: any forecaster; it is left as it is.
        clip: the video so far.
        horizon: number of frames to forecast.
        past: how many of the last frames to read, see `forecast`.
        at: row and column of the pixel that is traced back; by default the one that differs most
            from the last frame.
        lead: which forecast frame is traced back, from 1.
        watch: called now and then with the share of the work that is done, from 0 to 1; most of it
            is one more forecast for each past frame.

    Raises:
        InputError: what `forecast` refuses, or the pixel or lead time does not exist.
    """
    check_horizon(horizon)
    if not 1 <= lead <= horizon:
        raise InputError("lead", f"is {lead}", f"give 1 to {horizon}, the horizon")
    clip = on_scale_of(model, clip)
    past_1MCHW = to_tensor(known_past(model, clip, past))
    model = deepcopy(model).float().eval()  # gradients are left in none of the caller's weights
    with _watched(model) as calls, plain_torch():  # what a GPU has recorded would call no hook
        future_1NCHW = rollout(model, past_1MCHW, horizon)
    at = _where_it_changes(past_1MCHW, future_1NCHW[:, lead - 1]) if at is None else at
    for name, place, side in zip(("row", "column"), at, past_1MCHW.shape[3:], strict=True):
        if not 0 <= place < side:
            raise InputError(name, f"is {place}", f"give 0 to {side - 1}")
    return Explanation(
        _shown(past_1MCHW),
        _shown(future_1NCHW),
        _change(model, past_1MCHW, future_1NCHW, watch),
        _influence(model, past_1MCHW, at, lead),
        at,
        lead,
        tuple(_memory(name, layer, calls[name]) for name, layer in _layers(model)),
        reach(model),
    )


def _shown(frames_1TCHW: Tensor) -> Numbers:
    shown: Numbers = frames_1TCHW[0].movedim(1, 3).numpy()
    return shown


def _where_it_changes(past_1MCHW: Tensor, frame_1CHW: Tensor) -> tuple[int, int]:
    change_HW = (frame_1CHW - past_1MCHW[:, -1]).nan_to_num().abs().sum(dim=(0, 1))
    row, column = divmod(int(change_HW.argmax()), change_HW.shape[1])
    return row, column


def _change(
    model: Forecaster,
    past_1MCHW: Tensor,
    future_1NCHW: Tensor,
    watch: Callable[[float], None],
) -> Numbers:
    """Forecast again without each of the past frames: change_MN."""
    rows = []
    for frame in range(past_1MCHW.shape[1]):
        watch((1 + frame) / (2 + past_1MCHW.shape[1]))  # one forecast before, a gradient after
        other = frame - 1 if frame else min(1, past_1MCHW.shape[1] - 1)
        unseen_1MCHW = past_1MCHW.clone()
        unseen_1MCHW[:, frame] = past_1MCHW[:, other]
        again_1NCHW = rollout(model, unseen_1MCHW, future_1NCHW.shape[1])
        rows.append((again_1NCHW - future_1NCHW).square().mean(dim=(0, 2, 3, 4)).sqrt())
    change: Numbers = torch.stack(rows).numpy()
    return change


def _influence(model: Forecaster, past_1MCHW: Tensor, at: tuple[int, int], lead: int) -> Numbers:
    """Size of the gradient of one forecast pixel: influence_MHW."""
    given_1MCHW = past_1MCHW.clone().requires_grad_()
    with torch.enable_grad():
        entered = enter(model, given_1MCHW)
        *_, frame_BCHW = islice(model.frames(entered), lead)
        pixel = leave(frame_BCHW, like=past_1MCHW)[0, :, at[0], at[1]].sum()
    if not pixel.requires_grad:  # a forecast that looks at no past
        return np.zeros(past_1MCHW.shape[1:2] + past_1MCHW.shape[3:], np.float32)
    (gradient,) = torch.autograd.grad(pixel, given_1MCHW)
    influence: Numbers = gradient[0].abs().sum(dim=1).numpy()
    return influence


def _layers(model: nn.Module) -> Iterator[tuple[str, ConvLSTMLayer]]:
    for name, part in model.named_modules():
        if isinstance(part, ConvLSTMLayer):
            yield name, part


Call = tuple[Tensor, State | None]


@contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, list[Call]]]:
    """Note what each ConvLSTM layer is given."""
    calls: dict[str, list[Call]] = {name: [] for name, _ in _layers(model)}

    def note(name: str, layer: nn.Module, given: tuple[Tensor, State | None], _: object) -> None:
        calls[name].append((given[0], given[1] if len(given) > 1 else None))

    hooks = [layer.register_forward_hook(partial(note, name)) for name, layer in _layers(model)]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _memory(name: str, layer: ConvLSTMLayer, calls: list[Call]) -> Memory:
    steps: list[Opened] = [gates for call in calls for gates in layer.opened(*call)]
    open_T3 = np.array([[gate.mean().item() for gate in step[:3]] for step in steps], np.float32)
    enter_T, keep_T, show_T = open_T3.T
    return Memory(name, enter_T, keep_T, show_T, _half_life(steps))


def _half_life(steps: list[Opened]) -> float:
    """Of the median channel: a cell is multiplied by its forget gate in each frame."""
    log_D = torch.stack([step.keep_BDHW.log().mean(dim=(0, 2, 3)) for step in steps]).mean(dim=0)
    rate = -log_D.median().item()
    return math.log(2) / rate if rate > 0 else math.inf


def as_frames(count: float) -> str:
    """A half-life in words."""
    return f"{count:.1f} frames" if math.isfinite(count) else "without end"
