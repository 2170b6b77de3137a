"""The contract of a model: M frames in, endless frames out; the quirks of training hide in `loss`.

Shapes: B batch, M past frames, N future frames, T any frames, C channels, H height, W width.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

import torch
import torch.distributed as dist
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from framecast.clip import Scaling
from framecast.errors import InputError
from framecast.layers.gathered import Prepared, constant_weights
from framecast.losses import LOSSES
from framecast.missing import filled
from framecast.models.paper import Paper
from framecast.settings import Settings

State: TypeAlias = Any  # nested tuples of tensors whose first axis is the batch


@dataclass(frozen=True)
class Task:
    """What a model is built for: the frames it reads and the frames it is asked for in training.

    `scaling` says what the numbers in [0, 1] mean, if they are measurements.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    channels: Annotated[int, Field(strict=True, ge=1, le=4096)] = 1
    height: Annotated[int, Field(strict=True, ge=1, le=65_536)] = 64
    width: Annotated[int, Field(strict=True, ge=1, le=65_536)] = 64
    past: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    future: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    scaling: Scaling | None = None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """A task from what `dataclasses.asdict` made of one, in a file of a stranger perhaps.

        Raises:
            ValueError: these are no such values, or one of them is out of its range.
        """
        return TypeAdapter(cls).validate_python(values)


def _odd(side: int) -> int:
    if side % 2 == 0:
        raise ValueError("give an odd number")
    return side


Width: TypeAlias = Annotated[int, Field(ge=1, le=4096)]
Kernel: TypeAlias = Annotated[int, Field(ge=1, le=31), AfterValidator(_odd)]
"""A side of convolutions that leave H and W as they are."""


class ForecasterConfig(Settings):
    """Settings that every model has."""

    loss: Literal["mse", "mae", "mse_mae", "bce"] = Field(
        "mse", description="what training minimises"
    )


class Forecaster(nn.Module):
    """A model. Use the subclasses `Recurrent` and `Direct`: each needs one method from you.

    Attributes:
        Config: the settings class of the model.
        paper: where it is from; None for baselines.
        about: what it is good for, in a line, shown in tables.
        multiple: H and W must be multiples of this; `forecast.rollout` pads and crops.
        calibration: training windows that `calibrate` is given, at most.
        train_defaults: settings of training whose default is another one for this model.
        parts: methods, of trees of tensors to such trees, that are recorded on a GPU.
    """

    Config: ClassVar[type[ForecasterConfig]] = ForecasterConfig
    paper: ClassVar[Paper | None] = None
    about: ClassVar[str] = ""
    multiple: int = 1
    calibration: ClassVar[int] = 2048
    train_defaults: ClassVar[Mapping[str, Any]] = {}
    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ForecasterConfig, task: Task) -> None:
        super().__init__()
        self.config: Any = config
        self.task = task

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU for what has none."""
        tensors = chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def frames(self, past_BMCHW: Tensor) -> Iterator[Tensor]:
        """Yield frame_BCHW after frame_BCHW, for ever."""
        raise NotImplementedError

    def forward(self, past_BMCHW: Tensor, horizon: int) -> Tensor:
        """Forecast `horizon` frames: future_BNCHW, not clipped."""
        with constant_weights():
            return torch.stack([*islice(self.frames(past_BMCHW), horizon)], dim=1)

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor) -> Tensor:
        """What training minimises; `progress` runs from 0 to 1 over the whole training.

        NaN marks missing pixels. `filled` frames go into the model, and `error` takes them as are.
        On a GPU progress is a tensor at times: compute with it, but base no decision in Python on
        it.
        """
        return self.error(self(filled(past_BMCHW), future_BNCHW.shape[1]), future_BNCHW)

    def error(self, forecast: Tensor, truth: Tensor) -> Tensor:
        """The loss function that the settings name."""
        return LOSSES[self.config.loss](forecast, truth)

    def calibrate(self, windows_BTCHW: Iterable[Tensor]) -> None:
        """Set what no gradient finds, from batches of training windows. Most models have none."""


def learns(model: nn.Module) -> bool:
    """Whether there is anything to train."""
    return any(parameter.requires_grad for parameter in model.parameters())


class RecurrentConfig(ForecasterConfig):
    """Settings of models that read one frame at a time."""

    teacher_forcing: float = Field(
        0.8, ge=0, le=1, description="share of training over which true future frames fade out"
    )
    past_weight: float = Field(
        1.0, ge=0, le=1, description="weight of next-frame errors inside the past"
    )
    memory: Literal["fast", "low"] = Field(
        "fast", description="low: training keeps a few frames only and computes the others twice"
    )


class OutputConfig(RecurrentConfig):
    """Settings of models that may keep what they draw in [0, 1]."""

    output: Literal["linear", "sigmoid"] = Field("linear", description="sigmoid keeps [0, 1]")

    @model_validator(mode="after")
    def _loss_fits(self) -> Self:
        if self.loss == "bce" and self.output == "linear":
            raise ValueError("loss=bce needs output=sigmoid")
        return self

    def finish(self, frames: Tensor) -> Tensor:
        """The frames as they leave the model."""
        return torch.sigmoid(frames) if self.output == "sigmoid" else frames


class Recurrent(Forecaster):
    """A model with a state: give `step` or, where known frames can be read at once, `next_frames`.

    Each is made of the other where it is not given.
    """

    Config: ClassVar[type[ForecasterConfig]] = RecurrentConfig
    parts: ClassVar[tuple[str, ...]] = ("step", "next_frames")

    def step(self, frame_BCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, forecast the next. `state` is None at the start."""
        if type(self).next_frames is Recurrent.next_frames:
            raise NotImplementedError("give step or next_frames")
        next_B1CHW, state = self.next_frames(frame_BCHW[:, None], state)
        return next_B1CHW[:, 0], state

    def next_frames(self, frames_BTCHW: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Forecast the successor of each known frame: next_BTCHW, and the state after the last."""
        outputs = []
        for frame_BCHW in frames_BTCHW.unbind(1):
            output_BCHW, state = self.step(frame_BCHW, state)
            outputs.append(output_BCHW)
        return torch.stack(outputs, dim=1), state

    def frames(self, past_BMCHW: Tensor) -> Iterator[Tensor]:
        """Yield frame_BCHW after frame_BCHW, for ever, each fed back as the next input."""
        state: State = None
        # Piece by piece, so that a past of any length takes no more memory than in training.
        for piece_BTCHW in torch.split(past_BMCHW, self.task.past, dim=1):
            next_BTCHW, state = self.next_frames(piece_BTCHW, state)
        yield from self.run_on(next_BTCHW[:, -1], state)

    def run_on(self, frame_BCHW: Tensor, state: State) -> Iterator[Tensor]:
        """Yield a forecast frame and its successors, for ever; `state` is that before the frame."""
        while True:
            yield frame_BCHW
            frame_BCHW, state = self.step(frame_BCHW, state)

    def loss(self, past_BMCHW: Tensor, future_BNCHW: Tensor, progress: float | Tensor) -> Tensor:
        """Next-frame error over past and future, with scheduled sampling in the future.

        Scheduled sampling (Bengio et al., NeurIPS 2015, arXiv:1506.03099): each future input is the
        true frame with a probability that falls linearly from 1 to 0, else the model's own output.
        """
        until = self.config.teacher_forcing
        probability = 1 - progress / until if until > 0 else 0.0  # below 0: never
        known_BMCHW = filled(past_BMCHW)
        given_BTCHW = filled(future_BNCHW[:, :-1], known_BMCHW[:, -1])
        true_BT = uniform(given_BTCHW) < probability
        with constant_weights() as weights:
            next_BMCHW, state = self._in_pieces(weights, self.next_frames, None, known_BMCHW)
            first_BCHW = next_BMCHW[:, -1]
            begun = first_BCHW, state
            later_BTCHW, _ = self._in_pieces(weights, self._sample, begun, given_BTCHW, true_BT)
        next_BTCHW = torch.cat([next_BMCHW, later_BTCHW], dim=1)
        return self.next_error(next_BTCHW, past_BMCHW, future_BNCHW)

    def next_error(self, next_BTCHW: Tensor, past_BMCHW: Tensor, future_BNCHW: Tensor) -> Tensor:
        """Of forecasts of all frames but the first; those inside the past have their own weight."""
        known = past_BMCHW.shape[1] - 1
        loss = self.error(next_BTCHW[:, known:], future_BNCHW)
        if self.config.past_weight and known:
            loss = loss + self.config.past_weight * self.error(
                next_BTCHW[:, :known], past_BMCHW[:, 1:]
            )
        return loss

    def _sample(
        self, true_BTCHW: Tensor, is_true_BT: Tensor, before: tuple[Tensor, State]
    ) -> tuple[Tensor, tuple[Tensor, State]]:
        """Forecast after each frame: a true one, or the own forecast of it."""
        output_BCHW, state = before
        outputs = []
        for truth_BCHW, is_true_B in zip(true_BTCHW.unbind(1), is_true_BT.unbind(1), strict=True):
            frame_BCHW = torch.where(is_true_B.view(-1, 1, 1, 1), truth_BCHW, output_BCHW)
            output_BCHW, state = self.step(frame_BCHW, state)
            outputs.append(output_BCHW)
        return torch.stack(outputs, dim=1), (output_BCHW, state)

    def _in_pieces(
        self,
        weights: Prepared,
        read: Callable[..., tuple[Tensor, State]],
        state: State,
        *inputs: Tensor,
    ) -> tuple[Tensor, State]:
        """Read all frames; to save memory, T frames in √T pieces that keep their state alone.

        What a piece computes is computed again for its gradient (Chen et al. 2016,
        arXiv:1604.06174).
        """
        frames = inputs[0].shape[1]
        if self.config.memory == "fast" or frames < 2:
            return read(*inputs, state) if frames else (inputs[0], state)

        def read_piece(*arguments: Any) -> tuple[Tensor, State]:
            with constant_weights(weights.apart()):  # gathered uses would keep what they saw
                return read(*arguments)

        outputs = []
        pieces = (torch.split(frames_BT, math.isqrt(frames), dim=1) for frames_BT in inputs)
        for piece in zip(*pieces, strict=True):
            output_BTCHW, state = checkpoint(read_piece, *piece, state, use_reentrant=False)
            outputs.append(output_BTCHW)
        return torch.cat(outputs, dim=1), state


def uniform(like_BTCHW: Tensor) -> Tensor:
    """Random numbers in [0, 1), the same for a sequence however many processes share the batch."""
    size, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    batch, frames = like_BTCHW.shape[:2]
    return torch.rand(frames, size, batch, device=like_BTCHW.device)[:, rank].T


class Direct(Forecaster):
    """A model that emits N frames at once: give `window`. It reads exactly `task.past` frames."""

    parts: ClassVar[tuple[str, ...]] = ("window",)

    def window(self, past_BMCHW: Tensor) -> Tensor:
        """Forecast `task.future` frames from `task.past` frames: future_BNCHW."""
        raise NotImplementedError

    def frames(self, past_BMCHW: Tensor) -> Iterator[Tensor]:
        """Yield frame_BCHW after frame_BCHW, for ever: its own frames make the next window."""
        past = self.task.past
        if past_BMCHW.shape[1] < past:
            raise InputError(
                "the past",
                f"has {past_BMCHW.shape[1]} frames, the model reads {past}",
                "give more frames",
            )
        known_BMCHW = past_BMCHW[:, -past:]
        while True:
            future_BNCHW = self.window(known_BMCHW)
            yield from future_BNCHW.unbind(1)
            known_BMCHW = torch.cat([known_BMCHW, future_BNCHW], dim=1)[:, -past:]
